"""The ledger's file: its layout, how it is opened, and how one waits for other writers."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from routekit.builtin.databases import make_private

SCHEMA_VERSION = 2

# `entries` is the truth: a balance is the sum of its entries, and `balances` keeps that sum at hand.
_SCHEMA = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('reserve', 'settle', 'release', 'expire', 'uncertain', 'correct')),
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
    state TEXT NOT NULL CHECK (state IN ('reserved', 'sent', 'uncertain', 'expired')),
    deployment TEXT NOT NULL,
    request_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX holds_lease ON holds (expires_at) WHERE state IN ('reserved', 'sent');
"""

# Layout 1 did not tell what was sent from what was not: all of it may have been.
_FROM_1 = """
DROP TRIGGER entries_stay;
DROP TRIGGER entries_last;
DROP INDEX entries_key;
DROP INDEX holds_lease;
ALTER TABLE entries RENAME TO entries_1;
ALTER TABLE balances RENAME TO balances_1;
ALTER TABLE holds RENAME TO holds_1;
{schema}
INSERT INTO entries SELECT seq, at, CASE kind WHEN 'lost' THEN 'uncertain' ELSE kind END, hold, key, scope, spent,
    reserved, deployment, request_id FROM entries_1 ORDER BY seq;
INSERT INTO balances SELECT * FROM balances_1;
INSERT INTO holds SELECT id, keys, amount, expires_at, CASE state WHEN 'open' THEN 'sent' ELSE state END, deployment,
    request_id FROM holds_1;
DROP TABLE entries_1;
DROP TABLE balances_1;
DROP TABLE holds_1
"""


def opened(file: Path, synchronous: str, wait_s: float) -> sqlite3.Connection:
    """A connection to the file, made where there is none; the owner's alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_private(file)
    if os.name == "posix" and file.stat().st_mode & 0o077:
        file.chmod(0o600)
    connection = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, synchronous, time.monotonic() + max(2.0, wait_s))
    except BaseException:
        connection.close()
        raise
    return connection


def opened_for_reading(file: Path, wait_s: float) -> sqlite3.Connection:
    """A connection that cannot write, for reads that take their time. The file must be there, of the newest layout."""
    connection = sqlite3.connect(file, timeout=wait_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def patiently(act: Callable[[], sqlite3.Cursor], deadline: float) -> sqlite3.Cursor:
    """Tries again while others write. SQLite's own wait doubles its naps and starves; these are short and random."""
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(0.0001, 0.002))


def is_busy(error: BaseException) -> bool:
    return bool(getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY)


def _prepare(database: sqlite3.Connection, synchronous: str, deadline: float) -> None:
    """Sets the connection up and makes the tables, once per file. May take longer than a reservation."""
    patiently(lambda: database.execute("PRAGMA journal_mode = WAL"), deadline)
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute("PRAGMA trusted_schema = OFF")
    version = patiently(lambda: database.execute("PRAGMA user_version"), deadline).fetchone()[0]
    if version < SCHEMA_VERSION:
        patiently(lambda: database.execute("BEGIN IMMEDIATE"), deadline)
        try:
            version = _laid_out(database)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
    if version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"it has layout {version}; this routekit reads {SCHEMA_VERSION}")
    if not mark_of(database):
        patiently(lambda: database.execute("BEGIN IMMEDIATE"), deadline)
        try:
            if not mark_of(database):
                database.execute(f"PRAGMA application_id = {random.SystemRandom().randrange(1, 2**31)}")
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def mark_of(database: sqlite3.Connection) -> int:
    """The ledger's own mark, at random: the inode of a file that was removed may be the next file's. 0: none yet."""
    found: int = database.execute("PRAGMA application_id").fetchone()[0]
    return found


def _laid_out(database: sqlite3.Connection) -> int:
    """Brings the file to the newest layout, unless another process was faster; the layout it has then."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        script = _SCHEMA
    elif version == 1:
        script = _FROM_1.format(schema=_SCHEMA)
    else:
        return version
    for statement in _statements(script):
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return SCHEMA_VERSION


def _statements(script: str) -> list[str]:
    """The statements of a script of ours, which never has a semicolon at the end of a line inside of one."""
    return [statement for statement in script.split(";\n") if statement.strip()]
