"""The contract suites notice broken plugins: one promise broken each, one test that must fail."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.support.broken_plugins import BREAKS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The tests that fail, per class: one run over all broken plugins, as a plugin author would run it."""
    report = tmp_path_factory.mktemp("report") / "report.xml"
    tests = [f"tests/support/broken_plugins.py::{broken}::{test}" for broken, test in BREAKS.items()]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", f"--junit-xml={report}"]
    done = subprocess.run([*command, *tests], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout[-3000:]
    found: dict[str, set[str]] = defaultdict(set)
    for test in ElementTree.parse(report).iter("testcase"):
        assert test.find("error") is None, f"{test.get('name')} could not be run"
        if test.find("failure") is not None:
            found[str(test.get("classname")).rpartition(".")[2]].add(str(test.get("name")))
    return found


@pytest.mark.parametrize("broken", sorted(BREAKS))
def test_a_broken_promise_is_noticed(broken: str, failed: dict[str, set[str]]) -> None:
    assert BREAKS[broken] in failed[broken]
