"""What observers are told. Events carry no message text and no secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from routekit.types.decision import RouteDecision
from routekit.types.embedding import EmbeddingResult
from routekit.types.model import Deployment
from routekit.types.money import Money
from routekit.types.request import RouteRequest
from routekit.types.result import Attempt, RouteResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to the request `request_id`; `at` is in seconds since 1970."""

    request_id: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStarted(Event):
    request: RouteRequest = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event):
    decision: RouteDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHit(Event):
    saved: Money
    tier: str
    similarity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event):
    deployment: Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded(Event):
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken(Event):
    deployment: Deployment
    ttft_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRefused(Event):
    scope: str
    deployment: Deployment
    asked: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWarning(Event):
    """So much of a budget is spent: the share `threshold` (0..1) is reached, said once per window in this process."""

    scope: str
    limit: Money
    used: Money
    threshold: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged(Event):
    deployment: Deployment
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginBypassed(Event):
    """A cache, compressor or strategy failed and the request went on without it."""

    kind: str
    name: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed(Event):
    """A compressor made the request smaller; `removed` says what is gone in a few words."""

    compressor: str
    saved_tokens: int
    lossless: bool
    removed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEnded(Event):
    """The last event of a request: either `result` or `error` is set.

    `attempts` and `decision` are there for failures too; `duration_s` is in seconds.
    """

    request: RouteRequest | None = field(default=None, repr=False)
    attempts: tuple[Attempt, ...] = ()
    decision: RouteDecision | None = field(default=None, repr=False)
    duration_s: float = 0.0
    result: RouteResult | EmbeddingResult | None = field(default=None, repr=False)
    error: BaseException | None = None
    detail: Any = None
