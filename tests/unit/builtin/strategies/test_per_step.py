from __future__ import annotations

import pytest
from tests.support.candidates import ask, candidate, names, says

from routekit.builtin.strategies import Best, Cascade, Cheapest, Fastest, Ordered, PerStep
from routekit.errors import ConfigError
from routekit.types import NO_SIGNALS, Step

CANDIDATES = [candidate("weak", 1, 0.3), candidate("strong", 9, 0.9)]


def rank(strategy, step):
    return strategy.rank(ask(step=step), CANDIDATES, NO_SIGNALS)


def test_each_kind_of_step_has_its_strategy():
    strategies = {kind: Ordered(order=[kind]) for kind in ("plan", "act", "observe", "answer", "recover", "summarise")}
    per_step = PerStep(**strategies)
    for kind in strategies:
        decision = per_step.rank(ask(step=Step(kind=kind)), [candidate("a"), candidate(kind)], NO_SIGNALS)
        assert names(decision) == [kind, "a"]
        assert decision.path == ("per-step", "ordered")
        assert decision.reason == f"step {kind!r}: number 1 of the configured order"


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (None, "no step: "),
        (Step(kind="act"), "step 'act' has no strategy of its own: "),
        (Step(kind="default"), "step 'default' has no strategy of its own: "),
    ],
)
def test_other_steps_get_the_default(step, why):
    decision = rank(PerStep(plan=Best()), step)
    assert names(decision) == ["weak", "strong"]
    assert decision.path == ("per-step", "cheapest")
    assert decision.reason.startswith(why)


def test_a_node_goes_before_the_kind():
    per_step = PerStep(plan=Cheapest(), nodes={"planner": Best()})
    decision = rank(per_step, Step(kind="plan", node="planner"))
    assert names(decision) == ["strong", "weak"]
    assert decision.reason.startswith("node 'planner': ")
    assert names(rank(per_step, Step(kind="plan", node="other"))) == ["weak", "strong"]


def test_a_node_may_be_called_like_a_kind_without_being_one():
    per_step = PerStep(nodes={"plan": Best()})
    assert rank(per_step, Step(kind="plan")).path == ("per-step", "cheapest")
    assert rank(per_step, Step(kind="act", node="plan")).path == ("per-step", "best")


def test_names_are_resolved_when_it_is_bound():
    per_step = PerStep(plan="best", nodes={"n": {"use": "best"}}, default="best").bound(lambda spec: Best())
    assert rank(per_step, None).path == ("per-step", "best")
    assert rank(per_step, Step(kind="plan")).path == ("per-step", "best")


def test_an_unbound_name_is_refused_clearly():
    with pytest.raises(ConfigError, match=r"per-step\.plan: the strategy 'per-step' is not bound") as caught:
        rank(PerStep(plan="best"), Step(kind="plan"))
    assert caught.value.key == "per-step.plan"


def test_strategies_nest_and_the_path_shows_it():
    inner = PerStep(act=Best())
    decision = rank(PerStep(default=inner), Step(kind="act"))
    assert decision.strategy == "per-step"
    assert decision.path == ("per-step", "per-step", "best")


def test_only_the_steps_with_a_cascade_are_reviewed():
    per_step = PerStep(answer=Cascade(verify=lambda answer: False), act=Fastest())
    assert per_step.reviews
    assert per_step.uses_latency
    assert per_step.review(ask(step=Step(kind="answer")), says("x"), []).action == "escalate"
    assert per_step.review(ask(step=Step(kind="act")), says("x"), []).action == "accept"


def test_a_step_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'answer'"):
        PerStep(anwser="best")
