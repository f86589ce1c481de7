from __future__ import annotations

import pytest
from tests.support.candidates import ask, candidate, names, rejected, says

from routekit.builtin.strategies import Best, Cascade, Cheapest, LeastBusy, Ordered, Rules
from routekit.errors import ConfigError, PluginNotFoundError
from routekit.plugin import Strategy
from routekit.types import NO_SIGNALS, Step

WEAK, STRONG = candidate("weak", 1, 0.3, tags=["eu"]), candidate("strong", 9, 0.9, group="premium")
TOOL = {"type": "function", "function": {"name": "search"}}


def resolve(spec):
    known: dict[str, type[Strategy]] = {"best": Best, "cheapest": Cheapest, "least-busy": LeastBusy}
    name, options = (
        (spec, {}) if isinstance(spec, str) else (spec["use"], {k: v for k, v in spec.items() if k != "use"})
    )
    if name not in known:
        raise PluginNotFoundError(f"no strategy is called {name!r}", kind="strategy", name=name)
    return known[name](**options)


def rank(rules, request, candidates=(WEAK, STRONG)):
    return rules.rank(request, candidates, NO_SIGNALS)


def test_the_first_rule_that_matches_decides():
    rules = Rules(
        rules=[
            {"when": {"tools": True}, "use": Best(), "name": "tools"},
            {"when": {"tools": True, "stream": True}, "use": Cheapest()},
        ]
    )
    decision = rank(rules, ask(tools=(TOOL,), stream=True))
    assert names(decision) == ["strong", "weak"]
    assert decision.path == ("rules", "best")
    assert decision.reason == "rule 1 (tools): the highest quality, 0.9, of 2"


def test_no_rule_means_the_default():
    rules = Rules(rules=[{"when": {"tools": True}, "use": Best()}], default=Ordered(order=["strong"]))
    decision = rank(rules, ask())
    assert decision.path == ("rules", "ordered")
    assert decision.reason == "no rule matched: number 1 of the configured order"


def test_a_rule_can_narrow_and_the_others_say_which_rule_it_was():
    rules = Rules(rules=[{"when": {"step": "plan"}, "group": "premium"}])
    decision = rank(rules, ask(step=Step(kind="plan")))
    assert names(decision) == ["strong"]
    assert rejected(decision) == {"weak": "strategy"}
    assert decision.rejections[0].reason == "rule 1 narrows to group 'premium'"
    assert decision.path == ("rules", "cheapest")


@pytest.mark.parametrize("narrowing", [{"tags": ["eu"]}, {"deployments": ["weak", "other"]}, {"group": "default"}])
def test_every_way_to_narrow(narrowing):
    decision = rank(Rules(rules=[{"when": {"stream": False}, **narrowing}]), ask())
    assert names(decision) == ["weak"]


def test_narrowing_to_nobody_leaves_nobody_and_names_the_rule():
    rules = Rules(rules=[{"when": {"stream": False}, "tags": ["eu"], "group": "premium", "name": "both"}])
    decision = rank(rules, ask())
    assert names(decision) == []
    assert rejected(decision) == {"weak": "strategy", "strong": "strategy"}
    assert decision.reason.endswith("narrows to group 'premium' and tags eu, which leaves no candidate")


def test_names_and_tables_are_resolved_when_it_is_bound():
    rules = Rules(
        rules=[{"when": {"tools": True}, "use": {"use": "cheapest", "min_quality": 0.5}}], default="best"
    ).bound(resolve)
    assert names(rank(rules, ask(tools=(TOOL,)))) == ["strong"]
    assert rank(rules, ask()).path == ("rules", "best")


def test_an_unbound_name_is_refused_clearly():
    rules = Rules(rules=[{"when": {"tools": True}, "use": "best"}])
    assert names(rank(rules, ask())) == ["weak", "strong"]
    with pytest.raises(ConfigError, match=r"rules\.rules\.1: the strategy 'rules' is not bound.*'best'"):
        rank(rules, ask(tools=(TOOL,)))


