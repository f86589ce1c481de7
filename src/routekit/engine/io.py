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
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from routekit.plugin import Budget, Cache, Candidate, Chunk, Provider, ProviderCall, RouteRequest, Signals, Strategy
from routekit.types import Answer, CacheEntry, CacheKey, Clock, Reservation

T = TypeVar("T")
Handle = Any
"""An open provider stream: an iterator, or an asynchronous one."""


class IO(Protocol):
    """Everything that may take time."""

    is_async: bool

    async def complete(self, provider: Provider, call: ProviderCall) -> Answer: ...

    def open(self, provider: Provider, call: ProviderCall) -> Handle: ...

    async def next(self, handle: Handle, timeout_s: float | None = None) -> Chunk | None:
        """The next chunk, or None at the end. Raises TimeoutError where `timeout_s` is enforced here."""
        ...

    def discard(self, handle: Handle) -> None:
        """Closes a stream without waiting for it."""
        ...

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None: ...

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None: ...

    async def reserve(self, budget: Budget, reservation: Reservation) -> None: ...

    async def gather(
        self, strategy: Strategy, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals
    ) -> Signals: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, future: concurrent.futures.Future[T], timeout_s: float | None) -> T:
        """The future's result. Raises TimeoutError; the future itself goes on."""
        ...

    async def offload(self, function: Callable[[], T]) -> T:
        """Runs something slow where it holds nobody up."""
        ...


class SyncIO:
    """Waits by blocking the calling thread."""

    is_async = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def complete(self, provider: Provider, call: ProviderCall) -> Answer:
        return provider.complete(call)

    def open(self, provider: Provider, call: ProviderCall) -> Handle:
        return iter(provider.stream(call))

    async def next(self, handle: Iterator[Chunk], timeout_s: float | None = None) -> Chunk | None:
        return next(handle, None)  # a blocking read cannot be bounded from outside: the call's own limits hold

    def discard(self, handle: Handle) -> None:
        with contextlib.suppress(Exception):  # whatever its clean-up raises: the stream is given up
            close = getattr(handle, "close", None)
            if close is not None:
                close()

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None:
        return cache.get(key)

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None:
        cache.set(key, entry)

    async def reserve(self, budget: Budget, reservation: Reservation) -> None:
        budget.reserve(reservation)

    async def gather(
        self, strategy: Strategy, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals
    ) -> Signals:
        return strategy.gather(request, candidates, signals)

    async def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    async def wait(self, future: concurrent.futures.Future[T], timeout_s: float | None) -> T:
        return future.result(timeout_s)

    async def offload(self, function: Callable[[], T]) -> T:
        return function()


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

    async def complete(self, provider: Provider, call: ProviderCall) -> Answer:
        if call.timeout_s is None:
            return await provider.acomplete(call)
        async with asyncio.timeout(call.timeout_s):
            return await provider.acomplete(call)

    def open(self, provider: Provider, call: ProviderCall) -> Handle:
        return _Reading(provider.astream(call).__aiter__(), asyncio.get_running_loop())

    async def next(self, handle: _Reading, timeout_s: float | None = None) -> Chunk | None:
        try:
            if timeout_s is None:
                return await handle.chunks.__anext__()
            async with asyncio.timeout(timeout_s):
                return await handle.chunks.__anext__()
        except StopAsyncIteration:
            return None

    def discard(self, handle: _Reading) -> None:
        close = getattr(handle.chunks, "close", None)
        if close is not None:
            with contextlib.suppress(Exception):  # whatever its clean-up raises: the stream is given up
                close()
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

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None:
        return await cache.aget(key)

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None:
        await cache.aset(key, entry)

    async def reserve(self, budget: Budget, reservation: Reservation) -> None:
        await budget.areserve(reservation)

    async def gather(
        self, strategy: Strategy, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals
    ) -> Signals:
        return await strategy.agather(request, candidates, signals)

    async def sleep(self, seconds: float) -> None:
        await self._clock.asleep(seconds)

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


async def _quietly(closing: Any) -> None:
    try:
        await closing
    except Exception:  # the stream is abandoned: nobody is left to tell
        return


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits only through `SyncIO`."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
    coroutine.close()
    raise RuntimeError("the synchronous core was suspended: something waited outside its IO")
