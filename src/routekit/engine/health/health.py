"""Who may be asked now: breakers, limits, latency and calls in flight, of all deployments.

What one deployment's breaker does is in `breaker`; here is what concerns several: a credential that is
refused ejects every deployment that uses it, a probe has its slot in all processes of one home, and
where too much is ejected there are places of last resort.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from routekit.engine.health.breaker import SILENT, SILENT_CALLS, Breaker, State
from routekit.engine.health.credentials import credential_of
from routekit.engine.health.limits import _Place
from routekit.engine.health.probes import Probes
from routekit.engine.permit import Admission
from routekit.errors import ProviderError
from routekit.plugin import reset_after_fork
from routekit.types import Clock, Deployment, Latency, RejectionCode

ELSEWHERE = "ejected elsewhere"
"""How the reason of an ejection begins that another machine made."""

Changed = Callable[[Deployment, State, str], None]


class HealthRow(NamedTuple):
    """One deployment's state, as `Router.health()` shows it. `until` is seconds since 1970, or None."""

    deployment: str
    state: State
    reason: str
    until: float | None
    in_flight: int
    latency: Latency | None
    ejections: int = 0


class Refusal(NamedTuple):
    """Why a call is not let in."""

    code: RejectionCode
    reason: str


class LastResort(NamedTuple):
    """Places that are avoided but may be asked: those merely `suspected`; then the `ejected`, by oldest failure."""

    suspected: tuple[str, ...]
    ejected: tuple[str, ...]


