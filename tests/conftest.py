"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.routers import FACES, AsyncFace, SyncFace


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the state or the keys of whoever runs it."""
    home: Path = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ROUTEKIT_HOME", str(home))
    monkeypatch.setenv("ROUTEKIT_PLUGINS", "")
    monkeypatch.delenv("ROUTEKIT_CONFIG", raising=False)


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> SyncFace | AsyncFace:
    """The router called from plain code, and from an event loop."""
    found: SyncFace | AsyncFace = request.param
    return found
