"""What a forked child must not go on with: connections, threads, locks and calls of its parent.

After a fork the child has a copy of every object and none of the other threads. A lock that another
thread held stays locked for ever, a call that was under way ends in the parent only, and a connection
is shared with it: bytes that both read are lost to one of them. So whatever holds such state is
registered here and told once, in the child, before anything else runs there.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import Any, Protocol, TypeVar

_log = logging.getLogger("routekit.fork")


class Forkable(Protocol):
    """Holds state that belongs to one process."""

    def after_fork(self) -> None:
        """Runs in the child, in its only thread: drops what belongs to the parent, and makes new locks.

        It must not wait, write to an inherited connection, or take a lock that existed before the fork.
        """
        ...


F = TypeVar("F", bound=Forkable)
_registered: weakref.WeakSet[Forkable] = weakref.WeakSet()


def reset_after_fork(holder: F) -> F:
    """Registers `holder`, weakly; returns it.

    >>> class Counter:
    ...     def __init__(self) -> None:
    ...         self.under_way = 0
    ...         reset_after_fork(self)
    ...     def after_fork(self) -> None:
    ...         self.under_way = 0
    """
    _registered.add(holder)
    return holder


class Locked(Protocol):
    """Has a lock that is called `_lock`."""

    _lock: Any


_locked: weakref.WeakSet[Locked] = weakref.WeakSet()
_RLOCK = type(threading.RLock())


def new_lock_after_fork(holder: Locked) -> None:
    """Registers something of which a fork may leave nothing behind but a lock that is held for ever."""
    _locked.add(holder)


def _after_fork_in_child() -> None:
    for locked in list(_locked):
        locked._lock = threading.RLock() if isinstance(locked._lock, _RLOCK) else threading.Lock()
    for holder in list(_registered):
        try:
            holder.after_fork()
        except Exception:
            _log.exception("%s could not be reset after a fork", type(holder).__name__)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
