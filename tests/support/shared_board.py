"""Shared state among routers of one process: what Redis is among machines."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from routekit.plugin.shared import Heard, SharedState
from routekit.types import Limits


@dataclass
class Board:
    """What all members see."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    minute: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)
    ejected: dict[str, tuple[float, str]] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)


class Member(SharedState):
    def __init__(self, board: Board) -> None:
        self.board = board
        self.heard: Heard | None = None
        self.told: set[tuple[str, float]] = set()
        self.broken = False
        self.closed = False
        board.members.append(self)

    def start(self, heard: Heard) -> None:
        self.heard = heard
        for place, (until, reason) in self.board.ejected.items():
            if until > time.time():
                self.hear(place, until, reason)

    def hear(self, place: str, until: float, reason: str) -> None:
        if self.heard is not None and (place, until) not in self.told:
            self.told.add((place, until))
            self.heard(place, until, reason)

    def take(self, place: str, call: str, tokens: int, limits: Limits) -> str | None:
        if self.broken:
            raise ConnectionError("the board is gone")
        with self.board.lock:
            now = time.monotonic()
            minute = [(at, spent) for at, spent in self.board.minute.get(place, []) if now - at < 60]
            calls = self.board.calls.setdefault(place, set())
            if limits.rpm is not None and len(minute) >= limits.rpm:
                return "the shared limit of requests per minute is used up"
            if limits.tpm is not None and sum(spent for _, spent in minute) + tokens > limits.tpm:
                return "the shared limit of tokens per minute is used up"
            if limits.concurrency is not None and len(calls) >= limits.concurrency:
                return "the shared limit of calls at once is reached"
            self.board.minute[place] = [*minute, (now, tokens)]
            calls.add(call)
            return None

    def give_back(self, place: str, call: str) -> None:
        if self.broken:
            raise ConnectionError("the board is gone")
        with self.board.lock:
            self.board.calls.get(place, set()).discard(call)

    def eject(self, place: str, until: float, reason: str) -> None:
        if self.broken:
            raise ConnectionError("the board is gone")
        if until <= time.time():
            return
        self.board.ejected[place] = (until, reason)
        self.told.add((place, until))
        for member in self.board.members:
            member.hear(place, until, reason)

    def readmit(self, place: str) -> None:
        self.board.ejected.pop(place, None)

    def close(self) -> None:
        self.closed = True
