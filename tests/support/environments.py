"""Fresh environments with wheels in them, made in a second: dependencies are borrowed from this one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def build_wheel(project: Path, into: Path) -> Path:
    """The project's wheel, built by its own build backend from a copy without what git ignores."""
    source = into / f"source-{project.name}"
    ignore = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis", "dist")
    shutil.copytree(project, source, ignore=ignore)
    out = into / f"wheel-{project.name}"
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source))
    [wheel] = out.glob("*.whl")
    return wheel


class Environment:
    """A virtual environment of its own, at `path`."""

    def __init__(self, path: Path, *wheels: Path) -> None:
        self.path = path
        venv.create(path, with_pip=False, symlinks=True)
        self.python = path / "bin" / "python"
        self.home = path / "home"
        site = Path(run(str(self.python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # Only searched after what is installed here, and without its .pth files: no editable install leaks in.
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.install(*wheels)

    def install(self, *wheels: Path) -> None:
        names = [str(wheel) for wheel in wheels]
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-deps"]
        run(*pip, "--no-index", "--ignore-installed", *names)

    def run(self, *command: str, code: int = 0, **env: str) -> str:
        """Runs a command of the environment outside the checkout, and returns what it printed."""
        return run(str(self.python), *command, code=code, cwd=self.path, ROUTEKIT_HOME=str(self.home), **env)

    def routekit(self, *arguments: str, code: int = 0, **env: str) -> str:
        return self.run("-m", "routekit", *arguments, code=code, **env)

    def plugins(self, **env: str) -> list[dict[str, Any]]:
        """What `routekit plugins --json` shows."""
        found: list[dict[str, Any]] = json.loads(self.routekit("plugins", "--json", **env))
        return found


def run(*command: str, code: int = 0, cwd: Path | None = None, **env: str) -> str:
    """The standard output (and, where a failure is expected, the standard error too)."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("ROUTEKIT_", "PYTHONPATH"))}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=cwd, env={**plain, "NO_COLOR": "1", **env}
    )
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr if code else done.stdout
