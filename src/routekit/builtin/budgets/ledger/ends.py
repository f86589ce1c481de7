"""Ends of holds on their way into the ledger: kept at once, written with the next transaction, each by itself."""

from __future__ import annotations

import logging
import sqlite3
from typing import NamedTuple

from routekit.builtin.budgets.ledger import transactions as book
from routekit.types import Reservation

ENDS_MOST = 100_000
"""Ends that are kept while the file cannot be written; the leases of further ones decide."""

COLUMN_MOST = 2**63 - 1
"""The largest whole number of a column."""

_POISON = (
    ArithmeticError, TypeError, ValueError, LookupError, sqlite3.IntegrityError, sqlite3.DataError,
    sqlite3.InterfaceError, sqlite3.ProgrammingError,
)  # fmt: skip
_log = logging.getLogger("routekit.ledger")


class End(NamedTuple):
    """`actual` in nano-dollars; None: released; `book.UNCERTAIN`: spent at its whole amount, until it is corrected."""

    reservation: Reservation
    actual: book.Ending


class Ends:
    """Each hold ends once: the first end that was told counts."""

    def __init__(self) -> None:
        self._kept: dict[str, End] = {}

    def __bool__(self) -> bool:
        return bool(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, end: End) -> None:
        """Never waits. What no column can hold is booked at what was held for it."""
        reservation, actual = end
        if isinstance(actual, int) and not 0 <= actual <= COLUMN_MOST:
            _log.error(
                "the bill of hold %s is no amount that a ledger can hold; what was held is booked", reservation.id
            )
            end = End(reservation, min(reservation.amount.nanos, COLUMN_MOST))
        if len(self._kept) >= ENDS_MOST:
            _log.error("too many ends wait for the ledger; the lease of hold %s decides", reservation.id)
            return
        self._kept.setdefault(reservation.id, end)

    def write(self, database: sqlite3.Connection, now: float) -> list[str]:
        """Writes what is kept into the transaction that is open; the ids, to be forgotten once it is committed.

        Raises:
            sqlite3.Error: the file failed. An end that fails by itself blocks no other one.
        """
        ids = list(self._kept)
        for hold_id in ids:
            end = self._kept.get(hold_id)
            if end is not None and not _written(database, end, now):
                _log.error("the end of hold %s cannot be written; what was held is booked", hold_id)
                if not _written(database, End(end.reservation, end.reservation.amount.nanos), now):
                    _log.error("hold %s cannot be ended; its lease decides", hold_id)
        return ids

    def write_one(self, database: sqlite3.Connection, now: float) -> list[str] | None:
        """Like `write`, where just one is kept and can be written; None: not so, and it must be rolled back."""
        ids = list(self._kept)
        if len(ids) != 1 or (end := self._kept.get(ids[0])) is None:
            return None
        try:
            book.end(database, end.reservation, end.actual, now)
        except _POISON:
            return None
        return ids

    def forget(self, ids: list[str]) -> None:
        for hold_id in ids:
            self._kept.pop(hold_id, None)


def _written(database: sqlite3.Connection, end: End, now: float) -> bool:
    database.execute("SAVEPOINT one_end")
    try:
        book.end(database, end.reservation, end.actual, now)
    except _POISON:
        database.execute("ROLLBACK TO one_end")
        database.execute("RELEASE one_end")
        return False
    database.execute("RELEASE one_end")
    return True
