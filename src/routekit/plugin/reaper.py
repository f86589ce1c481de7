"""Endings that a finalizer found, done in ordinary code.

The garbage collector runs finalizers wherever it happens to be called: inside a queue's lock, in the middle
of a transaction, on another event loop's thread. A finalizer that closes a connection there may wait for
a lock that its own thread holds, and then waits for ever. So a finalizer hands its ending over and does
nothing else: `later` is one `SimpleQueue.put`, which is re-entrant by contract. One daemon thread runs the endings in
the order in which they came; what is left when the interpreter ends is run then.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from collections.abc import Callable
from time import monotonic

Ending = Callable[[], object]

EXIT_S = 2.0
"""So long the interpreter's end waits for endings that are left."""

_log = logging.getLogger("routekit.reaper")


class Reaper:
    """Runs endings on a thread of its own, which is there after `start`."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._endings: queue.SimpleQueue[Ending | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def later(self, ending: Ending) -> None:
        """Has `ending` run soon, elsewhere. For finalizers: takes no lock, never waits, never raises."""
        self._endings.put(ending)

    def start(self) -> None:
        """Makes sure that endings are run from now on. Called where something with a finalizer is made."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, args=(self._endings,), name="routekit-reaper", daemon=True
                    )
                    self._thread.start()

    def flush(self, wait_s: float) -> bool:
        """Waits until the endings that were handed over before are done, so many seconds at most; whether they are.

        Must not be called by a finalizer, nor by an ending.
        """
        if self._thread is None:
            return self._drained(wait_s)
        done = threading.Event()
        self._endings.put(done.set)
        return done.wait(wait_s)

    def _drained(self, wait_s: float) -> bool:
        until = monotonic() + wait_s
        while monotonic() < until:
            try:
                ending = self._endings.get_nowait()
            except queue.Empty:
                return True
            if ending is not None:
                _end(ending)
        return False

    @staticmethod
    def _run(endings: queue.SimpleQueue[Ending | None]) -> None:
        while (ending := endings.get()) is not None:
            _end(ending)
            del ending  # what it held may be freed before the next one comes


def _end(ending: Ending) -> None:
    try:
        ending()
    except Exception:
        _log.debug("an ending failed", exc_info=True)


def end(error: BaseException, ending: Ending) -> None:
    """Runs the `ending` of what `error` has stopped: now; or soon and elsewhere, where that is a `GeneratorExit`.

    A coroutine that nobody awaits to its end is closed by the collector, wherever that runs, as a finalizer is.
    """
    if isinstance(error, GeneratorExit):
        later(ending)
    else:
        ending()


_reaper = Reaper()
later = _reaper.later
start = _reaper.start
flush = _reaper.flush


@atexit.register
def _at_exit() -> None:
    if not flush(EXIT_S):
        _log.debug("endings were left when the interpreter ended")


def _after_fork() -> None:
    """The parent ends what is the parent's; a child begins with no endings, and no thread."""
    _reaper._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
