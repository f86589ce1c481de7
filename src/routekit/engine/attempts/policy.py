"""Pure: what to do after an attempt failed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from routekit.engine.health.credentials import vendor_of
from routekit.engine.settings import MAX_ATTEMPTS
from routekit.errors import ContextLengthExceededError, InvalidRequestError, ProviderError
from routekit.types import Candidate

BACKOFF_BASE_S, BACKOFF_CAP_S = 0.25, 8.0
"""Full jitter between 0 and base x 2^n, as in AWS' "Exponential Backoff And Jitter" (2015)."""


RETRY_AFTER_CAP_S = 60.0
"""A provider's wish to be asked later is granted up to here; an hour's wait helps no caller without a deadline."""


class Failure(NamedTuple):
    """A failed attempt: the candidate's place in the ranking, and why.

    `mended`: what was refused is known, and will be left out or renamed when the same place is asked again.
    """

    place: int
    error: ProviderError
    mended: bool = False


class Move(NamedTuple):
    """``ask`` the candidate at `place` after `wait_s` seconds, or ``stop`` because of `why`."""

    action: Literal["ask", "stop"]
    place: int = -1
    wait_s: float = 0.0
    why: Literal["", "refused", "attempts", "exhausted", "deadline"] = ""


def next_move(
    failures: Sequence[Failure],
    candidates: Sequence[Candidate],
    used: int,
    remaining_s: float | None,
    skipped: frozenset[int] | set[int] = frozenset(),
    max_attempts: int = MAX_ATTEMPTS,
    rng: random.Random | None = None,
    ask_another: bool = True,
) -> Move:
    """The next place to ask.

    Another place is asked before the same one is asked again; the same one at most once more, after
    a jittered wait or the provider's own `retry_after_s`, and only if the deadline leaves room for
    it. `used` counts upstream attempts so far, `skipped` holds places that may not be asked now.

    A refusal that nobody can classify asks one place of another model or vendor before it is surfaced
    (`ask_another`). One whose cause can be left out asks the same place again at once, and counts as no attempt.
    """
    counted = [failure for failure in failures if not failure.mended]
    last = failures[-1] if failures else None
    doubtful = [failure for failure in counted if _is_uncertain(failure.error)]
    if last is not None and not last.mended:
        if _is_uncertain(last.error):
            if not ask_another or len(doubtful) > 1:
                return Move("stop", why="refused")
        elif not last.error.fall_back:
            return Move("stop", why="refused")
    if used - (len(failures) - len(counted)) >= max_attempts:
        return Move("stop", why="attempts")
    if remaining_s is not None and remaining_s <= 0:
        return Move("stop", why="deadline")
    if last is not None and last.mended and last.place not in skipped:
        return Move("ask", last.place)
    asked = {failure.place for failure in counted}
    refusing = {vendor_of(candidates[failure.place].deployment) for failure in doubtful}
    overflowed = _overflowed(counted, candidates)
    for place, candidate in enumerate(candidates):
        if place in asked or place in skipped:
            continue
        if refusing and vendor_of(candidate.deployment) in refusing:
            continue
        if overflowed and not _may_hold_more(candidate, overflowed):
            continue
        return Move("ask", place)
    if last is not None and not last.mended and _is_uncertain(last.error):
        return Move("stop", why="refused")
    failures = counted
    if len(failures) > len(asked):
        return Move("stop", why="exhausted")  # one retry in place was made already
    too_late = False
    for failure in sorted(failures, key=lambda failure: failure.place):
        if not failure.error.retry_here or failure.place in skipped:
            continue
        wait_s = failure.error.retry_after_s
        if wait_s is None:
            wait_s = (rng or random).uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** (used - 1)))
        wait_s = wait_s if wait_s > 0 else 0.0  # a provider's own wish may lie in the past
        if remaining_s is not None and wait_s >= remaining_s:
            too_late = True
            continue
        if remaining_s is None and wait_s > RETRY_AFTER_CAP_S:
            continue
        return Move("ask", failure.place, wait_s)
    return Move("stop", why="deadline" if too_late and not asked else "exhausted")


def attempt_limit_s(remaining_s: float | None, others_left: bool) -> float | None:
    """How long one attempt may stay silent: all that is left, or half while somebody else could answer."""
    if remaining_s is None or not others_left:
        return remaining_s
    return remaining_s / 2


def _is_uncertain(error: ProviderError) -> bool:
    return isinstance(error, InvalidRequestError) and error.uncertain


def _overflowed(failures: Sequence[Failure], candidates: Sequence[Candidate]) -> list[Candidate]:
    return [candidates[failure.place] for failure in failures if isinstance(failure.error, ContextLengthExceededError)]


def _may_hold_more(candidate: Candidate, overflowed: Sequence[Candidate]) -> bool:
    """After an overflow, only a larger context window than the largest that overflowed makes sense.

    Of windows that nobody published, another model's may be larger.
    """
    model = candidate.deployment.model
    if model.context_window is None:
        return all(other.deployment.model.id != model.id for other in overflowed)
    return model.context_window > max(other.deployment.model.context_window or 0 for other in overflowed)
