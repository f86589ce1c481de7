"""Balances in a file: an append-only ledger in SQLite that all processes of this machine share."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from routekit.builtin.budgets.ledger import transactions as book
from routekit.builtin.budgets.ledger.access import LedgerFile, LedgerReader, Pin
from routekit.builtin.budgets.ledger.database import is_busy
from routekit.builtin.budgets.ledger.ends import End
from routekit.builtin.budgets.ledger.filesystem import network_filesystem
from routekit.builtin.databases import MovedError, shared
from routekit.errors import BudgetUnavailableError, ConfigError
from routekit.plugin import BudgetPlugin, Ledger, Options, PluginContext
from routekit.plugin.offload import in_event_loop
from routekit.types import Balance, Charge, Clock, Hold, LedgerEntry, Money, Reservation, SystemClock

FILE = "ledger.sqlite3"
PAGE = 1000
"""Entries that are read at once."""

_log = logging.getLogger("routekit.ledger")

BUSY_S = 0.09
"""How long other writers are waited for where no call says how long it can wait."""


class LedgerOptions(Options):
    """`busy_timeout_s` is how long a call waits for other writers before it is refused. None: as long as its own
    deadline allows, ten seconds at most.

    `synchronous` "normal" survives a killed process; "full" also a power failure, at one disk flush
    per reservation.
    """

    busy_timeout_s: float | None = Field(default=None, gt=0, le=60)
    synchronous: Literal["normal", "full"] = "normal"


class LedgerBudget(Ledger):
    """One transaction takes all charges of a reservation, or none; a failing file refuses (fails closed).

    A hold that outlives its lease ends when the next `reserve` sees it: what was never sent is given
    back, what was sent becomes "uncertain" spending at its worst case. An end that comes later all the
    same corrects that. Ends that find the file locked are kept and written a moment later, by a thread or with
    the next transaction. A file that is removed or replaced while it is in use refuses. A call that costs nothing
    is never refused. All ledgers of a process on one file share one connection.
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
        self._shared: LedgerFile | None = None
        self._pin = Pin(str(self.file))

    def reserve(self, reservation: Reservation) -> None:
        with self._transaction(self._patience_s(reservation)) as database:
            now = self._time()
            book.expire(database, now)
            refused = book.take(database, reservation, now)
        if refused is not None:
            raise refused

    def mark_sent(self, reservation: Reservation) -> None:
        with self._transaction(self._patience_s(reservation)) as database:
            marked = book.mark_sent(database, reservation, self._time())
        if not marked:
            raise BudgetUnavailableError(
                f"the hold {reservation.id} ran out before its call was sent (its lease is {reservation.lease_s:g} s)"
            )

    def settle(self, reservation: Reservation, actual: Money) -> None:
        self._end(End(reservation, actual.nanos))

    def release(self, reservation: Reservation) -> None:
        self._end(End(reservation, None))

    def renew(self, reservation: Reservation) -> None:
        with contextlib.suppress(BudgetUnavailableError), self._transaction() as database:
            book.renew(database, reservation, self._time())

    def mark_uncertain(self, reservation: Reservation) -> None:
        self._end(End(reservation, book.UNCERTAIN))

    def balance(self, charge: Charge) -> Balance:
        with self._failing_closed(), self._file().reading(self._pin, self._wait_s, self._time) as database:
            spent, reserved = book.used(database, charge)
        return Balance(spent=Money(spent), reserved=Money(reserved))

    def glance(self, charge: Charge) -> Balance | None:
        if not in_event_loop():
            return self.balance(charge)
        with self._failing_closed():
            try:
                with self._file().reading(self._pin, 0.0, self._time) as database:
                    spent, reserved = book.used(database, charge)
            except TimeoutError:
                return None
        return Balance(spent=Money(spent), reserved=Money(reserved))

    def entries(self, after: int = 0) -> Iterator[LedgerEntry]:
        while True:
            with self._snapshot() as database:
                page = book.page(database, after, PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def balances(self) -> Iterator[tuple[str, str, Balance]]:
        self._end_leases()
        with self._snapshot() as database:
            rows = database.execute("SELECT key, scope, spent, reserved FROM balances ORDER BY key").fetchall()
        for key, scope, spent, reserved in rows:
            yield key, scope, Balance(spent=Money(spent), reserved=Money(reserved))

    def holds(self) -> list[Hold]:
        self._end_leases()
        with self._snapshot() as database:
            return book.holds(database)

    def correct(self, hold_id: str, actual: Money) -> None:
        with self._transaction() as database:
            book.expire(database, self._time())
            book.correct(database, hold_id, actual.nanos, self._time())

    def verify(self) -> list[str]:
        with self._snapshot() as database:
            return book.faults(database)

    def close(self) -> None:
        file, self._shared = self._shared, None
        if file is None:
            return
        if file.ends:
            try:
                with self._failing_closed(), file.transaction(self._pin, self._wait_s, self._time):
                    pass  # writes them
            except BudgetUnavailableError as error:
                _log.warning("%d ends of holds are not written yet: %s", len(file.ends), error)
        self._pin = Pin(str(self.file))
        file.leave(self)

    @property
    def _wait_s(self) -> float:
        return self.options.busy_timeout_s or BUSY_S

    def _patience_s(self, reservation: Reservation) -> float:
        """Of a call before it is sent: contention is no failure while it has the time."""
        return self.options.busy_timeout_s or reservation.wait_s or BUSY_S

    def _end(self, end: End) -> None:
        """Clean-up code calls this and has an answer in its hands. Until the end is written the hold counts."""
        file = self._file()
        file.ends.keep(end)
        file.write_ends(self._time, self._wait_s)

    def _end_leases(self) -> None:
        """Looking keeps nobody from calling: the file is locked only where a lease has run out, and shortly."""
        with contextlib.suppress(BudgetUnavailableError):
            with self._failing_closed(), self._file().reading(self._pin, self._wait_s, self._time) as database:
                lapsed = book.has_lapsed(database, self._time())
            if lapsed:
                with self._transaction() as database:
                    book.expire(database, self._time())

    @contextlib.contextmanager
    def _transaction(self, wait_s: float | None = None) -> Iterator[sqlite3.Connection]:
        wait_s = self._wait_s if wait_s is None else wait_s
        with self._failing_closed(), self._file().transaction(self._pin, wait_s, self._time) as database:
            yield database

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        with self._failing_closed():
            with self._file().reading(self._pin, self._wait_s, self._time):
                pass  # the file is there, in the newest layout, and holds what this process has to say
            with shared(LedgerReader, self.file, self).snapshot() as database:
                yield database

    @contextlib.contextmanager
    def _failing_closed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, OverflowError, UnicodeEncodeError) as error:
            if isinstance(error, MovedError):
                hint = "put it back, or start this program again to begin with what is there now"
            elif isinstance(error, TimeoutError) or is_busy(error):
                hint = "raise busy_timeout_s or spread the load"
            elif isinstance(error, UnicodeEncodeError | OverflowError):
                hint = "pass amounts below 9 billion dollars, and names that are valid Unicode"
            else:
                hint = (
                    "check the file, its disk and its permissions; a damaged one can be moved away to begin a new one"
                )
            raise BudgetUnavailableError(f"the ledger {self.file} cannot be used: {error}; {hint}") from error

    def _file(self) -> LedgerFile:
        """What all ledgers of this process on this file have together."""
        found = self._shared
        if found is None:
            found = shared(LedgerFile, self.file, self)
            found.wait_s = max(found.wait_s, self._wait_s)
            if self.options.synchronous == "full":
                found.flush_each()
            self._shared = found
        return found


def _make(options: LedgerOptions, context: PluginContext) -> LedgerBudget:
    return LedgerBudget(context.home / FILE, clock=context.clock, **options.model_dump())


PLUGIN = BudgetPlugin(
    name="ledger",
    factory=_make,
    options=LedgerOptions,
    summary="An append-only ledger in a file, shared by the processes of this machine; survives kills.",
)
