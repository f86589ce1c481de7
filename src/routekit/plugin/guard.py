"""Guards: the plugins that decide what may pass."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from routekit.plugin.registration import Plugin
from routekit.types import Message, RouteRequest
from routekit.types.request import NO_REQUIREMENTS, Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardVerdict:
    """What a guard says. ``redact`` brings what has changed of `messages`, `tools` and `params`, each whole;
    ``require`` brings `requirements`, and may bring changes, too.

    `rule` names what matched, never the value.
    """

    action: Literal["allow", "redact", "block", "require"] = "allow"
    rule: str = ""
    messages: Sequence[Message] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    params: Mapping[str, Any] | None = None
    requirements: Requirements = field(default=NO_REQUIREMENTS)


ALLOW = GuardVerdict()


class Guard(ABC):
    """Looks at requests and responses. A guard that raises counts as a refusal: guards fail closed."""

    checks_responses: bool = False
    """Whether `check_response` does anything. A stream is then held back until it was checked."""

    def check_request(self, request: RouteRequest) -> GuardVerdict:
        """Looks at all that would be sent: messages, tools and parameters."""
        return ALLOW

    def check_response(self, request: RouteRequest, message: Message) -> GuardVerdict:
        """For ``redact``, `messages` holds the one changed message."""
        return ALLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPlugin(Plugin[Guard]):
    """Registers a guard."""

    kind: ClassVar[str] = "guard"
