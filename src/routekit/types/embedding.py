"""Vectors of texts, and the story of how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from routekit.types.decision import RouteDecision
from routekit.types.model import Deployment
from routekit.types.money import ZERO, Money
from routekit.types.result import Attempt, CacheStatus
from routekit.types.savings import Savings
from routekit.types.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingResult(Sequence[Any]):
    """What `Router.embed` gives: `vectors` in the order of the texts, and what they cost, failed attempts too.

    `single` says that one text was given and not a list. As a sequence it is what was asked for: the
    vector of the one text, or the list of vectors.
    """

    id: str
    vectors: tuple[tuple[float, ...], ...]
    usage: Usage
    cost: Money
    decision: RouteDecision
    attempts: tuple[Attempt, ...] = ()
    deployment: Deployment | None = None
    model: str | None = None
    cost_known: bool = True
    duration_s: float = 0.0
    single: bool = False

    @property
    def vector(self) -> tuple[float, ...]:
        """The vector of the first text."""
        return self.vectors[0]

    cache: CacheStatus = "bypass"
    saved: Money = ZERO
    savings: Savings | None = None
    finish_reason: str | None = None
    ttft_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data about it; not the vectors."""
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
            "usage": self.usage.to_dict(),
            "duration_s": self.duration_s,
            "vectors": len(self.vectors),
        }

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return (self.vectors[0] if self.single else self.vectors)[place]

    def __len__(self) -> int:
        return len(self.vectors[0] if self.single else self.vectors)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, EmbeddingResult):
            return self.vectors == other.vectors
        return tuple(self) == tuple(other) if isinstance(other, tuple | list) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.vectors)
