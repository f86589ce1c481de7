"""Strategies: the plugins that put candidates in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from routekit.plugin.options import NoOptions, Options
from routekit.plugin.registration import Plugin
from routekit.types import (
    ACCEPT,
    Answer,
    Attempt,
    Candidate,
    Ranking,
    RouteDecision,
    RouteRequest,
    Signals,
    Verdict,
)

StrategySpec = "str | Strategy | Mapping[str, Any]"
"""A strategy's name, an instance, or a table with `use` and options."""

Resolve = Callable[[Any], "Strategy"]
"""Turns a `StrategySpec` into a strategy."""


class Strategy(ABC):
    """Puts candidates in order. `rank` is pure: same arguments, same decision, nothing else touched.

    A strategy ranks all or some of the candidates it is given and nobody else; what it leaves out is
    not tried. The order must not depend on the order of `candidates`; break ties by name. Random
    strategies draw from ``random.Random(signals.seed)``.

    `options` is checked when the strategy is made, from Python and from a file alike. Attributes
    tell the engine what to gather: `uses_latency`, `uses_load`.

    >>> class Shortest(Strategy):
    ...     name = "shortest"
    ...     def rank(self, request, candidates, signals):
    ...         return self.decide(candidates, lambda c: -len(c.name), "the shortest name", signals)
    """

    name: ClassVar[str] = ""
    Options: ClassVar[type[Options]] = NoOptions
    uses_latency: bool = False
    uses_load: bool = False
    reviews: bool = False
    """Whether `review` looks at answers. A stream is then held back until the answer is accepted."""

    wants_logprobs: bool = False
    """Whether answers are asked for with their tokens' log-probabilities."""

    def __init__(self, **options: Any) -> None:
        self.options = self.Options.checked(options, where=self.name or type(self).__name__)

    @abstractmethod
    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        """The candidates in order of preference, with scores and the reason for the first."""

    def bound(self, resolve: Resolve) -> Self:
        """A copy whose nested strategies are resolved. Strategies that nest nobody return themselves.

        Raises:
            PluginNotFoundError: a nested name that nobody registered.
        """
        return self

    def gather(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> Signals:
        """Adds facts that `rank` needs and that take waiting (an embedding, a look-up)."""
        return signals

    async def agather(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> Signals:
        return self.gather(request, candidates, signals)

    def review(
        self,
        request: RouteRequest,
        answer: Answer,
        attempts: Sequence[Attempt],
        consulted: Answer | None = None,
    ) -> Verdict:
        """What to do with an answer. After a ``consult``, called again with that call's answer."""
        return ACCEPT

    def learn(self, request: RouteRequest, decision: RouteDecision, attempts: Sequence[Attempt]) -> None:
        """Told of every finished request. Must be quick and safe in threads."""

    def decide(
        self,
        candidates: Sequence[Candidate],
        score: Callable[[Candidate], float],
        reason: str | Callable[[Candidate], str],
        signals: Signals,
    ) -> RouteDecision:
        """A decision by score, highest first, ties by name."""
        ordered = sorted(candidates, key=_name)
        scores = [score(candidate) for candidate in ordered]
        places = sorted(range(len(ordered)), key=scores.__getitem__, reverse=True)
        ranking = Ranking([ordered[i] for i in places], [scores[i] for i in places])
        return self.decision(ranking, reason, signals)

    def decision(self, ranking: Ranking, reason: str | Callable[[Candidate], str], signals: Signals) -> RouteDecision:
        """A decision from a ranking that is ready."""
        if callable(reason):
            reason = reason(ranking.candidates[0]) if ranking.candidates else "no candidate is left"
        return RouteDecision(strategy=self.name, ranked=ranking, reason=reason, signals=signals, path=(self.name,))

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in sorted(_given(self.options).items()))
        return f"{type(self).__name__}({given})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))


def _given(options: Options) -> dict[str, Any]:
    """The options that were set, under the names that the constructor takes."""
    fields = type(options).model_fields
    return {fields[name].alias or name: getattr(options, name) for name in options.model_fields_set}


def _name(candidate: Candidate) -> str:
    return candidate.deployment.name


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyPlugin(Plugin[Strategy]):
    """Registers a strategy."""

    kind: ClassVar[str] = "strategy"

    @classmethod
    def of(cls, strategy: type[Strategy]) -> StrategyPlugin:
        """The registration of a strategy class that is already imported."""
        summary = (strategy.__doc__ or "").strip().partition("\n")[0]
        return cls(
            name=strategy.name,
            factory=lambda options, context: strategy(**_given(options)),
            options=strategy.Options,
            summary=summary,
        )


__all__ = ["Resolve", "Strategy", "StrategyPlugin", "StrategySpec"]
