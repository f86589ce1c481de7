"""Where requests wait while every deployment that could serve them is at its own limit.

Bounded, first come first served, and honest: who could not be served before the deadline is told at
once, while there is time to do something else.
"""

from __future__ import annotations

import bisect
import concurrent.futures
import contextlib
import itertools
import threading
from collections.abc import Iterable, Sequence

from routekit.engine.health.health import Health
from routekit.engine.health.queue_theory import may_wait
from routekit.engine.io.port import IO
from routekit.engine.run import Run
from routekit.errors import AllUnavailableError, NoCandidateError
from routekit.plugin import reset_after_fork

MOST_S = 30.0
"""The longest wait of a request without a deadline."""

LOOK_S = 1.0
"""Waiters look again so often: a free place may have gone to somebody who then took another one."""


class _Waiter:
    """A request that waits, from its first refusal until it is let in somewhere or gives up."""

    __slots__ = ("names", "ticket", "woken")

    def __init__(self, ticket: int, names: frozenset[str]) -> None:
        self.ticket = ticket
        self.names = names
        self.woken: concurrent.futures.Future[None] = concurrent.futures.Future()


class WaitingRoom:
    """Safe in threads and tasks. `most` requests wait at once, in the order in which they came.

    Places are handed over: as long as a request stands here, `Health` keeps what comes free for it and turns
    those away that came later, whether they waited or not. So whoever is woken finds the place that it
    was woken for, however late its thread runs; and where it does not use it, `leave` wakes the next one.
    """

    def __init__(self, health: Health, most: int) -> None:
        self._health = health
        self._most = most
        # Re-entrant: an abandoned coroutine gives its place back wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._waiters: list[_Waiter] = []
        self._tickets = itertools.count()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Those who wait do so in the parent."""
        self._lock = threading.RLock()
        self._waiters = []

    async def wait(self, io: IO, run: Run, error: NoCandidateError, tokens: int) -> bool:
        """Waits until it makes sense to look again; False: waiting would not help this request.

        From then on it has a place in the queue, which ends with `leave`.

        Raises:
            NoCandidateError: the queue is full, or no place could be free in time.
        """
        names = [rejection.deployment.name for rejection in error.rejections if rejection.code == "limit"]
        if not names or run.attempts or isinstance(error, AllUnavailableError) or not self._most:
            return False
        names = [name for name in names if self._health.can_ever_take(name, tokens)]
        if not names:  # whoever waits for what never comes would keep all others waiting behind it
            raise NoCandidateError(f"{error}; none of them can ever take it", rejections=error.rejections)
        if run.ticket is None:
            run.ticket = next(self._tickets)
            run.wait_until_s = run.deadline.elapsed_s() + MOST_S
        left_s = run.deadline.remaining_s()
        left_s = run.wait_until_s - run.deadline.elapsed_s() if left_s is None else left_s
        frees_s = self._health.frees_in_s(names, tokens, run.ticket)
        waiter = _Waiter(run.ticket, frozenset(names))
        with self._lock:
            why = self._why_not(waiter, names, frees_s, left_s, tokens)
            if why is not None:
                raise NoCandidateError(f"{error}; {why}", rejections=error.rejections)
            before = self._taken_out(run.ticket)
            bisect.insort(self._waiters, waiter, key=lambda waiting: waiting.ticket)
        if before is not None and before.names != waiter.names:
            self._health.unqueued(before.names - waiter.names, run.ticket)
        # Only now, when it would be woken: a call may have ended since it was refused.
        if self._health.queued(waiter.names, waiter.ticket, tokens):
            return True
        with contextlib.suppress(TimeoutError):
            await io.wait(waiter.woken, min(left_s, LOOK_S if frees_s is None else frees_s + 0.001))
        return True

    def leave(self, run: Run) -> None:
        """The request was let in somewhere, or gave up: the next ones may look. Never waits, idempotent."""
        ticket, run.ticket = run.ticket, None
        if ticket is None:
            return
        with self._lock:
            waiter = self._taken_out(ticket)
        if waiter is not None:
            self._health.unqueued(waiter.names, ticket)
            self.freed(waiter.names)

    def freed(self, names: Iterable[str]) -> None:
        """A call at one of these deployments ended: the first who waits for it may look again. Never waits."""
        if not self._waiters:
            return
        wanted = frozenset(names)
        with self._lock:
            waiter = next((w for w in self._waiters if not w.names.isdisjoint(wanted) and not w.woken.done()), None)
            if waiter is not None:
                waiter.woken.set_result(None)

    def _taken_out(self, ticket: int) -> _Waiter | None:
        for place, waiter in enumerate(self._waiters):
            if waiter.ticket == ticket:
                return self._waiters.pop(place)
        return None

    def _why_not(
        self, waiter: _Waiter, names: Sequence[str], frees_s: float | None, left_s: float, tokens: int
    ) -> str | None:
        ahead = [other for other in self._waiters if other.ticket < waiter.ticket]
        if len(self._waiters) >= self._most and len(ahead) == len(self._waiters):
            return f"{self._most} requests are waiting already"
        if frees_s is not None:
            return None if frees_s < left_s else f"the first has room in {frees_s:.1f} s, too late for this request"
        busy, most = self._health.places(names)
        if not most:
            return "none of them can ever take it"
        position = sum(1 for other in ahead if not other.names.isdisjoint(names))
        figures = [self._health.typical(name, tokens) for name in names]
        means = [f.total_p50_s for f in figures if f is not None and f.total_p50_s is not None]
        if may_wait(position, busy, most, min(means, default=None), left_s):
            return None
        return f"with {position} requests waiting before it, it could not be served in time"
