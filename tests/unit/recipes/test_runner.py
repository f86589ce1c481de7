from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from routekit.errors import ConfigError, InvalidInputError, PluginNotFoundError, RecipeError
from routekit.plugin import hookimpl
from routekit.plugin.manager import discover
from routekit.plugin.recipe import RecipePlugin
from routekit.recipes.loader import Recipe, find, read
from routekit.recipes.runner import config_for, run
from routekit.recipes.scaffold import create
from routekit.testing.scripted import ScriptedProvider, plugin_module

HEAD = 'title = "One"\nshows = ["something"]\n'
DEPLOYMENT = '[[deployments]]\nname = "own"\nprovider = "scripted"\nmodel = "m"\nprice = { input = 1, output = 1 }\n'
AGENT = """
def run(context):
    result = context.router.complete("hi", strategy=context.strategy)
    context.console.print(result.text)
    return {"by": result.deployment.name, "strategy": result.decision.strategy, "args": dict(context.args)}
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"ROUTEKIT_HOME": str(tmp_path / "home"), "ROUTEKIT_PLUGINS": ""}


def recipe(place: Path, text: str = DEPLOYMENT, agent: str = AGENT) -> Recipe:
    place.mkdir(parents=True)
    (place / "recipe.toml").write_text(HEAD + text)
    (place / "agent.py").write_text(agent)
    return read(place)


def play(made: Recipe, env: dict[str, str], cwd: Path, **options: Any) -> Any:
    console = Console(file=io.StringIO())
    plugins = [plugin_module(ScriptedProvider("hello"))]
    return run(made, env=env, cwd=cwd, plugins=plugins, console=console, **options)


def users_file(place: Path, text: str = "") -> Path:
    place.write_text(text + DEPLOYMENT.replace('"own"', '"users"'))
    return place


def test_runs_on_its_own_deployments_where_nothing_is_configured(tmp_path: Path, env: dict[str, str]) -> None:
    assert play(recipe(tmp_path / "r"), env, tmp_path) == {"by": "own", "strategy": "cheapest", "args": {}}


def test_prefers_the_nearest_configuration_of_the_user(tmp_path: Path, env: dict[str, str]) -> None:
    users_file(tmp_path / "routekit.toml")
    made = recipe(tmp_path / "r")
    assert play(made, env, tmp_path)["by"] == "users"
    assert play(made, env, tmp_path, local=True)["by"] == "own"


def test_a_named_configuration_goes_before_all_others(tmp_path: Path, env: dict[str, str]) -> None:
    named = users_file(tmp_path / "named.toml")
    assert play(recipe(tmp_path / "r"), env, tmp_path, config=named)["by"] == "users"
    with pytest.raises(ConfigError, match="no such file"):
        play(recipe(tmp_path / "s"), env, tmp_path, config=tmp_path / "none.toml")


def test_an_api_key_in_the_environment_counts_as_a_configuration(tmp_path: Path, env: dict[str, str]) -> None:
    config = config_for(recipe(tmp_path / "r"), env={**env, "OPENAI_API_KEY": "x"}, cwd=tmp_path)
    assert {table.provider for table in config.deployments} == {"openai-compatible"}


def test_its_strategies_steps_and_budgets_hold_on_the_users_deployments(tmp_path: Path, env: dict[str, str]) -> None:
    users_file(tmp_path / "routekit.toml", '[[budgets]]\nscope = "global"\nlimit_usd = 1\n')
    text = (
        '[router]\nstrategy = "frugal"\n[strategies.frugal]\nuse = "cheapest"\n'
        '[[steps]]\nwhen = { kind = "plan" }\nstrategy = "best"\n[[budgets]]\nscope = "run:*"\nlimit_usd = 1\n'
    )
    config = config_for(recipe(tmp_path / "r", text + DEPLOYMENT), env=env, cwd=tmp_path)
    assert config.router.strategy == "frugal"
    assert [table.strategy for table in config.steps] == ["best"]
    assert [table.scope for table in config.budgets] == ["run:*", "global"]
    assert [table.name for table in config.deployments] == ["users"]


def test_the_callers_strategy_reaches_the_agent(tmp_path: Path, env: dict[str, str]) -> None:
    made = recipe(tmp_path / "r")
    assert play(made, env, tmp_path, strategy="best")["strategy"] == "best"
    with pytest.raises(PluginNotFoundError, match="did you mean 'best'"):
        play(made, env, tmp_path, strategy="bestt")


def test_options_are_typed_and_unknown_ones_refused(tmp_path: Path, env: dict[str, str]) -> None:
    options = '[args.size]\nhelp = "h"\ndefault = 3\n[args.short]\nhelp = "h"\ndefault = false\n'
    made = recipe(tmp_path / "r", options + DEPLOYMENT)
    assert play(made, env, tmp_path)["args"] == {"size": 3, "short": False}
    assert play(made, env, tmp_path, args=["--size", "5", "--short"])["args"] == {"size": 5, "short": True}
    with pytest.raises(InvalidInputError, match="did you mean '--size'"):
        play(made, env, tmp_path, args=["--sise", "5"])
    with pytest.raises(InvalidInputError, match="invalid int value: 'many'"):
        play(made, env, tmp_path, args=["--size", "many"])


def test_an_unmet_requirement_says_what_each_deployment_lacks_and_how_to_get_it(
    tmp_path: Path, env: dict[str, str]
) -> None:
    weak = DEPLOYMENT + 'capabilities = ["chat", "streaming"]\ncontext_window = 2048\n'
    made = recipe(tmp_path / "r", '[requires]\ncapabilities = ["tools"]\ncontext = 4096\n' + weak)
    with pytest.raises(RecipeError, match="own lacks tools, 2048 tokens of context") as raised:
        play(made, env, tmp_path)
    assert "a context window of 4096 tokens" in str(raised.value)
    assert 'capabilities = ["chat", "streaming", "tools"]' in str(raised.value)


def test_one_deployment_must_meet_all_requirements(tmp_path: Path, env: dict[str, str]) -> None:
    two = (
        DEPLOYMENT + 'capabilities = ["chat", "tools"]\n'
        '[[deployments]]\nname = "b"\nprovider = "scripted"\nmodel = "n"\ncapabilities = ["chat", "vision"]\n'
    )
    made = recipe(tmp_path / "r", '[requires]\ncapabilities = ["tools", "vision"]\n' + two)
    with pytest.raises(RecipeError, match="own lacks vision; b lacks tools"):
        play(made, env, tmp_path)


def test_a_missing_package_is_named_with_how_to_get_it(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(tmp_path / "r", '[requires]\npackages = ["langgraph", "no_such_package"]\n' + DEPLOYMENT)
    find_spec = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "langgraph" else find_spec(name, *rest)
    )
    with pytest.raises(RecipeError, match=r"pip install 'routekit-llm\[agents\]' no_such_package"):
        play(made, env, tmp_path)


def test_missing_weights_are_fetched_only_if_that_is_allowed(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routekit.builtin.local_models.weights.find_weights", lambda name: None)
    local = '[[deployments]]\nname = "l"\nprovider = "local"\nmodel = "smollm2"\n'
    made = recipe(tmp_path / "r", local, "def run(context):\n    return 'ran'\n")
    with pytest.raises(RecipeError, match="routekit models pull smollm2"):
        play(made, env, tmp_path)
    fetched: list[str] = []
    assert play(made, env, tmp_path, fetch=fetched.append) == "ran"
    assert fetched == ["smollm2"]


def test_an_agent_may_change_the_configuration_and_may_be_async(tmp_path: Path, env: dict[str, str]) -> None:
    agent = """
