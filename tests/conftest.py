"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.routers import FACES, AsyncFace, SyncFace


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    left_out = [item for item in items if item.get_closest_marker("slow")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


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
