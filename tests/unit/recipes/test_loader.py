from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from routekit.errors import PluginConflictError, RecipeError
from routekit.plugin import hookimpl
from routekit.plugin.manager import discover
from routekit.plugin.recipe import RecipePlugin
from routekit.recipes.loader import find, listed, read

GOOD = 'title = "One"\nshows = ["something"]\n'
OWN = {"cascade-extract", "graph-writer", "quickstart", "support-triage", "tool-agent"}


def folder(place: Path, text: str = GOOD, agent: str | None = "def run(context):\n    return 1\n") -> Path:
    place.mkdir(parents=True)
    (place / "recipe.toml").write_text(text)
    if agent is not None:
        (place / "agent.py").write_text(agent)
    return place


def brings(name: str, path: Path) -> Any:
    class Module:
        __name__ = f"brings {name}"

        @hookimpl
        def routekit_recipes(self) -> list[RecipePlugin]:
            return [RecipePlugin(name=name, path=path)]

    return Module()


def test_lists_the_recipes_in_the_box() -> None:
    rows = listed(discover({"ROUTEKIT_PLUGINS": ""}))
    assert {row.name for row in rows} == OWN
    assert all(row.recipe is not None and row.error is None for row in rows)


def test_every_recipe_in_the_box_has_a_readme_that_names_it() -> None:
    for row in listed(discover({"ROUTEKIT_PLUGINS": ""})):
        assert row.recipe is not None
        assert f"routekit recipes run {row.name}" in (row.recipe.path / "README.md").read_text()


def test_reads_a_folder_of_the_users(tmp_path: Path) -> None:
    text = GOOD + (
        '[requires]\ncapabilities = ["tools"]\npackages = ["langgraph"]\ncontext = 4096\n'
        '[args.size]\nhelp = "how many"\ndefault = 3\n'
        '[[deployments]]\nname = "a"\nprovider = "local"\nmodel = "smollm2"\n'
    )
    recipe = find(str(folder(tmp_path / "mine", text)), discover({"ROUTEKIT_PLUGINS": ""}))
    assert (recipe.name, recipe.source, recipe.requires.context) == ("mine", "folder", 4096)
    assert recipe.args["size"].default == 3
    assert [table["name"] for table in recipe.config["deployments"]] == ["a"]


def test_finds_a_folder_below_the_current_one_by_its_name(tmp_path: Path) -> None:
    folder(tmp_path / "mine")
    assert find("mine", discover({"ROUTEKIT_PLUGINS": ""}), cwd=tmp_path).path == tmp_path / "mine"


def test_finds_what_a_plugin_brings(tmp_path: Path) -> None:
    registry = discover({"ROUTEKIT_PLUGINS": ""}, [brings("theirs", folder(tmp_path / "x"))])
    assert find("theirs", registry).name == "theirs"
    assert {row.name for row in listed(registry)} == OWN | {"theirs"}


def test_a_plugin_cannot_replace_a_recipe_in_the_box(tmp_path: Path) -> None:
    registry = discover({"ROUTEKIT_PLUGINS": ""}, [brings("quickstart", folder(tmp_path / "x"))])
    with pytest.raises(RecipeError, match="two recipes are called 'quickstart'"):
        find("quickstart", registry)


def test_two_plugins_with_one_recipe_name_are_a_conflict(tmp_path: Path) -> None:
    place = folder(tmp_path / "x")
    registry = discover({"ROUTEKIT_PLUGINS": ""}, [brings("theirs", place), brings("theirs", place)])
    with pytest.raises(PluginConflictError):
        find("theirs", registry)
    assert [row.error is not None for row in listed(registry) if row.name == "theirs"] == [True]


def test_a_broken_recipe_hides_no_other(tmp_path: Path) -> None:
    registry = discover({"ROUTEKIT_PLUGINS": ""}, [brings("theirs", folder(tmp_path / "x", "title = 1"))])
    broken = [row for row in listed(registry) if row.error is not None]
    assert [row.name for row in broken] == ["theirs"]
    assert len(listed(registry)) == len(OWN) + 1


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(RecipeError, match=r"no recipe is called 'quickstrat'; did you mean 'quickstart'\?"):
        find("quickstrat", discover({"ROUTEKIT_PLUGINS": ""}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('titel = "x"', r"recipe.toml: titel: unknown key. Did you mean 'title'\?"),
        ('title = "x"', r"recipe.toml: shows: this key is required"),
        (GOOD + "[requires]\ncapabilites = []", r"requires.capabilites: unknown key. Did you mean 'capabilities'\?"),
        (GOOD + '[requires]\ncapabilities = ["tool"]', r"unknown capability 'tool'; did you mean 'tools'\?"),
        (GOOD + "[requires]\ncontext = 0", r"requires.context"),
        (GOOD + '[args.A]\nhelp = "x"', r"'A' is no name for an option"),
        (GOOD + '[args.a]\nhelp = "x"\ndefault = true', r"a switch is off by default"),
        (GOOD + "[router]\nstrateg = 1", r"router.strateg: unknown key. Did you mean 'strategy'\?"),
        (GOOD + '[[deployments]]\nname = "a"', r"deployments.0.provider: this key is required"),
        ("title = ", r"is no valid TOML"),
    ],
)
def test_says_what_is_wrong_in_which_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as raised:
        read(folder(tmp_path / "mine", text))
    assert str(tmp_path / "mine" / "recipe.toml") in str(raised.value)


def test_a_recipe_needs_both_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"agent\.py: no such file"):
        read(folder(tmp_path / "mine", agent=None))
    with pytest.raises(RecipeError, match=r"recipe\.toml: no such file"):
        read(tmp_path / "nowhere")
