"""Compressors: the plugins that make a request smaller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from routekit.plugin.registration import Plugin
from routekit.types import RouteRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """A request made smaller. `lossless` says that a model reads the same from it.

    `removed` says in a few words what is gone ("12 older turns"), empty where nothing is.
    """

    request: RouteRequest
    lossless: bool
    removed: str = ""


class Compressor(ABC):
    """Makes a request smaller. Pure: returns a new request or the same one.

    Never splits a tool call from its result, never drops the system messages or the newest user
    turn, never returns something larger. `lossless` compressors always run; the others run when
    the request is over its target.
    """

    lossless: ClassVar[bool] = False

    @abstractmethod
    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        """The request with at most `target_tokens` input tokens where that is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressorPlugin(Plugin[Compressor]):
    """Registers a compressor."""

    kind: ClassVar[str] = "compressor"
