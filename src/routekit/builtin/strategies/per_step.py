"""A strategy for each step of an agent."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from routekit.builtin.strategies._delegating import Choice, Delegating, StrategyOption
from routekit.builtin.strategies.cheapest import Cheapest
from routekit.plugin import Options
from routekit.types import RouteRequest

KINDS = ("plan", "act", "observe", "answer", "recover", "summarise")


class PerStepOptions(Options):
    plan: StrategyOption | None = Field(None, description="Deciding what to do.")
    act: StrategyOption | None = Field(None, description="Calling tools.")
    observe: StrategyOption | None = Field(None, description="Reading what tools returned.")
    answer: StrategyOption | None = Field(None, description="Writing for the user.")
    recover: StrategyOption | None = Field(None, description="After a tool failed.")
    summarise: StrategyOption | None = Field(None, description="Shortening the history.")
    nodes: dict[str, StrategyOption] = Field(
        default_factory=dict, description="Graph node to strategy; goes before the kind of the step."
    )
    default: StrategyOption = Field(
        default_factory=Cheapest, description="For every other step, and for requests without one. cheapest"
    )


class PerStep(Delegating):
    """A strategy for each step of an agent: by graph node, else by the kind of step, else the default.

    A request without a step, or with a kind that has no strategy here, gets the default.

    >>> from routekit.builtin.strategies import Best, Cheapest
    >>> PerStep(plan=Best(), nodes={"planner": Best()}, default=Cheapest(min_quality=0.5)).name
    'per-step'
    """

    name = "per-step"
    Options = PerStepOptions
    options: PerStepOptions

    def nested(self) -> dict[str, Any]:
        options = self.options
        kinds = {kind: spec for kind in KINDS if (spec := getattr(options, kind)) is not None}
        nodes = {f"nodes.{node}": spec for node, spec in options.nodes.items()}
        return {"default": options.default, **kinds, **nodes}

    def choose(self, request: RouteRequest) -> Choice:
        step = request.step
        if step is None:
            return Choice("default", "no step")
        if step.node is not None and (slot := f"nodes.{step.node}") in self._children:
            return Choice(slot, f"node {step.node!r}")
        if step.kind in KINDS and step.kind in self._children:
            return Choice(step.kind, f"step {step.kind!r}")
        return Choice("default", f"step {step.kind!r} has no strategy of its own")
