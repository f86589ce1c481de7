"""Who may be asked now: breaker, limits, latency and calls in flight, per deployment.

The breaker ejects after consecutive failures, for a time that doubles with each ejection and is
jittered, never shortened; then lets exactly one probe through. The numbers are Envoy's outlier
detection and Finagle's failure accrual, adapted to calls that take seconds.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from routekit.engine.latency import LatencyWindow
from routekit.errors import ProviderError, ProviderTimeoutError
from routekit.types import Clock, Deployment, Latency, RejectionCode

FAILURES_TO_EJECT = 5
TIMEOUTS_TO_EJECT = 3
EJECTION_BASE_S, EJECTION_CAP_S = 5.0, 300.0
JITTER = 0.2
MINUTE_S = 60.0

State = Literal["closed", "open", "half-open"]
Changed = Callable[[Deployment, State, str], None]


class HealthRow(NamedTuple):
    """One deployment's state, as `Router.health()` shows it. `until` is seconds since 1970, or None."""

    deployment: str
    state: State
    reason: str
    until: float | None
    in_flight: int
    latency: Latency | None


class _Record:
    __slots__ = (
        "deployment", "ejections", "failures", "in_flight", "minute", "minute_tokens",
        "opened_at", "probing", "reason", "state", "timeouts", "until", "window",
    )  # fmt: skip

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.state: State = "closed"
        self.reason = ""
        self.until = 0.0
        self.opened_at = 0.0
        self.ejections = 0
        self.failures = 0
        self.timeouts = 0
        self.in_flight = 0
        self.probing = False
        self.window = LatencyWindow()
        self.minute: deque[tuple[float, int]] = deque()
        self.minute_tokens = 0


