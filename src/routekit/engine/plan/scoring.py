"""How good each deployment's answer to this request would be, where a scorer says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from routekit.engine.plan.planner import Pool, needed_capabilities
from routekit.plugin import Scorer
from routekit.types import Candidate, RouteDecision, RouteRequest, Score
from routekit.types.empty import EMPTY

PINNED = "pinned"
"""The source of a configured quality that no scorer replaces."""


class Scoring:
    """Asks the scorer once a request, for the deployments that pass the hard filters. Fails open."""

    def __init__(self, scorer: tuple[str, Scorer]) -> None:
        self._name, self._scorer = scorer

    def scores(
        self, request: RouteRequest, pool: Pool, bypassed: Callable[[str, str, Exception], None]
    ) -> Mapping[str, Score]:
        """Usable scores by deployment name; none where the scorer failed, which `bypassed` is told."""
        needed = needed_capabilities(request)
        found = {
            row.deployment.name: row.deployment
            for members in (pool, *pool.fallbacks)
            for row in members.filtered(needed, request.requirements)[0]
            if row.deployment.quality_source != PINNED
        }
        if not found:
            return EMPTY
        try:
            scores = self._scorer.score(request, tuple(found.values()))
            return {name: _checked(name, score) for name, score in scores.items() if name in found}
        except Exception as error:
            bypassed("scorer", self._name, error)
            return EMPTY


def apply(scores: Mapping[str, Score], candidates: Iterable[Candidate]) -> None:
    """Puts scores into candidates that were just made."""
    for candidate in candidates:
        score = scores.get(candidate.deployment.name)
        if score is not None:
            candidate.quality, candidate.quality_low = score.value, score.low
            candidate.quality_source, candidate.quality_inferred = score.source, score.source == "inferred"


def explained(decision: RouteDecision, scores: Mapping[str, Score]) -> Sequence[str]:
    """One note about the first choice's quality, and against which other."""
    ranked = decision.ranked.candidates
    first = scores.get(ranked[0].deployment.name) if ranked else None
    if first is None:
        return ()
    best = max(ranked, key=lambda candidate: candidate.quality)
    against = f", against {best.quality:.2f} of {best.name}" if best.quality > first.value else ""
    return (f"{first}{against}",)


def _checked(name: str, score: Score) -> Score:
    if not isinstance(score, Score):
        raise TypeError(f"a scorer returns a Score for each name, not {type(score).__name__}")
    if not (0.0 <= score.low <= score.value <= 1.0 and 0.0 <= score.trust <= 1.0):  # false for NaN, too
        raise ValueError(f"the score of {name} is no number from 0 to 1")
    return score
