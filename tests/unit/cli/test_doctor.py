from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import deployment, invoke, write
from tests.support.openai_server import OpenAIServer

from routekit.cli.checks import configuration as checks
from routekit.cli.checks.finding import Finding, worst
from routekit.config import Config

SECRET = "not-to-be-shown-4711"
NOWHERE = "http://192.0.2.1/v1"
"""An address of the documentation range: nobody connects to it unless --online is given."""


def findings(*args: str, code: int | None = None, **env: str | None) -> list[dict[str, Any]]:
    result = invoke(*args, "--json", **env)
    told = json.loads(result.stdout)
    has_error = any(found["level"] == "error" for found in told["findings"])
    assert result.exit_code == (1 if has_error else 0)
    assert code is None or result.exit_code == code
    assert all(found["fix"] for found in told["findings"] if found["level"] != "ok"), "a finding says what to do"
    found: list[dict[str, Any]] = told["findings"]
    return found


def about(found: list[dict[str, Any]], subject: str, level: str = "error") -> str:
    """The problems and fixes of one subject and level, joined."""
    return " ".join(f"{f['problem']} {f['fix']}" for f in found if f["subject"] == subject and f["level"] == level)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_all_is_well(tmp_path: Path) -> None:
    with OpenAIServer() as one, OpenAIServer() as two:
        path = write(
            tmp_path,
            deployment("a", one.url, extra='api_key_env = "MY_SERVICE_KEY"'),
            deployment("b", two.url),
        )
        result = invoke("--config", path, "doctor", MY_SERVICE_KEY=SECRET)
    assert result.exit_code == 0, result.stdout
    assert "no errors, no warnings" in result.stdout
    assert "MY_SERVICE_KEY is set" in result.stdout
    assert SECRET not in result.output
    assert one.requests == []


def test_a_missing_variable_is_named_with_those_who_need_it(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        deployment("a", NOWHERE, extra='api_key_env = "MY_SERVICE_KEY"'),
        deployment("b", NOWHERE, extra='headers = { x-api-key = "$OTHER_KEY" }'),
    )
    found = findings("--config", path, "doctor", code=1, MY_SERVICE_KEY=" ", OTHER_KEY=None)
    problems = about(found, "keys")
    assert "MY_SERVICE_KEY is not set; needed by a" in problems
    assert "OTHER_KEY is not set; needed by b" in problems


def test_a_refused_port_of_this_machine(tmp_path: Path) -> None:
    port = closed_port()
    path = write(tmp_path, deployment("a", f"http://127.0.0.1:{port}/v1"))
    assert f"nobody answers at 127.0.0.1:{port}" in about(findings("--config", path, "doctor", code=1), "endpoints")


def test_other_hosts_are_only_tried_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.cli.checks import reachability

    tried: list[tuple[str, int]] = []

    def connect(place: tuple[str, int], timeout: float) -> Any:
        tried.append(place)
        raise TimeoutError

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reachability.socket, "create_connection", connect)
    path = write(tmp_path, deployment("a", "https://api.example.com/v1"))
    assert about(findings("--config", path, "doctor"), "endpoints") == ""
    assert tried == []
    found = findings("--config", path, "doctor", "--online", code=1)
    assert "api.example.com:443 cannot be reached (no answer within 2 s)" in about(found, "endpoints")
    assert tried == [("api.example.com", 443)]
    monkeypatch.setenv("https_proxy", "http://user:pass@proxy.example.com:3128")
    problem = about(findings("--config", path, "doctor", "--online", code=1), "endpoints")
    assert "the proxy proxy.example.com:3128 for api.example.com" in problem
    assert "pass" not in problem


def test_weights_and_runtime_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.builtin.local_models import weights as local_weights

    monkeypatch.setattr(local_weights, "find_weights", lambda name: None)
    monkeypatch.setattr(checks.util, "find_spec", lambda name: None)
    path = write(tmp_path, '[[deployments]]\nname = "s"\nprovider = "local"\nmodel = "smollm2"')
    problems = about(findings("--config", path, "doctor", code=1), "local models")
    assert "Run `routekit models pull smollm2`." in problems
    assert "pip install 'routekit-llm[local]'" in problems


