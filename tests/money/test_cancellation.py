"""Streams that are left at every one of their chunks: no hold stays, and the bill is what was used."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.money.workers import charges
from tests.support.openai_server import OpenAIServer

from routekit import Router
from routekit.builtin.budgets.ledger.budget import FILE, LedgerBudget
from routekit.plugin import Observer, ObserverPlugin, hookimpl, reaper
from routekit.types import Event, RequestEnded

TEXT = "one two three four five six seven eight"
CHUNKS = len(TEXT.split()) + 2  # role, words, finish; the usage comes with the last
USAGE = {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18}


class Tape(Observer):
    def __init__(self) -> None:
        self.ended: list[RequestEnded] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestEnded):
            self.ended.append(event)

    @hookimpl
    def routekit_observers(self) -> Iterable[ObserverPlugin]:
        return [ObserverPlugin(name="tape", factory=lambda options, context: self)]


@pytest.fixture
def upstream() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.behave(text=TEXT, usage=USAGE, chunk_delay_s=0.004)
        yield server


def router_at(server: OpenAIServer, home: Path, tape: Tape) -> Router:
    table = {
        "name": "m", "provider": "openai-compatible", "model": "m", "base_url": server.url, "max_output": 100,
        "price": {"input": 1, "output": 2},
    }  # fmt: skip
    scopes = ("global", "project:p", "user:u", "tag:t", "run:r", "deployment:m")
    return Router(
        {
            "deployments": [table],
            "budgets": [{"scope": scope, "limit_usd": 1} for scope in scopes],
            "observers": [{"use": "tape"}],
        },
        plugins=[tape],
        env={"ROUTEKIT_HOME": str(home), "ROUTEKIT_PLUGINS": ""},
    )


SCOPES = {"project": "p", "user": "u", "tag": "t", "run": "r"}


def closed(router: Router, count: int) -> None:
    stream = router.stream("hi", scopes=SCOPES)
    for _ in range(count):
        if next(stream, None) is None:
            break
    stream.close()


def forgotten(router: Router, count: int) -> None:
    stream = router.stream("hi", scopes=SCOPES)
    for _ in range(count):
        if next(stream, None) is None:
            break
    del stream
    gc.collect()
    assert reaper.flush(20)


def aclosed(router: Router, count: int) -> None:
    async def main() -> None:
        stream = router.astream("hi", scopes=SCOPES)
        for _ in range(count):
            if await anext(stream, None) is None:
                break
        await stream.aclose()
        await asyncio.sleep(0.005)

    asyncio.run(main())


def cancelled(router: Router, count: int) -> None:
    async def read() -> None:
        async with router.astream("hi", scopes=SCOPES) as stream:
            async for _ in stream:
                seen.append(1)
                if len(seen) >= count:
                    there.set()

    seen: list[int] = []
    there = asyncio.Event()

    async def main() -> None:
        task = asyncio.create_task(read())
        if count:
            await asyncio.wait([asyncio.ensure_future(there.wait()), task], return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(0.003)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.005)
        for other in asyncio.all_tasks() - {asyncio.current_task()}:
            other.cancel()

    asyncio.run(main())


def whole_cancelled(router: Router, count: int) -> None:
    """A whole answer, cancelled after as many milliseconds: reserving, sending, waiting."""

    async def main() -> None:
        task = asyncio.create_task(router.acomplete("hi", scopes=SCOPES))
        await asyncio.sleep(count * 0.0015)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("leave", [closed, forgotten, aclosed, cancelled, whole_cancelled], ids=lambda f: f.__name__)
def test_a_stream_that_is_left_is_paid_and_leaves_nothing(upstream: OpenAIServer, tmp_path: Path, leave: Any) -> None:
    tape = Tape()
    with router_at(upstream, tmp_path, tape) as router:
        for count in range(CHUNKS + 2):
            leave(router, count)
            row = router.health()[0]
            assert row.in_flight == 0, count
        attempts = [attempt for event in tape.ended for attempt in event.attempts]
    with closing(LedgerBudget(tmp_path / FILE)) as ledger:
        uncertain = [attempt for attempt in attempts if attempt.uncertain]
        assert [hold.state for hold in ledger.holds()] == ["uncertain"] * len(uncertain)
        assert not uncertain or leave is whole_cancelled, "of a stream it is known what was received"
        assert ledger.verify() == []
        cost = sum(attempt.cost.nanos for attempt in attempts)
        for charge in charges(10**9):
            balance = ledger.balance(charge)
            assert (balance.spent.nanos, balance.reserved.nanos) == (cost, 0)
    complete = 10 * 1000 + 8 * 2000
    assert len(attempts) >= len(upstream.requests), "a call that nobody accounts for"
    assert all(attempt.outcome in ("ok", "cancelled") for attempt in attempts)
    for attempt in attempts:
        if attempt.usage.estimated:
            assert attempt.outcome == "cancelled"
            assert attempt.cost.nanos > 0, "its prompt may have been sent"
        else:  # the provider's own figures had come
            assert attempt.cost.nanos == complete
    costs = [attempt.cost.nanos for attempt in attempts if attempt.usage.estimated]
    if leave in (closed, forgotten, aclosed):
        assert costs == sorted(costs), "who reads more pays more"
        assert len(set(costs)) > 4
