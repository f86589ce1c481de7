from __future__ import annotations

from collections import Counter

import pytest
from tests.support.candidates import ask, candidate, names, rejected

from routekit.builtin.strategies import Weighted
from routekit.errors import ConfigError
from routekit.types import NO_SIGNALS, Signals


def rank(candidates, seed=0, **options):
    return Weighted(**options).rank(ask(), candidates, Signals(seed=seed))


def test_first_places_are_shared_by_weight():
    candidates = [candidate("a", weight=1), candidate("b", weight=3), candidate("c", weight=6)]
    firsts = Counter(names(rank(candidates, seed))[0] for seed in range(4000))
    shares = {name: count / 4000 for name, count in firsts.items()}
    # Four standard deviations of a share among 4,000 draws are at most 0.032.
    assert shares == pytest.approx({"a": 0.1, "b": 0.3, "c": 0.6}, abs=0.032)


def test_behind_a_first_place_the_others_share_the_second_by_weight():
    candidates = [candidate("a", weight=1), candidate("b", weight=3), candidate("c", weight=6)]
    orders = [names(rank(candidates, seed)) for seed in range(4000)]
    behind_c = Counter(order[1] for order in orders if order[0] == "c")
    assert behind_c["b"] / behind_c.total() == pytest.approx(0.75, abs=0.04)


def test_weight_zero_drains():
    decision = rank([candidate("a", weight=0), candidate("b")])
    assert names(decision) == ["b"]
    assert rejected(decision) == {"a": "drained"}
    assert decision.reason == "drawn by weight: 1 of 1"


def test_all_drained_ranks_nobody_and_says_so():
    decision = rank([candidate("a", weight=0)])
    assert names(decision) == []
    assert decision.reason == "every candidate is drained: its weight is 0"


def test_weights_of_its_own_go_before_the_deployments():
    decision = rank([candidate("a", weight=5), candidate("b", weight=0)], weights={"a": 0, "b": 2})
    assert names(decision) == ["b"]
    assert decision.reason == "drawn by weight: 2 of 2"


def test_one_seed_gives_one_order_and_many_seeds_give_many():
    candidates = [candidate(name) for name in "abcdef"]
    assert names(rank(candidates, 7)) == names(rank(candidates[::-1], 7))
    assert len({tuple(names(rank(candidates, seed))) for seed in range(50)}) > 30


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match=r"weighted\.weights\.a"):
        Weighted(weights={"a": -1})


def test_no_candidates_are_not_called_drained():
    assert Weighted().rank(ask(), [], NO_SIGNALS).reason == "no candidate is left"
