"""One upstream call per key: the first asks, the others wait for what it finds.

Processes of one home see each other's flights by slots, of which there is a fixed number: a key's slot
holds the hash of the key that is under way. Where two keys meet in one slot, the second goes alone.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import threading
from pathlib import Path

from routekit.engine.locks import Slots
from routekit.plugin import reset_after_fork
from routekit.types import CacheEntry

PACED = "stream"
LANDINGS = 1024
"""So many counters of landings are kept; keys share them by hash, at worst for a look too many."""

SLOT_DIGITS = 3
"""Hexadecimal digits of a slot: 4,096 files at most."""


class Flight(concurrent.futures.Future["CacheEntry | None"]):
    """One call under way, and the thread that leads it. `paced`: its end depends on how fast a stream is read."""

    def __init__(self, paced: bool = False) -> None:
        super().__init__()
        self.paced = paced
        self._thread = threading.get_ident()

    @property
    def led_here(self) -> bool:
        """Whether its leader runs in this thread: on this thread's event loop, or further up its stack."""
        return self._thread == threading.get_ident()


class SingleFlight:
    """Works across threads, tasks and event loops, because a flight is a plain thread-safe future.

    A leader that fails, or whose answer may not be shared, lands with None: those who waited then
    try for themselves, so errors and cancellations are never shared.
    """

    def __init__(self, folder: Path | None = None) -> None:
        # Re-entrant: an abandoned coroutine lands its flight wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._flights: dict[str, Flight] = {}
        self._slots = None if folder is None else Slots(folder)
        self._held: dict[str, str] = {}
        self._follows: set[str] = set()
        self._landings = [0] * LANDINGS
        reset_after_fork(self)

    def after_fork(self) -> None:
        """The parent's flights land in the parent, where the child cannot wait for them."""
        self._lock = threading.RLock()
        self._flights.clear()
        self._held.clear()
        self._follows.clear()

    def landings(self, key: str) -> int:
        """Grows with each flight under this key that lands (seldom, of another one too)."""
        return self._landings[hash(key) % LANDINGS]

    def board(self, key: str, paced: bool = False) -> tuple[Flight, bool]:
        """The flight under this key, and whether the caller leads it. A leader must `land` it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(paced)
            return flight, True

    def land(self, key: str, flight: Flight, entry: CacheEntry | None) -> None:
        """Ends a flight; whoever waits is woken. A second landing does nothing."""
        with self._lock:
            if self._flights.get(key) is not flight:
                return
            del self._flights[key]
            self._landings[hash(key) % LANDINGS] += 1
            slot = self._held.pop(key, None)
            self._follows.discard(key)
        if slot is not None and self._slots is not None:
            self._slots.release(slot)
        if not flight.done():
            flight.set_result(entry)

    def alone(self, key: str) -> bool:
        """Whether no other process asks the same; from then on the others see that this one does, until it lands."""
        if self._slots is None:
            return True
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        slot = digest[:SLOT_DIGITS]
        with self._lock:
            if key in self._held or slot in self._held.values():
                return True
            flight = self._flights.get(key)
            label = f"{digest} {PACED}" if flight is not None and flight.paced else digest
            before = self._slots.take_over(slot, label)
            if before is not None:
                self._held[key] = slot
                if before.partition(" ")[0] == digest:
                    self._follows.add(key)
                return True
        label = self._slots.label(slot).partition(" ")[0]
        return label not in (digest, "")  # no label: its holder has just taken it, and says next whose it is

    def follows(self, key: str) -> bool:
        """Whether the last one to hold this key's slot, in any process, asked the same: its answer may be stored."""
        return key in self._follows

    def paced_elsewhere(self, key: str) -> bool:
        """Whether the process that asks the same is reading a stream."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self._slots is not None and self._slots.label(digest[:SLOT_DIGITS]) == f"{digest} {PACED}"
