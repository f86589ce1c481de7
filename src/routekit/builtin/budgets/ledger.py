"""Balances in a file: an append-only ledger in SQLite that all processes of this machine share."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from routekit.builtin.budgets import book
from routekit.builtin.budgets.filesystem import network_filesystem
from routekit.builtin.budgets.ledgerfile import is_busy, opened, patiently
from routekit.errors import BudgetUnavailableError, ConfigError
from routekit.plugin import BudgetPlugin, Ledger, Options, PluginContext
from routekit.types import Balance, Charge, Clock, Hold, LedgerEntry, Money, Reservation, SystemClock

FILE = "ledger.sqlite3"
PAGE = 1000
"""Entries that are read at once."""

_log = logging.getLogger("routekit.ledger")
_abandoned: list[sqlite3.Connection | None] = []
"""Connections of a parent process: SQLite forbids a child to use them and even to close them."""


class LedgerOptions(Options):
    """`busy_timeout_s` is how long a call waits for other writers before it is refused.

    `synchronous` "normal" survives a killed process; "full" also a power failure, at one disk flush
    per reservation.
    """

    busy_timeout_s: float = Field(default=0.09, gt=0, le=5)
    synchronous: Literal["normal", "full"] = "normal"


class LedgerBudget(Ledger):
    """One transaction takes all charges of a reservation, or none; a failing file refuses (fails closed).

    A hold that outlives its lease ends when the next `reserve` sees it: what was never sent is given
    back, what was sent becomes "uncertain" spending at its worst case. An end that comes later all the
    same corrects that. Ends that find the file locked are kept and written with the next transaction.
    A call that costs nothing is never refused.
    """

    def __init__(self, file: str | Path, *, clock: Clock | None = None, **options: Any) -> None:
        self.options = LedgerOptions.checked(options, where="ledger")
        self.file = Path(file)
        kind = network_filesystem(self.file)
        if kind is not None:
            raise ConfigError(
                f"the ledger cannot live on a network file system ({kind}): SQLite's locks do not hold there",
                key="ROUTEKIT_HOME",
                fix="Point ROUTEKIT_HOME at a local disk, or use a budget store made for several machines.",
            )
        self._time = (clock or SystemClock()).time
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None
        self._late: dict[str, tuple[Reservation, int | None]] = {}
        self._pid = os.getpid()

    def reserve(self, reservation: Reservation) -> None:
        with self._transaction() as database:
            now = self._time()
            book.expire(database, now)
            refused = book.take(database, reservation, now)
        if refused is not None:
            raise refused

    def mark_sent(self, reservation: Reservation) -> None:
        with self._transaction() as database:
            marked = book.mark_sent(database, reservation, self._time())
        if not marked:
            raise BudgetUnavailableError(
                f"the hold {reservation.id} ran out before its call was sent (its lease is {reservation.lease_s:g} s)"
            )

    def settle(self, reservation: Reservation, actual: Money) -> None:
        self._end(reservation, actual.nanos)

    def release(self, reservation: Reservation) -> None:
        self._end(reservation, None)

    def balance(self, charge: Charge) -> Balance:
        with self._failing_closed(), self._locked():
            spent, reserved = book.used(self._connection(), charge)
        return Balance(spent=Money(spent), reserved=Money(reserved))

    def entries(self, after: int = 0) -> Iterator[LedgerEntry]:
        while True:
            with self._failing_closed(), self._locked():
                page = book.page(self._connection(), after, PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def balances(self) -> Iterator[tuple[str, str, Balance]]:
        with self._transaction() as database:
            book.expire(database, self._time())
            rows = database.execute("SELECT key, scope, spent, reserved FROM balances ORDER BY key").fetchall()
        for key, scope, spent, reserved in rows:
            yield key, scope, Balance(spent=Money(spent), reserved=Money(reserved))

    def holds(self) -> list[Hold]:
        with self._transaction() as database:
            book.expire(database, self._time())
            return book.holds(database)

    def correct(self, hold_id: str, actual: Money) -> None:
        with self._transaction() as database:
            book.expire(database, self._time())
            book.correct(database, hold_id, actual.nanos, self._time())

    def verify(self) -> list[str]:
        with self._transaction() as database:
            return book.faults(database)

    def close(self) -> None:
        if self._late:
            with contextlib.suppress(BudgetUnavailableError), self._transaction():
                pass  # writes them
        with self._lock:
            if self._open is not None and self._pid == os.getpid():
                self._open.close()
            self._open = None

    def _end(self, reservation: Reservation, actual: int | None) -> None:
        try:
            with self._transaction() as database:
                book.end(database, reservation, actual, self._time())
        except BudgetUnavailableError as error:
            if isinstance(error.__cause__, OverflowError):
                raise  # no later attempt could write it either
            # Clean-up code calls this and has an answer in its hands. Until the end is written the hold counts.
            self._late.setdefault(reservation.id, (reservation, actual))
            _log.warning("the end of hold %s is written later: %s", reservation.id, error)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The database, locked for writing, late ends written. Committed, or rolled back if anything is raised."""
        deadline = time.monotonic() + self.options.busy_timeout_s
        with self._failing_closed(), self._locked():
            database = self._connection()
            patiently(lambda: database.execute("BEGIN IMMEDIATE"), deadline)
            try:
                late = list(self._late.values())
                for reservation, actual in late:
                    book.end(database, reservation, actual, self._time())
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
            for reservation, _ in late:
                del self._late[reservation.id]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The one connection, for this thread. Writers exclude each other anyway, and threads come and go."""
        if self._pid != os.getpid():  # a forked child: the lock may be held by a thread that is not here
            _abandoned.append(self._open)
            self._lock, self._open, self._pid = threading.Lock(), None, os.getpid()
        if not self._lock.acquire(timeout=self.options.busy_timeout_s):
            raise TimeoutError("other threads of this process keep it busy")
        try:
            yield
        except sqlite3.Error as error:
            if not is_busy(error) and self._open is not None:
                self._open.close()  # the next call looks at the file anew
                self._open = None
            raise
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _failing_closed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, OverflowError) as error:
            busy = isinstance(error, TimeoutError) or is_busy(error)
            hint = (
                "raise busy_timeout_s or spread the load"
                if busy
                else "check the file, its disk and its permissions; a damaged one can be moved away to begin a new one"
            )
            raise BudgetUnavailableError(f"the ledger {self.file} cannot be used: {error}; {hint}") from error

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = opened(self.file, self.options.synchronous, self.options.busy_timeout_s)
        return self._open


def _make(options: LedgerOptions, context: PluginContext) -> LedgerBudget:
    return LedgerBudget(context.home / FILE, clock=context.clock, **options.model_dump())


PLUGIN = BudgetPlugin(
    name="ledger",
    factory=_make,
    options=LedgerOptions,
    summary="An append-only ledger in a file, shared by the processes of this machine; survives kills.",
)
