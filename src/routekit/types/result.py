"""What came back: chunks, answers, attempts and the whole result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from routekit.errors import ProviderError
from routekit.types.decision import RouteDecision
from routekit.types.empty import EMPTY
from routekit.types.message import Message, text_of
from routekit.types.model import Deployment
from routekit.types.money import ZERO, Money
from routekit.types.savings import Savings
from routekit.types.usage import NO_USAGE, Usage

CacheStatus = Literal["miss", "hit", "semantic-hit", "bypass"]
Outcome = Literal["ok", "error", "escalated", "interrupted", "cancelled", "blocked"]


def _empty() -> Mapping[str, Any]:
    return EMPTY


class Chunk:
    """One piece of a streamed answer. Immutable by convention.

    `delta` is a Chat Completions delta; `text` its content or "". What the Router hands out adds up by
    OpenAI's rules, whatever the provider sent: content is text, tool calls have distinct indexes, ids once and
    names once, arguments are JSON text, and parts of the content that are no text stand in ``content_parts``.
    `usage` stands on one of the last chunks; `finish_reason` on the one that ends the answer. `logprobs`
    is the provider's log-probability object, where asked for. `restart` says that the stream broke
    and begins anew with this piece: what came before is to be thrown away (only where asked for).
    `headers` are the response's own, lower-case, only those about limits and request ids, on the first.
    """

    __slots__ = ("delta", "finish_reason", "headers", "logprobs", "model", "restart", "text", "usage")

    def __init__(
        self,
        delta: Mapping[str, Any] = EMPTY,
        finish_reason: str | None = None,
        usage: Usage | None = None,
        model: str | None = None,
        logprobs: Mapping[str, Any] | None = None,
        restart: bool = False,
        headers: Mapping[str, str] = EMPTY,
    ) -> None:
        self.delta = delta
        content = delta.get("content")
        self.text: str = content if content.__class__ is str else text_of(delta) if content else ""
        self.finish_reason = finish_reason
        self.usage = usage
        self.model = model
        self.logprobs = logprobs
        self.restart = restart
        self.headers = headers

    @property
    def has_content(self) -> bool:
        """Whether a reader gets something from it: text, a tool call, a refusal or reasoning."""
        if self.text:
            return True
        delta = self.delta
        return bool(
            delta.get("content")
            or delta.get("tool_calls")
            or delta.get("content_parts")
            or delta.get("refusal")
            or delta.get("reasoning_content")
            or delta.get("reasoning")
            or delta.get("audio")
            or delta.get("function_call")
        )

    def __repr__(self) -> str:
        return f"Chunk({dict(self.delta)!r}, finish_reason={self.finish_reason!r}, usage={self.usage!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several answers to the same request (``n``), by its `index` from 0."""

    message: Message
    finish_reason: str | None
    logprobs: Mapping[str, Any] | None = field(default=None, repr=False)
    index: int = 0

    @property
    def text(self) -> str:
        return text_of(self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A provider's complete answer. `usage` is None where the provider reported none.

    `headers` are the response's own, lower-case, only those about limits and request ids. `others` are
    the choices after the first, where more than one was asked for.
    """

    message: Message
    finish_reason: str | None
    usage: Usage | None = None
    model: str | None = None
    logprobs: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=_empty)
    others: tuple[Choice, ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All of them, this one first."""
        first = Choice(message=self.message, finish_reason=self.finish_reason, logprobs=self.logprobs)
        return (first, *self.others)

    @property
    def text(self) -> str:
        return text_of(self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One upstream call, failed ones too. Times are seconds; `started_s` counts from the request's start.

    `role` says what it was for: "answer", or "judge", "embedding", "compressor". `detail` is the
    reason of an escalation or a short form of the error. `uncertain` says that `cost` is its worst case: it was
    sent, and nobody knows what it was billed. `reported_cost` is what the provider itself says, where it does.
    """

    deployment: Deployment
    outcome: Outcome
    error: ProviderError | None = None
    usage: Usage = NO_USAGE
    cost: Money = ZERO
    cost_known: bool = True
    started_s: float = 0.0
    duration_s: float = 0.0
    ttft_s: float | None = None
    role: str = "answer"
    detail: str = ""
    uncertain: bool = False

    @property
    def reported_cost(self) -> Money | None:
        said = self.usage.reported_nanos
        return None if said is None else Money(said)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for records."""
        return {
            "deployment": self.deployment.name,
            "model": self.deployment.model.id,
            "provider": self.deployment.provider,
            "outcome": self.outcome,
            "error": type(self.error).__name__ if self.error else None,
            "detail": self.detail,
            "cost_usd": float(self.cost.usd),
            "cost_nanos": self.cost.nanos,
            "cost_known": self.cost_known,
            "uncertain": self.uncertain,
            "duration_s": self.duration_s,
            "ttft_s": self.ttft_s,
            "role": self.role,
            "usage": self.usage.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteResult:
    """The answer and its whole story. `cost` includes every attempt, failed and escalated ones too.

    `cache` is "miss", "hit", "semantic-hit" or "bypass"; `saved` is what a cache hit did not cost.
    `usage` is the answering call's own; `total_usage` adds the other attempts. `compare` computes the
    savings when they are asked for. `others` are the choices after the first, for requests with ``n``.
    """

    id: str
    message: Message
    finish_reason: str | None
    usage: Usage
    cost: Money
    decision: RouteDecision
    attempts: tuple[Attempt, ...] = ()
    cache: CacheStatus = "miss"
    saved: Money = ZERO
    model: str | None = None
    deployment: Deployment | None = None
    cost_known: bool = True
    duration_s: float = 0.0
    ttft_s: float | None = None
    logprobs: Mapping[str, Any] | None = field(default=None, repr=False)
    compare: Callable[[], Savings | None] | None = field(default=None, repr=False, compare=False)
    others: tuple[Choice, ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every answer that was asked for, the one of `message` first."""
        first = Choice(message=self.message, finish_reason=self.finish_reason, logprobs=self.logprobs)
        return (first, *self.others)

    def __reduce__(self) -> tuple[Any, ...]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["compare"] = functools.partial(_computed, self.savings)
        return _restored, (type(self), values)

    @property
    def savings(self) -> Savings | None:
        """What this saved against the baseline deployment, and how it splits; None where a price is unknown."""
        return None if self.compare is None else self.compare()

    @property
    def text(self) -> str:
        return text_of(self.message)

    @property
    def tool_calls(self) -> list[Any]:
        return list(self.message.get("tool_calls") or ())

    @property
    def total_usage(self) -> Usage:
        total = NO_USAGE
        for attempt in self.attempts:
            total = total + attempt.usage
        return total

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what `response_metadata["routekit"]` and ``--json`` show.

        The dollars are numbers for reading; the nano-dollars beside them are exact.
        """
        return {
            "id": self.id,
            "strategy": self.decision.strategy,
            "deployment": self.deployment.name if self.deployment else None,
            "model": self.model,
            "reason": self.decision.reason,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "cost_usd": float(self.cost.usd),
            "cost_nanos": self.cost.nanos,
            "cost_known": self.cost_known,
            "saved_usd": float(self.saved.usd),
            "saved_nanos": self.saved.nanos,
            "savings": savings.to_dict() if (savings := self.savings) is not None else None,
            "cache": self.cache,
            "usage": self.usage.to_dict(),
            "finish_reason": self.finish_reason,
            "duration_s": self.duration_s,
            "ttft_s": self.ttft_s,
        }


def _computed(savings: Savings | None) -> Savings | None:
    return savings


def _restored(kind: type[RouteResult], values: dict[str, Any]) -> RouteResult:
    return kind(**values)
