"""What is under way, so that closing can wait for it."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol
from weakref import WeakSet

from routekit.plugin import reset_after_fork


class OpenStream(Protocol):
    """A stream that was handed out. `reader` is the thread or task that read it last."""

    reader: object

    def cut(self) -> None:
        """Ends it; whoever reads on gets a typed error. Idempotent."""
        ...

    def disown(self) -> None:
        """Ends this copy of it: the stream is read, paid and ended by the process that this one was forked from."""
        ...


class Traffic:
    """Counts requests and open streams; ``with traffic:`` around a request. Streams are remembered weakly."""

    def __init__(self) -> None:
        # Re-entrant: an abandoned coroutine may end wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._count = 0
        self._waiting: list[concurrent.futures.Future[None]] = []
        self._streams: WeakSet[OpenStream] = WeakSet()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """What is under way ends in the parent."""
        streams = list(self._streams)
        self._lock = threading.RLock()
        self._count, self._waiting, self._streams = 0, [], WeakSet()
        for stream in streams:
            stream.disown()

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._left()

    def opened(self, stream: OpenStream) -> None:
        with self._lock:
            self._count += 1
            self._streams.add(stream)

    def closed(self, stream: OpenStream) -> None:
        with self._lock:
            self._streams.discard(stream)
        self._left()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way."""
        return not self._count

    def quiet(self) -> concurrent.futures.Future[None]:
        """Has a result as soon as nothing is under way."""
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            if self._count:
                self._waiting.append(future)
                return future
        future.set_result(None)
        return future

    def when_quiet(self, then: Callable[[], None]) -> None:
        """Calls `then` once nothing is under way, on the thread where the last request ends; at once if that is so."""
        self.quiet().add_done_callback(lambda _: then())

    def cut(self, reader: object | None = None) -> None:
        """Ends the open streams, or those that `reader` holds: it cannot read on while it waits for them to end."""
        with self._lock:
            streams = [stream for stream in self._streams if reader is None or stream.reader == reader]
        for stream in streams:
            stream.cut()

    def _left(self) -> None:
        waiting: list[concurrent.futures.Future[None]] = []
        with self._lock:
            self._count = max(0, self._count - 1)  # a child may end what its parent began
            if not self._count:
                waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(None)
