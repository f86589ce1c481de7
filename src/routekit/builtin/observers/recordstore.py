"""Records of requests in a file: figures and reasons in SQLite, never a message."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from routekit.errors import ConfigError
from routekit.types import CallRecord, Savings, Usage

FILE = "decisions.sqlite3"
SCHEMA_VERSION = 1
DAY_S = 86_400.0
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
_ROW = (
    "id", "at", "day", "outcome", "strategy", "deployment", "model", "provider", "cache", "scopes", "cost_nanos",
    "cost_known", "baseline", "baseline_nanos", "routing_nanos", "compression_nanos", "caching_nanos",
    "overhead_nanos", "input_tokens", "output_tokens", "usage", "duration_s", "ttft_s", "fallbacks", "attempts",
    "decision",
)  # fmt: skip
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


class RecordStore:
    """Reads and writes the file; made at the first write, readable by its owner only. One thread at a time."""

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self._open: sqlite3.Connection | None = None
        self._pid = os.getpid()

    def add(self, records: Iterable[CallRecord]) -> None:
        """Writes them in one transaction."""
        marks = ", ".join("?" * len(_ROW))
        database = self._connection()
        with database:
            database.executemany(f"INSERT INTO calls VALUES ({marks})", map(_row, records))  # noqa: S608 - question marks

    def forget_before(self, at: float) -> None:
        """Deletes records that ended before then (seconds since 1970)."""
        with self._connection() as database:
            database.execute("DELETE FROM calls WHERE at < ?", (at,))

    def rows(self, since: float | None = None, until: float | None = None, *, newest_first: bool = False,
             limit: int = -1) -> Iterator[CallRecord]:  # fmt: skip
        """Records in the order in which they ended, read as they are asked for. None where there is no file."""
        if not self.file.exists():
            return
        order = "DESC" if newest_first else "ASC"
        cursor = self._connection().execute(
            f"SELECT {', '.join(_ROW)} FROM calls WHERE at >= ? AND at < ? ORDER BY at {order}, rowid {order} LIMIT ?",  # noqa: S608 - constants
            (0.0 if since is None else since, 9e18 if until is None else until, limit),
        )
        for row in cursor:
            yield _record(row)

    def spend(self, by: str | None = None, since: float | None = None, until: float | None = None) -> list[Spend]:
        """Spending by a column of `COLUMNS`, or by the values of a kind of scope (tag, user ...), dearest first.

        A request with several values of one kind counts in each; None: everything in one. Days in order.
        """
        if not self.file.exists():
            return []
        bounds: tuple[Any, ...] = (0.0 if since is None else since, 9e18 if until is None else until)
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
        found = [_spend(row) for row in self._connection().execute(query, bounds)]
        return sorted(found, key=(lambda s: s.name) if by == "day" else (lambda s: (-s.cost_nanos, -s.calls, s.name)))

    def close(self) -> None:
        """Closes the file."""
        if self._open is not None and self._pid == os.getpid():
            self._open.close()
        self._open = None

    def _connection(self) -> sqlite3.Connection:
        if self._pid != os.getpid():  # a forked child may neither use nor close its parent's
            self._open, self._pid = None, os.getpid()
        if self._open is None:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self.file, timeout=5, check_same_thread=False)
            try:
                _prepare(connection, self.file)
            except BaseException:
                connection.close()
                raise
            self._open = connection
        return self._open


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


def _row(record: CallRecord) -> tuple[Any, ...]:
    import datetime as dt

    savings = record.savings
    day = dt.datetime.fromtimestamp(record.at, dt.UTC).strftime("%Y-%m-%d")
    parts: tuple[Any, ...] = (None,) * 6
    if savings is not None:
        parts = (
            savings.baseline, savings.baseline_nanos, savings.routing_nanos, savings.compression_nanos,
            savings.caching_nanos, savings.overhead_nanos,
        )  # fmt: skip
    return (
        record.id, record.at, day, record.outcome, record.strategy, record.deployment, record.model, record.provider,
        record.cache, json.dumps({kind: list(values) for kind, values in record.scopes.items()}),
        record.cost_nanos, int(record.cost_known), *parts,
        record.usage.input_tokens, record.usage.output_tokens, json.dumps(record.usage.to_dict()), record.duration_s,
        record.ttft_s, record.fallbacks, json.dumps(list(record.attempts), default=str),
        json.dumps(dict(record.decision), default=str),
    )  # fmt: skip


def _record(row: tuple[Any, ...]) -> CallRecord:
    found = dict(zip(_ROW, row, strict=True))
    savings = None
    if found["baseline"] is not None:
        names = ("baseline", "baseline_nanos", "routing_nanos", "compression_nanos", "caching_nanos", "overhead_nanos")
        savings = Savings(cost_nanos=found["cost_nanos"], **{name: found[name] for name in names})
    same = (
        "id", "at", "outcome", "strategy", "deployment", "model", "provider", "cache", "cost_nanos", "duration_s",
        "ttft_s", "fallbacks",
    )  # fmt: skip
    return CallRecord(
        **{name: found[name] for name in same},
        scopes={kind: tuple(values) for kind, values in json.loads(found["scopes"]).items()},
        cost_known=bool(found["cost_known"]),
        savings=savings,
        usage=Usage(**json.loads(found["usage"])),
        attempts=tuple(json.loads(found["attempts"])),
        decision=json.loads(found["decision"]),
    )


def _spend(row: tuple[Any, ...]) -> Spend:
    (name, calls, read, written, cost, unpriced, baseline, compared, routing, compression, caching, overhead,
     hits, fallbacks, failures) = row  # fmt: skip
    return Spend(
        name, calls, read, written, cost, unpriced, baseline, baseline - compared, routing, compression, caching,
        overhead, hits, fallbacks, failures,
    )  # fmt: skip
