"""Scorers: the plugins that say how good a deployment's answer to this request would be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from routekit.plugin.registration import Plugin
from routekit.types import Deployment, RouteRequest, Score


class Scorer(ABC):
    """Estimates quality per request, after the hard filters and before the strategy ranks.

    `score` is on the way of every request: pure, safe in threads, without waiting, in a millisecond at most. What it
    leaves out keeps the number of its configuration, or the one that its price rank suggests. A scorer that raises is
    left out with an event: scorers fail open.

    >>> class ByLength(Scorer):
    ...     def score(self, request, deployments):
    ...         easy = len(str(request.messages[-1].get("content"))) < 80
    ...         return {d.name: Score(0.9 if easy else 0.5, source="mine") for d in deployments}
    """

    @abstractmethod
    def score(self, request: RouteRequest, deployments: Sequence[Deployment]) -> Mapping[str, Score]:
        """Scores by the names of `deployments`; of some of them, or of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerPlugin(Plugin[Scorer]):
    """Registers a scorer."""

    kind: ClassVar[str] = "scorer"
