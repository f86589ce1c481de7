"""The story of one request while it is being told: what was decided, tried and paid."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from routekit.engine.breaker import Admission
from routekit.engine.deadline import Deadline
from routekit.engine.savings import answer_nanos, savings_of
from routekit.types import (
    Answer,
    Attempt,
    CacheEntry,
    CacheStatus,
    Candidate,
    Choice,
    Clock,
    Deployment,
    Message,
    Money,
    Ranking,
    Reservation,
    RouteDecision,
    RouteRequest,
    RouteResult,
    Savings,
    Usage,
)

_ids = random.Random(os.urandom(32))  # one system call per process instead of one per request
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _ids.seed(os.urandom(32)))


class Own(NamedTuple):
    """What one deployment is sent that has compressors of its own, and the tokens saved."""

    request: RouteRequest
    saved_tokens: int


class Run:
    """Mutable, owned by one request. `used` counts the attempts that the limit of attempts counts.

    `holds` numbers the holds; `held_nanos` is what attempts under way could cost at most;
    `unbilled_nanos` is what an answer under review costs, not yet recorded.
    `removed_tokens` is what compressors took out; `baseline` finds the deployment that it is compared with.
    `vectors` are the question's, by embedder, None where it could not be embedded.
    `own` has what single deployments are sent instead of the request.
    `ticket` is its place in the queue, where it had to wait, `wait_until_s` when it stops waiting.
    """

    __slots__ = (
        "attempts",
        "baseline",
        "cache",
        "cost_known",
        "cost_nanos",
        "deadline",
        "decision",
        "held_nanos",
        "holds",
        "id",
        "notes",
        "own",
        "removed_tokens",
        "request",
        "ticket",
        "unbilled_nanos",
        "used",
        "vectors",
        "wait_until_s",
    )

    def __init__(self, request: RouteRequest, clock: Clock) -> None:
        self.id = f"{_ids.getrandbits(64):016x}"
        self.request = request
        self.deadline = Deadline(clock, request.deadline_s)
        self.attempts: list[Attempt] = []
        self.decision: RouteDecision | None = None
        self.notes: list[str] = []
        self.cost_nanos = 0
        self.cost_known = True
        self.holds = 0
        self.held_nanos = 0
        self.unbilled_nanos = 0
        self.used = 0
        self.ticket: int | None = None
        self.wait_until_s = 0.0
        self.cache: CacheStatus = "bypass"
        self.removed_tokens = 0
        self.own: dict[str, Own] = {}
        self.vectors: dict[str | None, Any] = {}
        self.baseline: Callable[[Run], Deployment | None] | None = None

    def aside(self, request: RouteRequest, clock: Clock) -> Run:
        """The story of a question asked on the way: of the same request for everybody who looks on."""
        side = Run(request, clock)
        side.id, side.holds, side.cost_nanos = self.id, self.holds, self.cost_nanos
        return side

    def took(self, side: Run) -> None:
        """Adds what an `aside` has done and cost."""
        self.holds = side.holds
        for attempt in side.attempts:
            self.record(attempt)

    def record(self, attempt: Attempt) -> None:
        """Adds an attempt and its cost."""
        self.attempts.append(attempt)
        self.cost_nanos += attempt.cost.nanos
        self.cost_known = self.cost_known and attempt.cost_known

    def result(
        self,
        message: Message,
        finish_reason: str | None,
        usage: Usage,
        deployment: Deployment,
        model: str | None,
        ttft_s: float | None = None,
        logprobs: Mapping[str, Any] | None = None,
        others: tuple[Choice, ...] = (),
    ) -> RouteResult:
        """The finished story."""
        assert self.decision is not None
        return RouteResult(
            id=self.id,
            message=message,
            finish_reason=finish_reason,
            usage=usage,
            cost=Money(self.cost_nanos),
            decision=self.final_decision(),
            attempts=tuple(self.attempts),
            cache=self.cache,
            model=model or deployment.model.id,
            deployment=deployment,
            cost_known=self.cost_known,
            duration_s=self.deadline.elapsed_s(),
            ttft_s=ttft_s,
            logprobs=logprobs,
            others=others,
            compare=functools.partial(self._savings, deployment, usage, answer_nanos(self.attempts), self.cost_nanos),
        )

    def _savings(self, deployment: Deployment | None, usage: Usage, answer: int, total: int) -> Savings | None:
        if self.baseline is None or not self.cost_known:
            return None
        return savings_of(
            self.baseline(self), deployment, usage,
            removed_tokens=self.removed_tokens + self._own_savings(deployment), answer_nanos=answer, total_nanos=total,
        )  # fmt: skip

    def _own_savings(self, deployment: Deployment | None) -> int:
        own = None if deployment is None else self.own.get(deployment.name)
        return 0 if own is None else own.saved_tokens

    def from_cache(self, entry: CacheEntry, deployment: Deployment | None, tier: str, strategy: str) -> RouteResult:
        """A story that ends before it began: nobody answered it now. What was paid was paid to look."""
        reason = f"answered by the {tier} cache; {entry.deployment} had answered it before"
        self.cache = "hit"
        if entry.similarity is not None:
            self.cache = "semantic-hit"
            reason = (
                f"answered by the {tier} cache; {entry.deployment} had answered a question that means the same "
                f"(similarity {entry.similarity:.3f})"
            )
        decision = RouteDecision(strategy=strategy, ranked=Ranking(), reason=reason, path=(strategy,))
        self.decision = decision
        decision = self.final_decision()
        return RouteResult(
            id=self.id,
            message=copied(entry.message),
            finish_reason=entry.finish_reason,
            usage=entry.usage,
            cost=Money(self.cost_nanos),
            decision=decision,
            attempts=tuple(self.attempts),
            cost_known=self.cost_known,
            cache=self.cache,
            saved=entry.cost,
            model=entry.model,
            deployment=deployment,
            duration_s=self.deadline.elapsed_s(),
            compare=functools.partial(self._savings, deployment, entry.usage, 0, self.cost_nanos),
        )

    def final_decision(self) -> RouteDecision:
        """The decision with the notes that came up after it."""
        decision = self.decision
        assert decision is not None
        if not self.notes:
            return decision
        return RouteDecision(
            strategy=decision.strategy,
            ranked=decision.ranked,
            reason=decision.reason,
            rejections=decision.rejections,
            signals=decision.signals,
            path=decision.path,
            request=decision.request,
            notes=(*decision.notes, *self.notes),
        )


class Permit:
    """One attempt under way: a place, its admission, what is held for it, and since when.

    `hedge_nanos` is what it took of the budget of hedges, None for what is none; `retries` says that it
    asks the same deployment again; `gap_s` is the longest silence between two of its pieces; `shared` names
    it where limits are counted together with other machines; at `renew_at_s` a stream renews what is held for it.
    `held_nanos` is what it could cost at most, as the request itself counts it; `sent` says that the provider was
    called, `streamed` that it answers in pieces; `callers_limit_s` is how long it may be silent where the request's
    deadline says so, None where a limit of the deployment's own does; `doubt` is why what it used is uncertain, ""
    where it is not.
    """

    __slots__ = (
        "admission", "callers_limit_s", "candidate", "doubt", "gap_s", "hedge_nanos", "held_nanos", "hold", "place",
        "renew_at_s", "retries", "role", "sent", "shared", "started_s", "streamed", "ttft_s",
    )  # fmt: skip

    def __init__(self, candidate: Candidate, admission: Admission, place: int, role: str, started_s: float) -> None:
        self.candidate = candidate
        self.admission = admission
        self.place = place
        self.role = role
        self.hold: Reservation | None = None
        self.renew_at_s: float | None = None
        self.started_s = started_s
        self.ttft_s: float | None = None
        self.gap_s: float | None = None
        self.hedge_nanos: int | None = None
        self.retries = False
        self.shared: str | None = None
        self.held_nanos = 0
        self.callers_limit_s: float | None = None
        self.sent = self.streamed = False
        self.doubt = ""


class Answered:
    """A complete answer and where it came from."""

    __slots__ = ("answer", "permit", "usage")

    def __init__(self, answer: Answer, permit: Permit, usage: Usage) -> None:
        self.answer = answer
        self.permit = permit
        self.usage = usage


def copied(message: Mapping[str, Any]) -> Message:
    """A message that its new owner may change."""
    return {key: _copied(value) for key, value in message.items()}  # type: ignore[return-value]  # same keys


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return value
