"""What a request ends with: its result, made from its story."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from routekit.engine.budget.savings import answer_nanos, savings_of
from routekit.engine.history.copy import copied
from routekit.engine.run import Run
from routekit.types import (
    CacheEntry,
    Choice,
    Deployment,
    Message,
    Money,
    Ranking,
    RouteDecision,
    RouteResult,
    Savings,
    Usage,
)


def result_of(
    run: Run,
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
    assert run.decision is not None
    return RouteResult(
        id=run.id,
        message=message,
        finish_reason=finish_reason,
        usage=usage,
        cost=Money(run.cost_nanos),
        decision=final_decision(run),
        attempts=tuple(run.attempts),
        cache=run.cache,
        model=model or deployment.model.id,
        deployment=deployment,
        cost_known=run.cost_known,
        duration_s=run.deadline.elapsed_s(),
        ttft_s=ttft_s,
        logprobs=logprobs,
        others=others,
        compare=functools.partial(_savings, run, deployment, usage, answer_nanos(run.attempts), run.cost_nanos),
    )


def _savings(run: Run, deployment: Deployment | None, usage: Usage, answer: int, total: int) -> Savings | None:
    if run.baseline is None or not run.cost_known:
        return None
    return savings_of(
        run.baseline(run), deployment, usage,
        removed_tokens=run.removed_tokens + _own_savings(run, deployment), answer_nanos=answer, total_nanos=total,
    )  # fmt: skip


def _own_savings(run: Run, deployment: Deployment | None) -> int:
    own = None if deployment is None else run.own.get(deployment.name)
    return 0 if own is None else own.saved_tokens


def result_from_cache(
    run: Run, entry: CacheEntry, deployment: Deployment | None, tier: str, strategy: str
) -> RouteResult:
    """A story that ends before it began: nobody answered it now. What was paid was paid to look."""
    reason = f"answered by the {tier} cache; {entry.deployment} had answered it before"
    run.cache = "hit"
    if entry.similarity is not None:
        run.cache = "semantic-hit"
        reason = (
            f"answered by the {tier} cache; {entry.deployment} had answered a question that means the same "
            f"(similarity {entry.similarity:.3f})"
        )
    decision = RouteDecision(strategy=strategy, ranked=Ranking(), reason=reason, path=(strategy,))
    run.decision = decision
    decision = final_decision(run)
    return RouteResult(
        id=run.id,
        message=copied(entry.message),
        finish_reason=entry.finish_reason,
        usage=entry.usage,
        cost=Money(run.cost_nanos),
        decision=decision,
        attempts=tuple(run.attempts),
        cost_known=run.cost_known,
        cache=run.cache,
        saved=entry.cost,
        model=entry.model,
        deployment=deployment,
        duration_s=run.deadline.elapsed_s(),
        compare=functools.partial(_savings, run, deployment, entry.usage, 0, run.cost_nanos),
    )


def final_decision(run: Run) -> RouteDecision:
    """The decision with the notes that came up after it."""
    decision = run.decision
    assert decision is not None
    if not run.notes and not run.findings:
        return decision
    return RouteDecision(
        strategy=decision.strategy,
        ranked=decision.ranked,
        reason=decision.reason,
        rejections=decision.rejections,
        signals=decision.signals,
        path=decision.path,
        request=decision.request,
        notes=(*decision.notes, *run.notes),
        guards=tuple(run.findings),
    )