def test_what_the_semantic_cache_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.builtin.local_models import sentence as local_sentence

    tables = [{"name": "a", "provider": "openai-compatible", "model": "m", "base_url": "http://127.0.0.1:9/v1"}]
    config = Config.from_dict({"deployments": tables, "cache": {"use": ["semantic"]}})
    monkeypatch.setattr(local_sentence, "find_sentence_weights", lambda: None)
    monkeypatch.setattr(checks.util, "find_spec", lambda name: None)
    found = [(f.level, f.fix) for f in checks.semantic_cache(config)]
    assert [level for level, _ in found] == ["error", "error"]
    assert "models pull all-minilm-l6-v2" in found[0][1]
    assert "routekit-llm[semantic]" in found[1][1]
    monkeypatch.undo()
    named = Config.from_dict({"deployments": tables, "cache": {"use": ["semantic"], "semantic": {"embedder": "a"}}})
    assert [f.level for f in checks.semantic_cache(named)] == ["ok"]
    assert not list(checks.semantic_cache(Config.from_dict({"deployments": tables})))


def test_local_models_nobody_knows_and_files_that_are_absent() -> None:
    config = Config.from_dict(
        {
            "deployments": [
                {"name": "a", "provider": "local", "model": "gpt-17"},
                {"name": "b", "provider": "local", "model": "mine", "path": "/nowhere/mine.gguf"},
            ]
        }
    )
    problems = [f.problem for f in checks.local_models(config) if f.level == "error"]
    assert any("'gpt-17'" in problem for problem in problems)
    assert any("/nowhere/mine.gguf" in problem for problem in problems)


def test_the_state_directory(tmp_path: Path) -> None:
    home = tmp_path / "state"
    assert [f.level for f in checks.state_directory(home)] == ["ok"]
    home.mkdir(mode=0o700)
    assert [f.level for f in checks.state_directory(home)] == ["ok"]
    home.chmod(0o755)
    (finding,) = checks.state_directory(home)
    assert finding.level == "warning"
    assert "chmod 700" in finding.fix
    file = tmp_path / "file"
    file.touch()
    assert [f.level for f in checks.state_directory(file)] == ["error"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    home = tmp_path / "state"
    home.mkdir(mode=0o500)
    assert [f.level for f in checks.state_directory(home)] == ["error"]


def test_an_old_python() -> None:
    assert [f.level for f in checks.python_version((3, 10, 9))] == ["error"]
    assert [f.level for f in checks.python_version((3, 13, 0))] == ["ok"]


BAD = {
    "unknown key": ('[router]\nstratgy = "best"', "router.stratgy: unknown key", "Did you mean 'strategy'?"),
    "a key in the file": (deployment("b", NOWHERE, extra=f'api_key = "{SECRET}"'), "api_key", "api_key_env"),
    "unknown strategy": ('[router]\nstrategy = "cheepest"', "'cheepest'", "did you mean 'cheapest'?"),
    "a group without deployments": (
        '[groups.vip]\nstrategy = "best"',
        "group 'vip' has no deployments",
        "Known groups",
    ),
    "unknown provider": ('[[deployments]]\nname = "b"\nprovider = "opnai"\nmodel = "m"', "'opnai'", "known: "),
    "unknown option": (deployment("b", NOWHERE, extra='api_key_evn = "X"'), "api_key_evn", "'api_key_env'"),
    "unknown time zone": ('[[budgets]]\nscope = "global"\nlimit_usd = 1\ntimezone = "Mars/Base"', "time zone", "IANA"),
    "no toml": ("[router", "is no valid TOML", ""),
}


@pytest.mark.parametrize("command", [["doctor"], ["config", "check"]], ids=" ".join)
@pytest.mark.parametrize("case", BAD)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, command: list[str], case: str) -> None:
    content, problem, fix = BAD[case]
    path = write(tmp_path, content, deployment("a", NOWHERE))
    told = about(findings("--config", path, *command, code=1), "configuration")
    assert problem in told
    assert fix in told
    assert SECRET not in told
    asked = invoke("--config", path, "ask", "hi")
    assert asked.exit_code == 1
    assert asked.stderr.startswith("error: ")
    assert asked.stderr.count("\n") == 1
    assert problem in asked.stderr
    assert SECRET not in asked.stderr


