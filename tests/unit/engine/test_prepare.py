"""What comes before a provider's first call takes nothing of the request's time, and holds no event loop up."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit.errors import AllAttemptsFailedError, ProviderSetupError
from routekit.testing import Reply, ScriptedProvider

Face = SyncFace | AsyncFace


class Importing(ScriptedProvider):
    """Needs a minute of the router's clock before its first call."""

    prepared = 0
    fails = False
    threads: frozenset[str] = frozenset()

    @property
    def is_ready(self) -> bool:
        return self.prepared > 0

    def prepare(self) -> None:
        self.threads = frozenset({threading.current_thread().name})
        if self.fails:
            raise ProviderSetupError("it is not installed")
        self.clock.sleep(60)
        self.prepared += 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_minute_of_importing_passes_no_deadline_of_ten_seconds(face: Face, streamed: bool) -> None:
    provider = Importing(*[Reply("abc", delay_s=3)] * 2)
    router = scripted_router({"a": provider})
    for _ in range(2):
        if streamed:
            _, result = face.stream(router, "hi", deadline_s=10)
        else:
            result = face.complete(router, "hi", deadline_s=10)
        assert result.text == "abc"
        assert 3 <= result.duration_s < 10
        assert result.attempts[0].duration_s < 10
    assert provider.prepared == 1
    latency = router.health()[0].latency
    assert latency is not None
    assert (latency.total_p50_s or 0) < 10, "nobody was slow"


def test_an_event_loop_does_not_wait_for_it() -> None:
    provider = Importing("abc")
    router = scripted_router({"a": provider})
    asyncio.run(router.acomplete("hi"))
    assert threading.main_thread().name not in provider.threads


def test_what_cannot_be_prepared_is_nobodys_slowness(face: Face) -> None:
    provider, other = Importing("abc"), ScriptedProvider("def")
    provider.fails = True
    router = scripted_router({"a": provider, "b": other})
    result = face.complete(router, "hi")
    assert [attempt.outcome for attempt in result.attempts] == ["error", "ok"]
    assert result.attempts[0].cost.nanos == 0
    assert router.health()[0].state == "closed"
    alone: Any = scripted_router({"a": provider})
    with pytest.raises(AllAttemptsFailedError, match="not installed"):
        face.complete(alone, "hi")
