from __future__ import annotations

import pytest
from tests.support.candidates import ask, candidate, names, seen

from routekit.builtin.strategies import Balanced
from routekit.errors import ConfigError
from routekit.types import NO_SIGNALS

CHEAP = candidate("cheap", 0.1, 0.3)
MIDDLE = candidate("middle", 0.5, 0.8)
DEAR = candidate("dear", 10, 0.9)


def rank(candidates, **options):
    return Balanced(**options).rank(ask(), candidates, NO_SIGNALS)


def test_at_its_ends_the_dial_is_cost_only_and_quality_only():
    assert names(rank([CHEAP, MIDDLE, DEAR], dial=0)) == ["cheap", "middle", "dear"]
    assert names(rank([CHEAP, MIDDLE, DEAR], dial=1)) == ["dear", "middle", "cheap"]


def test_in_the_middle_most_of_the_quality_for_little_of_the_cost_wins():
    decision = rank([CHEAP, MIDDLE, DEAR])
    assert names(decision)[0] == "middle"
    # quality (0.8 - 0.3) / 0.6 = 0.833; cheapness log(10 / 0.5) / log(10 / 0.1) = 0.651; half of each.
    assert decision.ranked.scores[0] == pytest.approx(0.742, abs=0.001)
    assert decision.reason == "the best balance at dial 0.5: quality 0.8, expected cost $0.001, score 0.742"


def test_half_the_price_is_worth_the_same_at_either_end():
    decision = rank([candidate("a", 1), candidate("b", 10), candidate("c", 100)], dial=0)
    assert list(decision.ranked.scores) == pytest.approx([1.0, 0.5, 0.0], abs=0.001)


def test_an_unknown_price_counts_as_the_dearest():
    decision = rank([candidate("unknown", None, 0.9), candidate("dear", 10, 0.9)], dial=0)
    assert list(zip(names(decision), decision.ranked.scores, strict=True)) == [("dear", 1.0), ("unknown", 0.0)]


def test_speed_counts_by_its_weight():
    fast = candidate("fast", 1, 0.5, latency=seen(0.1, 1.0))
    slow = candidate("slow", 1, 0.5, latency=seen(0.1, 9.0))
    flaky = candidate("flaky", 1, 0.5, latency=seen(0.1, 1.0, failure_rate=0.95))
    assert names(rank([slow, flaky, fast], latency_weight=0.5)) == ["fast", "slow", "flaky"]
    assert names(rank([slow, fast])) == ["fast", "slow"]  # by name: nothing else differs
    assert not Balanced().uses_latency
    assert Balanced(latency_weight=0.1).uses_latency


def test_equal_scores_go_to_the_higher_quality():
    # Each is the best in one thing and the worst in the other, so the dial's middle is a tie.
    assert names(rank([candidate("a", 1, 0.2), candidate("b", 9, 0.8)])) == ["b", "a"]


@pytest.mark.parametrize("option", ["dial", "latency_weight"])
def test_a_dial_beyond_its_ends_is_refused(option):
    with pytest.raises(ConfigError, match=rf"balanced\.{option}"):
        Balanced(**{option: 1.5})
