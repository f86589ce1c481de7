"""Pure: why nobody else is asked, as the error that the caller gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from routekit.engine.attempts.policy import Move
from routekit.engine.attempts.sequence import Chain
from routekit.engine.run import Run
from routekit.errors import (
    AllAttemptsFailedError,
    AllUnavailableError,
    CostCeilingError,
    DeadlineExceededError,
    InvalidRequestError,
    NoCandidateError,
    ProviderError,
    UnsupportedParameterError,
)
from routekit.types import Rejection


def stopped(
    run: Run, chain: Chain, move: Move, remaining_s: float | None, retry_at: Callable[[Iterable[str]], float]
) -> Exception:
    """The error to raise. `retry_at` knows when the first of these deployments may be asked again."""
    attempts = tuple(run.attempts)
    last = chain.failures[-1].error if chain.failures else None
    surfaced = _surfaced(chain, move)
    if surfaced is not None:
        surfaced.attempts = attempts
        return surfaced
    if run.deadline.expired or remaining_s == 0 or move.why == "deadline":
        error: Exception = DeadlineExceededError(
            f"the deadline of {run.request.deadline_s} s was over after {len(attempts)} attempts", attempts=attempts
        )
    elif last is not None:
        told = "; ".join(f"{a.deployment.name}: {a.detail}" for a in attempts if a.error is not None)
        failed = "the attempt failed" if len(attempts) == 1 else f"all {len(attempts)} attempts failed"
        error = AllAttemptsFailedError(f"{failed}. {told}", attempts=attempts, decision=run.decision)
    elif chain.over_budget is not None:
        return chain.over_budget
    elif any(code == "max_cost" for _, code, _ in chain.refusals):
        error = CostCeilingError(
            "; ".join(f"{chain.candidates[p].deployment.name}: {why}" for p, _, why in chain.refusals),
            attempts=attempts,
        )
    else:
        rejections = [
            Rejection(deployment=chain.candidates[place].deployment, code=code, reason=why)
            for place, code, why in chain.refusals
        ]
        told = "; ".join(f"{r.deployment.name}: {r.reason}" for r in rejections)
        told, everyone = f"nobody could be asked. {told}", (*chain.decision.rejections, *rejections)
        if rejections and all(rejection.code == "health" for rejection in rejections):
            at = retry_at(rejection.deployment.name for rejection in rejections)
            error = AllUnavailableError(told, rejections=everyone, retry_at=at)
        else:
            error = NoCandidateError(told, rejections=everyone)
    error.__cause__ = last
    return error


def _surfaced(chain: Chain, move: Move) -> ProviderError | None:
    """The refusal that the caller is told as it is: the first one, where others say the same."""
    errors = [failure.error for failure in chain.failures if not failure.mended]
    if not errors:
        return None
    if move.why == "refused":
        last = errors[-1]
        first = next((e for e in errors if isinstance(e, InvalidRequestError) and e.uncertain), None)
        return first if first is not None and type(last) is InvalidRequestError else last
    if move.why == "exhausted" and all(type(e) in (InvalidRequestError, UnsupportedParameterError) for e in errors):
        return errors[0]
    return None
