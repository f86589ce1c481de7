from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command_line import deployment, invoke, start, write
from tests.support.openai_server import OpenAIServer

HEAVY = ("litellm", "langchain", "langchain_core", "pydantic", "rich", "aiohttp", "routekit.router")


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from routekit.cli import main\n"
        "try: main(['--help'])\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("init", "doctor", "ask", "explain", "models", "plugins", "recipes", "config", "health"):
        assert f"\n  {command} " in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "command", ["init", "doctor", "ask", "explain", "models", "plugins", "recipes", "config", "health"]
)
def test_every_command_has_help(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: routekit {command}" in result.stdout


def test_the_summaries_that_are_shown_are_those_of_the_commands() -> None:
    import click

    from routekit.cli import COMMANDS

    for name, entry in COMMANDS.items():
        command = entry.load()
        assert isinstance(command, click.Command)
        assert command.name == name, entry


def test_version() -> None:
    from routekit import __version__

    assert invoke("--version").stdout == f"routekit {__version__}\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["ask"], "Missing argument 'PROMPT'"),
        (["ask", "hi", "--nope"], "No such option '--nope'"),
        (["ask", "hi", "--deadline-s", "-1"], "--deadline-s"),
        (["ask", " \n"], "the prompt is empty"),
        (["ask", "-"], "the prompt is empty"),
        (["plugins", "--json", "new", "x"], "--json and --strict belong to the list"),
        (["models", "--json", "pull", "smollm2"], "--json belongs to `models list`"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(args: list[str], message: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_an_error_is_one_line_and_debug_shows_the_traceback() -> None:
    result = invoke("--config", "nowhere.toml", "ask", "hi")
    assert result.exit_code == 1
    assert result.stderr == "error: nowhere.toml: no such file. Write one with `routekit init`.\n"
    assert "Traceback" in invoke("--debug", "--config", "nowhere.toml", "ask", "hi").stderr


def test_the_file_may_come_from_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, deployment("only-here", "http://127.0.0.1:9/v1"))
    assert "only-here" in invoke("models", ROUTEKIT_CONFIG=path).stdout


def test_python_dash_m_and_ctrl_c(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        server.behave(fault="hang")
        path = write(tmp_path, deployment("slow", server.url))
        process = start("--config", path, "ask", "hi")
        try:
            server.wait_until(lambda: bool(server.requests), timeout_s=20)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    assert out == b""
    assert b"interrupted" in err
    assert b"Traceback" not in err


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    path = write(tmp_path, *(deployment(f"d{i}", "http://127.0.0.1:9/v1") for i in range(50)))
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "routekit", "--config", path, "models"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_stdout_that_cannot_show_a_character(tmp_path: Path, encoding: str) -> None:
    with OpenAIServer() as server:
        server.behave(text="Zürich 東京")
        path = write(tmp_path, deployment("m", server.url))
        process = start("--config", path, "ask", "hi", env={"PYTHONIOENCODING": encoding})
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    expected = "Zürich 東京".encode(encoding, errors="backslashreplace")
    assert out.rstrip(b"\r\n") == expected
