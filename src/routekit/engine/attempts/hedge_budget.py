"""What hedges may cost: a second attempt for a slow one is paid twice, so it has a budget of its own.

As in Dean and Barroso, "The Tail at Scale" (2013), and Finagle's BackupRequestFilter: only the slow
few are asked twice. Both bounds hold at every moment: the worst case of all hedges is at most the
share of what was spent on everything, and their number at most the share of all requests (which is
what bounds free models).
"""

from __future__ import annotations

import threading

from routekit.plugin import reset_after_fork


class HedgeBudget:
    """Amounts are nano-dollars. Safe in threads and tasks."""

    def __init__(self, share: float) -> None:
        self._share = share
        # Re-entrant: an abandoned coroutine ends its attempt wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self.requests = 0
        self.hedges = 0
        self.spent_nanos = 0
        self.hedged_nanos = 0
        self._held_nanos = 0
        reset_after_fork(self)

    def after_fork(self) -> None:
        """The hedges under way are settled in the parent."""
        self._lock = threading.RLock()
        self.hedged_nanos -= self._held_nanos
        self._held_nanos = 0

    def asked(self) -> None:
        """A request asks for the first time."""
        with self._lock:
            self.requests += 1

    def take(self, worst_nanos: int | None) -> bool:
        """Takes a hedge that may cost so much; an unknown price is never hedged."""
        if worst_nanos is None:
            return False
        with self._lock:
            if self.hedges + 1 > self._share * self.requests:
                return False
            if self.hedged_nanos + worst_nanos > self._share * self.spent_nanos:
                return False
            self.hedges += 1
            self.hedged_nanos += worst_nanos
            self._held_nanos += worst_nanos
            return True

    def untaken(self, worst_nanos: int) -> None:
        """The hedge was not sent after all."""
        with self._lock:
            self.hedges -= 1
            self.hedged_nanos -= worst_nanos
            self._held_nanos -= worst_nanos

    def paid(self, nanos: int, *, held_nanos: int | None = None) -> None:
        """An attempt was settled; `held_nanos` is what a hedge had taken."""
        with self._lock:
            self.spent_nanos += nanos
            if held_nanos is not None:
                self.hedged_nanos += nanos - held_nanos
                self._held_nanos -= held_nanos
