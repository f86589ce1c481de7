"""What is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from routekit.types.empty import EMPTY
from routekit.types.headers import NO_HEADERS, CallHeaders
from routekit.types.message import Message
from routekit.types.money import Money
from routekit.types.retention import stricter_retention
from routekit.types.sending import output_limit_of

StepKind = Literal["plan", "act", "observe", "answer", "recover", "summarise"]
CacheMode = Literal["use", "bypass", "refresh", "only"]


def _empty() -> Mapping[str, Any]:
    return EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Hard filters: a deployment that misses one is rejected, with that as the reason.

    `retention` is the longest permitted one ("zero" is the strictest); `regions` and `tags` empty
    mean any; `max_cost` is a ceiling for the whole request with all of its attempts.
    """

    capabilities: frozenset[str] = frozenset()
    max_cost: Money | None = None
    regions: frozenset[str] = frozenset()
    retention: str | None = None
    tags: frozenset[str] = frozenset()
    allowed_providers: frozenset[str] = frozenset()
    denied_providers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("capabilities", "regions", "tags", "allowed_providers", "denied_providers"):
            value = getattr(self, name)
            if value.__class__ is not frozenset:  # a set or a list, as people write it
                object.__setattr__(self, name, frozenset((value,) if isinstance(value, str) else value))

    def __or__(self, other: Requirements) -> Requirements:
        """Both at once: the stricter of each."""

        def either(a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
            if a and b and not a & b:
                return frozenset({"(none: two requirements exclude each other)"})
            return a & b if a and b else a | b

        ceilings = [ceiling for ceiling in (self.max_cost, other.max_cost) if ceiling is not None]
        return Requirements(
            capabilities=self.capabilities | other.capabilities,
            max_cost=min(ceilings) if ceilings else None,
            regions=either(self.regions, other.regions),
            retention=stricter_retention(self.retention, other.retention),
            tags=self.tags | other.tags,
            allowed_providers=either(self.allowed_providers, other.allowed_providers),
            denied_providers=self.denied_providers | other.denied_providers,
        )


NO_REQUIREMENTS = Requirements()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where in an agent's run a request stands. `index` counts model calls of the run from 0."""

    kind: str = "answer"
    run_id: str | None = None
    index: int = 0
    node: str | None = None
    after_tool_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """One request, immutable. `params` are Chat Completions parameters and travel to the provider as they are.

    `strategy` is the label of the strategy that was chosen for it; `model` narrows the candidates to
    one deployment, one model id or one group. `scopes` maps a kind ("project", "user", "tag", ...) to
    its values. `deadline_s` is in seconds from the start of the request.
    `cache_ttl_s` (seconds) and `cache_namespace` (a partition inside the tenant's) overrule ``[cache]``.
    `on_interrupt` says what follows a broken stream ("error", "continue", "restart"), None: as configured.
    `headers` travel with every attempt; no `repr` shows their values.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    params: Mapping[str, Any] = field(default_factory=_empty)
    group: str | None = None
    model: str | None = None
    strategy: str | None = None
    requirements: Requirements = NO_REQUIREMENTS
    step: Step | None = None
    session: str | None = None
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=_empty)
    metadata: Mapping[str, Any] = field(default_factory=_empty)
    deadline_s: float | None = None
    cache: CacheMode = "use"
    cache_ttl_s: float | None = None
    cache_namespace: str | None = None
    stream: bool = False
    on_interrupt: str | None = None
    headers: CallHeaders = NO_HEADERS

    @property
    def wanted_output(self) -> int | None:
        """The caller's own limit on output tokens, under either of its names."""
        return output_limit_of(self.params)
