"""What happens where many deployments are ejected at once.

- The breakers eject each deployment on its own, in a total outage all of them: only so does an outage
  become a fast failure. The limit of half a group (Envoy's max_ejection_percent) is kept here, where it
  is known who could serve the request at hand: while at most half of those are avoided, the rest
  serves it and nobody asks the avoided ones.
- When more than half are avoided, ejection may be doing the harm itself (Envoy's and Finagle's panic
  threshold): the avoided ones then stand behind the healthy ones, as candidates of last resort, least
  recently failed first. They do not share the load evenly, as in Envoy: a call to a model costs money
  and seconds, so they are only asked when the healthy ones have failed this very request.
- When all are avoided, the first to return is waited for, if it does so soon; else the least recently
  failed one is asked; else `AllUnavailableError` says when to come back. One request waits, and makes
  the probe: the others could only be served if that succeeds, and thousands that wait fail late.
- Each ejection allows one call as a last resort, among all callers, and one call at a time. Without
  that, a total outage would be asked anew by every request, and would not fail fast.
- Where the credential is refused, nothing is a last resort: asking again cannot help, and may lock it.
- A place that is merely suspected, because its calls have gone quiet, is asked before ejected ones, and
  as often as needed: slow answers are better than none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from routekit.engine.health.health import Health
from routekit.engine.io.port import IO
from routekit.engine.run import Run
from routekit.errors import AllUnavailableError
from routekit.plugin import reset_after_fork
from routekit.types import Candidate, Clock, Ranking, Rejection, RouteDecision

RETURN_SLACK_S = 0.001
"""Waited longer than an ejection lasts, so that it is over for certain."""


class Field(NamedTuple):
    """Who may serve a request; in a panic also the `spare` ones, by name, which are avoided for their health."""

    candidates: list[Candidate]
    rejections: tuple[Rejection, ...]
    spare: Mapping[str, Candidate]


class Panic:
    """Whom to ask, whether to wait and what to say then. `wait_s` is the longest wait for a return."""

    def __init__(self, health: Health, clock: Clock, wait_s: float) -> None:
        self._health = health
        self._clock = clock
        self._wait_s = wait_s
        self._awaited: dict[frozenset[str], object] = {}
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Who waits for a return does so in the parent."""
        self._awaited.clear()

    async def waited(self, io: IO, run: Run, field: Field) -> bool:
        """Waits for the first ejected deployment to return; False: nothing was waited for."""
        pause_s = self._pause_s(run, field)
        if not pause_s:
            return False
        places, waiter = frozenset(field.spare), object()
        if self._awaited.setdefault(places, waiter) is not waiter:
            return False
        try:
            await io.sleep(pause_s)
        finally:
            self._awaited.pop(places, None)
        return True

    def last_resort(self, field: Field) -> list[Candidate]:
        """The spare candidates that may be asked, in order: behind healthy ones all, else the silent or the first."""
        found = self._health.last_resort(field.spare)
        chosen = (*found.suspected, *found.ejected) if field.candidates else found.suspected or found.ejected[:1]
        return [field.spare[name] for name in chosen]

    def all_unavailable(self, field: Field) -> AllUnavailableError:
        retry_at = self._health.retry_at(field.spare)
        why = told([r for r in field.rejections if r.deployment.name in field.spare])
        return AllUnavailableError(
            f"every deployment that could serve this request is ejected; the first may be asked again in "
            f"{max(0.0, retry_at - self._clock.time()):.1f} s. {why}",
            rejections=field.rejections,
            retry_at=retry_at,
        )

    def _pause_s(self, run: Run, field: Field) -> float | None:
        """How long to wait for the first ejected deployment to return; None or 0: it makes no sense."""
        if self._health.last_resort(field.spare).suspected:
            return None
        returns_s = self._health.returns_in_s(field.spare)
        left_s = run.deadline.remaining_s()
        if not returns_s or returns_s > self._wait_s or (left_s is not None and returns_s >= left_s):
            return None
        return returns_s + RETURN_SLACK_S


def behind(decision: RouteDecision, last: Ranking) -> RouteDecision:
    """The decision with the candidates of last resort behind its own."""
    if not last:
        return decision
    ranked = decision.ranked
    return dataclasses.replace(
        decision,
        ranked=Ranking([*ranked.candidates, *last.candidates], [*ranked.scores, *last.scores]),
        notes=(
            *decision.notes,
            f"most are ejected or silent; behind the others, as a last resort: {names(last.candidates)}",
        ),
    )


def names(candidates: Sequence[Candidate]) -> str:
    """For people, in order."""
    return ", ".join(candidate.name for candidate in candidates)


def told(rejections: Sequence[Rejection]) -> str:
    """Who was rejected and why, for an error's text: the first five."""
    shown = "; ".join(f"{r.deployment.name}: {r.reason}" for r in rejections[:5])
    more = f"; and {len(rejections) - 5} more" if len(rejections) > 5 else ""
    return shown + more
