"""Finalizers only hand over, locks do not outlive a fork, and what is made once is made under a lock."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("src/routekit/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
IN_FINALIZERS = {"later", "getattr", "partial", "os.close", "contextlib.suppress"}
"""What a finalizer may call: handing over, looking at itself, and one system call without a lock."""

FLAGS = {("segment.py", "_claimed"), ("live.py", "_over"), ("runtime.py", "_changed")}
"""Locks that nobody waits for; and those of a queue that is made anew with its runtime."""


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for file in SOURCES:
        if "testing" not in file.parts and "templates" not in file.parts:
            yield file, ast.parse(file.read_text())


def called(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            name = ast.unparse(inner.func)
            yield name if name in IN_FINALIZERS else name.rpartition(".")[2]


def test_a_finalizer_takes_no_lock_and_does_no_work() -> None:
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "__del__":
                assert set(called(node)) - {"values", "items"} <= IN_FINALIZERS, f"{file.name}: {ast.unparse(node)}"


def test_what_the_collector_calls_only_hands_over() -> None:
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("weakref.finalize", "finalize"):
                callback = ast.unparse(node.args[1])
                assert callback.endswith(("reaper.later", "later", ".append")), f"{file.name}: finalize({callback})"


def test_no_lock_is_left_held_by_a_fork() -> None:
    missing = []
    for file, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            text = ast.unparse(node)
            locks = [
                target.attr
                for each in ast.walk(node)
                if isinstance(each, ast.Assign) and "threading." in ast.unparse(each.value)
                and any(name in ast.unparse(each.value) for name in ("Lock(", "Condition("))
                for target in each.targets
                if isinstance(target, ast.Attribute)
            ]  # fmt: skip
            wanted = [name for name in locks if (file.name, name) not in FLAGS]
            if wanted and not any(
                how in text for how in ("after_fork", "def forked", "getpid", "def forget", "_forget")
            ):
                missing.append(f"{file.name}: {node.name}.{wanted[0]}")
    assert not missing


def test_functools_cache_is_not_used_for_what_must_be_made_once() -> None:
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "functools.cache":
                raise AssertionError(f"{file.name}: {ast.unparse(node)} may make two; use Once")


@pytest.mark.parametrize("tests", ["test_interrupts.py", "stream/test_live.py", "test_engine.py", "test_robustness.py"])
def test_the_engine_holds_under_a_collector_that_runs_anywhere(tests: str, tmp_path: Path) -> None:
    plugin = tmp_path / "collects.py"
    plugin.write_text(
        "import gc, signal\n"
        "def pytest_configure(config):\n"
        "    signal.signal(signal.SIGVTALRM, lambda *_: gc.collect(1))\n"
        "    signal.setitimer(signal.ITIMER_VIRTUAL, 0.003, 0.003)\n"
        "def pytest_unconfigure(config):\n"
        "    signal.setitimer(signal.ITIMER_VIRTUAL, 0)\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "collects", f"tests/unit/engine/{tests}", "-k",
         "stream or abandon or cancel or forgotten or interrupt"],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]


def test_no_property_is_computed_under_a_lock_of_its_class() -> None:
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node).endswith("cached_property"):
                raise AssertionError(f"{file.name}: cached_property has a lock that outlives a fork; use KeptProperty")
