"""Shared state: what the machines of one service know together about their deployments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from routekit.plugin.registration import Plugin
from routekit.types import Limits

Heard = Callable[[str, float, str], None]
"""``heard(place, until, reason)``: somebody else has ejected `place` until then (seconds since 1970)."""


class SharedState(ABC):
    """Limits and ejections that hold for several processes or machines together.

    A `place` is a deployment as all of them know it: name, provider, model and address, never a key.
    Where the store fails, nothing here may raise or wait for longer than a call to it may take: each
    process then goes by what it knows itself.
    """

    @abstractmethod
    def start(self, heard: Heard) -> None:
        """Begins to listen, on a thread of its own; ejections of others are told to `heard`, each once."""

    @abstractmethod
    def take(self, place: str, call: str, tokens: int, limits: Limits) -> str | None:
        """Counts the call `call` of so many `tokens` against the limits; None, or why it may not be made now.

        One step for requests and tokens per minute and calls at once. A call that is not given back
        counts as under way for no longer than an hour.
        """

    @abstractmethod
    def give_back(self, place: str, call: str) -> None:
        """The call has ended. Never waits."""

    @abstractmethod
    def eject(self, place: str, until: float, reason: str) -> None:
        """Tells the others. Never waits. A later `until` counts, an earlier one does not shorten it."""

    @abstractmethod
    def readmit(self, place: str) -> None:
        """A probe has succeeded: whoever starts from now on need not hear of the ejection. Never waits."""

    def close(self) -> None:
        """Ends what `start` began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPlugin(Plugin[SharedState]):
    """Registers shared state."""

    kind: ClassVar[str] = "shared"
