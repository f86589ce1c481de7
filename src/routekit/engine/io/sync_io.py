"""The port for threads, with a loop of its own beside them for what is only asynchronous."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

from routekit.engine.io.asyncio_io import AsyncIO, _Reading
from routekit.engine.io.port import IO, Handle, P, T, Watch
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
    new_lock_after_fork,
)
from routekit.types import Answer, CacheEntry, CacheKey, Clock, Deployment, Reservation


class SyncIO:
    """Waits by blocking the calling thread."""

    is_async = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._side = SideLoop()
        self._there = AsyncIO(clock)

    def me(self) -> object:
        return threading.get_ident()

    async def complete(self, provider: Provider, call: ProviderCall, watch: Watch | None = None) -> Answer:
        return provider.complete(call)

    def open(self, provider: Provider, call: ProviderCall) -> Handle:
        return iter(provider.stream(call))

    async def next(
        self, handle: Iterator[Chunk] | _Reading, timeout_s: float | None = None, watch: Watch | None = None
    ) -> Chunk | None:
        if isinstance(handle, _Reading):  # it won a race, and lives where that was held
            return self._side.run(self._there.next(handle, timeout_s))
        return next(handle, None)  # a blocking read cannot be bounded from outside: the call's own limits hold

    def discard(self, handle: Handle) -> None:
        if isinstance(handle, _Reading):
            self._there.discard(handle)
            return
        with contextlib.suppress(Exception):  # whatever its clean-up raises: the stream is given up
            close = getattr(handle, "close", None)
            if close is not None:
                close()

    async def either(
        self, ask: Callable[P, T], aask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return ask(*args, **kwargs)

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None:
        return cache.get(key)

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None:
        cache.set(key, entry)

    async def embed(
        self, provider: Provider, deployment: Deployment, texts: Sequence[str], timeout_s: float | None
    ) -> Embeddings:
        return provider.embed(deployment, texts, timeout_s=timeout_s)

    async def begin(self, budget: Budget, reservation: Reservation) -> None:
        budget.begin(reservation)

    async def renew(self, budget: Budget, reservation: Reservation) -> None:
        budget.renew(reservation)

    async def gather(
        self, strategy: Strategy, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals
    ) -> Signals:
        return strategy.gather(request, candidates, signals)

    async def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    async def within(self, seconds: float | None, work: Awaitable[T]) -> T:
        return await work  # plain code cannot be interrupted from outside

    async def race(
        self,
        first: Callable[[IO], Awaitable[T]],
        second: Callable[[IO], Awaitable[T | None]],
        delay_s: float,
        unwanted: Callable[[IO, T], None],
    ) -> T:
        # A blocking call cannot be called back. So both run on an event loop of their own, where the
        # loser's connection is closed, which is what makes its provider stop and its bill end.
        return self._side.run(self._there.race(first, second, delay_s, unwanted))

    def close(self) -> None:
        """Ends the loop that races were held on, if there was one."""
        self._side.close()

    async def wait(self, future: concurrent.futures.Future[T], timeout_s: float | None) -> T:
        return future.result(timeout_s)

    async def offload(self, function: Callable[[], T]) -> T:
        return function()


def in_event_loop() -> bool:
    """Whether this thread runs an event loop now."""
    return asyncio._get_running_loop() is not None


class SideLoop:
    """An event loop on a thread of its own, started at first use, for a caller that has none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._owner = 0
        new_lock_after_fork(self)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result. An interruption of the waiting thread cancels it."""
        loop = self._started()
        # Context variables (the current trace) go along; `run_coroutine_threadsafe` would leave them behind.
        future = asyncio.run_coroutine_threadsafe(_within(contextvars.copy_context(), coroutine), loop)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                future.cancel()
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._owner != os.getpid():  # a forked process has no such thread
                self._loop = loop = asyncio.new_event_loop()
                self._owner = os.getpid()
                self._thread = threading.Thread(target=_serve, args=(loop,), name="routekit-race", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None and self._owner == os.getpid():
            with contextlib.suppress(RuntimeError):  # closed already
                loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        for task in (tasks := asyncio.all_tasks(loop)):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _within(context: contextvars.Context, coroutine: Coroutine[Any, Any, T]) -> T:
    return await asyncio.get_running_loop().create_task(coroutine, context=context)


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits only through `SyncIO`."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
    coroutine.close()
    raise RuntimeError("the synchronous core was suspended: something waited outside its IO")
