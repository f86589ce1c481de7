from __future__ import annotations

import pytest

from routekit.builtin.strategies import BUILTIN, Best, routekit_strategies
from routekit.plugin.manager import discover
from routekit.plugin.registration import PluginContext

NAMES = [
    "balanced", "best", "cascade", "cheapest", "explore", "fastest", "least-busy", "ordered", "per-step",
    "rules", "weighted",
]  # fmt: skip


def test_all_strategies_are_registered_under_their_names():
    registry = discover({"ROUTEKIT_PLUGINS": ""})
    assert [found.name for found in registry if found.kind == "strategy" and found.error is None] == NAMES


@pytest.mark.parametrize("plugin", routekit_strategies(), ids=lambda plugin: plugin.name)
def test_each_is_made_from_its_options_and_says_what_it_does(plugin, tmp_path):
    made = plugin.factory(plugin.options(), PluginContext(home=tmp_path, env={}))
    assert type(made) in BUILTIN
    assert made == type(made)()
    assert plugin.summary.endswith((".", ":"))


@pytest.mark.parametrize("plugin", routekit_strategies(), ids=lambda plugin: plugin.name)
def test_every_option_is_described(plugin):
    assert all(field.description for field in plugin.options.model_fields.values())


def test_instances_nested_in_options_survive_being_configured(tmp_path):
    plugins = {plugin.name: plugin for plugin in routekit_strategies()}
    context = PluginContext(home=tmp_path, env={})
    best = Best()
    rules = {"rules": [{"when": {"tools": True}, "use": best, "tags": ["eu"]}], "default": {"use": "cheapest"}}
    for name, values in (("per-step", {"plan": best, "nodes": {"n": best}}), ("rules", rules)):
        plugin = plugins[name]
        made = plugin.factory(plugin.options.checked(values, where=name), context)
        assert best in made.nested().values()
