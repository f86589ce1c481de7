"""What the documentation shows is run, and what is written from the code is up to date."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.environments import ROOT, Environment, build_wheel

PAGES = sorted(path for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if path.name != "first-plugin.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.local_model] if page.name == "README.md" else [], id=page.name)
        for page in WITH_PYTHON
        if "reference" not in page.parts
    ],
)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(__import__("os").environ):
        if name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    namespace: dict[str, object] = {"__name__": "example"}
    for text in blocks(page, "python"):
        exec(compile(text, str(page), "exec"), namespace)
    for thing in namespace.values():
        if hasattr(thing, "close") and type(thing).__name__ == "Router":
            thing.close()


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.cli import main

    monkeypatch.chdir(tmp_path)
    for name in list(__import__("os").environ):
        if name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    commands = [
        line for text in blocks(ROOT / "README.md", "console") for line in text.splitlines() if line[:2] == "$ "
    ]
    assert commands
    for command in commands:
        import shlex

        words = shlex.split(command[2:])
        assert words[0] == "routekit"
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, done.output


def test_the_configuration_of_the_readme_is_valid() -> None:
    import tomllib

    from routekit import Router

    for text in blocks(ROOT / "README.md", "toml"):
        Router.from_dict(tomllib.loads(text)).close()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs/tutorial/first-plugin.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_reference_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.pages().items():
        found = (ROOT / "docs" / "reference" / name).read_text()
        assert found == text, f"{name} is stale: run python docs/generate.py"


@pytest.mark.install
@pytest.mark.timeout(300)
def test_the_first_plugin_tutorial_works_step_by_step(tmp_path: Path) -> None:
    page = (ROOT / "docs/tutorial/first-plugin.md").read_text()
    environment = Environment(tmp_path / "env", build_wheel(ROOT, tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    done = []
    for match in re.finditer(r"(?:<!-- file: (\S+) -->\n)?^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        target, language, text = match.groups()
        if target:
            assert (work / target).is_file(), "the page replaces a file that the command wrote"
            (work / target).write_text(text)
        elif language == "python":
            environment.run("-c", text)
            done.append("python")
        elif language == "text":
            listed = [*re.findall(r"^ +(\S+)  ", text, re.MULTILINE), "README.md"]
            assert all((work / "routekit-sunny" / name).exists() for name in listed), listed
        for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE) if language == "console" else []:
            words = __import__("shlex").split(command)
            if words[0] == "routekit":
                words += ["--path", str(work)] if words[1:3] == ["plugins", "new"] else []
                shown = environment.routekit(*words[1:])
                if words[1:] == ["plugins"]:
                    assert "sunny" in shown
                    assert "routekit-sunny" in shown
            elif words[0] == "pip":
                environment.install(build_wheel(work / "routekit-sunny", tmp_path))
            elif words[0] == "pytest":
                root = work / "routekit-sunny"
                told = environment.run(
                    "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(root), str(root)
                )
                assert " passed" in told
            else:
                raise AssertionError(f"the page shows a command that nobody runs: {command}")
            done.append(words[0])
    assert done == ["routekit", "pip", "pytest", "routekit", "python"]
