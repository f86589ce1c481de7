"""Breaker, limits and figures."""

from __future__ import annotations

import random
import threading

import pytest

from routekit.engine.health.health import Health
from routekit.errors import AuthenticationError, InvalidRequestError, ProviderTimeoutError, ProviderUnavailableError
from routekit.testing import VirtualClock
from routekit.types import Deployment, Limits, Model

DOWN = ProviderUnavailableError("x")


def health_of(**limits: int) -> tuple[Health, VirtualClock]:
    clock = VirtualClock(start=1000)
    deployment = Deployment(name="a", provider="p", model=Model(id="m"), limits=Limits(**limits))
    return Health([deployment], clock, random.Random(1)), clock


def fail(health: Health, error: Exception = DOWN, times: int = 1) -> None:
    for _ in range(times):
        assert health.admit("a") is None
        health.failed("a", error, total_s=1)


def succeed(health: Health, total_s: float = 1.0) -> None:
    assert health.admit("a") is None
    health.succeeded("a", total_s=total_s, ttft_s=0.5, output_tokens=11)


def test_five_failures_in_a_row_open_and_a_success_in_between_does_not() -> None:
    health, _ = health_of()
    fail(health, times=4)
    succeed(health)
    fail(health, times=4)
    assert health.rows()[0].state == "closed"
    fail(health)
    assert health.rows()[0].state == "open"
    assert health.admit("a") is not None
    assert health.unavailable()["a"][0] == "health"


@pytest.mark.parametrize(("error", "times"), [(ProviderTimeoutError("x"), 3), (AuthenticationError("x"), 1)])
def test_silence_and_bad_credentials_open_sooner(error, times) -> None:
    health, _ = health_of()
    fail(health, error, times)
    assert health.rows()[0].state == "open"


def test_bad_requests_never_count() -> None:
    health, _ = health_of()
    fail(health, InvalidRequestError("x"), times=20)
    assert health.rows()[0].state == "closed"
    assert health.rows()[0].latency is None


def test_exactly_one_probe_at_a_time_among_threads() -> None:
    health, clock = health_of()
    fail(health, times=5)
    clock.advance(7)
    admitted, barrier = [], threading.Barrier(16)

    def knock() -> None:
        barrier.wait()
        if health.admit("a") is None:
            admitted.append(1)

    threads = [threading.Thread(target=knock) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1


def test_ejections_grow_and_are_never_shortened() -> None:
    health, clock = health_of()
    fail(health, times=5)
    spans = []
    for _ in range(25):
        spans.append(round(health.returns_in_s(["a"]), 6))
        clock.advance(spans[-1] + 0.001)
        fail(health)  # the probe fails
    assert spans == sorted(spans)
    assert spans[0] <= 6
    assert spans[3] <= 10, "back within 10 s of a short outage"
    assert spans[-1] == 300


def test_a_probe_whose_caller_leaves_is_followed_by_another() -> None:
    health, clock = health_of()
    fail(health, times=5)
    clock.advance(7)
    assert health.admit("a") is None
    health.left("a")
    assert health.admit("a") is None
    health.succeeded("a", total_s=1, ttft_s=None, output_tokens=0)
    assert health.rows()[0].state == "closed"
    assert health.unavailable() == {}


def test_limits_are_not_overshot() -> None:
    health, clock = health_of(concurrency=2, rpm=3, tpm=100)
    assert health.admit("a", 10) is None
    assert health.admit("a", 10) is None
    assert "under way" in health.admit("a", 10)
    health.left("a")
    assert "tokens per minute" in health.admit("a", 90)
    assert health.admit("a", 10) is None
    health.left("a")
    assert "requests per minute" in health.admit("a", 1)
    assert health.unavailable(1)["a"][0] == "limit"
    clock.advance(61)
    assert health.unavailable(1) == {}
    assert health.admit("a", 1) is None


def test_figures_age_out() -> None:
    health, clock = health_of()
    for total_s in (1, 2, 3, 10):
        succeed(health, total_s)
    latency = health.latencies()["a"]
    assert (latency.samples, latency.total_p50_s, latency.total_p95_s) == (4, 2, 10)
    assert latency.ttft_p50_s == 0.5
    assert latency.per_token_s == pytest.approx(0.15)
    assert latency.peak_ewma_s == 10
    clock.advance(301)
    assert health.latencies() == {}


def test_in_flight_is_counted() -> None:
    health, _ = health_of()
    health.admit("a")
    health.admit("a")
    assert health.in_flight() == {"a": 2}
    health.left("a")
    health.left("a")
    assert health.in_flight() == {}