def test_an_unknown_name_is_refused_when_it_is_bound():
    with pytest.raises(PluginNotFoundError, match="'fancy'"):
        Rules(default="fancy").bound(resolve)


def test_what_the_children_need_it_needs():
    rules = Rules(rules=[{"when": {"tools": True}, "use": "least-busy"}], default=Cheapest())
    assert not rules.uses_load
    bound = rules.bound(resolve)
    assert bound.uses_load
    assert bound.uses_latency
    assert not bound.reviews
    assert Rules(default=Cascade(verify="logprob")).wants_logprobs
    assert bound.bound(resolve) is bound


def test_review_and_learn_go_to_the_one_that_ranked():
    learned = []

    class Learner(Cheapest):
        def learn(self, request, decision, attempts):
            learned.append(decision.path)

    cascade = Cascade(verify=lambda answer: "too short")
    rules = Rules(rules=[{"when": {"tools": True}, "use": cascade}], default=Learner())
    assert rules.reviews
    assert rules.review(ask(tools=(TOOL,)), says("no"), []).action == "escalate"
    assert rules.review(ask(), says("no"), []).action == "accept"
    for request in (ask(), ask(tools=(TOOL,))):
        rules.learn(request, rank(rules, request), [])
    assert learned == [("rules", "cheapest")]


async def test_gather_goes_to_the_one_that_ranks_and_shows_it_only_its_candidates():
    shown = []

    class Gatherer(Cheapest):
        def gather(self, request, candidates, signals):
            shown.append([c.name for c in candidates])
            return signals._replace(extra={"gathered": True})

    rules = Rules(rules=[{"when": {"tools": True}, "use": Gatherer(), "tags": ["eu"]}])
    request = ask(tools=(TOOL,))
    for signals in (
        rules.gather(request, (WEAK, STRONG), NO_SIGNALS),
        await rules.agather(request, (WEAK, STRONG), NO_SIGNALS),
    ):
        assert signals.extra == {"gathered": True}
        assert rank(rules, request).signals == NO_SIGNALS
    assert shown == [["weak"], ["weak"]]
    assert rules.gather(ask(), (WEAK, STRONG), NO_SIGNALS) == NO_SIGNALS


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"when": {"tokenz": 1}, "use": "best"}, r"rules\.rules\.0.*unknown field 'tokenz'"),
        ({"when": {"tokens": {"$more": 1}}, "use": "best"}, r"rules\.rules\.0.*unknown operator '\$more' of 'tokens'"),
        ({"when": {"text": {"$regex": "["}}, "use": "best"}, r"rules\.rules\.0.*no valid pattern"),
        ({"when": {"tools": True}}, r"rules\.rules\.0.*does nothing"),
        ({"use": "best"}, r"rules\.rules\.0\.when"),
        ({"when": {"tools": True}, "us": "best"}, r"rules\.rules\.0\.us.*Did you mean 'use'"),
        ({"when": {"tools": True}, "use": 5}, r"rules\.rules\.0\.use.*a name, an instance or a table"),
        ({"when": {"tools": True}, "use": {"min_quality": 1}}, r"rules\.rules\.0\.use.*needs `use`"),
    ],
)
def test_a_bad_rule_is_refused_when_it_is_made(rule, message):
    with pytest.raises(ConfigError, match=message):
        Rules(rules=[rule])


@pytest.mark.parametrize("binds", [True, False], ids=["resolver binds", "resolver does not bind"])
def test_a_circle_is_refused(binds):
    tables = {"a": {"default": "b"}, "b": {"default": "a"}}

    def circular(name):
        rules = Rules(**tables[name])
        return rules.bound(circular) if binds else rules

    with pytest.raises(ConfigError, match="delegates to itself in a circle"):
        circular("a").bound(circular)


def test_one_strategy_in_several_places_is_no_circle():
    twice = Rules(rules=[{"when": {"tools": True}, "use": Rules(default="best")}], default=Rules(default="best"))
    assert rank(twice.bound(resolve), ask()).path == ("rules", "rules", "best")
