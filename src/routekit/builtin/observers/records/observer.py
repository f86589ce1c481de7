"""Keeps what `routekit spend` and `routekit report` show: one record per request, written beside the requests."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from pydantic import Field

from routekit.builtin.observers.records.store import FILE
from routekit.builtin.observers.records.writer import RecordsWriter, writer_of
from routekit.plugin import Observer, ObserverPlugin, Options, PluginContext
from routekit.types import NO_USAGE, CallRecord, Event, RequestEnded


class RecordsOptions(Options):
    """Records older than `keep_days` are deleted, once per start of a program."""

    keep_days: float = Field(default=90, gt=0)


class RecordsObserver(Observer):
    """Hands each ended request to the thread that writes for this process. Never waits, and never fails a request.

    Where the disk cannot be written, or is too slow for longer than the queue holds, records are left
    out; that is logged once and counted in the file. A killed program loses those of the last quarter of a second;
    what it spent is in the ledger all the same.
    """

    def __init__(self, file: str | Path, **options: object) -> None:
        self.options = RecordsOptions.checked(dict(options), where="records")
        self._file = Path(file)
        self._writer: RecordsWriter | None = None
        self._pid = 0

    def __call__(self, event: Event) -> None:
        if not isinstance(event, RequestEnded):
            return
        writer = self._writer
        if writer is None or self._pid != os.getpid():
            writer = self._joined()
        writer.write(partial(record_of, event))

    def close(self) -> None:
        """Writes what is left, for a few seconds at most."""
        writer, self._writer = self._writer, None
        if writer is not None and self._pid == os.getpid():
            writer.leave(self)

    def _joined(self) -> RecordsWriter:
        self._pid = os.getpid()
        writer = self._writer = writer_of(self._file, self)
        writer.keep_days(self.options.keep_days)
        return writer


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
