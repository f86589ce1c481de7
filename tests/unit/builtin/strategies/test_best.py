from __future__ import annotations

from tests.support.candidates import ask, candidate, names

from routekit.builtin.strategies import Best
from routekit.types import NO_SIGNALS


def rank(*candidates):
    return Best().rank(ask(), candidates, NO_SIGNALS)


def test_the_highest_quality_comes_first_and_is_the_score():
    decision = rank(candidate("a", 1, 0.5), candidate("b", 9, 0.9, inferred=True), candidate("c", 5, 0.7))
    assert names(decision) == ["b", "c", "a"]
    assert list(decision.ranked.scores) == [0.9, 0.7, 0.5]
    assert decision.reason == "the highest quality, 0.9 (inferred), of 3"


def test_equals_go_to_the_cheaper_one_and_the_unpriced_stands_behind():
    decision = rank(candidate("a", None, 0.9), candidate("b", 9, 0.9), candidate("c", 5, 0.9), candidate("d", 1, 0.2))
    assert names(decision) == ["c", "b", "a", "d"]
    assert decision.reason == ("the highest quality, 0.9, of 4; of the 3 that share it the least expected cost, $0.01")


def test_equal_cost_goes_by_name():
    assert names(rank(candidate("b"), candidate("a"), candidate("c", None), candidate("aa", None))) == [
        "a", "b", "aa", "c",
    ]  # fmt: skip
