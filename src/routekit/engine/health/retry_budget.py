"""How many retries a provider may get, so that retries do not turn its trouble into an outage.

Two rules, and a retry needs both. The token bucket of gRPC (proposal A6, "retry throttling"): 10
tokens, a failure takes one, a success gives 0.1 back, no retry at half or below. And the share of
Envoy's retry budget: retries at most 20 % of the active calls, though 3 are always allowed. A retry
is charged when it is scheduled, so that those that still back off count too.
"""

from __future__ import annotations

import threading

from routekit.plugin import reset_after_fork

TENTHS_MAX = 100
TENTHS_PER_SUCCESS = 1
TENTHS_PER_FAILURE = 10
"""The bucket counts in tenths of a token: ten times 0.1 is one, exactly."""

ACTIVE_PER_RETRY = 5
RETRIES_ALWAYS = 3


class _Record:
    __slots__ = ("active", "retries", "tenths")

    def __init__(self) -> None:
        self.active = 0
        self.retries = 0
        self.tenths = TENTHS_MAX


class RetryBudget:
    """Counts per provider. A retry asks a provider again that failed earlier in the same request.

    Every `started` ends with `succeeded`, `failed` or `left`; every `allows_retry` that said yes ends
    with `retry_ended`. Safe in threads and tasks: one short lock, never held while anything waits.
    """

    def __init__(self) -> None:
        # Re-entrant: an abandoned coroutine ends its call wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._records: dict[str, _Record] = {}
        reset_after_fork(self)

    def after_fork(self) -> None:
        """What is under way ends in the parent."""
        self._lock = threading.RLock()
        for record in self._records.values():
            record.active = record.retries = 0

    def allows_retry(self, provider: str) -> bool:
        """Takes a retry, or says that there is none to take. Never waits."""
        with self._lock:
            record = self._record(provider)
            if record.tenths * 2 <= TENTHS_MAX:
                return False
            # In whole numbers: the next one must fit into the share, or into what is always allowed.
            if record.retries >= RETRIES_ALWAYS and (record.retries + 1) * ACTIVE_PER_RETRY > record.active:
                return False
            record.retries += 1
            return True

    def retry_ended(self, provider: str) -> None:
        """A retry is over: answered, failed, or given up before it was sent."""
        with self._lock:
            record = self._record(provider)
            record.retries = max(0, record.retries - 1)

    def started(self, provider: str) -> None:
        """A call is under way, first or retry."""
        with self._lock:
            self._record(provider).active += 1

    def succeeded(self, provider: str) -> None:
        """A call ended well."""
        with self._lock:
            record = self._record(provider)
            record.active = max(0, record.active - 1)
            if record.tenths < TENTHS_MAX:
                record.tenths = min(TENTHS_MAX, record.tenths + TENTHS_PER_SUCCESS)

    def failed(self, provider: str) -> None:
        """A call ended in a failure that speaks against the provider."""
        with self._lock:
            record = self._record(provider)
            record.active = max(0, record.active - 1)
            record.tenths = max(0, record.tenths - TENTHS_PER_FAILURE)

    def left(self, provider: str) -> None:
        """A call ended without a lesson: cancelled, or the request's own fault."""
        with self._lock:
            record = self._record(provider)
            record.active = max(0, record.active - 1)

    def _record(self, provider: str) -> _Record:
        record = self._records.get(provider)
        if record is None:
            record = self._records[provider] = _Record()
        return record
