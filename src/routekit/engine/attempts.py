"""Pure: what to do after an attempt failed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from routekit.errors import ContextLengthExceededError, ProviderError
from routekit.types import Candidate

MAX_ATTEMPTS = 3
"""In all, retries and fallbacks and escalations together. Retries that multiply are how outages are made."""

BACKOFF_BASE_S, BACKOFF_CAP_S = 0.25, 8.0
"""Full jitter between 0 and base x 2^n, as in AWS' "Exponential Backoff And Jitter" (2015)."""


RETRY_AFTER_CAP_S = 60.0
"""A provider's wish to be asked later is granted up to here; an hour's wait helps no caller without a deadline."""


class Failure(NamedTuple):
    """A failed attempt: the candidate's place in the ranking, and why."""

    place: int
    error: ProviderError


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
) -> Move:
    """The next place to ask.

    Another place is asked before the same one is asked again; the same one at most once more, after
    a jittered wait or the provider's own `retry_after_s`, and only if the deadline leaves room for
    it. `used` counts upstream attempts so far, `skipped` holds places that may not be asked now.
    """
    if failures and not failures[-1].error.fall_back:
        return Move("stop", why="refused")
    if used >= max_attempts:
        return Move("stop", why="attempts")
    if remaining_s is not None and remaining_s <= 0:
        return Move("stop", why="deadline")
    asked = {failure.place for failure in failures}
    floor = _window_floor(failures, candidates)
    for place, candidate in enumerate(candidates):
        if place in asked or place in skipped:
            continue
        if floor is not None and (candidate.deployment.model.context_window or 0) <= floor:
            continue
        return Move("ask", place)
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


def _window_floor(failures: Sequence[Failure], candidates: Sequence[Candidate]) -> int | None:
    """After an overflow, only a larger context window than the largest that overflowed makes sense."""
    windows = [
        candidates[failure.place].deployment.model.context_window or 0
        for failure in failures
        if isinstance(failure.error, ContextLengthExceededError)
    ]
    return max(windows) if windows else None
