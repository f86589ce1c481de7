"""Compressors: the plugins that make a request smaller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from routekit.plugin.registration import Plugin
from routekit.types import Answer, RouteRequest

RETRIEVE_ORIGINAL: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "retrieve_original",
        "description": "The whole text of a tool result that was shortened, by the handle that stands in it.",
        "parameters": {
            "type": "object",
            "properties": {"handle": {"type": "string", "description": "The handle, as it stands in the short text."}},
            "required": ["handle"],
        },
    },
}
"""A tool that an agent may be given; `Router.original` is what it calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """A request made smaller. `lossless` says that a model reads the same from it.

    `removed` says in a few words what is gone ("12 older turns"), empty where nothing is.
    """

    request: RouteRequest
    lossless: bool
    removed: str = ""


class Compressor(ABC):
    """Makes a request smaller. Returns a new request or the same one; never changes the caller's.

    Never splits a tool call from its result, never drops the system messages or the newest user
    turn, never returns something larger. `lossless` compressors always run; the others run when
    the request is over its target, unless configuration says otherwise.

    `stable` says that what becomes of a message depends on nothing that comes after it: a conversation
    that goes on is then sent with the same beginning, which the provider's prompt cache still holds.
    A `slow` one (it loads a model) works on a thread of its own, and is left out where it takes too long.
    """

    lossless: ClassVar[bool] = False
    stable: ClassVar[bool] = False
    slow: ClassVar[bool] = False

    @abstractmethod
    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        """The request with at most `target_tokens` input tokens where that is possible."""

    def consult(self, request: RouteRequest, target_tokens: int | None) -> RouteRequest | None:
        """What a model must be asked before `compress` can do its work; None: nothing.

        The router asks the cheapest deployment that may serve it, as an attempt with a hold of its own,
        and hands the answer to `learn`. Without one `compress` does what it can.
        """
        return None

    def learn(self, asked: RouteRequest, answer: Answer) -> None:
        """The answer to what `consult` asked."""

    def original(self, handle: str) -> str | None:
        """The text that `handle` stands for in a request that was compressed here; None: unknown, or gone."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressorPlugin(Plugin[Compressor]):
    """Registers a compressor."""

    kind: ClassVar[str] = "compressor"