class Health:
    """Safe in threads and tasks: one short lock, never held while anything waits.

    A call is let in by `enter` and ends with `succeeded`, `failed` or `left`, on every path. Where its
    `Admission` is not at hand, `admit` and the deployment's name do; calls are then taken to end in
    the order in which they began.
    """

    def __init__(
        self,
        deployments: Iterable[Deployment],
        clock: Clock,
        rng: random.Random,
        changed: Changed | None = None,
        *,
        probes: Probes | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self._probes = probes or Probes()
        # Re-entrant: an abandoned coroutine gives back its permit wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._places = {deployment.name: _Place(deployment) for deployment in deployments}
        self._limited = [place for place in self._places.values() if place.limited]
        self._unnamed: dict[str, deque[Admission]] = {}
        self._ejected: set[str] = set()
        self._crowded: set[str] = set()  # enough calls under way that they could all have gone quiet
        self._sharing: dict[object, list[_Place]] = {}
        for place in self._places.values():
            if (credential := credential_of(place.deployment)) is not None:
                self._sharing.setdefault(credential, []).append(place)
        reset_after_fork(self)

    def after_fork(self) -> None:
        """The calls and the waiting requests are the parent's; what was learnt about deployments is kept."""
        self._lock = threading.RLock()
        self._crowded.clear()
        for place in self._places.values():
            place.breaker.forget_calls()
            place.queue.clear()

    def unavailable(self, tokens: int = 0, ticket: int | None = None) -> Mapping[str, tuple[RejectionCode, str]]:
        """Deployments that should not be asked now, with the reason. Usually empty, then free.

        `ticket` is the request's place in the queue, None where it has not waited.
        """
        if not self._ejected and not self._limited and not self._crowded:
            return {}
        now = self._clock.monotonic()
        found: dict[str, tuple[RejectionCode, str]] = {}
        with self._lock:
            for name in tuple(self._ejected):
                if (why := self._places[name].breaker.shut(now)) is not None:
                    found[name] = ("health", why)
            for name in tuple(self._crowded):
                breaker = self._places[name].breaker
                if breaker.scout is not None and breaker.suspected(now):
                    found[name] = ("health", SILENT)
            for place in self._limited:
                if (why := place.over_limit(tokens, now, ticket)) is not None:
                    found.setdefault(place.deployment.name, ("limit", why))
        return found

    def knows(self, name: str) -> bool:
        """Whether it is one of the configured deployments."""
        return name in self._places

    def enter(self, name: str, tokens: int = 0, ticket: int | None = None) -> Admission | Refusal:
        """Lets a call of so many input tokens in, or says why not. Who came first goes first, by `ticket`."""
        now = self._clock.monotonic()
        with self._lock:
            place = self._places[name]
            if place.limited and (why := place.over_limit(tokens, now, ticket)) is not None:
                return Refusal("health", shut) if (shut := place.breaker.shut(now)) else Refusal("limit", why)
            entered = place.breaker.enter(now)
            if isinstance(entered, str):
                return Refusal("health", entered)
            if place.limited:
                place.count(tokens, now)
            self._watch(place.breaker)
        # Outside the lock: this may touch a file. Until it is clear, the breaker counts the probe as made.
        if entered.probe and not self._probes.take(place.slot):
            with self._lock:
                place.breaker.left(entered)
                if (now, tokens) in place.minute:
                    place.minute.remove((now, tokens))
                    place.minute_tokens -= tokens
            return Refusal("health", f"{place.breaker.reason}; another process probes it")
        return entered

    def heard(self, slot: str, until: float, reason: str) -> None:
        """Another machine has ejected the deployment in this slot, until then (seconds since 1970)."""
        left_s = until - self._clock.time()
        now = self._clock.monotonic()
        with self._lock:
            place = next((place for place in self._places.values() if place.slot == slot), None)
            if place is None or left_s <= 0 or place.breaker.state != "closed":
                return
            place.breaker.open(now, f"{ELSEWHERE}: {reason}", self._rng)
            place.breaker.until = now + left_s
            self._ejected.add(place.deployment.name)
            self._watch(place.breaker)
        self._tell(place, "open", place.breaker.reason)

    def ends_at(self, name: str) -> float:
        """When this deployment's ejection ends, in seconds since 1970."""
        with self._lock:
            return self._clock.time() + max(0.0, self._places[name].breaker.until - self._clock.monotonic())

    def refuses(self, name: str, in_s: float = 0.0) -> Refusal | None:
        """Why a call that begins in so many seconds would not be let in, as far as is known; takes nothing."""
        with self._lock:
            breaker = self._places[name].breaker
            why = None if breaker.ticket == "issued" else breaker.shut(self._clock.monotonic() + in_s)
            return None if why is None else Refusal("health", why)

    def admit(self, name: str, tokens: int = 0) -> str | None:
        """Like `enter`, for who tells calls apart by name only. None: the call is let in."""
        entered = self.enter(name, tokens)
        if isinstance(entered, Refusal):
            return entered.reason
        with self._lock:
            self._unnamed.setdefault(name, deque()).append(entered)
        return None

    def progressed(self, call: Admission) -> None:
        """A stream has shown content: its deployment is not silent."""
        with self._lock:
            breaker = self._places[call.name].breaker
            breaker.progressed(call)
            self._watch(breaker)

    def succeeded(
        self,
        call: Admission | str,
        *,
        total_s: float,
        ttft_s: float | None,
        output_tokens: int,
        input_tokens: int = 0,
        gap_s: float | None = None,
    ) -> None:
        """A call ended well; a probe that does brings its deployment back. `gap_s`: its longest pause."""
        now = self._clock.monotonic()
        with self._lock:
            call = self._call(call)
            place = self._places[call.name]
            breaker = place.breaker
            if call.ended:
                return
            returned = breaker.succeeded(call, now)
            breaker.window.add(
                now, ok=True, total_s=total_s, ttft_s=ttft_s, output_tokens=output_tokens,
                input_tokens=input_tokens, gap_s=gap_s,
            )  # fmt: skip
            back = [place, *self._relieved(place, now)] if returned else ()
            for each in back:
                self._ejected.discard(each.deployment.name)
            self._watch(breaker)
        self._ended(call)
        for each in back:
            self._tell(each, "closed", "a probe succeeded")

    def failed(self, call: Admission | str, error: ProviderError, *, total_s: float) -> None:
        """A call ended in an upstream failure. Only what speaks against the deployment or its key counts."""
        if error.blame not in ("deployment", "credential"):
            self.left(call)
            return
        now = self._clock.monotonic()
        opened: list[_Place] = []
        with self._lock:
            call = self._call(call)
            place = self._places[call.name]
            if call.ended:
                return
            place.breaker.window.add(now, ok=False, total_s=total_s)
            if place.breaker.failed(call, error, now, self._rng):
                opened.append(place)
                if error.blame == "credential":
                    opened += self._refused(place, now)
            for each in opened:
                self._ejected.add(each.deployment.name)
            self._watch(place.breaker)
        self._ended(call)
        for each in opened:
            self._tell(each, "open", each.breaker.reason)

    def left(self, call: Admission | str) -> None:
        """A call ended without a lesson: the caller went away, or nothing upstream was to blame."""
        with self._lock:
            call = self._call(call)
            if call.ended:
                return
            breaker = self._places[call.name].breaker
            breaker.left(call)
            self._watch(breaker)
        self._ended(call)

    def last_resort(self, names: Iterable[str]) -> LastResort:
        """Which of these unavailable deployments may be asked all the same, where nobody better is left.

        The suspected ones always. An ejected one once per ejection, one call at a time: asking it again
        and again is what ejection is there to prevent. Never one whose credential is refused.
        """
        now = self._clock.monotonic()
        suspected: list[str] = []
        ejected: list[tuple[float, str]] = []
        with self._lock:
            for name in names:
                breaker = self._places[name].breaker
                if breaker.state == "closed":
                    suspected.append(name)
                elif breaker.probe is None and breaker.ticket != "used" and not breaker.by_credential:
                    if breaker.shut(now) is not None:
                        breaker.ticket = "issued"
                    ejected.append((breaker.failed_at, name))
        return LastResort(tuple(suspected), tuple(name for _, name in sorted(ejected)))

    def returns_in_s(self, names: Iterable[str]) -> float | None:
        """Seconds until the first of these deployments may be probed; None where none is ejected."""
        now = self._clock.monotonic()
        with self._lock:
            breakers = [self._places[name].breaker for name in names]
            return min((max(0.0, b.until - now) for b in breakers if b.state != "closed"), default=None)

    def retry_at(self, names: Iterable[str]) -> float:
        """When the first of these deployments may be asked again, in seconds since 1970; now, where one may be."""
        return self._clock.time() + (self.returns_in_s(names) or 0.0)

    def queued(self, names: Iterable[str], ticket: int, tokens: int) -> bool:
        """A request waits for one of these deployments from now on; True: one has room for it already."""
        now = self._clock.monotonic()
        room = False
        with self._lock:
            for name in names:
                place = self._places[name]
                room = room or (place.over_limit(tokens, now, ticket) is None and place.breaker.shut(now) is None)
                place.queue[ticket] = tokens
        return room

    def unqueued(self, names: Iterable[str], ticket: int) -> None:
        """A request waits no more."""
        with self._lock:
            for name in names:
                self._places[name].queue.pop(ticket, None)

    def can_ever_take(self, name: str, tokens: int) -> bool:
        """Whether a call of that size fits into an empty minute of the deployment."""
        return self._places[name].can_ever_take(tokens)

    def frees_in_s(self, names: Iterable[str], tokens: int, ticket: int | None = None) -> float | None:
        """Seconds until the first of these deployments has room by its limits per minute.

        Those who wait with an earlier ticket come first. None: a call must end.
        """
        now = self._clock.monotonic()
        with self._lock:
            waits = [self._places[name].frees_in_s(tokens, now, ticket) for name in names]
        return None if None in waits else min((wait for wait in waits if wait is not None), default=None)

    def places(self, names: Iterable[str]) -> tuple[int, int]:
        """Calls under way at these deployments, and how many may be at once (those without a limit left out)."""
        with self._lock:
            found = [self._places[name] for name in names]
            bounded = [(p.breaker.in_flight, c) for p in found if (c := p.deployment.limits.concurrency) is not None]
        return sum(busy for busy, _ in bounded), sum(most for _, most in bounded)

    def latencies(self) -> dict[str, Latency]:
        """Figures of every deployment with recent calls."""
        now = self._clock.monotonic()
        with self._lock:
            return {
                name: latency
                for name, place in self._places.items()
                if (latency := place.breaker.window.read(now)) is not None
            }

    def typical(self, name: str, input_tokens: int) -> Latency | None:
        """What calls with prompts of about this size take at a deployment, or all, where few are known."""
        now = self._clock.monotonic()
        with self._lock:
            return self._places[name].breaker.window.typical(now, input_tokens)

    def patience_s(self, name: str) -> float | None:
        """How long a deployment's calls are usually not silent; None while too few are known."""
        now = self._clock.monotonic()
        with self._lock:
            return self._places[name].breaker.patience_s(now)

    def hopeless(self, call: Admission) -> bool:
        """Whether a call under way that showed nothing so far should be given up for somebody else."""
        now = self._clock.monotonic()
        with self._lock:
            return self._places[call.name].breaker.hopeless(call, now)

    def in_flight(self) -> dict[str, int]:
        """Calls under way, where there are any."""
        with self._lock:
            return {name: n for name, place in self._places.items() if (n := place.breaker.in_flight)}

    def rows(self) -> list[HealthRow]:
        """Everything, for people."""
        now, wall = self._clock.monotonic(), self._clock.time()
        with self._lock:
            return [
                HealthRow(
                    name,
                    breaker.state,
                    SILENT if breaker.suspected(now) else breaker.reason,
                    wall + breaker.until - now if breaker.state != "closed" and breaker.until > now else None,
                    breaker.in_flight,
                    breaker.window.read(now),
                    breaker.ejections,
                )
                for name, breaker in ((name, place.breaker) for name, place in self._places.items())
            ]

    def _call(self, call: Admission | str) -> Admission:
        return self._unnamed[call].popleft() if isinstance(call, str) else call

    def _refused(self, place: _Place, now: float) -> list[_Place]:
        """Ejects the others with the same credential, for as long."""
        opened = []
        for other in self._sharing.get(credential_of(place.deployment), ()):
            if other is not place and other.breaker.state == "closed":
                why = f"{place.breaker.reason} (at {place.deployment.name})"
                other.breaker.open(now, why, self._rng, by_credential=True)
                other.breaker.until = max(other.breaker.until, place.breaker.until)
                opened.append(other)
        return opened

    def _relieved(self, place: _Place, now: float) -> list[_Place]:
        """Others with the same credential, ejected for it only, whose time is over: it is accepted again."""
        back = []
        for other in self._sharing.get(credential_of(place.deployment), ()):
            breaker = other.breaker
            if breaker.by_credential and breaker.probe is None and breaker.shut(now) is None:
                breaker.close()
                back.append(other)
        return back

    def _watch(self, breaker: Breaker) -> None:
        if len(breaker.quiet) >= SILENT_CALLS:
            self._crowded.add(breaker.name)
        else:
            self._crowded.discard(breaker.name)

    def _ended(self, call: Admission) -> None:
        if call.probe:
            self._probes.release(self._places[call.name].slot)

    def _tell(self, place: _Place, state: State, reason: str) -> None:
        if self._changed is not None:
            self._changed(place.deployment, state, reason)
