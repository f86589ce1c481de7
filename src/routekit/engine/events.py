"""Telling observers, who may fail without anybody noticing more than a log line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from routekit.plugin import Observer
from routekit.types import Event

_log = logging.getLogger("routekit.observers")


class Notifier:
    """Hands events to observers in order. Falsy where there are none, so that events need not be made."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)
        self._failed: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._observers)

    def __call__(self, event: Event) -> None:
        for place, observer in enumerate(self._observers):
            try:
                observer(event)
            except Exception:
                if place not in self._failed:
                    self._failed.add(place)
                    _log.exception("observer %r failed; further failures of it are not logged", observer)

    @property
    def closers(self) -> tuple[Callable[[], None], ...]:
        return tuple(observer.close for observer in self._observers)