def configure(config):
    config["deployments"][0]["name"] = "renamed"
    return config

async def run(context):
    return (await context.router.acomplete("hi")).deployment.name
"""
    assert play(recipe(tmp_path / "r", agent=agent), env, tmp_path) == "renamed"


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("x = 1", r"agent\.py: has no function `run`"),
        ("import no_such_thing", r"agent\.py: importing it failed: ModuleNotFoundError"),
        ("def (", r"agent\.py: importing it failed: SyntaxError"),
    ],
)
def test_a_broken_agent_is_named(tmp_path: Path, env: dict[str, str], agent: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        play(recipe(tmp_path / "r", agent=agent), env, tmp_path)


def test_a_recipe_of_a_plugin_runs(tmp_path: Path, env: dict[str, str]) -> None:
    made = recipe(tmp_path / "r")

    class Module:
        __name__ = "theirs"

        @hookimpl
        def routekit_recipes(self) -> list[RecipePlugin]:
            return [RecipePlugin(name="theirs", path=made.path)]

    assert play(find("theirs", discover(env, [Module()])), env, tmp_path)["by"] == "own"


def test_a_new_recipe_runs_at_once(tmp_path: Path, env: dict[str, str]) -> None:
    folder = create("my-agent", discover(env), cwd=tmp_path)
    users = users_file(tmp_path / "users.toml")
    outcome = play(find(str(folder), discover(env)), env, tmp_path, config=users, args=["--question", "Hi?"])
    assert (outcome["answer"], outcome["deployment"]) == ("hello", "users")


@pytest.mark.parametrize("name", ["Bad Name", "../up", "quickstart", ""])
def test_a_new_recipe_needs_a_good_name(tmp_path: Path, env: dict[str, str], name: str) -> None:
    with pytest.raises(RecipeError):
        create(name, discover(env), cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_new_recipe_overwrites_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    create("mine", discover(env), cwd=tmp_path)
    with pytest.raises(RecipeError, match="exists already"):
        create("mine", discover(env), cwd=tmp_path)
