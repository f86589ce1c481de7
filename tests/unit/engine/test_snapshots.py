"""Health that other programs can see."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import AllAttemptsFailedError, AllUnavailableError
from routekit.cli import main
from routekit.engine.snapshots import FOLDER, read_snapshots
from routekit.errors import ProviderUnavailableError
from routekit.plugin import reaper
from routekit.testing import ScriptedProvider

pytestmark = pytest.mark.usefixtures("home")
Face = SyncFace | AsyncFace


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path))


def test_a_change_of_state_is_seen_at_once_and_the_file_goes_with_the_router(face: Face, tmp_path: Path) -> None:
    router = scripted_router({"a": ScriptedProvider(ProviderUnavailableError("sk-secret down"))})
    for _ in range(5):
        with pytest.raises((AllAttemptsFailedError, AllUnavailableError)):
            face.complete(router, "my private prompt")
    [found] = read_snapshots(tmp_path)
    [row] = found["rows"]
    assert (row["deployment"], row["state"], row["in_flight"]) == ("a", "open", 0)
    assert row["until"] > 0
    text = next((tmp_path / FOLDER).iterdir()).read_text()
    assert "secret" not in text
    assert "private" not in text
    if os.name == "posix":
        assert (tmp_path / FOLDER).stat().st_mode & 0o077 == 0
    router.close()
    assert read_snapshots(tmp_path) == []
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_files_of_dead_processes_and_broken_ones_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    good = {"pid": 1, "program": "x", "at": 1.0, "rows": []}
    (folder / f"{int(dead.stdout)}-0.json").write_text(json.dumps(good))
    (folder / f"{os.getpid()}-7.json").write_text("{half")
    (folder / f"{os.getpid()}-8.json").write_text("[]")
    (folder / f"{os.getpid()}-9.json").write_text(json.dumps(good))
    assert read_snapshots(tmp_path) == [good]
    assert not (folder / f"{int(dead.stdout)}-0.json").exists()


def test_a_home_that_cannot_be_written_fails_no_request(face: Face, tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    router = scripted_router({"a": ScriptedProvider("fine")})
    assert face.complete(router, "hi").text == "fine"
    assert face.complete(router, "hi").text == "fine"


def test_a_dropped_router_is_forgotten_with_its_file(tmp_path: Path) -> None:
    router = scripted_router({"a": ScriptedProvider("fine")})
    router.complete("hi")
    assert len(read_snapshots(tmp_path)) == 1
    gone = weakref.ref(router)
    del router
    gc.collect()
    assert reaper.flush(20)
    assert gone() is None
    assert read_snapshots(tmp_path) == []


def test_the_command_shows_running_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routekit.toml").write_text(
        '[[deployments]]\nname = "fresh"\nprovider = "openai-compatible"\nmodel = "gpt-5-mini"\nbase_url = "http://127.0.0.1:9/v1"\n'
    )
    shown = CliRunner().invoke(main, ["health"])
    assert "fresh" in shown.output
    router = scripted_router({"a": ScriptedProvider("fine")})
    router.complete("hi")
    shown = CliRunner().invoke(main, ["health"])
    assert f"process {os.getpid()}" in shown.output
    assert "closed" in shown.output
    rows = json.loads(CliRunner().invoke(main, ["health", "--json"]).output)
    assert [(row["deployment"], row["pid"], row["latency"]["samples"]) for row in rows] == [("a", os.getpid(), 1)]
    router.close()
