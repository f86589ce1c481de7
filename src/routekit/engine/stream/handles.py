"""What callers hold: a stream to iterate over, sync or async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

from routekit.engine.io.sync_io import run_sync
from routekit.engine.stream.live import RunningStream
from routekit.plugin import reaper
from routekit.types import Chunk, RouteResult


class Stream:
    """What `Router.stream` returns: iterate it, best inside ``with``. `result` is there after the end.

    The request starts when the first chunk is asked for, or on entering ``with``.
    """

    def __init__(self, start: Callable[[], Any], owner: object = None) -> None:
        self._start: Callable[[], Any] | None = start
        self._owner = owner  # what must not be forgotten, and closed, while this is read
        self._running: RunningStream | None = None
        self._over = False
        reaper.start()

    @property
    def result(self) -> RouteResult:
        """The whole story.

        Raises:
            RuntimeError: the stream was not read to its end.
        """
        if self._running is None or self._running.result is None:
            raise RuntimeError("the stream has no result before its end; read all of its chunks first")
        return self._running.result

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        if self._over:
            raise StopIteration
        running = self._running or self._begin()
        try:
            running.next().send(None)
        except StopIteration as stop:
            if stop.value is not None:
                return stop.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
            self._over = True
            raise StopIteration from None
        raise RuntimeError("the synchronous core was suspended: something waited outside its IO")

    def _begin(self) -> RunningStream:
        start, self._start = self._start, None
        if start is None:
            raise RuntimeError("the stream could not be opened before, or was closed")
        running: RunningStream = run_sync(start())
        self._running = running
        return running

    def close(self) -> None:
        """Gives the stream up; what was used so far is paid."""
        self._over = True
        self._start = None
        if self._running is not None:
            self._running.abandon()

    def __enter__(self) -> Self:
        if self._running is None:
            self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        running = getattr(self, "_running", None)
        if running is not None and not self._over:
            reaper.later(running.abandon)


class AsyncStream:
    """What `Router.astream` returns: ``async for``, best inside ``async with``. See `Stream`."""

    def __init__(self, start: Callable[[], Any], owner: object = None) -> None:
        self._start: Callable[[], Any] | None = start
        self._owner = owner  # what must not be forgotten, and closed, while this is read
        self._running: RunningStream | None = None
        self._over = False
        reaper.start()

    @property
    def result(self) -> RouteResult:
        """The whole story.

        Raises:
            RuntimeError: the stream was not read to its end.
        """
        if self._running is None or self._running.result is None:
            raise RuntimeError("the stream has no result before its end; read all of its chunks first")
        return self._running.result

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        if self._over:
            raise StopAsyncIteration
        running = self._running or await self._begin()
        chunk = await running.next()
        if chunk is None:
            self._over = True
            raise StopAsyncIteration
        return chunk

    async def _begin(self) -> RunningStream:
        start, self._start = self._start, None
        if start is None:
            raise RuntimeError("the stream could not be opened before, or was closed")
        running: RunningStream = await start()
        self._running = running
        if self._over:  # closed while it was being opened
            running.abandon()
        return running

    def close(self) -> None:
        """Gives the stream up without waiting; what was used so far is paid."""
        self._over = True
        self._start = None
        if self._running is not None:
            self._running.abandon()

    async def aclose(self) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        if self._running is None:
            await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        running = getattr(self, "_running", None)
        if running is not None and not self._over:
            reaper.later(running.abandon)
