"""What is under way, so that closing can wait for it."""

from __future__ import annotations

import concurrent.futures
import threading
from types import TracebackType
from typing import Protocol
from weakref import WeakSet


class OpenStream(Protocol):
    """A stream that was handed out. `reader` is the thread or task that read it last."""

    reader: object

    def cut(self) -> None:
        """Ends it; whoever reads on gets a typed error. Idempotent."""
        ...


class Traffic:
    """Counts requests and open streams; ``with traffic:`` around a request. Streams are remembered weakly."""

    def __init__(self) -> None:
        # Re-entrant: a forgotten stream may end wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._count = 0
        self._waiting: list[concurrent.futures.Future[None]] = []
        self._streams: WeakSet[OpenStream] = WeakSet()

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

    def quiet(self) -> concurrent.futures.Future[None]:
        """Has a result as soon as nothing is under way."""
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            if self._count:
                self._waiting.append(future)
                return future
        future.set_result(None)
        return future

    def cut(self, reader: object | None = None) -> None:
        """Ends the open streams, or those that `reader` holds: it cannot read on while it waits for them to end."""
        with self._lock:
            streams = [stream for stream in self._streams if reader is None or stream.reader == reader]
        for stream in streams:
            stream.cut()

    def _left(self) -> None:
        waiting: list[concurrent.futures.Future[None]] = []
        with self._lock:
            self._count -= 1
            if not self._count:
                waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(None)
