"""Calls that would be refused anyway are not sent."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.health.throttle import BUCKET_S, BUCKETS, Throttle, is_overload, reject_probability
from routekit.errors import InvalidRequestError, ProviderTimeoutError, ProviderUnavailableError, RateLimitError
from routekit.testing import VirtualClock


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_probability_is_one(requests: int, accepts: int) -> None:
    accepts = min(requests, accepts)
    probability = reject_probability(requests, accepts)
    assert 0.0 <= probability < 1.0
    if requests <= 2 * accepts:
        assert probability == 0.0


def test_a_deployment_that_accepts_is_never_throttled() -> None:
    throttle = Throttle(VirtualClock(), random.Random(1))
    for _ in range(1000):
        assert not throttle.rejects("a")
        throttle.record("a", accepted=True)


def test_a_deployment_that_refuses_gets_few_calls_and_others_all() -> None:
    throttle = Throttle(VirtualClock(), random.Random(1))
    sent = 0
    for _ in range(1000):
        assert not throttle.rejects("b")
        if not throttle.rejects("a"):
            throttle.record("a", accepted=False)
            sent += 1
    assert 10 <= sent < 100


def test_a_recovery_is_seen() -> None:
    clock = VirtualClock()
    throttle = Throttle(clock, random.Random(1))
    for _ in range(100):
        if not throttle.rejects("a"):
            throttle.record("a", accepted=False)
    clock.advance(BUCKET_S * BUCKETS + 1)
    assert not any(throttle.rejects("a") for _ in range(100))


def test_few_requests_are_never_throttled() -> None:
    throttle = Throttle(VirtualClock(), random.Random(1))
    for _ in range(9):
        assert not throttle.rejects("a")
        throttle.record("a", accepted=False)


@pytest.mark.parametrize(
    ("error", "overload"),
    [
        (RateLimitError("x", status=429), True),
        (ProviderUnavailableError("x", status=503), True),
        (ProviderUnavailableError("x", status=529), True),
        (ProviderUnavailableError("x", status=500), False),
        (ProviderTimeoutError("x"), False),
        (InvalidRequestError("x", status=400), False),
    ],
)
def test_only_refusals_for_load_count(error: Exception, overload: bool) -> None:
    assert is_overload(error) is overload  # type: ignore[arg-type]  # all of them are ProviderErrors


@given(st.lists(st.tuples(st.sampled_from(["ask", "ok", "no", "wait"]), st.floats(0, 40)), max_size=200))
def test_counts_never_go_wrong(steps: list[tuple[str, float]]) -> None:
    clock = VirtualClock()
    throttle = Throttle(clock, random.Random(1))
    for kind, seconds in steps:
        if kind == "ask":
            throttle.rejects("a")
        elif kind == "wait":
            clock.advance(seconds)
        else:
            throttle.record("a", accepted=kind == "ok")
        record = throttle._records.get("a")
        if record is not None:
            assert 0 <= record.accepts <= record.requests
            assert record.requests == sum(bucket.requests for bucket in record.buckets)
