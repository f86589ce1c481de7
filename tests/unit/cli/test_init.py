from __future__ import annotations

import socket
import threading
import tomllib
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.command_line import invoke
from tests.support.openai_server import OpenAIServer

from routekit.catalog.endpoints import deployments_from_env
from routekit.cli.checks import machine as surroundings
from routekit.cli.checks.machine import LocalServer, Surroundings, listed_models, models_of
from routekit.cli.init import write_atomically
from routekit.cli.init_template import toml_value, written
from routekit.config import Config

SECRET = "sk-not-to-be-shown-4711"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(surroundings, "SERVERS", ())


def test_keys_in_the_environment_become_deployments(tmp_path: Path) -> None:
    result = invoke("init", OPENAI_API_KEY=SECRET, ANTHROPIC_API_KEY=SECRET)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "routekit.toml\n"
    assert "OPENAI_API_KEY, ANTHROPIC_API_KEY" in result.stderr
    text = (tmp_path / "routekit.toml").read_text()
    assert SECRET not in text + result.output
    tables = Config.from_file(tmp_path / "routekit.toml").deployments
    assert {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"} <= {(t.model_extra or {}).get("api_key_env") for t in tables}
    check = invoke("config", "check")
    assert check.exit_code == 0, check.stdout
    assert "no errors, no warnings" in check.stdout


def test_without_keys_the_local_models_are_written(tmp_path: Path) -> None:
    assert invoke("init").exit_code == 0
    assert {t.provider for t in Config.from_file(tmp_path / "routekit.toml").deployments} == {"local"}
    assert invoke("config", "check").exit_code == 0


def test_servers_of_this_machine_are_asked_for_their_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        server.behave(model="qwen3:4b")
        port = int(server.url.rsplit(":", 1)[1].partition("/")[0])
        monkeypatch.setattr(surroundings, "SERVERS", (LocalServer("ollama", port),))
        result = invoke("init")
        assert result.exit_code == 0, result.stderr
        asked = invoke("ask", "hi", "--model", "qwen3:4b")
    assert "ollama (2 models)" in result.stderr
    tables = {t.name: t for t in Config.from_file(tmp_path / "routekit.toml").deployments}
    assert tables["ollama-qwen3-4b"].model == "qwen3:4b"
    assert asked.exit_code == 0, asked.stderr


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "routekit.toml"
    file.write_text("# mine\n")
    refused = invoke("init")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert file.read_text() == "# mine\n"
    assert invoke("init", "--force").exit_code == 0
    assert "[router]" in file.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["routekit.toml"]


def test_path_may_be_a_file_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    assert invoke("init", "--path", "conf").stdout.strip() == str(Path("conf") / "routekit.toml")
    assert invoke("init", "--path", "other.toml").exit_code == 0
    absent = invoke("init", "--path", "nowhere/routekit.toml")
    assert absent.exit_code == 1
    assert "cannot be written" in absent.stderr


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("theirs")
    with pytest.raises(click.ClickException, match="exists already"):
        write_atomically(file, "mine", replace=False)
    assert file.read_text() == "theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["a.toml"]


def test_a_link_is_followed_not_replaced(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("old")
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    write_atomically(link, "new", replace=True)
    assert link.is_symlink()
    assert real.read_text() == "new"


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(
    hosted=st.booleans(),
    models=st.lists(names, max_size=4, unique=True),
    runtime=st.booleans(),
    weights=st.booleans(),
)
def test_whatever_was_found_the_file_loads(hosted: bool, models: list[str], runtime: bool, weights: bool) -> None:
    env = {"OPENAI_API_KEY": SECRET, "GROQ_API_KEY": SECRET} if hosted else {}
    found = Surroundings(
        hosted=tuple(deployments_from_env(env)) if hosted else (),
        servers=((LocalServer("ollama", 11434), tuple(models)),) if models else (),
        runtime=runtime,
        weights=weights,
    )
    config = Config.from_dict(tomllib.loads(written(found)))
    assert config.deployments
    wanted = {table["model"] for table in found.hosted} | set(models)
    assert wanted <= {table.model for table in config.deployments}
    if hosted:
        on_this_machine = [table for table in config.deployments if "local" in table.tags]
        assert all(table.group == "local" for table in on_this_machine)


@given(names, st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
def test_values_survive_toml(text: str, number: int, flag: bool, real: float) -> None:
    value = {"a": [text, number % 2**60], "b": flag, "c": {"d": real}}
    assert tomllib.loads(f"v = {toml_value(value)}")["v"] == value


@given(st.binary(max_size=200))
def test_what_is_no_list_of_models_lists_none(body: bytes) -> None:
    assert all(isinstance(name, str) for name in listed_models(body))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"data": 3}', b'{"data": [1, {"id": "a\\u0007b"}, {"id": ""}]}', b"[" * 100_000]
)
def test_a_stranger_on_a_known_port_lists_none(body: bytes) -> None:
    assert listed_models(body) == ()


def test_a_server_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "PROBE_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert models_of(LocalServer("silent", silent.getsockname()[1])) == ()


def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "PROBE_TIMEOUT_S", 0.1)
    gone = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
            try:
                while not gone.wait(0.01):
                    connection.sendall(b" ")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        try:
            assert models_of(LocalServer("drip", listener.getsockname()[1])) == ()
        finally:
            gone.set()
            thread.join(10)
