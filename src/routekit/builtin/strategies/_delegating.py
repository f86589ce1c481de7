"""What strategies that hand the ranking to another one have in common."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator

from routekit.errors import ConfigError
from routekit.plugin import Strategy
from routekit.plugin.strategy import Resolve
from routekit.types import (
    Answer,
    Attempt,
    Candidate,
    Deployment,
    Rejection,
    RouteDecision,
    RouteRequest,
    Signals,
    Verdict,
)


def _checked_spec(value: Any) -> Any:
    if isinstance(value, Strategy) or (isinstance(value, str) and value):
        return value
    if isinstance(value, Mapping):
        use = value.get("use")
        if isinstance(use, str) and use:
            return value
        raise ValueError("a strategy's table needs `use`, the name of a strategy, such as { use = 'cheapest' }")
    raise ValueError("a strategy is a name, an instance or a table with `use`")


StrategyOption = Annotated[Any, AfterValidator(_checked_spec)]
"""An option that is a strategy: a name, an instance, or a table with `use` and its options."""


_being_bound: ContextVar[tuple[str, ...]] = ContextVar("being_bound", default=())
"""The strategies whose children are being resolved, outermost first."""


class Choice(NamedTuple):
    """Who ranks a request. `slot` names the child, `why` says why it is this one.

    `keep` says which deployments the child gets to see (None: all), `because` why the others do not.
    """

    slot: str
    why: str
    keep: Callable[[Deployment], bool] | None = None
    because: str = ""


class Delegating(Strategy):
    """A strategy whose order is another one's.

    The child that ranks a request depends on the request alone, so `review` and `learn` find the
    same one again. What any child needs or does (`uses_latency`, `uses_load`, `reviews`,
    `wants_logprobs`), this one needs and does; children given by name count from `bound` on.
    """

    wants_logprobs: bool = False
    """Whether the engine should ask providers for token log-probabilities."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._children: dict[str, Any] = self.nested()
        self._bound = False
        self._inherit()

    @abstractmethod
    def nested(self) -> dict[str, Any]:
        """Slot to strategy spec, as the options say."""

    @abstractmethod
    def choose(self, request: RouteRequest) -> Choice:
        """Who ranks this request. Pure."""

    def bound(self, resolve: Resolve) -> Self:
        if self._bound:
            return self
        # What is bound inside itself is the same strategy with the same options: its names lead back to it.
        this, outer = repr(self), _being_bound.get()
        if this in outer:
            raise ConfigError(
                f"the strategy {self.name!r} delegates to itself in a circle",
                key=self.name,
                fix="Break the circle: one of the strategies in it has to name one outside.",
            )
        token = _being_bound.set((*outer, this))
        try:
            clone = copy.copy(self)
            clone._children = {slot: _resolved(spec, resolve) for slot, spec in self._children.items()}
        finally:
            _being_bound.reset(token)
        clone._bound = True
        clone._inherit()
        return clone

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        choice = self.choose(request)
        child = self.child(choice.slot)
        kept, rejections = _narrowed(candidates, choice)
        decision = child.rank(request, kept, signals)
        reason = decision.reason if kept or not rejections else f"{choice.because}, which leaves no candidate"
        return RouteDecision(
            strategy=self.name,
            ranked=decision.ranked,
            reason=f"{choice.why}: {reason}",
            rejections=(*rejections, *decision.rejections),
            signals=decision.signals,
            path=(self.name, *decision.path),
            notes=decision.notes,
        )

    def gather(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> Signals:
        choice = self.choose(request)
        return self.child(choice.slot).gather(request, _narrowed(candidates, choice)[0], signals)

    async def agather(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> Signals:
        choice = self.choose(request)
        return await self.child(choice.slot).agather(request, _narrowed(candidates, choice)[0], signals)

    def review(
        self,
        request: RouteRequest,
        answer: Answer,
        attempts: Sequence[Attempt],
        consulted: Answer | None = None,
    ) -> Verdict:
        return self.child(self.choose(request).slot).review(request, answer, attempts, consulted)

    def learn(self, request: RouteRequest, decision: RouteDecision, attempts: Sequence[Attempt]) -> None:
        self.child(self.choose(request).slot).learn(request, decision, attempts)

    def child(self, slot: str) -> Strategy:
        """The strategy in a slot.

        Raises:
            ConfigError: it is still a name or a table, because nobody bound this strategy.
        """
        child = self._children[slot]
        if isinstance(child, Strategy):
            return child
        raise ConfigError(
            f"the strategy {self.name!r} is not bound, so its {slot} is still {child!r} and cannot rank",
            key=f"{self.name}.{slot}",
            fix="Hand it to a Router, which looks names up, or give an instance instead of a name.",
        )

    def _inherit(self) -> None:
        children = [child for child in self._children.values() if isinstance(child, Strategy)]
        self.uses_latency = any(child.uses_latency for child in children)
        self.uses_load = any(child.uses_load for child in children)
        self.reviews = any(child.reviews for child in children)
        self.wants_logprobs = any(getattr(child, "wants_logprobs", False) for child in children)


def _resolved(spec: Any, resolve: Resolve) -> Strategy:
    strategy = spec if isinstance(spec, Strategy) else resolve(spec)
    return strategy.bound(resolve)


def _narrowed(candidates: Sequence[Candidate], choice: Choice) -> tuple[Sequence[Candidate], tuple[Rejection, ...]]:
    keep = choice.keep
    if keep is None:
        return candidates, ()
    kept: list[Candidate] = []
    out: list[Deployment] = []
    for candidate in candidates:
        if keep(candidate.deployment):
            kept.append(candidate)
        else:
            out.append(candidate.deployment)
    out.sort(key=lambda deployment: deployment.name)
    return kept, tuple(Rejection(deployment=d, code="strategy", reason=choice.because) for d in out)
