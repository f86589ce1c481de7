"""Waiting for a place: bounded, in order, honest, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import NoCandidateError, Router
from routekit.engine.waiting import expected_wait_s, may_wait
from routekit.plugin import Provider
from routekit.testing import ScriptedProvider, plugin_module
from routekit.types import Answer

Face = SyncFace | AsyncFace


class Slow(Provider):
    """Takes a moment; knows how many it serves at once, and in which order they came."""

    def __init__(self, takes_s: float = 0.01) -> None:
        self.takes_s = takes_s
        self.now = 0
        self.most = 0
        self.order: list[Any] = []
        self.lock = threading.Lock()

    def _in(self, call: Any) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.order.append(call.messages[0]["content"])

    def _out(self) -> Answer:
        with self.lock:
            self.now -= 1
        return Answer(message={"role": "assistant", "content": "ok"}, finish_reason="stop")

    def complete(self, call: Any) -> Answer:
        self._in(call)
        threading.Event().wait(self.takes_s)
        return self._out()

    async def acomplete(self, call: Any) -> Answer:
        self._in(call)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            answer = self._out()
        return answer


def router_of(provider: Provider, limits: dict[str, int], **reliability: Any) -> Router:
    table = {"name": "a", "provider": "slow", "model": "m", "limits": limits}
    return Router(
        {"deployments": [table], "reliability": reliability},
        providers={"a": provider},
        plugins=[plugin_module(Slow(), "slow")],
        env={"ROUTEKIT_PLUGINS": ""},
    )


def test_tasks_wait_for_a_place_and_all_are_served_in_order() -> None:
    provider = Slow()
    router = router_of(provider, {"concurrency": 2})

    async def main() -> None:
        await asyncio.gather(*(router.acomplete(str(number)) for number in range(2)))  # its pace is known now
        provider.order.clear()
        await asyncio.gather(*(router.acomplete(str(number)) for number in range(20)))

    asyncio.run(main())
    assert provider.most == 2
    assert provider.order == [str(number) for number in range(20)]


def test_threads_wait_for_a_place_and_all_are_served() -> None:
    provider = Slow()
    router = router_of(provider, {"concurrency": 2})
    router.complete("first")
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(router.complete("hi").text)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == ["ok"] * 12
    assert provider.most <= 2


def test_a_full_queue_refuses_at_once() -> None:
    provider = Slow(takes_s=0.05)
    router = router_of(provider, {"concurrency": 1}, queue=2)

    async def main() -> list[Any]:
        await router.acomplete("first")
        return await asyncio.gather(*(router.acomplete("hi") for _ in range(6)), return_exceptions=True)

    found = asyncio.run(main())
    refused = [error for error in found if isinstance(error, NoCandidateError)]
    assert len(refused) == 3
    assert all("waiting already" in str(error) for error in refused)
    assert all(rejection.code == "limit" for error in refused for rejection in error.rejections)


def test_a_queue_of_none_refuses_at_once(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider()}, a={"limits": {"rpm": 1}}, config={"reliability": {"queue": 0}})
    face.complete(router, "hi")
    with pytest.raises(NoCandidateError, match="1 requests per minute"):
        face.complete(router, "hi")


def test_who_cannot_be_served_in_time_is_told_at_once(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider()}, a={"limits": {"rpm": 1}})
    face.complete(router, "hi")
    with pytest.raises(NoCandidateError, match=r"room in 60\.0 s, too late"):
        face.complete(router, "hi", deadline_s=30)
    assert router.clock.monotonic() == 0


def test_a_request_larger_than_the_limit_never_waits(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider()}, a={"limits": {"tpm": 10}})
    with pytest.raises(NoCandidateError, match="tokens per minute"):
        face.complete(router, "word " * 100)
    assert router.clock.monotonic() == 0


def test_a_cancelled_waiter_leaves_the_queue_and_its_wake_to_others() -> None:
    provider = Slow(takes_s=0.05)
    router = router_of(provider, {"concurrency": 1})

    async def main() -> None:
        await router.acomplete("first")
        tasks = [asyncio.ensure_future(router.acomplete(str(n))) for n in range(6)]
        await asyncio.sleep(0.01)
        for task in tasks[1:4]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in found] == [False, True, True, True, False, False]
        assert not router._engine._waiting_room._waiters

    asyncio.run(main())
    assert all(row.in_flight == 0 for row in router.health())


def test_streams_wait_too() -> None:
    provider = Slow()
    router = router_of(provider, {"concurrency": 1})

    async def read(number: int) -> str:
        async with router.astream(str(number)) as stream:
            return "".join([chunk.text async for chunk in stream])

    async def main() -> list[str]:
        await router.acomplete("first")
        return await asyncio.gather(*(read(number) for number in range(5)))

    assert asyncio.run(main()) == ["ok"] * 5
    assert provider.most == 1


@given(
    position=st.integers(0, 500), busy=st.integers(0, 50), limit=st.integers(1, 50),
    mean_s=st.floats(0.001, 100), left_s=st.floats(0.001, 1000),
)  # fmt: skip
def test_nobody_waits_in_vain(position: int, busy: int, limit: int, mean_s: float, left_s: float) -> None:
    wait_s = expected_wait_s(position, busy, limit, mean_s)
    assert wait_s >= 0
    if may_wait(position, busy, limit, mean_s, left_s):
        assert wait_s + mean_s <= left_s
    if position + 1 < 500:
        assert expected_wait_s(position + 1, busy, limit, mean_s) >= wait_s
