"""Slots: one holder at a time, in all threads and processes of one home.

A slot is a name in a dictionary and, where a folder is set, an advisory lock (``flock``) on a file
in it. The kernel drops the lock when the process that holds it dies, so no slot is ever
lost. The files stay: removing one while somebody opens it would let two in.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path

from routekit.plugin import reset_after_fork

try:
    import fcntl
except ImportError:  # Windows: one holder per process there
    fcntl = None  # type: ignore[assignment]  # its absence is asked for before each use


LABEL_BYTES = 200


class Slots:
    """Slots by name. `folder` None: threads of this object only.

    A folder that cannot be written to does not stop anybody: then a slot holds in this process only.
    Who takes a slot may leave a `label` in it, which others read while it is held.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = None if fcntl is None else folder
        self._taken: dict[str, int | None] = {}  # name to the descriptor that holds the lock
        # Re-entrant: an abandoned coroutine gives its slot back wherever the garbage collector finds it.
        self._lock = threading.RLock()
        reset_after_fork(self)

    def take(self, name: str, label: str = "") -> bool:
        """Takes a slot, without waiting. False: somebody else holds it."""
        return self.take_over(name, label) is not None

    def take_over(self, name: str, label: str = "") -> str | None:
        """Takes a slot, without waiting; what its last holder left in it. None: somebody else holds it."""
        with self._lock:
            if name in self._taken:
                return None
            self._taken[name] = None
            if self._folder is None:
                return ""
            descriptor = _opened(self._folder, name)
            if descriptor is None:
                return ""
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                del self._taken[name]
                return None
            except OSError:  # a file system without locks
                os.close(descriptor)
                return ""
            before = ""
            if label:
                with contextlib.suppress(OSError):
                    before = _label(descriptor)
                with contextlib.suppress(OSError):  # in one piece: nobody reads half of it, or none
                    os.pwrite(descriptor, label.encode().ljust(LABEL_BYTES), 0)
            self._taken[name] = descriptor
            return before

    def label(self, name: str) -> str:
        """What its last holder left in a slot; "" where nobody did yet, or it cannot be read."""
        if self._folder is None or (descriptor := _opened(self._folder, name)) is None:
            return ""
        try:
            return _label(descriptor)
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    def release(self, name: str) -> None:
        """Gives the slot back; nothing happens where it is not held."""
        with self._lock:
            descriptor = self._taken.pop(name, None)
            if descriptor is None:
                return
            with contextlib.suppress(OSError):  # closing releases it all the same
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def __del__(self) -> None:
        for descriptor in getattr(self, "_taken", {}).values():
            if descriptor is not None:
                with contextlib.suppress(OSError):  # interpreter shutdown
                    os.close(descriptor)

    def after_fork(self) -> None:
        """The child holds copies of the descriptors: closed without unlocking, the parent keeps its slots."""
        self._lock = threading.RLock()
        for descriptor in self._taken.values():
            if descriptor is not None:
                os.close(descriptor)
        self._taken.clear()


def _label(descriptor: int) -> str:
    return os.pread(descriptor, LABEL_BYTES, 0).decode(errors="replace").rstrip()


def _opened(folder: Path, name: str) -> int | None:
    """The descriptor of a slot's file. Names are hashed: they may hold what paths may not."""
    path = folder / hashlib.sha256(name.encode()).hexdigest()[:32]
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        pass
    except OSError:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)
    except OSError:
        return None
