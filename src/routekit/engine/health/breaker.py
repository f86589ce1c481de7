"""The circuit breaker of one deployment. Pure bookkeeping: its owner brings the time and holds a lock.

Ejection by five failures in a row, three timeouts in a row, or half of at least ten calls in 30 s
(Envoy's outlier detection, Finagle's failure accrual), for a span that grows, is jittered and is never
shortened; then one probe at a time. A softer state, suspicion, turns new calls away from a place whose
calls have all gone quiet, before the first of them times out.

Every call carries its `Admission`. One that was let in before the last change of state belongs to
another era: it ends without a word in what happens now, however it ends.
"""

from __future__ import annotations

import random
from itertools import islice
from typing import Literal

from routekit.engine.health.latency import LatencyWindow
from routekit.engine.permit import Admission
from routekit.errors import ProviderError, ProviderTimeoutError

FAILURES_TO_EJECT = 5
TIMEOUTS_TO_EJECT = 3
RATE_CALLS, RATE_SHARE, RATE_SPAN_S = 10, 0.5, 30.0
"""Or when, of at least so many calls within so many seconds, this share failed."""

EJECTION_BASE_S, EJECTION_CAP_S = 5.0, 300.0
EJECTION_FLOOR_S, EJECTION_SHARE = 8.0, 0.25
"""Spans double, but no further than this share of the time since the first ejection (at least the floor).

Doubling alone keeps a place out for up to as long as it was down; so it is back within 10 s of a short
outage, and within a third of the length of a long one."""

JITTER = 0.2
FORGET_S = 600.0
"""So long after the last ejection, a success makes the next ejection a first one again."""

SILENT_CALLS, SILENCE_FACTOR, SILENCE_FLOOR_S, SILENCE_SAMPLES = 3, 3.0, 0.1, 10
"""Suspicion: so many calls without a sign of life for longer than so many p95, known from so many samples."""

SILENT = f"{SILENT_CALLS} calls have been silent for longer than {SILENCE_FACTOR:g} x its p95"

State = Literal["closed", "open", "half-open"]
Ticket = Literal["none", "issued", "used"]
_SLOTS = 10


class FailureRate:
    """Calls and failures of the last 30 s, in slots of 3 s: a call costs the same at every rate."""

    __slots__ = ("_calls", "_epochs", "_failures")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._epochs = [-1] * _SLOTS
        self._calls = [0] * _SLOTS
        self._failures = [0] * _SLOTS

    def add(self, now: float, failed: bool) -> None:
        epoch = int(now * (_SLOTS / RATE_SPAN_S))
        place = epoch % _SLOTS
        if self._epochs[place] != epoch:
            self._epochs[place], self._calls[place], self._failures[place] = epoch, 0, 0
        self._calls[place] += 1
        self._failures[place] += failed

    def counts(self, now: float) -> tuple[int, int]:
        """Calls, and how many of them failed."""
        oldest = int(now * (_SLOTS / RATE_SPAN_S)) - _SLOTS
        recent = [place for place in range(_SLOTS) if self._epochs[place] > oldest]
        return sum(self._calls[place] for place in recent), sum(self._failures[place] for place in recent)

    def too_high(self, now: float) -> bool:
        calls, failures = self.counts(now)
        return calls >= RATE_CALLS and failures >= RATE_SHARE * calls


