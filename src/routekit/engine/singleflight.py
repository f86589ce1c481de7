"""One upstream call per key: the first asks, the others wait for what it finds."""

from __future__ import annotations

import concurrent.futures
import threading

from routekit.types import CacheEntry


class Flight(concurrent.futures.Future["CacheEntry | None"]):
    """One call under way, and the thread that leads it."""

    def __init__(self) -> None:
        super().__init__()
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

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}

    def board(self, key: str) -> tuple[Flight, bool]:
        """The flight under this key, and whether the caller leads it. A leader must `land` it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight()
            return flight, True

    def land(self, key: str, flight: Flight, entry: CacheEntry | None) -> None:
        """Ends a flight; whoever waits is woken. A second landing does nothing."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
        if not flight.done():
            flight.set_result(entry)
