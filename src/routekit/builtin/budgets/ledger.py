"""Balances in a file: an append-only ledger in SQLite that all processes of this machine share."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from routekit.builtin.budgets.filesystem import network_filesystem
from routekit.errors import BudgetExceededError, BudgetUnavailableError, ConfigError
from routekit.plugin import Budget, BudgetPlugin, Options, PluginContext
from routekit.types import Balance, Charge, Clock, Money, Reservation, SystemClock

FILE = "ledger.sqlite3"
SCHEMA_VERSION = 1

# `entries` is the truth: a balance is the sum of its entries, and `balances` keeps that sum at hand.
_SCHEMA = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('reserve', 'settle', 'release', 'lost')),
    hold TEXT NOT NULL,
    key TEXT NOT NULL,
    scope TEXT NOT NULL,
    spent INTEGER NOT NULL CHECK (typeof(spent) = 'integer'),
    reserved INTEGER NOT NULL CHECK (typeof(reserved) = 'integer'),
    deployment TEXT NOT NULL,
    request_id TEXT NOT NULL
);
CREATE INDEX entries_key ON entries (key, at);
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TABLE balances (
    key TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    spent INTEGER NOT NULL CHECK (typeof(spent) = 'integer' AND spent >= 0),
    reserved INTEGER NOT NULL CHECK (typeof(reserved) = 'integer' AND reserved >= 0)
) WITHOUT ROWID;
CREATE TABLE holds (
    id TEXT PRIMARY KEY,
    keys TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    expires_at REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'uncertain')),
    deployment TEXT NOT NULL,
    request_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX holds_lease ON holds (state, expires_at);
"""

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


class LedgerBudget(Budget):
    """One transaction takes all charges of a reservation, or none; a failing file refuses (fails closed).

    A hold that outlives its lease becomes "uncertain" spending at its worst case when the next
    `reserve` sees it; an end that comes later all the same corrects that. Ends that find the file
    locked are kept and written with the next transaction. A call that costs nothing is never refused.
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
            _mark_lost(database, now)
            refused = _take(database, reservation, now)
        if refused is not None:
            raise refused

    def settle(self, reservation: Reservation, actual: Money) -> None:
        self._end(reservation, actual.nanos)

    def release(self, reservation: Reservation) -> None:
        self._end(reservation, None)

    def balance(self, charge: Charge) -> Balance:
        with self._failing_closed(), self._locked():
            spent, reserved = _balance(self._connection(), charge.key)
        return Balance(spent=Money(spent), reserved=Money(reserved))

    def verify(self) -> list[str]:
        """The keys whose balance is not the sum of their entries, or whose holds do not add up: none, ever."""
        with self._transaction() as database:
            kept = {key: (spent, reserved) for key, spent, reserved in
                    database.execute("SELECT key, spent, reserved FROM balances")}  # fmt: skip
            summed = {key: (spent, reserved) for key, spent, reserved in
                      database.execute("SELECT key, sum(spent), sum(reserved) FROM entries GROUP BY key")}  # fmt: skip
            held = dict.fromkeys(kept, 0)
            for keys, amount in database.execute("SELECT keys, amount FROM holds WHERE state = 'open'"):
                for key, _ in json.loads(keys):
                    held[key] = held.get(key, 0) + amount
        return sorted(
            key
            for key in kept.keys() | summed.keys() | held.keys()
            if kept.get(key) != summed.get(key) or kept.get(key, (0, 0))[1] != held.get(key, 0)
        )

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
                _end(database, reservation, actual, self._time())
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
            _patiently(lambda: database.execute("BEGIN IMMEDIATE"), deadline)
            try:
                late = list(self._late.values())
                for reservation, actual in late:
                    _end(database, reservation, actual, self._time())
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
            if not _is_busy(error) and self._open is not None:
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
            busy = isinstance(error, TimeoutError) or _is_busy(error)
            hint = (
                "raise busy_timeout_s or spread the load"
                if busy
                else "check the file, its disk and its permissions; a damaged one can be moved away to begin a new one"
            )
            raise BudgetUnavailableError(f"the ledger {self.file} cannot be used: {error}; {hint}") from error

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = self._opened()
        return self._open

    def _opened(self) -> sqlite3.Connection:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made first, so that it is the owner's alone; SQLite gives its side files the same mode.
        os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
        if os.name == "posix" and self.file.stat().st_mode & 0o077:
            self.file.chmod(0o600)
        connection = sqlite3.connect(self.file, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, self.options.synchronous, time.monotonic() + max(2.0, self.options.busy_timeout_s))
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(database: sqlite3.Connection, synchronous: str, deadline: float) -> None:
    """Sets the connection up and makes the tables, once per file. May take longer than a reservation."""
    _patiently(lambda: database.execute("PRAGMA journal_mode = WAL"), deadline)
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute("PRAGMA trusted_schema = OFF")
    version = _patiently(lambda: database.execute("PRAGMA user_version"), deadline).fetchone()[0]
    if version == 0:
        _patiently(lambda: database.execute("BEGIN IMMEDIATE"), deadline)
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:  # still: nobody was faster
            for statement in _SCHEMA.split(";\n"):
                if statement.strip():
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            version = SCHEMA_VERSION
        database.execute("COMMIT")
    if version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"it has layout {version}; this routekit reads {SCHEMA_VERSION}")


def _patiently(act: Callable[[], sqlite3.Cursor], deadline: float) -> sqlite3.Cursor:
    """Tries again while others write. SQLite's own wait doubles its naps and starves; these are short and random."""
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(0.0001, 0.002))


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _balance(database: sqlite3.Connection, key: str) -> tuple[int, int]:
    return database.execute("SELECT spent, reserved FROM balances WHERE key = ?", (key,)).fetchone() or (0, 0)


