"""SQLite files of this process: each is open once, whoever uses it, and none is open across a fork.

A process loses all of its POSIX locks on a file when it closes any descriptor of it (sqlite.org, "How To Corrupt An
SQLite Database File", 2.2), so nothing but SQLite opens these files once they exist. A forked child inherits SQLite's
book of locks without the locks (ibid., 2.6), so what is open is closed before a fork and opened again after it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

FORK_WAIT_S = 2.0
"""How long a fork waits for the transactions of other threads to end."""

_SIDES = ("", "-wal", "-shm")


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)
D = TypeVar("D", bound="Database[Any]")


class MovedError(OSError):
    """The file that was opened is not the one that has its name now."""


class StrandedError(OSError):
    """This process was forked while the file was in use: SQLite cannot use it here any more."""


class _Box:
    """What is open. Apart from its `Database`, which may be collected while something is."""

    __slots__ = ("content",)

    def __init__(self) -> None:
        self.content: Any = None


_opening = threading.Lock()  # guards what follows; never taken while a database is taken
_making = threading.Lock()  # while a file is made
_all: weakref.WeakSet[Database[Any]] = weakref.WeakSet()
_shared: weakref.WeakValueDictionary[tuple[type, str], Database[Any]] = weakref.WeakValueDictionary()
_dropped: deque[_Box] = deque()
_forgotten: list[Any] = []
_held: list[Database[Any]] = []
_stranded: set[str] = set()
_pid = os.getpid()


class Database(ABC, Generic[T]):
    """One file, which `make` opens when it is needed. Threads take turns: `with database.taken(wait_s): ...`.

    What is dropped without a close is closed in ordinary code later, never by the garbage collector.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = os.fspath(file)
        self.owners: weakref.WeakSet[Any] = weakref.WeakSet()
        self.stranded = self.file in _stranded
        self._paths = tuple(f"{self.file}{side}" for side in _SIDES)
        self._identity: tuple[tuple[int, int] | None, ...] = ()
        self._lock = threading.Lock()
        self._box = _Box()
        with _opening:
            _all.add(self)
        weakref.finalize(self, _dropped.append, self._box).atexit = False

    @abstractmethod
    def make(self) -> T:
        """Opens the file, made where there is none."""

    def forked(self) -> None:
        """This is a child process: what its parent had under way is the parent's."""

    def take(self, wait_s: float) -> bool:
        """Takes the one lock, within so many seconds (0: only where it is free); whether it was taken."""
        if _pid != os.getpid():
            _after_in_child()  # a fork that Python was not told of
        if wait_s > 0 and _dropped:
            _close_dropped()
        return self._lock.acquire(timeout=wait_s) if wait_s > 0 else self._lock.acquire(blocking=False)

    def give_back(self) -> None:
        self._lock.release()

    @contextlib.contextmanager
    def taken(self, wait_s: float) -> Iterator[Database[T]]:
        """
        Raises:
            TimeoutError: other threads keep it.
        """
        if not self.take(wait_s):
            raise TimeoutError("other threads of this process keep it busy")
        try:
            yield self
        finally:
            self.give_back()

    def opened(self) -> T:
        """What is open; to be called while it is taken.

        Raises:
            StrandedError: SQLite cannot use the file in this process. And whatever `make` raises.
        """
        found: T | None = self._box.content
        if found is None:
            if self.stranded:
                raise StrandedError(
                    "this process was forked while the file was in use; start it again, or fork earlier"
                )
            found = self._box.content = self.make()
            self._identity = tuple(map(identity_of, self._paths))
        return found

    @property
    def is_open(self) -> bool:
        return self._box.content is not None

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the file that is open."""
        return self._identity[0] if self._identity else None

    def has_moved(self, name: str = "") -> bool:
        """Whether what is open, or its write-ahead log, has lost its name. To be called while it is taken.

        `name` is that of one owner, which may be a link that leads elsewhere by now.
        """
        if self._box.content is None:
            return False
        main, log, memory = self._identity
        _, log_path, memory_path = self._paths
        return (
            identity_of(name or self.file) != main
            or (log is not None and identity_of(log_path) != log)
            or (memory is not None and identity_of(memory_path) != memory)
        )

    def shut(self) -> None:
        """Closes it, to be called while it is taken; the next use opens it again."""
        found, self._box.content = self._box.content, None
        if found is not None:
            found.close()

    def leave(self, owner: object) -> None:
        """One owner has done with it: the last one closes it, unless somebody uses it at this moment."""
        with _opening:
            self.owners.discard(owner)
            last = not self.owners
        if last and self.take(1.0):
            try:
                self.shut()
            finally:
                self.give_back()


def shared(kind: type[D], file: Path, owner: object) -> D:
    """The database of this kind on this file that all owners in this process have together."""
    path = os.path.realpath(file)
    with _opening:
        found = _shared.get((kind, path))
        if found is not None:
            found.owners.add(owner)
            return cast(D, found)
    fresh = kind(path)
    with _opening:
        found = _shared.setdefault((kind, path), fresh)
        found.owners.add(owner)
    return cast(D, found)


def make_private(file: str | Path) -> None:
    """Makes an empty file that only its owner can read, unless there is one. SQLite gives its side files its mode.

    A file that exists is not opened. Whoever opens it calls this first, so that no thread's SQLite can have locks on
    the file whose descriptor is closed here.

    Raises:
        OSError: it cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with _making, contextlib.suppress(FileExistsError):
        os.close(os.open(file, flags, 0o600))


def identity_of(path: str) -> tuple[int, int] | None:
    """Device and inode of what has this name; None: nothing has."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _close_dropped() -> None:
    while _dropped:
        try:
            box = _dropped.popleft()
        except IndexError:
            return
        found, box.content = box.content, None
        if found is not None:
            with contextlib.suppress(Exception):
                found.close()


def _before_fork() -> None:
    """Waits for transactions under way, and closes everything: nothing of SQLite's is open at the fork."""
    until = time.monotonic() + FORK_WAIT_S
    _opening.acquire()
    _close_dropped()
    for database in list(_all):
        if database._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            _held.append(database)
            with contextlib.suppress(Exception):
                database.shut()


def _after_in_parent() -> None:
    while _held:
        _held.pop().give_back()
    _opening.release()


def _after_in_child() -> None:
    global _making, _opening, _pid
    _pid = os.getpid()
    held, _held[:] = list(_held), []
    _opening, _making = threading.Lock(), threading.Lock()
    for box in _dropped:
        _forget(box.content)
    _dropped.clear()
    for database in list(_all):
        database._lock = threading.Lock()
        if database not in held and database.is_open:
            _forget(database._box.content)
            database._box.content = None
            _stranded.add(database.file)
    for database in list(_all):
        # One connection that another thread had open spoils the file for all connections of the child.
        database.stranded = database.file in _stranded
        database.forked()


def _forget(found: Any) -> None:
    """Keeps it for ever: a child must not close what its parent has open, not even when the interpreter ends."""
    if found is not None:
        _forgotten.append(found)
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(found))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
