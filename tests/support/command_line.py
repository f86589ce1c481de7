"""The command line in tests: in this process with click's runner, and as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from routekit.cli import main

KEY_VARIABLES = (
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "MISTRAL_API_KEY", "GROQ_API_KEY",
    "DEEPSEEK_API_KEY", "XAI_API_KEY", "TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "OPENROUTER_API_KEY",
)  # fmt: skip


def invoke(*args: str, stdin: str | bytes | None = None, **env: str | None) -> Result:
    """Runs ``routekit ARGS`` here. `stdout` and `stderr` of the result are apart; keys of the machine are hidden."""
    hidden: dict[str, str | None] = dict.fromkeys(KEY_VARIABLES)
    return CliRunner().invoke(main, list(args), input=stdin, env={**hidden, **env}, prog_name="routekit")


def start(*args: str, python_options: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[bytes]:
    """Starts ``python -m routekit ARGS``; the caller waits for it."""
    env = {key: value for key, value in os.environ.items() if key not in KEY_VARIABLES}
    env.update(options.pop("env", {}))
    return subprocess.Popen(
        [sys.executable, *python_options, "-m", "routekit", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        **options,
    )


def deployment(name: str, url: str, model: str = "gpt-5-mini", extra: str = "") -> str:
    """A ``[[deployments]]`` table for an OpenAI-compatible server."""
    return (
        f'[[deployments]]\nname = "{name}"\nprovider = "openai-compatible"\nmodel = "{model}"\n'
        f'base_url = "{url}"\n{extra}\n'
    )


def write(folder: Path, *parts: str, name: str = "routekit.toml") -> str:
    """Writes a configuration; its path."""
    path = folder / name
    path.write_text("\n".join(parts), encoding="utf-8")
    return str(path)
