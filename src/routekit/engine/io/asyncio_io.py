"""The only file of the engine that knows what waiting is.

The core is written once, as ``async def``, and waits only through an `IO`. `AsyncIO` awaits. The
coroutines of `SyncIO` never suspend, so `run_sync` drives a whole request with one ``send(None)``:
no thread, no event loop, no second copy of the code. (geldata/gel-python drives its blocking client
in the same way.)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

from routekit.engine.io.port import IO, WATCH_S, Handle, P, T, Watch
from routekit.plugin import (
    Budget,
    Cache,
    Candidate,
    Chunk,
    Embeddings,
    Provider,
    ProviderCall,
    RouteRequest,
    Signals,
    Strategy,
)
from routekit.types import Answer, CacheEntry, CacheKey, Clock, Deployment, Reservation


class _Reading(NamedTuple):
    """An asynchronous stream and the event loop that it lives on."""

    chunks: AsyncIterator[Chunk]
    loop: asyncio.AbstractEventLoop


class AsyncIO:
    """Waits by suspending the calling task."""

    is_async = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closing: set[asyncio.Task[None]] = set()

    def me(self) -> object:
        task = asyncio.current_task()
        return threading.get_ident() if task is None else id(task)

    async def complete(self, provider: Provider, call: ProviderCall, watch: Watch | None = None) -> Answer:
        if call.timeout_s is None and watch is None:
            return await provider.acomplete(call)
        async with asyncio.timeout(call.timeout_s) as limit:
            if watch is None:
                return await provider.acomplete(call)
            with _watched(limit, watch):
                return await provider.acomplete(call)

    def open(self, provider: Provider, call: ProviderCall) -> Handle:
        return _Reading(provider.astream(call).__aiter__(), asyncio.get_running_loop())

    async def next(self, handle: _Reading, timeout_s: float | None = None, watch: Watch | None = None) -> Chunk | None:
        try:
            if timeout_s is None and watch is None:
                return await handle.chunks.__anext__()
            async with asyncio.timeout(timeout_s) as limit:
                if watch is None:
                    return await handle.chunks.__anext__()
                with _watched(limit, watch):
                    return await handle.chunks.__anext__()
        except StopAsyncIteration:
            return None

    def discard(self, handle: _Reading) -> None:
        close = getattr(handle.chunks, "close", None)
        if close is not None:
            if asyncio._get_running_loop() is not handle.loop and handle.loop.is_running():
                with contextlib.suppress(RuntimeError):  # closed in this very moment: nothing runs there any more
                    handle.loop.call_soon_threadsafe(_quiet, close)
                    return
            _quiet(close)
            return
        if asyncio._get_running_loop() is handle.loop:
            self._aclose(handle.chunks)
            return
        # Forgotten elsewhere, perhaps on another loop's thread: it is closed where it lives.
        with contextlib.suppress(RuntimeError):  # that loop is gone, and its connections with it
            handle.loop.call_soon_threadsafe(self._aclose, handle.chunks)

    def _aclose(self, chunks: Any) -> None:
        aclose = getattr(chunks, "aclose", None)
        if aclose is None:
            return
        task = asyncio.get_running_loop().create_task(_quietly(aclose()))
        self._closing.add(task)  # the loop keeps only weak references to tasks
        task.add_done_callback(self._closing.discard)

    async def either(
        self, ask: Callable[P, T], aask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await aask(*args, **kwargs)

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None:
        return await cache.aget(key)

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None:
        await cache.aset(key, entry)

    async def embed(
        self, provider: Provider, deployment: Deployment, texts: Sequence[str], timeout_s: float | None
    ) -> Embeddings:
        return await provider.aembed(deployment, texts, timeout_s=timeout_s)

    async def begin(self, budget: Budget, reservation: Reservation) -> None:
        await budget.abegin(reservation)

    async def renew(self, budget: Budget, reservation: Reservation) -> None:
        await budget.arenew(reservation)

    async def gather(
        self, strategy: Strategy, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals
    ) -> Signals:
        return await strategy.agather(request, candidates, signals)

    async def sleep(self, seconds: float) -> None:
        await self._clock.asleep(seconds)

    async def within(self, seconds: float | None, work: Awaitable[T]) -> T:
        async with asyncio.timeout(seconds):
            return await work

    async def race(
        self,
        first: Callable[[IO], Awaitable[T]],
        second: Callable[[IO], Awaitable[T | None]],
        delay_s: float,
        unwanted: Callable[[IO, T], None],
    ) -> T:
        leading = _task(first(self))
        alarm = _task(self._clock.asleep(delay_s))
        running: list[asyncio.Task[Any]] = [leading]
        won: list[T] = []
        try:
            await asyncio.wait((leading, alarm), return_when=asyncio.FIRST_COMPLETED)
            if not leading.done():
                running.append(_task(second(self)))
            while running and not won:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    if not won:
                        running.remove(task)
                        won.extend(_results([task]))
        finally:
            alarm.cancel()
            cancelled = await _cancelled(running)
            for result in (*_results(running), *(won if cancelled else ())):
                unwanted(self, result)
        if cancelled:
            raise asyncio.CancelledError
        return won[0] if won else leading.result()

    async def wait(self, future: concurrent.futures.Future[T], timeout_s: float | None) -> T:
        loop = asyncio.get_running_loop()
        landed = asyncio.Event()

        def wake(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # who waited is gone, and its loop with it
                loop.call_soon_threadsafe(landed.set)

        future.add_done_callback(wake)
        async with asyncio.timeout(timeout_s):
            await landed.wait()
        return future.result()

    async def offload(self, function: Callable[[], T]) -> T:
        return await asyncio.to_thread(function)


@contextlib.contextmanager
def _watched(limit: asyncio.Timeout, watch: Watch) -> Iterator[None]:
    """Lets `limit` expire as soon as `watch` gives the call up. Costs one timer while all is well."""
    loop = asyncio.get_running_loop()
    pause_s = max(WATCH_S, watch.after_s / 4)
    timers: list[asyncio.TimerHandle] = []

    def look() -> None:
        if watch.gone():
            limit.reschedule(loop.time())
        else:
            timers[0] = loop.call_later(pause_s, look)

    timers.append(loop.call_later(max(0.0, watch.after_s), look))
    try:
        yield
    finally:
        timers[0].cancel()


def _task(work: Awaitable[T]) -> asyncio.Task[T]:
    async def run() -> T:
        return await work

    return asyncio.get_running_loop().create_task(run())


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> bool:
    """Cancels these and waits for their ends; whether we were cancelled meanwhile."""
    for task in tasks:
        task.cancel()
    cancelled = False
    while unfinished := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(unfinished)
        except asyncio.CancelledError:  # their ends come soon, and must be seen
            cancelled = True
    return cancelled


def _results(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    return [
        result
        for task in tasks
        if task.done() and not task.cancelled() and task.exception() is None and (result := task.result()) is not None
    ]


def _quiet(close: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # whatever its clean-up raises: the stream is given up
        close()


async def _quietly(closing: Any) -> None:
    try:
        await closing
    except Exception:  # the stream is abandoned: nobody is left to tell
        return
