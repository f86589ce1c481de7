"""The suite itself: it must fail for strategies that break their promises."""

from __future__ import annotations

import random
import time

import pytest

from routekit.builtin.strategies import Cheapest
from routekit.plugin import Ranking, Strategy
from routekit.testing.contracts import StrategyContract
from routekit.testing.contracts.strategy import sample_requests
from routekit.types import Rejection, RouteDecision, Verdict


class Broken(Strategy):
    name = "broken"

    def rank(self, request, candidates, signals):
        return self.decide(candidates, lambda c: c.quality, "the highest quality", signals)


class Twice(Broken):
    def rank(self, request, candidates, signals):
        return self.decision(Ranking([*candidates, *candidates], [0.0] * 2 * len(candidates)), "all", signals)


class AsGiven(Broken):
    def rank(self, request, candidates, signals):
        return self.decision(Ranking(list(candidates), [0.0] * len(candidates)), "as given", signals)


class Diced(Broken):
    def rank(self, request, candidates, signals):
        return self.decide(candidates, lambda c: random.random(), "by chance", signals)


class Clocked(Broken):
    def rank(self, request, candidates, signals):
        return self.decide(candidates, lambda c: 0.0, f"at {time.perf_counter()}", signals)


class Grabby(Broken):
    def rank(self, request, candidates, signals):
        decision = super().rank(request, candidates, signals)
        candidates.reverse()
        return decision


class Silent(Broken):
    def rank(self, request, candidates, signals):
        return self.decide(candidates, lambda c: 0.0, "", signals)


class Rising(Broken):
    def rank(self, request, candidates, signals):
        ordered = sorted(candidates, key=lambda c: (c.quality, c.name))
        return self.decision(Ranking(ordered, [c.quality for c in ordered]), "the lowest quality", signals)


class Contradictory(Broken):
    def rank(self, request, candidates, signals):
        decision = super().rank(request, candidates, signals)
        out = tuple(Rejection(deployment=c.deployment, code="strategy", reason="no") for c in candidates)
        return RouteDecision(
            strategy=self.name,
            ranked=decision.ranked,
            reason="both",
            rejections=out,
            signals=signals,
            path=(self.name,),
        )


class Choosy(Broken):
    def rank(self, request, candidates, signals):
        return self.decision(Ranking([candidates[0]], [0.0]), "the first", signals)


class Undeclared(Broken):
    def review(self, request, answer, attempts, consulted=None):
        return Verdict.escalate("never good enough")


@pytest.mark.parametrize(
    ("strategy", "test"),
    [
        (Twice(), "test_it_ranks_candidates_only_and_each_once"),
        (AsGiven(), "test_the_order_of_the_candidates_does_not_matter"),
        (Diced(), "test_the_same_facts_give_the_same_decision"),
        (Clocked(), "test_the_same_facts_give_the_same_decision"),
        (Grabby(), "test_nothing_that_it_is_given_is_touched"),
        (Silent(), "test_the_decision_explains_itself"),
        (Rising(), "test_scores_are_numbers_that_never_rise"),
        (Contradictory(), "test_rejections_are_of_candidates_that_are_not_ranked"),
        (Choosy(), "test_one_candidate_and_none_are_no_special_case"),
        (Diced(), "test_it_may_be_used_from_many_threads"),
        (Undeclared(), "test_review_gives_a_verdict"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_promise_is_found(strategy, test):
    check = getattr(StrategyContract(), test)
    check(Cheapest(), sample_requests())
    with pytest.raises((AssertionError, IndexError)):
        check(strategy, sample_requests())


def suite(**attributes):
    return type("TestMine", (StrategyContract,), {"__module__": "tests.mine", **attributes})()


def test_a_suite_that_only_adds_is_whole():
    suite(test_mine=lambda self: None).test_no_contract_test_is_overridden()


@pytest.mark.parametrize("replacement", [lambda self: None, None])
def test_a_test_that_is_replaced_or_removed_is_named(replacement):
    with pytest.raises(AssertionError, match="replaces tests of the contract: test_it_has_a_name"):
        suite(test_it_has_a_name=replacement).test_no_contract_test_is_overridden()


def test_an_expected_failure_with_a_reason_is_allowed_and_one_without_is_not():
    @pytest.mark.xfail(reason="its order is random on purpose")
    def said(self):
        raise AssertionError

    @pytest.mark.xfail
    def unsaid(self):
        raise AssertionError

    suite(test_the_same_facts_give_the_same_decision=said).test_no_contract_test_is_overridden()
    with pytest.raises(AssertionError, match="test_the_same_facts"):
        suite(test_the_same_facts_give_the_same_decision=unsaid).test_no_contract_test_is_overridden()