def test_config_check_takes_a_path_and_leaves_the_machine_alone(tmp_path: Path) -> None:
    path = write(
        tmp_path, deployment("a", f"http://127.0.0.1:{closed_port()}/v1", extra='api_key_env = "MY_SERVICE_KEY"')
    )
    result = invoke("config", "check", path, MY_SERVICE_KEY=None)
    assert result.exit_code == 0
    assert "group default has one deployment, a" in result.stdout
    assert "1 warning" in result.stdout
    assert invoke("config", "check", str(tmp_path / "absent.toml")).exit_code == 1


def test_without_deployments(tmp_path: Path) -> None:
    path = write(tmp_path, '[router]\nstrategy = "best"')
    assert "no deployments are configured" in about(findings("config", "check", path, code=1), "configuration")


def checked(tmp_path: Path, *parts: str) -> list[dict[str, Any]]:
    return findings("config", "check", write(tmp_path, *parts))


def test_hard_budgets_beside_unknown_prices(tmp_path: Path) -> None:
    unknown = deployment("odd", NOWHERE, "nobody-described-it")
    budget = '[[budgets]]\nscope = "global"\nlimit_usd = 5\nwindow = "day"\n'
    assert "the price of odd is unknown" in about(checked(tmp_path, unknown, budget), "budgets", "error")
    known = deployment("mini", NOWHERE)
    found = checked(tmp_path, unknown, known, budget)
    assert "the price of odd is unknown" in about(found, "budgets", "warning")
    assert "a new day begins in UTC (the default)" in about(found, "budgets", "ok")
    assert about(checked(tmp_path, unknown, known, budget + 'on_exceeded = "warn"'), "budgets", "warning") == ""
    assert "max_cost_usd" in about(
        checked(tmp_path, "[router]\nmax_cost_usd = 1", unknown, known), "budgets", "warning"
    )
    allowed = checked(tmp_path, '[router]\nunknown_price = "allow"', unknown, budget)
    assert "missing in what was spent" in about(allowed, "budgets", "warning")


def test_budgets_that_limit_nobody_or_everything(tmp_path: Path) -> None:
    found = checked(
        tmp_path,
        deployment("mini", NOWHERE),
        '[[budgets]]\nscope = "deployment:maxi"\nlimit_usd = 1',
        '[[budgets]]\nscope = "global"\nlimit_usd = 0',
        '[[budgets]]\nscope = "provider:*"\nlimit_usd = 1',
    )
    warnings = about(found, "budgets", "warning")
    assert "no deployment is called 'maxi'" in warnings
    assert "budget global is 0" in warnings
    assert "provider" not in warnings


def test_groups(tmp_path: Path) -> None:
    parts = [
        deployment("a", "http://one.example/v1"),
        deployment("b", "http://one.example/v1"),
        deployment("c", "http://two.example/v1", extra='group = "spare"'),
        deployment("d", "http://two.example/v1", extra='group = "dark"\nweight = 0'),
    ]
    found = checked(tmp_path, *parts)
    warnings = about(found, "groups", "warning")
    assert "all 2 deployments of group default depend on one.example" in warnings
    assert "nothing leads to group spare" in warnings
    assert "every deployment of group dark is switched off" in about(found, "groups", "error")
    named = checked(tmp_path, *parts[:3], '[groups.spare]\nstrategy = "best"')
    assert "nothing leads to" not in about(named, "groups", "warning")


def test_a_deadline_of_zero(tmp_path: Path) -> None:
    found = checked(tmp_path, "[router]\ndeadline_s = 0", deployment("a", NOWHERE))
    assert "a request may wait forever" in about(found, "deadline", "warning")


def test_the_worst_of_nothing_is_ok() -> None:
    assert worst([]) == "ok"
    assert worst(
        [Finding(level="warning", subject="s", problem="p"), Finding(level="ok", subject="s", problem="p")]
    ) == ("warning")
