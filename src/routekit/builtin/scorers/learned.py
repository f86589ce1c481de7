"""What was learned from labelled rows: the file that `routekit quality fit` writes."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from routekit.plugin import Options, PluginContext, Scorer, ScorerPlugin, new_lock_after_fork
from routekit.types import Deployment, RouteRequest, Score

if TYPE_CHECKING:
    from routekit.quality import Estimate, QualityModel

TURNS = 512
"""So many user turns are remembered, by a hash: the steps of an agent in between ask again with the same one."""


class LearnedOptions(Options):
    """Options of ``[quality]``."""

    file: str = Field(description="The file that `routekit quality fit` wrote; relative to the configuration.")
    embedder: str | None = Field(
        None, description="'static', 'sentence' or 'none'; the fit's own where absent, and it must be the same."
    )
    alias: dict[str, str] = Field(
        {}, description="A deployment's name, or a model's id, and the name that it has in the file."
    )


class Learned(Scorer):
    """A fitted model's estimates. A deployment is found in the file by its name, its model's id, or an alias."""

    def __init__(self, model: QualityModel, alias: Mapping[str, str] | None = None) -> None:
        self.model = model
        self._alias = dict(alias or {})
        self._place = {name: place for place, name in enumerate(model.models)}
        rows = int(model.report.get("rows", 0))
        self._detail = f"learned from {rows:,} rows"
        errors: Mapping[str, float] = model.report.get("ece") or {}
        self._doubt = [2.0 * float(errors.get(name, 0.0)) for name in model.models]
        self._turns: OrderedDict[bytes, Estimate] = OrderedDict()
        self._lock = threading.Lock()
        new_lock_after_fork(self)

    def place_of(self, deployment: Deployment) -> int | None:
        """The deployment's column in the model; None where the file does not know it."""
        for name in (deployment.name, deployment.model.id):
            found = self._place.get(self._alias.get(name, name))
            if found is not None:
                return found
        return None

    def score(self, request: RouteRequest, deployments: Sequence[Deployment]) -> Mapping[str, Score]:
        """Estimates for the last user turn. `low` is the estimate less twice the model's held-out calibration error."""
        places = [(deployment.name, self.place_of(deployment)) for deployment in deployments]
        if all(place is None for _, place in places):
            return {}
        found = self._estimate(request)
        if found is None:
            return {}
        scores: dict[str, Score] = {}
        for name, place in places:
            if place is not None:
                value = float(found.values[place])
                scores[name] = Score(value, max(0.0, value - self._doubt[place]), "learned", found.trust, self._detail)
        return scores

    def _estimate(self, request: RouteRequest) -> Estimate | None:
        from routekit.quality.rows import last_turn

        text = last_turn(request.messages)
        if text is None:
            return None
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            found = self._turns.get(key)
            if found is not None:
                self._turns.move_to_end(key)
                return found
        found = self.model.estimate(text)
        with self._lock:
            self._turns[key] = found
            if len(self._turns) > TURNS:
                self._turns.popitem(last=False)
        return found


def make(options: Any, context: PluginContext) -> Learned:
    """Reads the file at once: what is wrong with it is said when the router is made, not at its first request."""
    from routekit.quality import QualityModel

    model = QualityModel.load(options.file, options.embedder)
    model.estimate("warm")
    return Learned(model, options.alias)


PLUGIN = ScorerPlugin(
    name="learned", factory=make, options=LearnedOptions, summary="Quality per request, learned from labelled rows."
)
