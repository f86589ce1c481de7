"""Plugins of third parties: installed as wheels, found, validated, used; and what happens when they are broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.environments import ROOT, Environment, build_wheel

pytestmark = [pytest.mark.install, pytest.mark.timeout(300)]

ASK = """
from routekit import Router
from routekit.testing import ScriptedProvider, plugin_module
import routekit
assert "site-packages" in routekit.__file__, routekit.__file__
table = {"provider": "scripted", "model": "m"}
router = Router(
    {
        "deployments": [
            {**table, "name": "cheap", "price": {"input": 1, "output": 1}},
            {**table, "name": "dear", "price": {"input": 2, "output": 2}},
        ],
        "strategies": {"night": {"use": "off-peak", "windows": [%s]}},
    },
    plugins=[plugin_module(ScriptedProvider())],
)
result = router.complete("hi", strategy="night")
print(result.deployment, "|", result.decision.reason)
"""
ALWAYS = '{"deployments": ["dear"], "start": "00:00", "end": "00:00", "discount": 0.9}'

BROKEN = {"pyproject": "raises", "plugin": "raise RuntimeError('it never worked')\n"}
RIVAL = """
from routekit.plugin import StrategyPlugin, hookimpl
from routekit.builtin.strategies import Best

class Mine(Best):
    name = "off-peak"

@hookimpl
def routekit_strategies():
    return [StrategyPlugin.of(Mine)]
"""
FUTURE = """
from routekit.plugin import GuardPlugin, hookimpl

@hookimpl
def routekit_guards():
    return [GuardPlugin(name="future", factory=lambda options, context: None, api_version=99)]
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    return {
        "routekit": build_wheel(ROOT, folder),
        "offpeak": build_wheel(ROOT / "plugins" / "routekit-offpeak", folder),
        "broken": build_wheel(_project(folder, "routekit-broken", BROKEN["plugin"]), folder),
        "rival": build_wheel(_project(folder, "routekit-rival", RIVAL), folder),
        "future": build_wheel(_project(folder, "routekit-future", FUTURE), folder),
    }


def _project(folder: Path, name: str, plugin: str) -> Path:
    package = name.replace("-", "_")
    root = folder / "projects" / name
    (root / package).mkdir(parents=True)
    (root / package / "__init__.py").write_text("")
    (root / package / "plugin.py").write_text(plugin)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "1.2.3"\n'
        f'[project.entry-points.routekit]\n{name.removeprefix("routekit-")} = "{package}.plugin"\n'
    )
    return root


def test_an_installed_strategy_is_listed_validated_and_used(tmp_path: Path, wheels: dict[str, Path]) -> None:
    environment = Environment(tmp_path / "env", wheels["routekit"], wheels["offpeak"])
    [row] = [row for row in environment.plugins() if row["name"] == "off-peak"]
    assert (row["kind"], row["state"], row["distribution"]) == ("strategy", "ok", "routekit-offpeak")
    assert environment.run("-c", ASK % ALWAYS).startswith("dear | ")
    assert "90% off" in environment.run("-c", ASK % ALWAYS)
    told = environment.run("-c", ASK % '{"deployments": ["dear"], "start": "26:00", "end": "00:00"}', code=1)
    assert "ConfigError" in told
    assert "strategies.night.windows.0.start" in told


def test_a_broken_plugin_takes_nobody_down(tmp_path: Path, wheels: dict[str, Path]) -> None:
    environment = Environment(tmp_path / "env", wheels["routekit"], wheels["offpeak"], wheels["broken"])
    rows = environment.plugins()
    [failed] = [row for row in rows if row["state"] == "failed"]
    assert failed["distribution"] == "routekit-broken"
    assert "it never worked" in failed["failure"]
    assert environment.run("-c", ASK % ALWAYS).startswith("dear | ")
    told = environment.run("-c", "from routekit import Router; Router().resolve_strategy('broken')", code=1)
    assert "PluginLoadError" in told
    assert "it never worked" in told


def test_two_plugins_of_one_name_are_a_conflict_that_names_both(tmp_path: Path, wheels: dict[str, Path]) -> None:
    environment = Environment(tmp_path / "env", wheels["routekit"], wheels["offpeak"], wheels["rival"])
    [row] = [row for row in environment.plugins() if row["name"] == "off-peak"]
    assert row["state"] == "conflict"
    told = environment.run("-c", ASK % ALWAYS, code=1)
    assert "PluginConflictError" in told
    assert "routekit-offpeak" in told
    assert "routekit-rival" in told
    assert environment.run("-c", ASK % ALWAYS, ROUTEKIT_PLUGINS="routekit-offpeak").startswith("dear | ")


def test_routekit_plugins_restricts_what_is_loaded(tmp_path: Path, wheels: dict[str, Path]) -> None:
    environment = Environment(
        tmp_path / "env", wheels["routekit"], wheels["offpeak"], wheels["broken"], wheels["future"]
    )
    everything = environment.plugins()
    assert {row["state"] for row in everything} == {"ok", "failed", "version"}
    only = environment.plugins(ROUTEKIT_PLUGINS="offpeak")
    assert {row["distribution"] for row in only} == {"routekit-llm", "routekit-offpeak"}
    none = environment.plugins(ROUTEKIT_PLUGINS="")
    assert {row["distribution"] for row in none} == {"routekit-llm"}


def test_the_offpeak_plugin_passes_its_own_tests(tmp_path: Path, wheels: dict[str, Path]) -> None:
    environment = Environment(tmp_path / "env", wheels["routekit"], wheels["offpeak"])
    tests = ROOT / "plugins" / "routekit-offpeak" / "tests"
    told = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tests), str(tests))
    assert " passed" in told


@pytest.mark.parametrize("kind", ["strategy", "provider", "cache", "compressor", "budget", "guard", "observer"])
def test_a_new_plugin_passes_its_contract_suite_at_once(tmp_path: Path, wheels: dict[str, Path], kind: str) -> None:
    environment = Environment(tmp_path / "env", wheels["routekit"])
    environment.routekit("plugins", "new", "night-owl", "--kind", kind, "--path", str(tmp_path))
    root = tmp_path / "routekit-night-owl"
    environment.install(build_wheel(root, tmp_path))
    [row] = [row for row in environment.plugins() if row["name"] == "night-owl"]
    assert (row["kind"], row["state"], row["distribution"]) == (kind, "ok", "routekit-night-owl")
    told = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(root), str(root / "tests"))
    assert " passed" in told
    assert "failed" not in told
