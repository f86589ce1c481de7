"""What is configured, for every request alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from routekit.plugin import Scorer, ScorerPlugin
from routekit.types import Deployment, RouteRequest, Score


class Static(Scorer):
    """The deployments' own `quality`. Those without one keep what their price rank suggests."""

    def score(self, request: RouteRequest, deployments: Sequence[Deployment]) -> Mapping[str, Score]:
        return {d.name: Score(d.quality, d.quality, "configured") for d in deployments if d.quality is not None}


PLUGIN = ScorerPlugin(
    name="static", factory=lambda options, context: Static(), summary="The quality that is configured."
)
