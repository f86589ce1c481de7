"""Closed forms against the long way round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.quality.conftest import numpy

from routekit.quality import ridge as room
from routekit.quality.evaluate import apgr, area, calibration_error, frontier, zero_router
from routekit.quality.stack import rotation, weigh


def _table(seed: int, rows: int, columns: int) -> Any:
    return numpy.random.default_rng(seed).normal(size=(rows, columns))


def test_left_out_predictions_are_those_of_fits_without_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ALPHAS", (0.1,))
    features, targets = _table(0, 30, 5), _table(1, 30, 2)

    def blocks() -> Iterator[tuple[slice, Any]]:
        for start in (0, 10, 20):
            yield slice(start, start + 10), features[start : start + 10]

    found = room.ridge(blocks, targets)
    alpha = 0.1 * (features**2).sum() / 30
    for row in range(30):
        rest = numpy.delete(numpy.arange(30), row)
        x, y = features[rest], targets[rest]
        weights = numpy.linalg.solve(x.T @ x + alpha * numpy.eye(5), x.T @ y)
        assert found.left_out[row] == pytest.approx(features[row] @ weights)


@given(st.integers(0, 10_000), st.integers(2, 15))
@settings(max_examples=25, deadline=None)
def test_a_rotation_keeps_lengths(seed: int, models: int) -> None:
    turn = rotation(_table(seed, 40, models))
    assert turn.T @ turn == pytest.approx(numpy.eye(turn.shape[1]), abs=1e-6)


def test_a_learner_that_only_guesses_gets_little_weight() -> None:
    truth = _table(0, 400, 1)
    weights = weigh([truth + 0.1 * _table(1, 400, 1), _table(2, 400, 1)], truth)
    assert weights[0, 0] > 0.7
    assert (weights >= 0).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_a_frontier_lies_above_every_point_and_rises(points: list[tuple[float, float]]) -> None:
    costs, scores = numpy.array(points).T
    curve = frontier(costs, scores)
    assert (numpy.diff(curve.costs) > 0).all()
    assert (numpy.diff(curve.scores) > 0).all()
    for cost, score in points:
        assert curve.at(cost) >= score - 1e-9


def test_figures_of_a_table_worked_by_hand() -> None:
    scores = numpy.array([[0.0, 1.0], [1.0, 1.0]])
    costs = numpy.array([[1.0, 3.0], [1.0, 3.0]])
    zero = zero_router(scores, costs)
    assert area(zero, 1, 3) == pytest.approx(0.75)
    assert apgr(numpy.array([1.0, 0.0]), scores[:, 0], scores[:, 1]) == pytest.approx(0.75)
    assert apgr(numpy.array([0.0, 1.0]), scores[:, 0], scores[:, 1]) == pytest.approx(0.25)
    assert apgr(numpy.array([0.0, 1.0]), scores[:, 1], scores[:, 0]) is None
    assert calibration_error(numpy.array([[0.75], [0.75]]), scores[:, :1]) == pytest.approx(0.25)
