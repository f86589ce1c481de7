"""Calls that an overloaded deployment would refuse anyway are refused here, and cost it nothing.

Adaptive throttling on the client's side, from "Handling Overload" in Google's "Site Reliability
Engineering" (2016): over the last two minutes a call is rejected with probability
``max(0, (requests - K * accepts) / (requests + 1))``, where requests include those rejected here.
"""

from __future__ import annotations

import random
import threading
from collections import deque

from routekit.errors import ProviderError, ProviderUnavailableError, RateLimitError
from routekit.plugin import new_lock_after_fork
from routekit.types import Clock

K = 2
"""How many requests are sent for each that is accepted: at 2 a recovery is seen soon."""

BUCKET_S, BUCKETS = 10.0, 12
REQUESTS_MIN = 10
OVERLOAD_STATUSES = frozenset({429, 503, 529})


def is_overload(error: ProviderError) -> bool:
    """Whether the provider said that it is asked too much; any other failure counts as accepted."""
    if isinstance(error, RateLimitError):
        return True
    return isinstance(error, ProviderUnavailableError) and error.status in OVERLOAD_STATUSES


def reject_probability(requests: int, accepts: int) -> float:
    """0 up to below 1."""
    if requests < REQUESTS_MIN:
        return 0.0
    return max(0.0, (requests - K * accepts) / (requests + 1))


class _Bucket:
    __slots__ = ("accepts", "number", "requests")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests = 0
        self.accepts = 0


class _Record:
    __slots__ = ("accepts", "buckets", "requests")

    def __init__(self) -> None:
        self.buckets: deque[_Bucket] = deque()
        self.requests = 0
        self.accepts = 0


class Throttle:
    """Counts per deployment. Safe in threads and tasks: one short lock, never held while anything waits."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._lock = threading.RLock()
        self._records: dict[str, _Record] = {}
        self._refused: set[str] = set()  # who refused within the window; usually empty, then all is free
        new_lock_after_fork(self)

    def rejects(self, name: str) -> bool:
        """Whether this call is not to be sent. A rejection counts as a request: ask once for each call."""
        if name not in self._refused:
            return False
        number = int(self._clock.monotonic() // BUCKET_S)
        with self._lock:
            record = self._records[name]
            self._forget(record, number)
            if record.requests == record.accepts:
                self._refused.discard(name)
                return False
            probability = reject_probability(record.requests, record.accepts)
            if probability <= 0.0 or self._rng.random() >= probability:
                return False
            self._bucket(record, number).requests += 1
            record.requests += 1
            return True

    def record(self, name: str, accepted: bool) -> None:
        """A call that was sent ended; not `accepted` where `is_overload` says so."""
        number = int(self._clock.monotonic() // BUCKET_S)
        with self._lock:
            record = self._records.get(name)
            if record is None:
                record = self._records[name] = _Record()
            bucket = self._bucket(record, number)
            bucket.requests += 1
            record.requests += 1
            if accepted:
                bucket.accepts += 1
                record.accepts += 1
            else:
                self._refused.add(name)

    def _bucket(self, record: _Record, number: int) -> _Bucket:
        buckets = record.buckets
        # Not older than the last one: another thread may have read the clock just before us.
        if buckets and buckets[-1].number >= number:
            return buckets[-1]
        self._forget(record, number)
        bucket = _Bucket(number)
        buckets.append(bucket)
        return bucket

    @staticmethod
    def _forget(record: _Record, number: int) -> None:
        buckets = record.buckets
        while buckets and buckets[0].number <= number - BUCKETS:
            old = buckets.popleft()
            record.requests -= old.requests
            record.accepts -= old.accepts
