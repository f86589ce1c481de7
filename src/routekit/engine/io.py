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
import contextvars
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

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

T = TypeVar("T")
Handle = Any
"""An open provider stream: an iterator, or an asynchronous one."""


class Watch(NamedTuple):
    """Gives a silent call up early: from `after_s` seconds on, `gone` is asked again and again."""

    after_s: float
    gone: Callable[[], bool]


WATCH_S = 0.02
"""How often a watch looks, at most; otherwise a quarter of `after_s`."""


class IO(Protocol):
    """Everything that may take time."""

    is_async: bool

    def me(self) -> object:
        """The thread or task that this runs in."""
        ...

    async def complete(self, provider: Provider, call: ProviderCall, watch: Watch | None = None) -> Answer:
        """The whole answer. Raises TimeoutError where a limit is enforced here; only tasks can be watched."""
        ...

    def open(self, provider: Provider, call: ProviderCall) -> Handle: ...

    async def next(self, handle: Handle, timeout_s: float | None = None, watch: Watch | None = None) -> Chunk | None:
        """The next chunk, or None at the end. Raises TimeoutError where `timeout_s` is enforced here."""
        ...

    def discard(self, handle: Handle) -> None:
        """Closes a stream without waiting for it."""
        ...

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None: ...

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None: ...

    async def embed(
        self, provider: Provider, deployment: Deployment, texts: Sequence[str], timeout_s: float | None
    ) -> Embeddings: ...

    async def reserve(self, budget: Budget, reservation: Reservation) -> None: ...

    async def mark_sent(self, budget: Budget, reservation: Reservation) -> None: ...

    async def renew(self, budget: Budget, reservation: Reservation) -> None: ...

    async def gather(
        self, strategy: Strategy, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals
    ) -> Signals: ...

    async def sleep(self, seconds: float) -> None: ...

    async def within(self, seconds: float | None, work: Awaitable[T]) -> T:
        """The result of `work`. Raises TimeoutError where it takes longer, if it can be interrupted at all."""
        ...

    async def race(
        self,
        first: Callable[[IO], Awaitable[T]],
        second: Callable[[IO], Awaitable[T | None]],
        delay_s: float,
        unwanted: Callable[[IO, T], None],
    ) -> T:
        """The result of whichever succeeds first; `second` starts after `delay_s`, or not at all.

        The other one is cancelled and waited for; a result of its own goes to `unwanted`. A `second`
        that returns None had nothing to do. Where both fail, the error of `first` is raised. The
        functions get the IO that they must wait with.
        """
        ...

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

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None:
        return cache.get(key)

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None:
        cache.set(key, entry)

    async def embed(
        self, provider: Provider, deployment: Deployment, texts: Sequence[str], timeout_s: float | None
    ) -> Embeddings:
        return provider.embed(deployment, texts, timeout_s=timeout_s)

    async def reserve(self, budget: Budget, reservation: Reservation) -> None:
        budget.reserve(reservation)

    async def mark_sent(self, budget: Budget, reservation: Reservation) -> None:
        budget.mark_sent(reservation)

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

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None:
        return await cache.aget(key)

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None:
        await cache.aset(key, entry)

    async def embed(
        self, provider: Provider, deployment: Deployment, texts: Sequence[str], timeout_s: float | None
    ) -> Embeddings:
        return await provider.aembed(deployment, texts, timeout_s=timeout_s)

    async def reserve(self, budget: Budget, reservation: Reservation) -> None:
        await budget.areserve(reservation)

    async def mark_sent(self, budget: Budget, reservation: Reservation) -> None:
        await budget.amark_sent(reservation)

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


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits only through `SyncIO`."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
    coroutine.close()
    raise RuntimeError("the synchronous core was suspended: something waited outside its IO")
