"""Who writes records: one thread per process and file, for as long as there is something to write."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from routekit.builtin.observers.records.store import DAY_S, RecordStore
from routekit.types import CallRecord

GATHER_S = 0.25
"""Records that end within so many seconds are written together."""

LINGER_S = 2.0
"""How long the thread waits for more before it ends and closes the file."""

QUEUE_MOST = 20_000
CLOSE_S = 5.0
_log = logging.getLogger("routekit.records")

Made = Callable[[], CallRecord]
"""What makes the record, on the thread that writes it."""

_writers: weakref.WeakValueDictionary[str, RecordsWriter] = weakref.WeakValueDictionary()
_finding = threading.Lock()
_kept_days: set[tuple[str, float]] = set()


class RecordsWriter:
    """Never makes a request wait, and never fails one. What cannot be written is left out, counted, and said once.

    The thread starts with the first record and ends when nothing comes for a while, so that routers that are dropped
    without a close leave nothing behind.
    """

    def __init__(self, file: str) -> None:
        self._store = RecordStore(file)
        self._file = file
        self._owners: weakref.WeakSet[object] = weakref.WeakSet()
        self._queue: queue.SimpleQueue[Made | threading.Event | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._running = False
        self._left_out = 0
        self._forget_days: float | None = None
        self._complained = False
        self._pid = os.getpid()

    def join(self, owner: object) -> None:
        with self._starting:
            self._owners.add(owner)

    def write(self, made: Made) -> None:
        """Takes a record. Never waits."""
        if self._queue.qsize() >= QUEUE_MOST:
            self._left_out += 1
            self._complain("the disk is too slow")
            return
        self._queue.put(made)
        if not self._running:
            self._start()

    def leave(self, owner: object) -> None:
        """Waits until what was told is written, for a few seconds at most; with the last owner the thread ends."""
        if self._pid != os.getpid():
            return
        with self._starting:
            self._owners.discard(owner)
            last, thread = not self._owners, self._thread
        if not self._running or thread is None or thread is threading.current_thread():
            return
        written = threading.Event()
        self._queue.put(written)
        written.wait(CLOSE_S)
        if last:
            self._queue.put(None)
            thread.join(CLOSE_S)

    def keep_days(self, days: float) -> None:
        """What is older is deleted with the next record, once per program."""
        if (self._file, days) not in _kept_days:
            _kept_days.add((self._file, days))
            self._forget_days = days

    def _start(self) -> None:
        with self._starting:
            if not self._running:
                self._running = True
                self._thread = threading.Thread(target=self._run, name="routekit-records", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is ending
                    self._running = False

    def _run(self) -> None:
        while True:
            self._write_all()
            self._running = False
            # Whoever put something since then saw either this, and starts a thread, or its record is seen here.
            if self._queue.empty():
                break
            with self._starting:
                if self._running:
                    return  # another thread was started
                self._running = True
        self._store.close()

    def _write_all(self) -> None:
        """Writes what comes, until nothing does for a while."""
        over = False
        while not over:
            try:
                first = self._queue.get(timeout=LINGER_S)
            except queue.Empty:
                return
            batch, waiting, over = self._gathered(first)
            if batch or self._left_out:
                self._write(batch)
            for written in waiting:
                written.set()

    def _gathered(self, first: Made | threading.Event | None) -> tuple[list[Made], list[threading.Event], bool]:
        """Records that come close together, who waits for them, and whether the end was told."""
        batch: list[Made] = []
        waiting: list[threading.Event] = []
        found: Made | threading.Event | None = first
        until = time.monotonic() + GATHER_S
        while True:
            if found is None:
                return batch, waiting, True
            if isinstance(found, threading.Event):
                waiting.append(found)
                until = 0.0  # somebody waits: what is there already is all
            else:
                batch.append(found)
            try:
                found = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return batch, waiting, False

    def _write(self, batch: list[Made]) -> None:
        records: list[CallRecord] = []
        for made in batch:
            try:
                records.append(made())
            except Exception as error:
                self._left_out += 1
                self._complain(f"{type(error).__name__}: {error}")
        left_out, self._left_out = self._left_out, 0
        try:
            dropped = self._store.add(records, left_out=left_out)
            left_out, records, days = 0, [], self._forget_days
            if days is not None:
                self._store.forget_before(time.time() - days * DAY_S)
                self._forget_days = None
        except Exception as error:
            self._left_out += left_out + len(records)
            self._complain(f"{type(error).__name__}: {error}")
            with contextlib.suppress(Exception):
                self._store.close()
            return
        if dropped:
            self._complain(f"{dropped} of them cannot be written")

    def _complain(self, why: str) -> None:
        if not self._complained:
            _log.warning("records of requests are left out: %s", why)
        self._complained = True


def writer_of(file: Path, owner: object) -> RecordsWriter:
    """The writer that all owners in this process have together."""
    path = os.path.realpath(file)
    with _finding:
        found = _writers.get(path)
        if found is None:
            found = _writers[path] = RecordsWriter(path)
        found.join(owner)
        return found


def _after_in_child() -> None:
    """The parent's writers write the parent's records."""
    global _finding
    _finding = threading.Lock()
    _writers.clear()
    _kept_days.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
