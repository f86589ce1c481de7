"""A clock that tests own."""

from __future__ import annotations

import threading


class VirtualClock:
    """Time that only passes when somebody sleeps, or `advance` is called. Safe in threads.

    >>> clock = VirtualClock()
    >>> clock.sleep(30)
    >>> clock.monotonic()
    30.0
    """

    def __init__(self, *, start: float = 0.0, wall: float = 1_800_000_000.0) -> None:
        self._now = start
        self._offset = wall - start
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now + self._offset

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))

    async def asleep(self, seconds: float) -> None:
        import asyncio

        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)  # others get their turn, as in a real sleep
