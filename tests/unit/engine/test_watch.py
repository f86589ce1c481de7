"""Calls that hang together are given up together, long before their limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from routekit import Router
from routekit.plugin import Provider
from routekit.testing import plugin_module
from routekit.types import Answer, Chunk


class Hanging(Provider):
    """Answers at once until `hangs` is set; then it falls silent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hangs = False
        self.calls = 0

    def complete(self, call: Any) -> Answer:
        raise NotImplementedError

    async def _wait(self) -> None:
        self.calls += 1
        await asyncio.sleep(60 if self.hangs else 0)

    async def acomplete(self, call: Any) -> Answer:
        await self._wait()
        return Answer(message={"role": "assistant", "content": self.name}, finish_reason="stop")

    async def astream(self, call: Any):
        yield Chunk({"role": "assistant"})
        await self._wait()
        yield Chunk({"content": self.name})
        yield Chunk({}, "stop")


def router_of(*providers: Hanging) -> Router:
    tables = [{"name": p.name, "provider": "hanging", "model": p.name} for p in providers]
    return Router(
        {"deployments": tables, "router": {"strategy": "ordered", "deadline_s": 50}},
        providers={p.name: p for p in providers},
        plugins=[plugin_module(Hanging("x"), "hanging")],
        env={"ROUTEKIT_PLUGINS": ""},
    )


async def ask(router: Router, streamed: bool) -> str:
    if not streamed:
        return (await router.acomplete("hi")).text
    async with router.astream("hi") as stream:
        return "".join([chunk.text async for chunk in stream])


@pytest.mark.parametrize("streamed", [False, True])
def test_three_that_hang_go_elsewhere_and_eject_the_place(streamed: bool) -> None:
    first, second = Hanging("a"), Hanging("b")
    router = router_of(first, second)

    async def main() -> list[str]:
        for _ in range(12):
            await ask(router, streamed)
        first.hangs = True
        async with asyncio.timeout(10):  # half of the deadline would be 25 s
            return await asyncio.gather(*(ask(router, streamed) for _ in range(5)))

    assert asyncio.run(main()) == ["b"] * 5
    assert router.health()[0].state == "open"
    assert all(row.in_flight == 0 for row in router.health())


def test_one_slow_call_is_waited_for() -> None:
    first, second = Hanging("a"), Hanging("b")
    router = router_of(first, second)

    async def main() -> None:
        for _ in range(12):
            await ask(router, False)
        first.hangs = True
        slow = asyncio.ensure_future(ask(router, False))
        await asyncio.sleep(0.6)  # more than twice its usual silence
        assert not slow.done()
        slow.cancel()

    asyncio.run(main())
    assert second.calls == 0


def test_where_nobody_else_is_left_hanging_calls_are_waited_for() -> None:
    only = Hanging("a")
    router = router_of(only)

    async def main() -> None:
        for _ in range(12):
            await ask(router, False)
        only.hangs = True
        tasks = [asyncio.ensure_future(ask(router, False)) for _ in range(4)]
        await asyncio.sleep(0.6)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()

    asyncio.run(main())
