"""Observers: the plugins that are told what happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from routekit.plugin.registration import Plugin
from routekit.types import Event


class Observer(ABC):
    """Is told of every event, in order, on the thread of the request. Must be quick.

    What it raises is logged once and ignored.
    """

    @abstractmethod
    def __call__(self, event: Event) -> None: ...

    def close(self) -> None:
        """Frees what is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverPlugin(Plugin[Observer]):
    """Registers an observer."""

    kind: ClassVar[str] = "observer"
