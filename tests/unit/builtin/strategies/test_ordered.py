from __future__ import annotations

import pytest
from tests.support.candidates import ask, candidate, names

from routekit.builtin.strategies import Ordered
from routekit.errors import ConfigError
from routekit.types import NO_SIGNALS


def rank(candidates, **options):
    return Ordered(**options).rank(ask(), candidates, NO_SIGNALS)


def test_the_listed_ones_come_in_their_order_and_the_rest_by_weight_then_name():
    candidates = [candidate("z"), candidate("b"), candidate("a"), candidate("heavy", weight=5), candidate("y")]
    decision = rank(candidates, order=["y", "z"])
    assert names(decision) == ["y", "z", "heavy", "a", "b"]
    assert decision.reason == "number 1 of the configured order"


def test_a_listed_name_that_is_no_candidate_is_passed_over():
    decision = rank([candidate("a"), candidate("b")], order=["elsewhere", "b"])
    assert names(decision) == ["b", "a"]
    assert decision.reason == "number 2 of the configured order"


def test_without_an_order_weight_decides():
    decision = rank([candidate("a", weight=1), candidate("b", weight=2)])
    assert names(decision) == ["b", "a"]
    assert decision.reason == "the highest weight, 2, then the name"


def test_it_says_when_nobody_listed_may_serve():
    assert "nobody of the configured order" in rank([candidate("a")], order=["x"]).reason


def test_a_name_listed_twice_is_refused():
    with pytest.raises(ConfigError, match="'a' is listed twice"):
        Ordered(order=["a", "b", "a"])
