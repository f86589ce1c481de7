"""Who may use the ledger's file, and when: one connection per process, short transactions, nobody waits in clean-up."""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from routekit.builtin.budgets.ledger.database import is_busy, mark_of, opened, opened_for_reading
from routekit.builtin.budgets.ledger.ends import Ends
from routekit.builtin.databases import Database, MovedError, identity_of
from routekit.plugin.offload import in_event_loop

READERS_WAIT_S = 30.0
"""How long one who reads the whole ledger waits for another one who does."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_LOCKED = "another program has the ledger locked"
_log = logging.getLogger("routekit.ledger")


@dataclass(slots=True)
class Pin:
    """The file that one owner began with, by device and inode, and the mark in it. `name` is the owner's for it."""

    name: str = ""
    identity: tuple[int, int] | None = None
    mark: int = 0


class LedgerFile(Database[sqlite3.Connection]):
    """The connection that all ledgers of this process on one file have together, and the ends that wait for it."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.full = False
        self.wait_s = 0.09
        self.ends = Ends()
        self._flushing = threading.Lock()
        self._complained = False
        self._newest = 0
        self._mark = 0

    def make(self) -> sqlite3.Connection:
        database = opened(Path(self.file), "full" if self.full else "normal", self.wait_s)
        mark = mark_of(database)
        if mark != self._mark:
            self._mark, self._newest = mark, 0
        return database

    def flush_each(self) -> None:
        """Every commit is flushed to the disk from now on, for all: one owner has asked for that."""
        with self.taken(READERS_WAIT_S):
            if not self.full:
                self.full = True
                self.shut()

    def forked(self) -> None:
        self.ends = Ends()  # the parent's, which it writes itself
        self._flushing = threading.Lock()

    @contextlib.contextmanager
    def transaction(self, pin: Pin, wait_s: float, now: Callable[[], float]) -> Iterator[sqlite3.Connection]:
        """The file, locked for writing, kept ends written. Committed, or rolled back if anything is raised.

        Raises:
            MovedError: the file is gone, or another one. TimeoutError, sqlite3.Error: it cannot be used now.
        """
        database = self._begun(pin, wait_s)
        try:
            written = self.ends.write(database, now()) if self.ends else []
            yield database
            newest = self._checked_newest(database)
            database.execute("COMMIT")
            self.ends.forget(written)
            self._newest, self._complained = newest, False
        except BaseException as error:
            self._undo(database, error, pin)
            raise
        finally:
            self.give_back()
        if self.ends:
            self.write_ends(now)  # told by threads that found the file taken by this one

    @contextlib.contextmanager
    def reading(self, pin: Pin, wait_s: float, now: Callable[[], float]) -> Iterator[sqlite3.Connection]:
        """The file, for one short read that waits for no writer; kept ends are written where that needs no waiting."""
        with self.taken(wait_s):
            try:
                database = self.connected(pin)
                if self.ends:
                    self._write_kept(database, now)
                yield database
            except sqlite3.Error as error:
                self._spoilt(error, pin)
                raise
        if self.ends:
            self.write_ends(now)

    def write_ends(self, now: Callable[[], float], wait_s: float = 0.0) -> None:
        """Writes kept ends; those that another program keeps waiting are written later, by a thread.

        An event loop waits for nobody, a plain thread for other programs, `wait_s` at most.
        """
        on_loop = in_event_loop()
        if self.full and on_loop:  # a flush of the disk takes its time
            self._flush_later(now)
            return
        deadline = time.monotonic() + (0.0 if on_loop else wait_s)
        while self.ends and self.take(0):  # whoever has taken it looks for ends when it gives it back
            try:
                written = self._write_kept(self.connected(Pin()), now)
            except Exception as error:  # the next transaction tries again, and says so to its caller
                self._spoilt(error, Pin())
                self._complain(str(error))
                return
            finally:
                self.give_back()
            if not written:
                if time.monotonic() >= deadline:
                    if not on_loop:
                        self._complain(_LOCKED)
                    self._flush_later(now)
                    return
                time.sleep(random.uniform(0.0001, 0.002))

    def connected(self, pin: Pin) -> sqlite3.Connection:
        """The connection, to be called while it is taken.

        Raises:
            MovedError: see `transaction`.
        """
        name = pin.name or self.file
        if self.has_moved(name) or not self.is_open:
            found = identity_of(name)
            if pin.identity is not None and pin.identity != found:
                raise MovedError("it was removed or replaced while it was in use")
            if self.is_open:
                if found == self.identity:
                    raise MovedError("its write-ahead log was removed while it was in use")
                self.shut()
        elif pin.identity is not None and pin.identity != self.identity:
            raise MovedError("it was removed or replaced while it was in use")
        database = self.opened()
        if pin.identity is None:
            pin.identity, pin.mark = self.identity, self._mark
        elif pin.mark != self._mark:
            raise MovedError("it was removed or replaced while it was in use")
        return database

    def _begun(self, pin: Pin, wait_s: float) -> sqlite3.Connection:
        """Takes it and begins; whoever waits for another program lets the threads of this one through meanwhile."""
        deadline = time.monotonic() + wait_s
        while True:
            if not self.take(max(0.0, deadline - time.monotonic())):
                raise TimeoutError("other threads of this process keep it busy")
            try:
                database = self.connected(pin)
                database.execute("BEGIN IMMEDIATE")
            except BaseException as error:
                self._spoilt(error, pin)
                self.give_back()
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise
            else:
                return database
            # SQLite's own wait doubles its naps and starves; these are short and random.
            time.sleep(random.uniform(0.0001, 0.002))

    def _write_kept(self, database: sqlite3.Connection, now: Callable[[], float]) -> bool:
        """To be called while it is taken. Whether they are written: not where another program has the file locked."""
        for write in (self.ends.write_one, self.ends.write):
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if is_busy(error):
                    return False
                raise
            try:
                written = write(database, now())
                database.execute("COMMIT" if written is not None else "ROLLBACK")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
            if written is not None:
                self.ends.forget(written)
                break
        self._complained = False
        return True

    def _flush_later(self, now: Callable[[], float]) -> None:
        """One thread tries until all are written."""
        if self._flushing.acquire(blocking=False):
            try:
                threading.Thread(target=self._flush, args=(now,), name="routekit-ledger", daemon=True).start()
            except RuntimeError:  # the interpreter is ending; `close` writes them
                self._flushing.release()

    def _flush(self, now: Callable[[], float]) -> None:
        nap_s, patience = 0.001, time.monotonic() + self.wait_s
        try:
            while self.ends:
                with self.taken(READERS_WAIT_S):
                    if not self.ends or self._write_kept(self.connected(Pin()), now):
                        continue
                if time.monotonic() > patience:
                    self._complain(_LOCKED)
                time.sleep(random.uniform(nap_s / 2, nap_s))
                nap_s = min(0.05, nap_s * 1.5)
        except Exception as error:  # the next transaction tries again, and says so to its caller
            self._complain(str(error))
        finally:
            self._flushing.release()

    def _checked_newest(self, database: sqlite3.Connection) -> int:
        """The number of the newest entry. Entries are never taken away: a smaller one is another ledger's."""
        found = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        newest: int = found[0] if found else 0
        if newest < self._newest:
            raise MovedError("it was replaced by an older copy while it was in use")
        return newest

    def _undo(self, database: sqlite3.Connection, error: BaseException, pin: Pin) -> None:
        with contextlib.suppress(sqlite3.Error):
            if database.in_transaction:
                database.execute("ROLLBACK")
        self._spoilt(error, pin)

    def _spoilt(self, error: BaseException, pin: Pin) -> None:
        """After an error of the file the next use looks at it anew; a damaged one may be moved away."""
        if isinstance(error, sqlite3.Error) and not is_busy(error):
            self.shut()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
                pin.identity, self._mark = None, 0

    def _complain(self, why: str) -> None:
        if not self._complained:
            _log.warning("%d ends of holds are written later: %s", len(self.ends), why)
        self._complained = True


class LedgerReader(Database[sqlite3.Connection]):
    """A second connection, for reads that take their time: they keep neither writers nor `LedgerFile` waiting."""

    def make(self) -> sqlite3.Connection:
        return opened_for_reading(Path(self.file), 1.0)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """The ledger as of one moment."""
        with self.taken(READERS_WAIT_S):
            try:
                database = self.opened()
                database.execute("BEGIN")
                yield database
                database.execute("COMMIT")
            finally:
                self.shut()