class Health:
    """Safe in threads and tasks: one short lock, never held while anything waits."""

    def __init__(
        self, deployments: Iterable[Deployment], clock: Clock, rng: random.Random, changed: Changed | None = None
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._changed = changed
        # Re-entrant: a forgotten stream gives back its permit wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._records = {deployment.name: _Record(deployment) for deployment in deployments}
        self._troubled: set[str] = set()
        self._limited = [
            record for record in self._records.values() if record.deployment.limits != type(record.deployment.limits)()
        ]

    def unavailable(self, tokens: int = 0) -> Mapping[str, tuple[RejectionCode, str]]:
        """Deployments that may not be asked now, with the reason. Usually empty, then free."""
        if not self._troubled and not self._limited:
            return {}
        now = self._clock.monotonic()
        found: dict[str, tuple[RejectionCode, str]] = {}
        with self._lock:
            for name in self._troubled:
                record = self._records[name]
                if now < record.until:
                    found[name] = ("health", f"{record.reason}; back in {record.until - now:.1f} s")
                elif record.probing:
                    found[name] = ("health", f"{record.reason}; a probe is under way")
            for record in self._limited:
                why = self._over_limit(record, tokens, now)
                if why is not None:
                    found.setdefault(record.deployment.name, ("limit", why))
        return found

    def admit(self, name: str, tokens: int = 0) -> str | None:
        """Takes a permit, or says why there is none. Every permit ends with `succeeded`, `failed` or `left`."""
        now = self._clock.monotonic()
        with self._lock:
            record = self._records[name]
            if record.state != "closed":
                if now < record.until:
                    return record.reason
                if record.probing:
                    return "a probe is under way"
                record.state, record.probing = "half-open", True
            if (why := self._over_limit(record, tokens, now)) is not None:
                if record.state == "half-open":
                    record.probing = False
                return why
            record.in_flight += 1
            if record.deployment.limits.rpm or record.deployment.limits.tpm:
                record.minute.append((now, tokens))
                record.minute_tokens += tokens
        return None

    def succeeded(self, name: str, *, total_s: float, ttft_s: float | None, output_tokens: int) -> None:
        """A permit ends well; an ejected deployment is back."""
        now = self._clock.monotonic()
        back = False
        with self._lock:
            record = self._records[name]
            record.in_flight -= 1
            record.window.add(now, ok=True, total_s=total_s, ttft_s=ttft_s, output_tokens=output_tokens)
            record.failures = record.timeouts = 0
            if record.state == "half-open":
                back = True
                record.state, record.reason, record.probing = "closed", "", False
                self._troubled.discard(name)
            elif record.ejections and record.state == "closed" and now - record.opened_at > 2 * EJECTION_CAP_S:
                record.ejections = 0
        if back and self._changed:
            self._changed(record.deployment, "closed", "a probe succeeded")

    def failed(self, name: str, error: ProviderError, *, total_s: float) -> None:
        """A permit ends in an upstream failure. Only what speaks against the deployment counts."""
        now = self._clock.monotonic()
        opened = False
        with self._lock:
            record = self._records[name]
            record.in_flight -= 1
            probe, record.probing = record.probing, False
            if error.blame not in ("deployment", "credential"):
                if probe:
                    record.state = "open"  # nothing was learnt: the next caller probes again
                return
            record.window.add(now, ok=False, total_s=total_s)
            record.failures += 1
            record.timeouts = record.timeouts + 1 if isinstance(error, ProviderTimeoutError) else 0
            if error.blame == "credential":
                opened = self._open(record, now, f"{type(error).__name__}: the credential is refused")
            elif record.state == "half-open":
                opened = self._open(record, now, f"the probe failed ({type(error).__name__})")
            elif record.state == "closed" and (
                record.failures >= FAILURES_TO_EJECT or record.timeouts >= TIMEOUTS_TO_EJECT
            ):
                opened = self._open(record, now, f"{record.failures} failures in a row ({type(error).__name__})")
        if opened and self._changed:
            self._changed(record.deployment, "open", record.reason)

    def left(self, name: str) -> None:
        """A permit ends without a lesson: the caller went away."""
        with self._lock:
            record = self._records[name]
            record.in_flight -= 1
            if record.probing:
                record.probing = False
                record.state = "open"

    def latencies(self) -> dict[str, Latency]:
        """Figures of every deployment with recent calls."""
        now = self._clock.monotonic()
        with self._lock:
            return {
                name: latency
                for name, record in self._records.items()
                if (latency := record.window.read(now)) is not None
            }

    def in_flight(self) -> dict[str, int]:
        """Calls under way, where there are any."""
        with self._lock:
            return {name: record.in_flight for name, record in self._records.items() if record.in_flight}

    def rows(self) -> list[HealthRow]:
        """Everything, for people."""
        now, wall = self._clock.monotonic(), self._clock.time()
        with self._lock:
            return [
                HealthRow(
                    name,
                    record.state,
                    record.reason,
                    wall + record.until - now if record.until > now else None,
                    record.in_flight,
                    record.window.read(now),
                )
                for name, record in self._records.items()
            ]

    def retry_at(self, names: Iterable[str]) -> float | None:
        """Seconds until the first of these ejected deployments may be probed; None where none is ejected."""
        now = self._clock.monotonic()
        with self._lock:
            waits = [max(0.0, self._records[n].until - now) for n in names if self._records[n].state != "closed"]
        return min(waits, default=None)

    def _open(self, record: _Record, now: float, reason: str) -> bool:
        base = min(EJECTION_CAP_S, EJECTION_BASE_S * 2.0**record.ejections)
        span = min(EJECTION_CAP_S, base * self._rng.uniform(1 - JITTER, 1 + JITTER))
        record.state, record.reason = "open", reason
        record.until = max(record.until, now + span)
        record.opened_at = now
        record.ejections += 1
        record.failures = record.timeouts = 0
        self._troubled.add(record.deployment.name)
        return True

    def _over_limit(self, record: _Record, tokens: int, now: float) -> str | None:
        limits = record.deployment.limits
        if limits.concurrency is not None and record.in_flight >= limits.concurrency:
            return f"{limits.concurrency} calls are under way, its limit"
        if limits.rpm is None and limits.tpm is None:
            return None
        minute = record.minute
        while minute and now - minute[0][0] >= MINUTE_S:
            record.minute_tokens -= minute.popleft()[1]
        if limits.rpm is not None and len(minute) >= limits.rpm:
            return f"its limit of {limits.rpm} requests per minute is used up"
        if limits.tpm is not None and record.minute_tokens + tokens > limits.tpm:
            return f"its limit of {limits.tpm} tokens per minute is used up"
        return None
