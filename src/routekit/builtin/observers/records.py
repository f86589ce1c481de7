"""Keeps what `routekit spend` and `routekit report` show: one record per request, written beside the requests."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from pathlib import Path

from pydantic import Field

from routekit.builtin.observers.recordstore import DAY_S, FILE, RecordStore
from routekit.plugin import Observer, ObserverPlugin, Options, PluginContext
from routekit.types import NO_USAGE, CallRecord, Event, RequestEnded

GATHER_S = 0.25
"""Records that end within so many seconds are written together."""

QUEUE_MOST = 20_000
CLOSE_S = 5.0
_log = logging.getLogger("routekit.records")


class RecordsOptions(Options):
    """Records older than `keep_days` are deleted, once per start of a program."""

    keep_days: float = Field(default=90, gt=0)


class RecordsObserver(Observer):
    """Hands each ended request to a thread that writes. Never waits, and never fails a request.

    Where the disk cannot be written, or is too slow for longer than the queue holds, records are left
    out; that is logged once. A killed program loses those of the last quarter of a second; what it spent
    is in the ledger all the same.
    """

    def __init__(self, file: str | Path, **options: object) -> None:
        self.options = RecordsOptions.checked(dict(options), where="records")
        self._store = RecordStore(file)
        self._queue: queue.Queue[RequestEnded | None] = queue.Queue(QUEUE_MOST)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._complained = False

    def __call__(self, event: Event) -> None:
        if not isinstance(event, RequestEnded):
            return
        if self._thread is None or self._pid != os.getpid():
            self._start()
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._complain("the disk is too slow")

    def close(self) -> None:
        """Writes what is left, for a few seconds at most."""
        thread = self._thread
        if thread is None or self._pid != os.getpid():
            return
        self._thread = None
        try:
            self._queue.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        thread.join(CLOSE_S)

    def _start(self) -> None:
        with self._lock:
            if self._pid != os.getpid():  # a forked child has the queue, and not the thread
                self._queue, self._pid, self._thread = queue.Queue(QUEUE_MOST), os.getpid(), None
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="routekit-records", daemon=True)
                self._thread.start()

    def _write(self) -> None:
        events, first = self._queue, True
        over = False
        while not over:
            batch = [events.get()]
            until = time.monotonic() + GATHER_S
            while batch[-1] is not None and (left_s := until - time.monotonic()) > 0:
                try:
                    batch.append(events.get(timeout=left_s))
                except queue.Empty:
                    break
            over = batch[-1] is None
            try:
                self._store.add([record_of(event) for event in batch if event is not None])
                if first:
                    self._store.forget_before(time.time() - self.options.keep_days * DAY_S)
                    first = False
            except Exception as error:
                self._complain(f"{type(error).__name__}: {error}")
                self._store.close()
        self._store.close()

    def _complain(self, why: str) -> None:
        if not self._complained:
            _log.warning("records of requests are left out: %s", why)
        self._complained = True


def record_of(event: RequestEnded) -> CallRecord:
    """What is kept of a request."""
    result, error, request = event.result, event.error, event.request
    attempts = event.attempts
    decision = result.decision if result is not None else event.decision
    deployment = result.deployment if result is not None else None
    return CallRecord(
        id=event.request_id,
        at=event.at,
        outcome="ok" if error is None else type(error).__name__,
        strategy=decision.strategy if decision is not None else "-",
        deployment=deployment.name if deployment is not None else None,
        model=(result.model or None) if result is not None else None,
        provider=deployment.provider if deployment is not None else None,
        cache=result.cache if result is not None else "miss",
        scopes=dict(request.scopes) if request is not None else {},
        cost_nanos=sum(attempt.cost.nanos for attempt in attempts),
        cost_known=all(attempt.cost_known for attempt in attempts),
        savings=result.savings if result is not None else None,
        usage=result.usage if result is not None else NO_USAGE,
        ttft_s=result.ttft_s if result is not None else None,
        duration_s=event.duration_s,
        fallbacks=max(0, sum(attempt.role != "judge" for attempt in attempts) - 1),
        attempts=tuple(attempt.to_dict() for attempt in attempts),
        decision=decision.to_dict() if decision is not None else {},
    )


def _make(options: RecordsOptions, context: PluginContext) -> RecordsObserver:
    return RecordsObserver(context.home / FILE, **options.model_dump())


PLUGIN = ObserverPlugin(
    name="records",
    factory=_make,
    options=RecordsOptions,
    summary="One record per request under ROUTEKIT_HOME, for `routekit spend` and `routekit report`; no messages.",
)
