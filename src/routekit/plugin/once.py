"""What is made once, also where many threads ask for it first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, Self, TypeVar, overload

from routekit.plugin.forking import reset_after_fork

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Once(Generic[T]):
    """A value that is made by the first call and is the same for all. (`functools.cache` is no lock: it may make two.)

    A maker that raises is asked again by the next call. A forked child keeps what was made, but for values that
    live in threads or connections: with `per_process` it makes its own.

    >>> once = Once(lambda: object())
    >>> once() is once()
    True
    """

    __slots__ = ("__weakref__", "_lock", "_made", "_make", "_per_process")

    def __init__(self, make: Callable[[], T], *, per_process: bool = False) -> None:
        self._make = make
        self._per_process = per_process
        self._made: tuple[T] | None = None
        self._lock = threading.Lock()
        reset_after_fork(self)

    def __call__(self) -> T:
        made = self._made
        if made is None:
            with self._lock:
                if self._made is None:
                    self._made = (self._make(),)
                made = self._made
        return made[0]

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        if self._per_process and self._made is not None:
            _inherited.append(self._made[0])
            self._made = None


_inherited: list[object] = []
"""What a forked child does not use and must not take apart: its destructor may wait for threads that are not here."""


class OncePerKey(Generic[K, T]):
    """Values by key, each made by the first who asks for it. Making one may ask for another one.

    >>> squares = OncePerKey[int, object]()
    >>> squares.get(3, lambda: object()) is squares.get(3, lambda: object())
    True
    """

    __slots__ = ("__weakref__", "_found", "_lock")

    def __init__(self) -> None:
        self._found: dict[K, T] = {}
        self._lock = threading.RLock()  # a strategy that is made may make the ones it delegates to
        reset_after_fork(self)

    def get(self, key: K, make: Callable[[], T]) -> T:
        """The value under `key`, made by `make` where there is none yet."""
        try:
            return self._found[key]
        except KeyError:
            with self._lock:
                if key not in self._found:
                    self._found[key] = make()
                return self._found[key]

    def values(self) -> list[T]:
        """What was made so far."""
        return list(self._found.values())

    def clear(self) -> list[T]:
        """Forgets all of it; returns what was there."""
        with self._lock:
            found = list(self._found.values())
            self._found.clear()
            return found

    def after_fork(self) -> None:
        self._lock = threading.RLock()


class KeptProperty(Generic[T]):
    """A property that is computed when it is first read, and kept in the object's ``__dict__``.

    Without a lock: that of `functools.cached_property` in Python 3.11 is one for all objects of the class, so that
    a process that is forked while any thread computes waits for it for ever. Two threads may compute the same
    value; all are given the first one.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> Self | T:
        if owner is None:
            return self
        value: T = vars(owner).setdefault(self._name, self._make(owner))
        return value
