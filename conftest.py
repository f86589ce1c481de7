"""What the tests of routekit and of the plugins in this repository have in common."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

PROGRAMS = {"needs_redis": ("redis-server", "valkey-server"), "needs_browser": ("chromium", "google-chrome")}
"""Marks of tests that need a program of the machine's, and its names."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "routekit-redis" in Path(item.path).parts:
            item.add_marker("needs_redis")
        for mark, names in PROGRAMS.items():
            # Where everything is to be tested, as in CI, a test that cannot run fails by itself.
            absent = not any(map(shutil.which, names)) and not os.environ.get("ROUTEKIT_TEST_ALL")
            if absent and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"needs {names[0]}: apt-get install {names[0]}"))
    if config.getoption("--slow"):
        return
    left_out = [item for item in items if item.get_closest_marker("slow")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
