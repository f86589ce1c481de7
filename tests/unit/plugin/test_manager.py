"""Discovery: nobody's failure is anybody else's."""

from __future__ import annotations

import pytest

from routekit.errors import PluginConflictError, PluginLoadError, PluginNotFoundError, PluginVersionError
from routekit.plugin import GuardPlugin, NoOptions, StrategyPlugin, hookimpl
from routekit.plugin.manager import discover
from routekit.plugin.registry import Registry

ENV = {"ROUTEKIT_PLUGINS": ""}
BUILTIN = {
    "provider": {"openai-compatible", "litellm", "local"},
    "strategy": {
        "cheapest", "explore", "fastest", "best", "balanced", "ordered", "weighted", "least-busy", "cascade", "rules",
        "per-step",
    },
    "cache": {"memory", "disk", "semantic"},
    "compressor": {"json-minify", "schema-minify", "json-table", "dedupe", "tool-output", "middle-out", "trim",
                   "summarize"},
    "budget": {"memory", "ledger"},
    "guard": {"pattern", "pii", "prompt-injection", "secrets"},
    "observer": {"log", "opentelemetry", "records"},
}  # fmt: skip


def guard(name: str, **more) -> GuardPlugin:
    return GuardPlugin(name=name, factory=lambda options, context: None, **more)


class Good:
    @hookimpl
    def routekit_guards(self):
        return [guard("good")]


def test_every_builtin_is_there_through_the_same_hooks() -> None:
    registry = discover(ENV)
    assert {kind: set(registry.names(kind)) for kind in BUILTIN} == BUILTIN
    assert all(found.state == "ok" and found.distribution == "routekit-llm" for found in registry)
    assert all(found.plugin.summary for found in registry), "each says in a line what it does"


def raises(self):
    raise RuntimeError("broken")


def generates(self):
    yield guard("late")
    raise RuntimeError("broken late")


def nonsense(self):
    return ["a text"]


def wrong_kind(self):
    return [StrategyPlugin(name="s", factory=lambda options, context: None, options=NoOptions)]


@pytest.mark.parametrize("hook", [raises, generates, nonsense, wrong_kind])
def test_a_plugin_that_fails_is_recorded_and_the_others_stay(hook) -> None:
    broken = type("Broken", (), {"__name__": "broken", "routekit_guards": hookimpl(hook)})()
    broken.routekit_guards  # noqa: B018 - bound here so that pluggy finds it
    registry = discover(ENV, [broken, Good()])
    [failure] = [found for found in registry if found.state == "failed"]
    assert failure.name == "broken"
    assert isinstance(failure.error, PluginLoadError)
    assert registry.get("guard", "good")
    with pytest.raises(PluginLoadError, match="broken"):
        registry.get("guard", "broken")


def test_a_misspelt_hook_is_found() -> None:
    class Misspelt:
        __name__ = "misspelt"

        @hookimpl
        def routekit_gards(self):
            return []

    [failure] = [found for found in discover(ENV, [Misspelt()]) if found.state == "failed"]
    assert "routekit_gards" in str(failure.error)


def test_two_of_a_name_are_a_conflict_that_names_both() -> None:
    registry = Registry()
    registry.add("guard", guard("g"), "dist-one", "1.0")
    registry.add("guard", guard("g"), "dist-two", "2.0")
    with pytest.raises(PluginConflictError, match=r"dist-one 1.0 and dist-two 2.0"):
        registry.get("guard", "g")
    assert registry.names("guard") == []


def test_another_api_version_is_refused_when_asked_for() -> None:
    registry = Registry()
    registry.add("guard", guard("g", api_version=99), "dist", "1.0")
    with pytest.raises(PluginVersionError, match="plugin API 99"):
        registry.get("guard", "g")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PluginNotFoundError, match="did you mean 'cheapest'"):
        discover(ENV).get("strategy", "cheepest")
