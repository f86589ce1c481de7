"""One attempt's part of a stream."""

from __future__ import annotations

import threading

from routekit.engine.attempts.sequence import Opened
from routekit.engine.attempts.time_limits import Pace
from routekit.engine.history.continuation import Joint


class _Part:
    """One attempt's share of a stream. Whoever claims it, and nobody else, ends the attempt."""

    __slots__ = ("_claimed", "chain", "chunks", "handle", "idle_s", "incoming", "joint", "pace", "permit")

    def __init__(self, opened: Opened, joint: Joint | None, pace: Pace | None) -> None:
        self.handle = opened.handle
        self.permit = opened.permit
        self.chain = opened.chain
        self.chunks = opened.chunks
        self.idle_s = opened.idle_s
        self.incoming = opened.incoming
        self.joint = joint
        self.pace = pace
        self._claimed = threading.Lock()  # taken once; nobody waits for it

    def claim(self) -> bool:
        return self._claimed.acquire(blocking=False)

    def claimed(self) -> bool:
        return self._claimed.locked()