def _take(database: sqlite3.Connection, reservation: Reservation, now: float) -> BudgetExceededError | None:
    """Takes the hold, or says why not. A hold that is open already stays as it is."""
    amount = reservation.amount.nanos
    if database.execute("SELECT 1 FROM holds WHERE id = ?", (reservation.id,)).fetchone():
        return None
    for charge in reservation.charges:
        spent, reserved = _balance(database, charge.key)
        if charge.hard and amount and spent + reserved + amount > charge.limit.nanos:
            return BudgetExceededError(
                scope=charge.scope,
                limit=charge.limit,
                spent=Money(spent),
                reserved=Money(reserved),
                asked=reservation.amount,
                resets_at=charge.resets_at,
            )
    # Two budgets on one scope and window share a key: its balance is drawn on once.
    keys = list({charge.key: charge.scope for charge in reservation.charges}.items())
    label = (reservation.deployment, reservation.request_id)
    database.execute(
        "INSERT INTO holds VALUES (?, ?, ?, ?, 'open', ?, ?)",
        (reservation.id, json.dumps(keys), amount, now + reservation.lease_s, *label),
    )
    _enter(database, "reserve", reservation.id, keys, 0, amount, now, label)
    return None


def _end(database: sqlite3.Connection, reservation: Reservation, actual: int | None, now: float) -> None:
    """Turns the hold into spending, or gives it back where `actual` is None. No hold, no effect."""
    hold = database.execute("SELECT keys, amount, state FROM holds WHERE id = ?", (reservation.id,)).fetchone()
    if hold is None:
        return
    keys, amount, state = json.loads(hold[0]), hold[1], hold[2]
    database.execute("DELETE FROM holds WHERE id = ?", (reservation.id,))
    spent, reserved = (actual or 0, -amount) if state == "open" else ((actual or 0) - amount, 0)
    label = (reservation.deployment, reservation.request_id)
    _enter(database, "release" if actual is None else "settle", reservation.id, keys, spent, reserved, now, label)


def _mark_lost(database: sqlite3.Connection, now: float) -> None:
    """Holds past their lease become spending at their worst case: their calls may have been billed."""
    lost = database.execute(
        "SELECT id, keys, amount, deployment, request_id FROM holds WHERE state = 'open' AND expires_at <= ?", (now,)
    ).fetchall()
    for hold, keys, amount, deployment, request_id in lost:
        database.execute("UPDATE holds SET state = 'uncertain' WHERE id = ?", (hold,))
        _enter(database, "lost", hold, json.loads(keys), amount, -amount, now, (deployment, request_id))


def _enter(
    database: sqlite3.Connection,
    kind: str,
    hold: str,
    keys: Sequence[Sequence[str]],
    spent: int,
    reserved: int,
    now: float,
    label: tuple[str, str],
) -> None:
    """One entry per key, and the balances with them."""
    for key, scope in keys:
        database.execute(
            "INSERT INTO entries (at, kind, hold, key, scope, spent, reserved, deployment, request_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (now, kind, hold, key, scope, spent, reserved, *label),
        )
        before = _balance(database, key)
        database.execute(
            "INSERT INTO balances VALUES (?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET spent = excluded.spent, reserved = excluded.reserved",
            (key, scope, before[0] + spent, before[1] + reserved),
        )


def _make(options: LedgerOptions, context: PluginContext) -> LedgerBudget:
    return LedgerBudget(context.home / FILE, clock=context.clock, **options.model_dump())


PLUGIN = BudgetPlugin(
    name="ledger",
    factory=_make,
    options=LedgerOptions,
    summary="An append-only ledger in a file, shared by the processes of this machine; survives kills.",
)
