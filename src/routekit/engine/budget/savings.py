"""Pure: what a call saved, against the deployment that would have been asked without a router."""

from __future__ import annotations

from collections.abc import Sequence

from routekit.types import Attempt, Candidate, Deployment, Savings, Usage


def baseline_of(configured: Deployment | None, candidates: Sequence[Candidate]) -> Deployment | None:
    """The configured one; else the best of those that could have served the request, of equals the dearest.

    None where nobody's price is known.
    """
    if configured is not None:
        return configured
    priced = [candidate for candidate in candidates if candidate.deployment.price is not None]
    return max(priced, key=_rank).deployment if priced else None


def savings_of(
    baseline: Deployment | None,
    deployment: Deployment | None,
    usage: Usage,
    *,
    removed_tokens: int,
    answer_nanos: int,
    total_nanos: int,
) -> Savings | None:
    """How the difference to the baseline splits; see `Savings`. None where a price is unknown.

    `usage` is the answer's own, `removed_tokens` what compressors took out before it was sent,
    `answer_nanos` what the answering attempt cost (0 from routekit's cache), `total_nanos` all attempts.
    """
    if baseline is None or deployment is None or baseline.price is None or deployment.price is None:
        return None
    sent = Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    whole = Usage(input_tokens=usage.input_tokens + removed_tokens, output_tokens=usage.output_tokens)
    there, here, here_sent = (
        baseline.price.cost_nanos(whole), deployment.price.cost_nanos(whole), deployment.price.cost_nanos(sent),
    )  # fmt: skip
    return Savings(
        baseline=baseline.name,
        baseline_nanos=there,
        cost_nanos=total_nanos,
        routing_nanos=there - here,
        compression_nanos=here - here_sent,
        caching_nanos=here_sent - answer_nanos,
        overhead_nanos=total_nanos - answer_nanos,
    )


def answer_nanos(attempts: Sequence[Attempt]) -> int:
    """What the attempt cost whose answer was handed out: the last that was made for an answer."""
    return next((attempt.cost.nanos for attempt in reversed(attempts) if attempt.role in ("answer", "hedge")), 0)


def _rank(candidate: Candidate) -> tuple[float, int]:
    price = candidate.deployment.price
    return candidate.quality, 0 if price is None else price.input + 3 * price.output