class Breaker:
    """State, reason and calls of one deployment. Times are monotonic seconds.

    `until` is when an ejection ends; `failed_at` the last failure; `ticket` says whether the one call
    that an ejection allows as a last resort was offered or made. `quiet` holds the calls under way
    without a sign of life since the last success, oldest first. `epoch` counts forks.
    """

    __slots__ = (
        "_limit_at", "_limit_s", "by_credential", "ejections", "epoch", "era", "failed_at", "failures", "first_at",
        "in_flight", "name", "opened_at", "probe", "quiet", "rate", "reason", "scout", "span_s", "state", "ticket",
        "timeouts", "until", "window",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: State = "closed"
        self.reason = ""
        self.until = 0.0
        self.era = 0
        self.epoch = 0
        self.opened_at = 0.0
        self.first_at = 0.0
        self.failed_at = 0.0
        self.span_s = 0.0
        self.ejections = 0
        self.failures = 0
        self.timeouts = 0
        self.in_flight = 0
        self.by_credential = False
        self.ticket: Ticket = "none"
        self.probe: Admission | None = None
        self.scout: Admission | None = None
        self.quiet: dict[Admission, None] = {}
        self.rate = FailureRate()
        self.window = LatencyWindow()
        self._limit_s: float | None = None
        self._limit_at = 0.0

    def shut(self, now: float) -> str | None:
        """Why an ejected deployment may not be asked now; None where it may be, as a probe or at all."""
        if self.state == "closed":
            return None
        if self.probe is not None:
            return f"{self.reason}; a probe is under way"
        return f"{self.reason}; back in {self.until - now:.1f} s" if now < self.until else None

    def suspected(self, now: float) -> bool:
        """Whether its calls have gone quiet. A success or a first token anywhere clears it."""
        if len(self.quiet) < SILENT_CALLS or self.state != "closed":
            return False
        patience_s = self.patience_s(now)
        return patience_s is not None and now - next(islice(self.quiet, SILENT_CALLS - 1, None)).started > patience_s

    def patience_s(self, now: float) -> float | None:
        """How long a call is usually not silent, None while too few calls are known."""
        if self._limit_s is None or now - self._limit_at > 1.0:
            latency = self.window.read(now)
            known = latency is not None and latency.samples >= SILENCE_SAMPLES
            p95_s = latency.total_p95_s if latency is not None and known else None
            self._limit_s = None if p95_s is None else max(SILENCE_FLOOR_S, SILENCE_FACTOR * p95_s)
            self._limit_at = now
        return self._limit_s

    def hopeless(self, admission: Admission, now: float) -> bool:
        """Whether this call has been silent for too long at a place that has gone quiet or was ejected meanwhile.

        One slow call proves nothing: others must have gone quiet with it. A probe is waited for.
        """
        patience_s = self.patience_s(now)
        if patience_s is None or admission.probe or now - admission.started <= patience_s:
            return False
        return self.suspected(now) if admission.era == self.era else self.state != "closed"

    def enter(self, now: float) -> Admission | str:
        """Lets a call in, or says why not.

        Suspicion does not refuse here: it steers decisions, and a place that nobody can stand in for
        is asked all the same.
        """
        probe = self.state != "closed"
        if probe:
            why = self.shut(now)
            if why is not None and (self.probe is not None or self.ticket != "issued"):
                return why
            if why is not None:
                self.ticket = "used"
            self.state = "half-open"
        admission = Admission(self.name, now, self.era, probe, self.epoch)
        if probe:
            self.probe = admission
        elif self.scout is None and self.suspected(now):
            self.scout = admission
        self.in_flight += 1
        self.quiet[admission] = None
        return admission

    def progressed(self, admission: Admission) -> None:
        """A sign of life: a call has shown content."""
        if not admission.ended:
            self.quiet.clear()

    def succeeded(self, admission: Admission, now: float) -> bool:
        """A call ended well. True: the deployment is back."""
        if not self._ends(admission):
            return False
        self.quiet.clear()
        if admission.era != self.era:
            return False
        if admission.probe:
            self.close()
            return True
        self.rate.add(now, False)
        self.failures = self.timeouts = 0
        if self.ejections and now - self.opened_at > FORGET_S:
            self.ejections, self.span_s = 0, 0.0
        return False

    def failed(self, admission: Admission, error: ProviderError, now: float, rng: random.Random) -> bool:
        """A call ended in an upstream failure that speaks against the deployment. True: it is ejected."""
        if not self._ends(admission):
            return False
        self.failed_at = now
        if admission.era != self.era:
            return False
        kind = type(error).__name__
        if error.blame == "credential":
            self.open(now, f"{kind}: the credential is refused", rng, by_credential=True)
            return True
        if admission.probe:
            if now < self.until:  # a last resort that failed as well: the ejection goes on as it was
                self.state = "open"
                return False
            self.open(now, f"the probe failed ({kind})", rng)
            return True
        self.rate.add(now, True)
        self.failures += 1
        self.timeouts = self.timeouts + 1 if isinstance(error, ProviderTimeoutError) else 0
        if self.failures >= FAILURES_TO_EJECT or self.timeouts >= TIMEOUTS_TO_EJECT:
            self.open(now, f"{self.failures} failures in a row ({kind})", rng)
        elif self.rate.too_high(now):
            calls, failures = self.rate.counts(now)
            self.open(now, f"{failures} of {calls} calls failed in {RATE_SPAN_S:g} s ({kind})", rng)
        else:
            return False
        return True

    def left(self, admission: Admission) -> None:
        """A call ended without a lesson: after a probe the next caller probes again."""
        if self._ends(admission) and admission.probe and admission.era == self.era:
            self.state = "open"
            self.ticket = "none"

    def open(self, now: float, reason: str, rng: random.Random, *, by_credential: bool = False) -> None:
        """Ejects. A longer ejection that is under way stays as long as it is."""
        if self.ejections == 0:
            self.first_at = now
        lasted = max(EJECTION_FLOOR_S, EJECTION_SHARE * (now - self.first_at))
        base = min(EJECTION_CAP_S, lasted, EJECTION_BASE_S * 2.0 ** min(self.ejections, 16))
        self.span_s = max(self.span_s, min(EJECTION_CAP_S, base * rng.uniform(1 - JITTER, 1 + JITTER)))
        self.state, self.reason, self.by_credential = "open", reason, by_credential
        self.until = max(self.until, now + self.span_s)
        self.opened_at = self.failed_at = now
        self.ejections += 1
        self._new_era()

    def close(self) -> None:
        """Takes it back into rotation."""
        self.state, self.reason, self.by_credential = "closed", "", False
        self._new_era()

    def forget_calls(self) -> None:
        """The calls under way end in another process: they count here no more, and a probe may be made again."""
        self.in_flight = 0
        self.quiet.clear()
        self.scout = self.probe = None
        if self.state == "half-open":
            self.state = "open"
        if self.ticket == "issued":
            self.ticket = "none"
        self.epoch += 1

    def _new_era(self) -> None:
        self.era += 1
        self.failures = self.timeouts = 0
        self.ticket = "none"
        self.scout = None
        self.rate.clear()
        self.quiet.clear()

    def _ends(self, admission: Admission) -> bool:
        if admission.ended:
            return False
        admission.ended = True
        if admission.epoch != self.epoch:  # let in before a fork: it was forgotten
            return False
        self.in_flight -= 1
        self.quiet.pop(admission, None)
        if self.probe is admission:
            self.probe = None
        if self.scout is admission:
            self.scout = None
        return True
