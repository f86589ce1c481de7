"""The contract of an observer, as tests.

Example::

    import pytest
    from routekit.testing.contracts import ObserverContract
    from routekit_mine import Mine

    class TestMine(ObserverContract):
        @pytest.fixture
        def observer(self):
            return Mine()
"""

from __future__ import annotations

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from routekit.errors import AllAttemptsFailedError, ProviderUnavailableError
from routekit.plugin import Observer
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import (
    Attempt,
    AttemptEnded,
    AttemptStarted,
    BudgetRefused,
    BudgetWarning,
    CacheHit,
    Candidate,
    Compressed,
    Decided,
    Deployment,
    Event,
    FirstToken,
    HealthChanged,
    Model,
    Money,
    PluginBypassed,
    Ranking,
    RequestEnded,
    RequestStarted,
    RouteDecision,
    RouteRequest,
    RouteResult,
    Usage,
    Work,
)

SECRET = "what only the user may read"  # noqa: S105 - no password


@dataclass(frozen=True, slots=True, kw_only=True)
class FutureEvent(Event):
    """A kind of event that a later version may have."""

    figure: int = 0


class ObserverContract(ContractSuite):
    """Subclass it and give the `observer` fixture."""

    @pytest.fixture
    def observer(self) -> Observer:
        """The observer under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `observer` that returns the observer")

    def test_it_takes_every_event_of_a_request(self, observer: Observer) -> None:
        assert isinstance(observer, Observer)
        for ended in (True, False):
            for event in sample_events(ok=ended):
                observer(event)

    def test_it_takes_events_in_any_order_and_of_unknown_requests(self, observer: Observer) -> None:
        for event in reversed(sample_events()):
            observer(event)

    def test_it_takes_events_that_it_does_not_know(self, observer: Observer) -> None:
        observer(FutureEvent(request_id="r", at=1.0, figure=1))

    def test_requests_may_be_interleaved(self, observer: Observer) -> None:
        for pair in zip(sample_events(), sample_events(ok=False), strict=False):
            for event in pair:
                observer(event)

    def test_threads_may_use_it_at_once(self, observer: Observer) -> None:
        def work(_: int) -> None:
            for event in sample_events():
                observer(event)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(16)))

    def test_it_logs_no_text_of_messages(self, observer: Observer, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            for ok in (True, False):
                for event in sample_events(ok=ok):
                    observer(event)
        assert SECRET not in caplog.text

    def test_it_can_be_closed_with_requests_under_way(self, observer: Observer) -> None:
        for event in sample_events()[:4]:
            observer(event)
        observer.close()


def sample_events(*, ok: bool = True) -> list[Event]:
    """The events of one request with an id of its own, in order; the last call fails where not `ok`."""
    name, start = f"req-{uuid.uuid4()}", 1_700_000_000.0
    deployment = Deployment(name="d", provider="p", model=Model(id="m"))
    candidate = Candidate(deployment, 0.5, True, Work(10, 40, 20, None))
    decision = RouteDecision(strategy="s", ranked=Ranking([candidate], [1.0]), reason="the only one")
    request = RouteRequest(messages=({"role": "user", "content": SECRET},), stream=True)
    broken = ProviderUnavailableError(f"upstream quotes: {SECRET}", deployment="d", status=503)
    usage = Usage(input_tokens=10, output_tokens=20)
    failed = Attempt(deployment=deployment, outcome="error", error=broken, duration_s=0.1, detail="503")
    answered = Attempt(deployment=deployment, outcome="ok", usage=usage, cost=Money(500), duration_s=0.5, ttft_s=0.2)
    attempts = (failed, answered if ok else failed)
    result = RouteResult(
        id=name, message={"role": "assistant", "content": SECRET}, finish_reason="stop", usage=usage, cost=Money(500),
        decision=decision, attempts=attempts, model="m", deployment=deployment, duration_s=0.7, ttft_s=0.3,
    )  # fmt: skip
    gone = AllAttemptsFailedError(f"all failed: {SECRET}", attempts=attempts)

    def at(seconds: float) -> dict[str, Any]:
        return {"request_id": name, "at": start + seconds}

    return [
        RequestStarted(**at(0), request=request),
        Compressed(**at(0), compressor="trim", saved_tokens=5, lossless=False),
        Decided(**at(0.01), decision=decision),
        AttemptStarted(**at(0.01), deployment=deployment),
        AttemptEnded(**at(0.11), attempt=failed),
        HealthChanged(request_id="", at=start + 0.11, deployment=deployment, state="open", reason="5 failures"),
        BudgetRefused(**at(0.11), scope="global", deployment=deployment, asked=Money(9)),
        BudgetWarning(**at(0.11), scope="global", limit=Money(1), used=Money(2)),
        PluginBypassed(**at(0.11), kind="cache", name="disk", error="OSError"),
        CacheHit(**at(0.11), saved=Money(3), tier="memory"),
        AttemptStarted(**at(0.2), deployment=deployment),
        FirstToken(**at(0.4), deployment=deployment, ttft_s=0.2),
        AttemptEnded(**at(0.7), attempt=attempts[1]),
        RequestEnded(**at(0.7), result=result if ok else None, error=None if ok else gone),
    ]
