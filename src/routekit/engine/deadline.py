"""One time budget for a whole request: retries, fallbacks, waits and all."""

from __future__ import annotations

from routekit.types import Clock


class Deadline:
    """A moment on the monotonic clock, or never.

    >>> from routekit.types import SystemClock
    >>> Deadline(SystemClock(), None).remaining_s() is None
    True
    """

    __slots__ = ("_clock", "_end", "started")

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock = clock
        self.started = clock.monotonic()
        self._end = None if seconds is None else self.started + seconds

    def stood_still(self, seconds: float) -> None:
        """Takes so much time out of what has passed: nobody was asked meanwhile, and nobody was slow."""
        self.started += seconds
        if self._end is not None:
            self._end += seconds

    def elapsed_s(self) -> float:
        return self._clock.monotonic() - self.started

    def remaining_s(self) -> float | None:
        """Seconds left, never below zero; None where there is no limit."""
        if self._end is None:
            return None
        left = self._end - self._clock.monotonic()
        return left if left > 0 else 0.0

    @property
    def expired(self) -> bool:
        return self._end is not None and self._clock.monotonic() >= self._end

    def allows(self, wait_s: float) -> bool:
        """Whether something can still be done after waiting so long."""
        left = self.remaining_s()
        return left is None or wait_s < left
