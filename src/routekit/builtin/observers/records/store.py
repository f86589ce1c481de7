"""Records of requests in a file: figures and reasons in SQLite, never a message."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from routekit.builtin.databases import Database, make_private, shared
from routekit.builtin.observers.records.row import ROW, record_of_row, row_of
from routekit.errors import ConfigError
from routekit.types import CallRecord

FILE = "decisions.sqlite3"
SCHEMA_VERSION = 1
DAY_S = 86_400.0
BUSY_S, BUSY_MOST_S = 1.0, 5.0
"""How long a write waits for other programs at a time, and altogether."""

WAIT_S = 60.0
"""How long one thread waits for the others of this process."""

PAGE = 500
"""Records that are read at once."""

COLUMNS = ("deployment", "model", "provider", "strategy", "outcome", "cache", "day")
"""What spending can be grouped by besides the kinds of scopes."""

_SCHEMA = """
CREATE TABLE calls (
    id TEXT NOT NULL, at REAL NOT NULL, day TEXT NOT NULL, outcome TEXT NOT NULL, strategy TEXT NOT NULL,
    deployment TEXT, model TEXT, provider TEXT, cache TEXT NOT NULL, scopes TEXT NOT NULL,
    cost_nanos INTEGER NOT NULL, cost_known INTEGER NOT NULL,
    baseline TEXT, baseline_nanos INTEGER, routing_nanos INTEGER, compression_nanos INTEGER, caching_nanos INTEGER,
    overhead_nanos INTEGER,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, usage TEXT NOT NULL,
    duration_s REAL NOT NULL, ttft_s REAL, fallbacks INTEGER NOT NULL, attempts TEXT NOT NULL, decision TEXT NOT NULL
);
CREATE INDEX calls_at ON calls (at);
"""
_INSERT = f"INSERT INTO calls VALUES ({', '.join('?' * len(ROW))})"  # noqa: S608 - question marks
_LEFT_OUT_TABLE = "CREATE TABLE IF NOT EXISTS left_out (at REAL NOT NULL, number INTEGER NOT NULL)"
_OF_A_ROW = (
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError,
    UnicodeError, TypeError, ValueError,
)  # fmt: skip
"""What a single row can be refused for. Anything else is the file's fault."""

_log = logging.getLogger("routekit.records")
_SUMS = """
    count(*), sum(input_tokens), sum(output_tokens), sum(cost_nanos), sum(NOT cost_known),
    coalesce(sum(baseline_nanos), 0), coalesce(sum(CASE WHEN baseline IS NOT NULL THEN cost_nanos END), 0),
    coalesce(sum(routing_nanos), 0), coalesce(sum(compression_nanos), 0), coalesce(sum(caching_nanos), 0),
    coalesce(sum(overhead_nanos), 0), sum(cache IN ('hit', 'semantic-hit')), sum(fallbacks > 0), sum(outcome <> 'ok')
"""


class Spend(NamedTuple):
    """What one group of requests cost and saved; money in nano-dollars, savings only of calls with a baseline.

    `unpriced` counts calls whose cost is not known, `hits` those from routekit's cache, `fallbacks`
    those that more than one deployment was asked for, `failures` those without an answer.
    """

    name: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_nanos: int
    unpriced: int
    baseline_nanos: int
    saved_nanos: int
    routing_nanos: int
    compression_nanos: int
    caching_nanos: int
    overhead_nanos: int
    hits: int
    fallbacks: int
    failures: int


