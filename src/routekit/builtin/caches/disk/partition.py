"""One namespace's database: diskcache, with everything taken out that trusts what the disk says.

Stock diskcache unpickles what a row tells it to, and reads and deletes the files that a row names
(CVE-2025-69872). Here a value is bytes inside its row, nothing is unpickled, no file is opened or
deleted because a row names it, and a database that somebody else had a hand in is not opened at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
from pathlib import Path
from typing import Any

import diskcache

from routekit.builtin.databases import make_private

DATABASE = "cache.db"

# What a database of diskcache's consists of. Anything else was put there by somebody else.
_OBJECTS = frozenset(
    {"Settings", "Cache", "sqlite_autoindex_Settings_1", "Cache_key_raw", "Cache_expire_time", "Cache_store_time",
     "sqlite_stat1", "sqlite_sequence"}
)  # fmt: skip
_TRIGGER = re.compile(
    r"CREATE TRIGGER Settings_(count|size)_(insert|update|delete) AFTER (INSERT|UPDATE|DELETE) ON Cache "
    r"FOR EACH ROW BEGIN UPDATE Settings SET value = value [+-] (1|(NEW|OLD)\.size( - OLD\.size)?) "
    r'WHERE key = "(count|size)"; END'
)
_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_ERROR,  # a table or a column that is not there
    }
)  # fmt: skip
_DAMAGE_EXTENDED = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ})
_SETTINGS = {
    **diskcache.DEFAULT_SETTINGS,
    "eviction_policy": "least-recently-stored",  # a hit then writes nothing
    "sqlite_mmap_size": 0,  # a mapped file that somebody truncates kills the process
}
_COUNTERS = frozenset({"count", "size", "hits", "misses"})


class DamagedError(Exception):
    """The partition holds what this class did not write."""


class RowDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Keys are texts, values are bytes in the row. No files, no pickle, whatever a row says."""

    def __init__(self, directory: str, **_: Any) -> None:
        super().__init__(directory)

    def put(self, key: str) -> tuple[str, bool]:
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        return key if isinstance(key, str) else ""

    def store(self, value: bytes, read: bool, key: Any = None) -> tuple[int, int, None, memoryview]:
        return 0, diskcache.core.MODE_RAW, None, memoryview(value)

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> bytes:
        if mode != diskcache.core.MODE_RAW or filename is not None or type(value) is not bytes:
            raise OSError("a row of somebody else's")  # diskcache takes an OSError for a miss
        return value

    def remove(self, file_path: Any) -> None:
        """There are no files of ours, so a row that names one names somebody else's."""


class Partition(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """One namespace's database. Settings come from here, never from the table inside it.

    One connection serves all threads, which take turns; stock diskcache has one for each thread, and closes none.
    `secret` is what its values are authenticated with.
    """

    secret = b""
    _connection: sqlite3.Connection | None = None

    @property
    def _con(self) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            connection = self._connection = sqlite3.connect(
                os.path.join(self._directory, DATABASE), timeout=0, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA trusted_schema = OFF")
            for key, value in _SETTINGS.items():
                if key.startswith("sqlite_"):
                    self.reset(key, value, update=False)
        return connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def reset(self, key: str, value: Any = diskcache.core.ENOVAL, update: bool = True) -> Any:
        if key in _COUNTERS:
            return super().reset(key, value, update)
        if key not in _SETTINGS:
            return None
        fixed = _SETTINGS[key] if key != "size_limit" else value
        return super().reset(key, fixed, update)


def open_partition(path: Path, size_limit: int, secret: bytes) -> Partition:
    """The database in a directory that exists, made where there is none; `size_limit` in bytes.

    It never waits for other programs: whoever uses it tries again.

    Raises:
        DamagedError, sqlite3.Error: see `_vet`.
    """
    _vet(path)
    make_private(path / DATABASE)
    os.chmod(path / DATABASE, 0o600)
    opened = Partition(str(path), timeout=0, disk=RowDisk, **{**_SETTINGS, "size_limit": size_limit})
    opened.secret = secret
    return opened


def is_ours(found: os.stat_result) -> bool:
    """Whether an `lstat` shows a plain file of ours that has no second name."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and (os.name != "posix" or found.st_uid == os.geteuid())


def _vet(path: Path) -> None:
    """Looks at a partition before SQLite and diskcache do.

    Raises:
        DamagedError: a link, somebody else's file, a rollback journal (it may name a file for SQLite to delete;
            a database in WAL mode has none), or a schema or settings that diskcache did not write.
        sqlite3.DatabaseError: no database.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        try:
            found = (path / f"{DATABASE}{suffix}").lstat()
        except FileNotFoundError:
            continue
        if not is_ours(found) or suffix == "-journal":
            raise DamagedError(f"{DATABASE}{suffix} is not ours")
    if not (path / DATABASE).exists():
        return
    with contextlib.closing(sqlite3.connect(path / DATABASE, timeout=1)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
            if kind == "trigger":
                if not _TRIGGER.fullmatch(" ".join(str(sql).split())):
                    raise DamagedError("a trigger")
            elif kind not in ("table", "index") or name not in _OBJECTS:
                raise DamagedError("a foreign table, index or view")
        try:
            settings = connection.execute("SELECT key, value FROM Settings").fetchall()
        except sqlite3.OperationalError:
            return  # no table yet
        for key, value in settings:
            if key not in _SETTINGS and key not in _COUNTERS:
                raise DamagedError("a foreign setting")
            if key in _COUNTERS and not isinstance(value, int):
                raise DamagedError("a counter that does not count")


def is_damage(error: Exception) -> bool:
    """Whether the content is wrong, as opposed to a disk or a machine that cannot be used now."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # raised by the module itself: a text that is none, or a wrong use
            return isinstance(error, sqlite3.OperationalError)
        return code & 0xFF in _DAMAGE or code in _DAMAGE_EXTENDED
    return isinstance(error, (DamagedError, TypeError, ValueError, LookupError, AttributeError, AssertionError))


def is_busy(error: Exception) -> bool:
    """Whether another program has it locked."""
    return isinstance(error, diskcache.Timeout) or (
        isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    )
