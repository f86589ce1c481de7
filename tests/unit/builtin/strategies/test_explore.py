"""Explore: exact chances, and never below what is asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from routekit import Router
from routekit.testing import ScriptedProvider

_QUALITIES = {"a": 0.9, "b": 0.85, "c": 0.8, "d": 0.2}


def _router(**options: Any) -> Router:
    deployments = [
        {
            "name": name, "provider": "openai-compatible", "base_url": "http://127.0.0.1:9", "model": name,
            "quality": quality, "price": {"input": 1, "output": 1},
        }
        for name, quality in _QUALITIES.items()
    ]  # fmt: skip
    strategy = {"use": "explore", "strategy": "best", **options}
    providers = {name: ScriptedProvider("yes") for name in _QUALITIES}
    return Router({"router": {"strategy": strategy}, "deployments": deployments}, providers=providers, seed=5)


def test_choices_come_as_often_as_their_propensity_says() -> None:
    seen: Counter[str] = Counter()
    said: dict[str, float] = {}
    with _router(share=0.6, temperature=0.2) as router:
        for _ in range(2_000):
            decision = router.explain("hello")
            seen[decision.chosen.name] += 1
            assert decision.propensity is not None
            said[decision.chosen.name] = decision.propensity
    assert sum(said.values()) == pytest.approx(1.0)
    for name, chance in said.items():
        assert abs(seen[name] / 2_000 - chance) < 4 * (chance * (1 - chance) / 2_000) ** 0.5
    assert seen["d"] == 0  # it is not near the best


def test_nothing_below_the_bar_is_drawn() -> None:
    with _router(share=1, temperature=10, near=1, min_quality=0.82) as router:
        assert {router.explain("hello").chosen.name for _ in range(200)} == {"a", "b"}


def test_the_decision_keeps_its_chance() -> None:
    with _router(share=0) as router:
        decision = router.complete("hello").decision
    assert decision.propensity == 1.0
    assert decision.to_dict()["propensity"] == 1.0
    assert decision.path == ("explore", "best")
