"""What is kept of one request: figures and reasons, never a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from routekit.types.savings import Savings
from routekit.types.usage import NO_USAGE, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One request that ended. `at` is its end in seconds since 1970; times are seconds, money nano-dollars.

    `outcome` is "ok" or the name of the error. `deployment`, `model` and `provider` are those that
    answered, None where nobody did. `scopes` are the request's (project, user, tag, run, step ...).
    `fallbacks` counts attempts for the answer beyond the first. `savings` is None where no baseline has
    a price or nothing was answered. `attempts` and `decision` are their `to_dict`.
    """

    id: str
    at: float
    outcome: str
    strategy: str
    deployment: str | None = None
    model: str | None = None
    provider: str | None = None
    cache: str = "bypass"
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cost_nanos: int = 0
    cost_known: bool = True
    savings: Savings | None = None
    usage: Usage = NO_USAGE
    duration_s: float = 0.0
    ttft_s: float | None = None
    fallbacks: int = 0
    attempts: tuple[Mapping[str, Any], ...] = ()
    decision: Mapping[str, Any] = field(default_factory=dict)
