"""The one writer of what must reach the server, but for which nobody waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from routekit.errors import RoutekitError
from routekit.types import Reservation

BATCH = 200
"""Ends that one script writes."""

IDLE_S = 5.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 1.0
PARKED_S = 10.0
"""How long an end waits that the server could not take though it is well (what it is booked on is missing there)."""

_log = logging.getLogger("routekit.redis")


@dataclass(slots=True, eq=False)
class End:
    """How a hold has ended. `taken`: the hold was seen taken, so a server that knows nothing of it has lost it."""

    reservation: Reservation
    actual: str
    kind: str
    taken: bool
    busy: bool = False
    """Whoever has ended the hold is writing this itself."""

    not_before: float = 0.0


class Writer:
    """Keeps ends until they are written, in bulk, by one thread; it begins with the first one and leaves when idle.

    `write` sends a batch and returns those that are dealt with, or raises. `duty` is run from time to time. No end is
    ever dropped: there cannot be more of them than calls were under way.
    """

    def __init__(self, write: Callable[[list[End]], Iterable[End]], duty: Callable[[], None]) -> None:
        self._write, self._duty = write, duty
        self.after_fork()

    def after_fork(self) -> None:
        """Also for a forked child: ends that wait are the parent's, which sends them itself."""
        self.late: dict[str, End] = {}
        self.failing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._called = self._closing = False
        self._rounds = 0

    def put(self, end: End, *, waits: bool) -> None:
        """Takes an end over. Where the caller may wait and the server is well, it is written before this returns."""
        end.busy = waits and not self.failing
        with self._changed:
            if end.reservation.id in self.late:
                return
            self.late[end.reservation.id] = end
        if not end.busy:
            self.call()
            return
        try:
            self._done(self._write([end]))
        except Exception as error:
            self._failed(error)
        finally:
            end.busy = False
        if end.reservation.id in self.late:
            self.call()

    def call(self) -> None:
        """Wakes the thread, or starts it."""
        with self._changed:
            self._called = True
            self._changed.notify_all()
            if self._thread is None and not self._closing:
                thread = threading.Thread(target=self._run, name="routekit-redis-ends", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending; `close` sends them
                    return
                self._thread = thread

    def flushed(self, wait_s: float) -> bool:
        """Calls the thread and waits until all that waits now has been tried; whether anything was written."""
        if not self.late:
            return False
        before = len(self.late)
        with self._changed:
            rounds = self._rounds
        self.call()
        with self._changed:
            self._changed.wait_for(lambda: not self.late or self._rounds > rounds + 1, wait_s)
        return len(self.late) < before

    def close(self, wait_s: float) -> None:
        """Writes what is left; not for longer than so long."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(wait_s)
        until = time.monotonic() + wait_s
        while self.late and time.monotonic() < until:
            try:
                if not self._round():
                    break
            except Exception as error:
                self._failed(error)
                break
        with self._changed:
            self._closing = False
        if self.late:
            _log.warning("%d ends were not written; the leases of their holds decide", len(self.late))

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            with self._changed:
                if not self._called:
                    wait_s = pause_s if self.failing else 0.5 if self.late else IDLE_S
                    self._changed.wait_for(lambda: self._called or self._closing, wait_s)
                if self._closing or not (self._called or self.late):
                    self._thread = None
                    return
                self._called = False
            try:
                while self._round():
                    pass
                self._duty()
                self.failing, pause_s = False, FIRST_PAUSE_S
            except Exception as error:
                self._failed(error)
                pause_s = min(LAST_PAUSE_S, pause_s * 2)
            with self._changed:
                self._rounds += 1
                self._changed.notify_all()

    def _round(self) -> bool:
        """One batch; whether there was one."""
        now = time.monotonic()
        with self._changed:
            batch = [end for end in self.late.values() if not end.busy and end.not_before <= now][:BATCH]
        if not batch:
            return False
        self._done(self._write(batch))
        self.failing = False
        with self._changed:
            self._rounds += 1
            self._changed.notify_all()
        return True

    def _done(self, ends: Iterable[End]) -> None:
        with self._changed:
            for end in ends:
                if self.late.get(end.reservation.id) is end:
                    del self.late[end.reservation.id]

    def _failed(self, error: Exception) -> None:
        if not self.failing:
            if isinstance(error, RoutekitError):
                _log.warning("%d ends of holds are written later: %s", len(self.late), error)
            else:
                _log.error("ends of holds are written later", exc_info=error)
        self.failing = True
