"""The walls between the rooms."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = "import sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
ONE = "{'deployments': [{'name': 'a', 'provider': 'litellm', 'model': 'm'}]}"


def loaded_after(code: str) -> set[str]:
    """Top-level modules that are loaded once `code` has run in a fresh interpreter."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(run.stdout.splitlines()[-1].split())


def test_imports_go_one_way() -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import routekit",
        "from routekit import Router",
        "import routekit.plugin, routekit.testing",
        f"from routekit import Router; Router.from_dict({ONE})",
    ],
)
def test_what_is_heavy_is_loaded_by_the_first_call_that_needs_it(code: str) -> None:
    loaded = loaded_after(code)
    assert not loaded & {
        "litellm",
        "langchain",
        "langchain_core",
        "langgraph",
        "openai",
        "aiohttp",
        "xllamacpp",
        "numpy",
    }


def test_the_package_itself_loads_next_to_nothing() -> None:
    assert not loaded_after("import routekit") & {"pydantic", "pluggy", "rich", "click", "asyncio"}


def test_the_picture_of_the_floors_is_true() -> None:
    run = subprocess.run([sys.executable, "docs/floors.py", "--check"], cwd=ROOT, check=False, timeout=60)
    assert run.returncode == 0, "draw it anew: python docs/floors.py"


def test_no_registry_and_no_machine_is_named() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    wrong = re.compile("(files.)?python" + r"hosted\.org|py" + r"pi\.org|/" + r"work/main|/" + "root/")
    for name in tracked:
        file = ROOT / name
        if file.is_file() and file.suffix in {".py", ".md", ".toml", ".txt", ".json", ".cfg", ".yml", ""}:
            assert not wrong.search(file.read_text(errors="ignore")), name
