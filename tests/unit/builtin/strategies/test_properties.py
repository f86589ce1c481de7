"""What holds for every strategy, whatever it is given."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.candidates import ask, names, situations

from routekit.builtin.strategies import (
    Balanced,
    Best,
    Cascade,
    Cheapest,
    Fastest,
    LeastBusy,
    Ordered,
    PerStep,
    Rules,
    Weighted,
)
from routekit.types import NO_SIGNALS

STRATEGIES = [
    Cheapest(),
    Cheapest(min_quality=0.5),
    Cheapest(min_quality=0.9, strict=False),
    Fastest(explore=0.5),
    Fastest(percentile="p95", explore=0),
    Best(),
    Balanced(),
    Balanced(dial=0.2, latency_weight=0.7),
    Ordered(order=["a", "b"]),
    Weighted(),
    LeastBusy(),
    Cascade(strategy=Weighted()),
    Rules(rules=[{"when": {"tools": True}, "use": Best(), "tags": ["eu"]}], default=LeastBusy()),
    PerStep(plan=Best(), act=Fastest(), nodes={"planner": Balanced()}),
]

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)


@every_strategy
@given(situation=situations(), seed=st.integers())
@settings(max_examples=40, deadline=None)
def test_every_ranking_is_well_formed(strategy, situation, seed):
    request, candidates, signals = situation
    decision = strategy.rank(request, candidates, signals)

    given_names, ranked = {c.name for c in candidates}, names(decision)
    out = [rejection.deployment.name for rejection in decision.rejections]
    assert set(ranked) <= given_names, "ranked somebody who is no candidate"
    assert len(ranked) == len(set(ranked)), "ranked somebody twice"
    assert sorted(ranked + out) == sorted(given_names), "everybody is ranked or rejected"

    scores = list(decision.ranked.scores)
    assert len(scores) == len(ranked)
    assert not any(math.isnan(score) for score in scores)
    assert scores == sorted(scores, reverse=True)

    assert decision.strategy == decision.path[0] == strategy.name
    assert decision.reason
    assert decision.signals == signals

    shuffled = list(candidates)
    random.Random(seed).shuffle(shuffled)
    assert strategy.rank(request, shuffled, signals) == decision


@every_strategy
def test_every_strategy_ranks_nobody_of_nobody(strategy):
    decision = strategy.rank(ask(), [], NO_SIGNALS)
    assert names(decision) == []
    assert decision.rejections == ()
    assert decision.reason
