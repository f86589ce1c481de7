"""Retries do not turn a provider's trouble into an outage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.health.retry_budget import RETRIES_ALWAYS, RetryBudget


def test_five_failures_leave_no_retry_and_successes_bring_them_back() -> None:
    budget = RetryBudget()
    for _ in range(4):
        budget.failed("p")
        assert budget.allows_retry("p")
        budget.retry_ended("p")
    budget.failed("p")
    assert not budget.allows_retry("p")
    budget.succeeded("p")
    assert budget.allows_retry("p")


def test_three_retries_are_always_allowed_and_then_a_fifth_of_the_active_calls() -> None:
    budget = RetryBudget()
    assert [budget.allows_retry("p") for _ in range(4)] == [True, True, True, False]
    for _ in range(20):
        budget.started("p")
    assert budget.allows_retry("p")
    assert not budget.allows_retry("p")
    budget.retry_ended("p")
    assert budget.allows_retry("p")


def test_providers_do_not_share_a_budget() -> None:
    budget = RetryBudget()
    for _ in range(10):
        budget.failed("p")
    assert not budget.allows_retry("p")
    assert budget.allows_retry("q")


steps = st.lists(st.sampled_from(["start", "ok", "fail", "leave", "retry", "end"]), max_size=300)


@given(steps)
def test_retries_never_pass_their_share(kinds: list[str]) -> None:
    budget = RetryBudget()
    active = retries = 0
    for kind in kinds:
        if kind == "start":
            budget.started("p")
            active += 1
        elif kind in ("ok", "fail", "leave") and active:
            {"ok": budget.succeeded, "fail": budget.failed, "leave": budget.left}[kind]("p")
            active -= 1
        elif kind == "retry" and budget.allows_retry("p"):
            retries += 1
            assert retries <= max(RETRIES_ALWAYS, active // 5)
        elif kind == "end" and retries:
            budget.retry_ended("p")
            retries -= 1
