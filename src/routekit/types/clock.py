"""Time as a thing that can be handed in, so that tests own it."""

from __future__ import annotations

from time import monotonic, sleep, time
from typing import Protocol


class Clock(Protocol):
    """Seconds from a clock that never goes back, seconds since 1970, and a way to wait."""

    def monotonic(self) -> float: ...

    def time(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    async def asleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own clock."""

    monotonic = staticmethod(monotonic)
    sleep = staticmethod(sleep)
    time = staticmethod(time)

    async def asleep(self, seconds: float) -> None:
        import asyncio  # only where an event loop runs anyway

        await asyncio.sleep(seconds)
