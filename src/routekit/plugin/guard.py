"""Guards: the plugins that decide what may pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from routekit.plugin.registration import Plugin
from routekit.types import Finding, Message, RouteRequest
from routekit.types.request import NO_REQUIREMENTS, Requirements


class GuardSession(ABC):
    """What a guard does with the answers to one request. Made by `check_request`, kept by the engine for as long as
    the request lasts, and nowhere else. It may hold values: it is in no cache, record, event or `repr`.

    For a stream the engine calls `feed` with each delta and `end` behind the last one; for a whole answer it calls
    `message`. Both make the same text. A stream that begins anew is read by `restarted`.
    """

    @abstractmethod
    def feed(self, delta: Mapping[str, Any]) -> Mapping[str, Any]:
        """What of the delta, and of what was held back before it, may be handed out now. Holds back as little as it
        can: the longest text that may yet become something to change."""

    @abstractmethod
    def end(self) -> Mapping[str, Any]:
        """What was held back; an empty delta where nothing was."""

    @abstractmethod
    def message(self, message: Message) -> Message:
        """A whole answer, as its caller gets it; the same object where nothing changes."""

    def masked(self, message: Message) -> Message:
        """What `message` gave, as others than its caller may see it (observers); the same object by default."""
        return message

    def restarted(self) -> None:
        """Forgets what was held back: the answer begins anew."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What was found in the answers so far."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardVerdict:
    """What a guard says. ``redact`` brings what has changed of `messages`, `tools` and `params`, each whole;
    ``require`` brings `requirements`, and may bring changes, too. Every verdict but ``block`` may bring
    `findings` and a `session` for the answers.

    `rule` names what matched, never the value.
    """

    action: Literal["allow", "redact", "block", "require"] = "allow"
    rule: str = ""
    messages: Sequence[Message] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    params: Mapping[str, Any] | None = None
    requirements: Requirements = field(default=NO_REQUIREMENTS)
    findings: Sequence[Finding] = ()
    session: GuardSession | None = field(default=None, compare=False, repr=False)


ALLOW = GuardVerdict()


class Guard(ABC):
    """Looks at requests and responses. A guard that raises counts as a refusal: guards fail closed, and nothing of
    what it raised is shown but its type.

    A guard that waits (for a service, a model) overrides `acheck_request` and `acheck_response`, too; those that
    only compute leave them as they are.
    """

    checks_responses: bool = False
    """Whether `check_response` does anything."""

    @property
    def buffers(self) -> bool:
        """Whether a stream is held back until `check_response` has seen the whole answer. A guard whose verdicts
        bring a session says False: its session reads the answers, in pieces or whole."""
        return self.checks_responses

    def check_request(self, request: RouteRequest) -> GuardVerdict:
        """Looks at all that would be sent: messages, tools and parameters."""
        return ALLOW

    async def acheck_request(self, request: RouteRequest) -> GuardVerdict:
        """`check_request` for callers on an event loop."""
        return self.check_request(request)

    def check_response(self, request: RouteRequest, message: Message) -> GuardVerdict:
        """For ``redact``, `messages` holds the one changed message."""
        return ALLOW

    async def acheck_response(self, request: RouteRequest, message: Message) -> GuardVerdict:
        """`check_response` for callers on an event loop."""
        return self.check_response(request, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPlugin(Plugin[Guard]):
    """Registers a guard."""

    kind: ClassVar[str] = "guard"
