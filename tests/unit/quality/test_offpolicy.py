"""Off-policy estimates against what they estimate, by simulation."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.quality.conftest import numpy

from routekit.errors import InvalidInputError
from routekit.quality.offpolicy import Log, evaluate


def _world(seed: int, rows: int, share: float = 0.4) -> tuple[Log, float]:
    """A log of three models whose worth depends on the prompt, and the true worth of always taking the best guess."""
    rng = numpy.random.default_rng(seed)
    skill = numpy.array([0.35, 0.6, 0.75]) + 0.4 * (rng.random((rows, 1)) - 0.5) * numpy.array([1.0, -1.0, 0.5])
    guess = numpy.clip(skill + 0.1 * rng.normal(size=skill.shape), 0, 1)
    greedy = numpy.eye(3)[guess.argmax(axis=1)]
    behaviour = (1 - share) * numpy.eye(3)[numpy.full(rows, 1)] + share / 3
    chosen = (rng.random((rows, 1)) > behaviour.cumsum(axis=1)).sum(axis=1)
    at = numpy.arange(rows)
    reward = (rng.random(rows) < skill[at, chosen]).astype(float)
    log = Log(
        features=guess[:, :, None], allowed=numpy.ones((rows, 3)), target=greedy, chosen=chosen,
        propensity=behaviour[at, chosen], reward=reward,
    )  # fmt: skip
    return log, float((greedy * skill).sum(axis=1).mean())


def test_intervals_hold_what_they_promise() -> None:
    inside = 0
    for seed in range(200):
        log, truth = _world(seed, 600)
        found = evaluate(log)
        assert found.enough
        inside += found.low <= truth <= found.high
    assert 0.90 * 200 <= inside <= 0.99 * 200


def test_the_log_itself_is_estimated_as_what_it_was() -> None:
    log, _ = _world(1, 400)
    own = Log(**{**_fields(log), "target": numpy.eye(3)[log.chosen], "propensity": numpy.ones(400)})
    found = evaluate(own)
    assert found.value == pytest.approx(found.logged)
    assert found.snips == pytest.approx(found.logged)
    assert found.effective == pytest.approx(400)


def test_too_little_overlap_is_said() -> None:
    log, _ = _world(3, 80, share=0.05)
    assert not evaluate(log).enough


def test_logs_that_tell_nothing_are_refused() -> None:
    log, _ = _world(2, 50)
    with pytest.raises(InvalidInputError, match="every choice in the log was certain"):
        evaluate(Log(**{**_fields(log), "propensity": numpy.ones(50)}))
    with pytest.raises(InvalidInputError, match="without the propensity"):
        evaluate(Log(**{**_fields(log), "propensity": numpy.full(50, numpy.nan)}))
    with pytest.raises(InvalidInputError, match="no rows"):
        evaluate(Log(**{name: value[:0] for name, value in _fields(log).items()}))


def _fields(log: Log) -> dict[str, Any]:
    return {name: getattr(log, name) for name in Log.__dataclass_fields__}
