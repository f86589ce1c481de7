"""Waiting for a place: bounded, in order, honest, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import BudgetExceededError, NoCandidateError, Router
from routekit.engine.health.health import Refusal
from routekit.engine.health.queue import WaitingRoom
from routekit.engine.health.queue_theory import expected_wait_s, may_wait
from routekit.engine.permit import Admission
from routekit.plugin import Provider
from routekit.testing import ScriptedProvider, plugin_module
from routekit.testing.virtual_loop import LoopClock, run_virtual
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


def loops(router: Router, threads: int, tasks: int, rounds: int) -> list[BaseException]:
    """Callers of both kinds that come again as soon as they were served; what failed."""
    failed: list[BaseException] = []

    def call() -> None:
        for _ in range(rounds):
            try:
                router.complete("t", deadline_s=60)
            except BaseException as error:
                failed.append(error)

    async def acall() -> None:
        for _ in range(rounds):
            try:
                await router.acomplete("a", deadline_s=60)
            except BaseException as error:
                failed.append(error)

    async def main() -> None:
        await asyncio.gather(*(acall() for _ in range(tasks)))

    running = [threading.Thread(target=call) for _ in range(threads)]
    if tasks:
        running.append(threading.Thread(target=lambda: asyncio.run(main())))
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(100)
    return failed


@pytest.mark.parametrize(("threads", "tasks"), [(4, 0), (0, 4), (3, 3)])
@pytest.mark.parametrize("places", [1, 2])
def test_nobody_who_waits_is_passed_by_those_who_come_later(threads: int, tasks: int, places: int) -> None:
    router = router_of(Slow(0.003), {"concurrency": places})
    router.complete("its pace is known now")
    health = router._engine.health
    enter, place = health.enter, health._places["a"]
    let_in, passed = itertools.count(), []

    def watched(name: str, tokens: int = 0, ticket: int | None = None) -> Admission | Refusal:
        with health._lock:  # re-entrant: who waits and who is let in are seen together
            entered = enter(name, tokens, ticket)
            if isinstance(entered, Admission):
                next(let_in)
                earlier = sum(1 for other in place.queue if ticket is None or other < ticket)
                if place.breaker.in_flight + earlier > places:
                    passed.append((ticket, dict(place.queue)))
        return entered

    health.enter = watched  # type: ignore[method-assign]
    assert not loops(router, threads, tasks, 25)
    assert next(let_in) == (threads + tasks) * 25
    assert not passed
    assert not place.queue


def test_a_place_that_comes_free_is_kept_for_the_first_who_waits(face: Face) -> None:
    health = router_of(Slow(), {"concurrency": 1})._engine.health
    first = health.enter("a")
    assert isinstance(first, Admission)
    assert not health.queued(["a"], ticket=7, tokens=1)
    health.left(first)
    refused = health.enter("a")  # comes now, and did not wait
    assert isinstance(refused, Refusal)
    assert refused.code == "limit"
    assert "before" in refused.reason
    assert isinstance(health.enter("a", ticket=9), Refusal)
    kept = health.enter("a", ticket=7)
    assert isinstance(kept, Admission)
    health.unqueued(["a"], 7)
    health.left(kept)
    assert isinstance(health.enter("a"), Admission)


def test_who_leaves_the_queue_for_another_reason_passes_its_place_on() -> None:
    """The first who waits is refused by its budget, the one behind it is served at once."""
    provider = Slow(0.05)
    table = {
        "name": "a", "provider": "slow", "model": "m", "limits": {"concurrency": 1}, "price": {"input": 1, "output": 1}
    }  # fmt: skip
    router = Router(
        {
            "deployments": [table],
            "budgets": [{"scope": "user:poor", "limit_usd": 0.000001, "window": "day"}],
            "router": {"budget_store": "memory"},
        },
        providers={"a": provider}, plugins=[plugin_module(Slow(), "slow")], env={"ROUTEKIT_PLUGINS": ""},
    )  # fmt: skip
    for _ in range(3):
        router.complete("its pace is known now", max_tokens=1)
    said: list[str] = []

    async def ask(name: str, user: str) -> None:
        try:
            await router.acomplete(name, scopes={"user": user}, max_tokens=1, deadline_s=30)
            said.append(name)
        except BudgetExceededError:
            said.append(f"{name} refused")

    async def main() -> None:
        await asyncio.gather(ask("first", "rich"), ask("second", "poor"), ask("third", "rich"))

    asyncio.run(main())
    assert sorted(said) == ["first", "second refused", "third"]


def test_a_place_that_comes_free_on_the_way_into_the_queue_is_seen() -> None:
    """Between the refusal and the queue a call ends: the one who waits is not left sleeping beside a free place."""
    provider = Slow(0)
    router = router_of(provider, {"concurrency": 1})
    health, room = router._engine.health, router._engine._waiting_room
    busy = health.enter("a")
    assert isinstance(busy, Admission)
    why_not = room._why_not

    def late(*args: Any) -> str | None:
        why = why_not(*args)
        health.left(busy)  # nobody waits yet, so nobody is woken
        room.freed(("a",))
        return why

    room._why_not = late  # type: ignore[method-assign]

    async def wait(*_: Any) -> None:
        raise AssertionError("it sleeps beside a free place")

    router._sync.wait = wait  # type: ignore[method-assign]
    router.complete("hi", deadline_s=30)
    assert provider.order == ["hi"]


@pytest.mark.parametrize("limits", [{"tpm": 700, "concurrency": 3}, {"tpm": 700}, {"tpm": 700, "rpm": 50}])
async def test_a_request_that_never_fits_keeps_nobody_waiting(limits: dict[str, int]) -> None:
    provider = Slow()
    router = router_of(provider, limits)
    large = asyncio.create_task(router.acomplete("word " * 4000, deadline_s=20))
    await asyncio.sleep(0)
    done = await asyncio.gather(*(router.acomplete(f"{n}", deadline_s=20, max_tokens=5) for n in range(5)))
    assert all(result.text == "ok" for result in done)
    with pytest.raises(NoCandidateError, match=r"more than its limit of 700 tokens per minute.*can ever take it"):
        await large
    await router.aclose()


def test_waiting_behind_another_looks_again_when_that_one_leaves_and_not_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    whole = WaitingRoom.wait

    async def counted(self: Any, *args: Any) -> bool:
        nonlocal looks
        looks += 1
        return await whole(self, *args)

    monkeypatch.setattr(WaitingRoom, "wait", counted)

    async def main(clock: Any) -> None:
        router = Router(
            {"deployments": [{"name": "a", "provider": "scripted", "model": "m", "limits": {"rpm": 2}}]},
            providers={"a": ScriptedProvider("ok")}, clock=clock,
            plugins=[plugin_module(ScriptedProvider("ok"), "scripted")], env={"ROUTEKIT_PLUGINS": ""},
        )  # fmt: skip
        results = await asyncio.gather(*(router.acomplete(f"{n}", deadline_s=400) for n in range(8)))
        assert [result.text for result in results] == ["ok"] * 8
        await router.aclose()

    clock = LoopClock()
    run_virtual(main(clock), clock=clock)
    assert looks < 100