class RecordsFile(Database[sqlite3.Connection]):
    """The connection that everybody in this process has to one file of records."""

    def make(self) -> sqlite3.Connection:
        Path(self.file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(self.file)
        connection = sqlite3.connect(self.file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        connection.text_factory = _decoded
        try:
            _prepare(connection, Path(self.file))
        except BaseException:
            connection.close()
            raise
        return connection


class RecordStore:
    """Reads and writes the file; made at the first write, readable by its owner only."""

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self._shared: RecordsFile | None = None

    def add(self, records: Iterable[CallRecord], *, left_out: int = 0) -> int:
        """Writes them in one transaction. One that cannot be written is left out alone; how many were.

        `left_out` are further ones that were lost before they came here; all are counted in the file.
        """
        rows = [row_of(record) for record in records]
        with self._transaction() as database:
            try:
                database.execute("SAVEPOINT batch")
                database.executemany(_INSERT, rows)
                dropped = 0
            except _OF_A_ROW:
                database.execute("ROLLBACK TO batch")
                dropped = sum(not _added(database, row) for row in rows)
            if dropped or left_out:
                database.execute(_LEFT_OUT_TABLE)
                database.execute("INSERT INTO left_out VALUES (?, ?)", (time.time(), dropped + left_out))
        return dropped

    def left_out(self, since: float | None = None, until: float | None = None) -> int:
        """How many requests have no record, because it could not be written."""
        if not self.file.exists():
            return 0
        with self._opened() as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'left_out'").fetchone():
                return 0
            query = "SELECT coalesce(sum(number), 0) FROM left_out WHERE at >= ? AND at < ?"
            found: int = database.execute(query, _bounds(since, until)).fetchone()[0]
        return found

    def forget_before(self, at: float) -> None:
        """Deletes records that ended before then (seconds since 1970)."""
        with self._transaction() as database:
            database.execute("DELETE FROM calls WHERE at < ?", (at,))

    def rows(self, since: float | None = None, until: float | None = None, *, newest_first: bool = False,
             limit: int = -1) -> Iterator[CallRecord]:  # fmt: skip
        """Records in the order in which they ended, read as they are asked for. None where there is no file."""
        if not self.file.exists():
            return
        order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        query = (
            f"SELECT rowid, {', '.join(ROW)} FROM calls WHERE at >= ? AND at < ? AND (at, rowid) {beyond} (?, ?) "  # noqa: S608 - constants
            f"ORDER BY at {order}, rowid {order} LIMIT ?"
        )
        last: tuple[float, int] = (9e99, 2**62) if newest_first else (-1.0, -1)
        left = limit if limit >= 0 else 2**62
        while left > 0:
            with self._opened() as database:
                page = database.execute(query, (*_bounds(since, until), *last, min(PAGE, left))).fetchall()
            for rowid, *row in page:
                last = (row[ROW.index("at")], rowid)
                left -= 1
                try:
                    record = record_of_row(tuple(row))
                except (ValueError, TypeError, LookupError, AttributeError):
                    _log.warning("the record in row %d of %s cannot be read", rowid, self.file.name)
                    continue
                yield record
            if len(page) < PAGE:
                return

    def spend(self, by: str | None = None, since: float | None = None, until: float | None = None) -> list[Spend]:
        """Spending by a column of `COLUMNS`, or by the values of a kind of scope (tag, user ...), dearest first.

        A request with several values of one kind counts in each; None: everything in one. Days in order.
        """
        if not self.file.exists():
            return []
        bounds: tuple[Any, ...] = _bounds(since, until)
        where = "WHERE at >= ? AND at < ?"
        if by is None:
            query = f"SELECT 'all', {_SUMS} FROM calls {where} HAVING count(*) > 0"  # noqa: S608 - constants
        elif by in COLUMNS:
            query = f"SELECT coalesce({by}, '-'), {_SUMS} FROM calls {where} GROUP BY 1"  # noqa: S608 - of a fixed list
        else:
            query = (
                f"SELECT coalesce(value, '-'), {_SUMS} FROM calls "  # noqa: S608 - constants
                f"LEFT JOIN json_each(calls.scopes, ?) {where} GROUP BY 1"
            )
            bounds = (f"$.{json.dumps(by)}", *bounds)
        with self._opened() as database:
            found = [_spend(row) for row in database.execute(query, bounds)]
        return sorted(found, key=(lambda s: s.name) if by == "day" else (lambda s: (-s.cost_nanos, -s.calls, s.name)))

    def close(self) -> None:
        """Closes the file, unless others in this process use it."""
        found, self._shared = self._shared, None
        if found is not None:
            found.leave(self)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        deadline = time.monotonic() + BUSY_MOST_S
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    database = stack.enter_context(self._opened())
                    database.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError as error:
                    stack.close()
                    if (
                        getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY
                        or time.monotonic() > deadline
                    ):
                        raise
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread. A file that was replaced is opened anew."""
        found = self._shared
        if found is None:
            found = self._shared = shared(RecordsFile, self.file, self)
        with found.taken(WAIT_S):
            if found.has_moved():
                found.shut()
            try:
                yield found.opened()
            except sqlite3.Error:
                found.shut()  # the next use looks at the file anew
                raise


def _added(database: sqlite3.Connection, row: tuple[Any, ...]) -> bool:
    database.execute("SAVEPOINT one")
    try:
        database.execute(_INSERT, row)
    except _OF_A_ROW:
        database.execute("ROLLBACK TO one")
        return False
    finally:
        database.execute("RELEASE one")
    return True


def _bounds(since: float | None, until: float | None) -> tuple[float, float]:
    return 0.0 if since is None else since, 9e18 if until is None else until


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _prepare(database: sqlite3.Connection, file: Path) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = normal")
    database.execute("PRAGMA trusted_schema = OFF")
    if database.execute("PRAGMA user_version").fetchone()[0] == 0:
        with contextlib.suppress(sqlite3.OperationalError):  # another process was faster, or it is looked at below
            database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        if database.in_transaction:
            database.rollback()
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"the records in {file.name} have layout {version}; this routekit reads {SCHEMA_VERSION}", key="records",
            fix="Move the file away, or use the version of routekit that wrote it.",
        )  # fmt: skip


def _spend(row: tuple[Any, ...]) -> Spend:
    (name, calls, read, written, cost, unpriced, baseline, compared, routing, compression, caching, overhead,
     hits, fallbacks, failures) = row  # fmt: skip
    return Spend(
        name, calls, read, written, cost, unpriced, baseline, baseline - compared, routing, compression, caching,
        overhead, hits, fallbacks, failures,
    )  # fmt: skip
