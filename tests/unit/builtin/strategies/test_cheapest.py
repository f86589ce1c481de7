from __future__ import annotations

import pytest
from hypothesis import given, settings
from tests.support.candidates import ask, candidate, candidate_lists, names, rejected

from routekit.builtin.strategies import Cheapest
from routekit.builtin.strategies._ranking import costs_of
from routekit.errors import ConfigError
from routekit.types import NO_SIGNALS, Work


def rank(candidates, **options):
    return Cheapest(**options).rank(ask(), candidates, NO_SIGNALS)


def test_the_least_expected_cost_comes_first():
    decision = rank([candidate("b", 2, 0.9), candidate("a", 5, 0.9), candidate("c", 1, 0.2)])
    assert names(decision)[0] == "c"
    assert decision.reason == "the least expected cost, $0.002, of 3; its quality is 0.2"


def test_only_candidates_above_the_bar_are_ranked_and_the_others_say_why():
    decision = rank([candidate("weak", 1, 0.4, inferred=True), candidate("good", 5, 0.7)], min_quality=0.7)
    assert names(decision) == ["good"]
    assert rejected(decision) == {"weak": "quality"}
    assert decision.rejections[0].reason == "quality 0.4 (inferred) is below min_quality 0.7"


def test_fallbacks_rise_in_quality_and_equals_stand_by_cost():
    decision = rank(
        [
            candidate("first", 1, 0.5),
            candidate("best", 9, 0.9),
            candidate("same-dear", 4, 0.6),
            candidate("same-cheap", 3, 0.6),
            candidate("equal", 2, 0.5),
        ]
    )
    assert names(decision) == ["first", "equal", "same-cheap", "same-dear", "best"]


def test_those_weaker_than_the_first_come_last_and_the_best_of_them_first():
    decision = rank(
        [candidate("first", 1, 0.6), candidate("w1", 2, 0.3), candidate("w2", 3, 0.5), candidate("up", 9, 0.7)]
    )
    assert names(decision) == ["first", "up", "w2", "w1"]


def test_of_equally_cheap_ones_the_best_is_first():
    assert names(rank([candidate("a", 1, 0.4), candidate("b", 1, 0.6), candidate("c", 1, 0.6)])) == ["b", "c", "a"]


def test_an_unknown_price_ranks_behind_known_ones():
    decision = rank([candidate("unknown", None, 0.9), candidate("dear", 100, 0.1), candidate("lost", None, 0.95)])
    assert names(decision) == ["dear", "lost", "unknown"]


def test_where_no_price_is_known_it_says_so():
    decision = rank([candidate("a", None, 0.4), candidate("b", None, 0.6)])
    assert names(decision) == ["b", "a"]
    assert decision.reason == "no price is known of 2; the best quality, 0.6"


def test_what_the_provider_still_holds_in_its_prompt_cache_counts():
    warm = candidate("warm", 1.2, cached_tokens=1000, cached_usd=0.1)
    assert names(rank([candidate("cold", 1), warm])) == ["warm", "cold"]


def test_nobody_above_the_bar_ranks_nobody():
    decision = rank([candidate("a", 1, 0.4), candidate("b", 2, 0.5)], min_quality=0.9)
    assert names(decision) == []
    assert rejected(decision) == {"a": "quality", "b": "quality"}
    assert decision.reason == "no candidate has quality of at least 0.9; the best has 0.5"


def test_not_strict_falls_to_the_best_there_is():
    candidates = [candidate("a", 1, 0.4), candidate("c", 3, 0.5), candidate("b", 2, 0.5), candidate("d", None, 0.5)]
    decision = rank(candidates, min_quality=0.9, strict=False)
    assert names(decision) == ["b", "c", "d", "a"]
    assert decision.rejections == ()
    assert "0.9" in decision.reason


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "high"])
def test_a_quality_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match=r"cheapest\.min_quality"):
        Cheapest(min_quality=value)


@given(candidates=candidate_lists())
@settings(max_examples=100, deadline=None)
def test_costs_are_the_candidates_own(candidates):
    other = candidate("other", 3.3, work=Work(7, 9, 11, None))
    mixed = [*candidates, other, *candidates]
    assert costs_of(mixed) == [one.cost_nanos for one in mixed]


@given(candidates=candidate_lists(max_size=12))
@settings(max_examples=100, deadline=None)
def test_the_first_is_never_dearer_than_another_and_no_fallback_is_weaker_while_there_is_a_better_one(candidates):
    decision = rank(candidates, min_quality=0.3)
    chain = [one for one in decision.ranked.candidates if one.cost_nanos is not None]
    if not chain:
        return
    first = chain[0]
    assert first.cost_nanos == min(one.cost_nanos for one in chain)
    rising = [one.quality for one in chain[1:] if one.quality >= first.quality]
    assert rising == sorted(rising)
    assert [one.quality for one in chain[1 : len(rising) + 1]] == rising
