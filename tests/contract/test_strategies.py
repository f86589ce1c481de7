"""The built-in strategies keep the contract that third parties' strategies keep."""

from __future__ import annotations

import pytest

from routekit.builtin.strategies import (
    BUILTIN,
    Balanced,
    Best,
    Cascade,
    Cheapest,
    Explore,
    Fastest,
    LeastBusy,
    Ordered,
    PerStep,
    Rules,
    Weighted,
)
from routekit.plugin import Strategy
from routekit.testing.contracts import StrategyContract

SETUPS = [
    Cheapest(),
    Cheapest(min_quality=0.6),
    Cheapest(min_quality=0.95, strict=False),
    Fastest(),
    Fastest(percentile="p95", explore=1.0, prior_s=0.5),
    Best(),
    Balanced(),
    Balanced(dial=0.9, latency_weight=0.4),
    Ordered(),
    Ordered(order=["d3", "d1", "nobody"]),
    Weighted(),
    Explore(strategy=Cheapest()),
    Explore(strategy=Best(), share=1, temperature=2, near=1),
    Weighted(weights={"d1": 9, "d2": 0}),
    LeastBusy(),
    Cascade(),
    Cascade(strategy=Best(), verify="logprob"),
    Cascade(verify="judge", judge="grader"),
    Cascade(verify=lambda answer: bool(answer.text)),
    Rules(),
    Rules(
        rules=[
            {"when": {"tools": True}, "tags": ["eu"], "use": Best()},
            {"when": {"tokens": {"$gt": 1000}}, "use": Cascade(verify="schema")},
        ],
        default=Weighted(),
    ),
    PerStep(),
    PerStep(plan=Best(), act=Fastest(), answer=Cascade(), default=Rules()),
]


class TestBuiltinStrategies(StrategyContract):
    @pytest.fixture(params=SETUPS, ids=lambda strategy: strategy.name)
    def strategy(self, request: pytest.FixtureRequest) -> Strategy:
        return request.param


def test_every_built_in_strategy_is_put_to_the_contract():
    assert {type(strategy) for strategy in SETUPS} == set(BUILTIN)
    assert all(isinstance(strategy, Strategy) for strategy in SETUPS)
