"""`config check` on what cannot work, through the command itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from routekit.cli import main

SUBJECTS = {"deadline", "tiers", "rules", "streams", "hedging"}


def deployment(name: str, extra: str = "", port: int = 9) -> str:
    return (
        f'[[deployments]]\nname = "{name}"\nprovider = "openai-compatible"\nmodel = "gpt-5-mini"\n'
        f'base_url = "http://127.0.0.1:{port}/v1"\n{extra}\n'
    )


PAIR = deployment("a", "price = { input = 1, output = 2 }") + deployment(
    "b", "price = { input = 1, output = 2 }", port=10
)


def checked(tmp_path: Path, content: str, code: int = 0) -> list[dict[str, Any]]:
    path = tmp_path / "routekit.toml"
    path.write_text(content)
    result = CliRunner().invoke(main, ["config", "check", str(path), "--json"])
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)["findings"]
    return [f for f in found if f["subject"] in SUBJECTS and f["level"] != "ok"]


CASES = {
    "first token": (
        "[router]\ndeadline_s = 10\n[reliability]\nfirst_token_s = 10\n" + PAIR,
        "error",
        "first_token_s is 10 s, but requests end after 10 s",
    ),
    "idle": (
        "[router]\ndeadline_s = 10\n[reliability]\nidle_s = 30\n" + PAIR,
        "warning",
        "idle_s is 30 s, but requests end after 10 s",
    ),
    "short deadline": ("[router]\ndeadline_s = 1.5\n" + PAIR, "warning", "half of that"),
    "recovery": (
        "[router]\ndeadline_s = 5\n[reliability]\nwait_for_recovery_s = 6\n" + PAIR,
        "warning",
        "no time left to be answered",
    ),
    "tiers": (
        '[router]\nstrategy = "cascade"\n' + "".join(deployment(n, port=9 + i) for i, n in enumerate("abcde")),
        "warning",
        "the cascade of group default has 5 tiers, but a request makes at most 3 attempts: 2 of them",
    ),
    "named cascade": (
        '[router]\nstrategy = "mine"\nmax_attempts = 1\n[strategies.mine]\nuse = "cascade"\n' + PAIR,
        "warning",
        "has 2 tiers, but a request makes at most 1",
    ),
    "shadowed step": (
        '[[steps]]\nwhen = {}\nstrategy = "best"\n[[steps]]\nwhen = { kind = "plan" }\nstrategy = "best"\n' + PAIR,
        "error",
        "steps.1 can never apply: steps.0 before it matches everything",
    ),
    "repeated step": (
        '[[steps]]\nwhen = { kind = "act" }\nstrategy = "best"\n'
        '[[steps]]\nwhen = { kind = "act" }\nstrategy = "cheapest"\n' + PAIR,
        "error",
        "steps.1 can never apply: steps.0 before it has the same conditions",
    ),
    "repeated rule": (
        '[strategies.mine]\nuse = "rules"\n[[strategies.mine.rules]]\nwhen = { stream = true }\nuse = "best"\n'
        "[[strategies.mine.rules]]\nwhen = { stream = true }\nuse = 'cheapest'\n" + PAIR,
        "error",
        "strategies.mine.rules.1 can never apply",
    ),
    "continue": (
        '[reliability]\non_interrupt = "continue"\n' + deployment("a", 'capabilities = ["chat"]'),
        "warning",
        "no deployment can go on from a partial answer",
    ),
    "hedge alone": (
        "[reliability]\nhedge = true\n" + deployment("a", "price = { input = 1, output = 2 }"),
        "warning",
        "nothing is ever hedged",
    ),
    "hedge unpriced": (
        "[reliability]\nhedge = true\n" + PAIR + deployment("odd", port=11).replace("gpt-5-mini", "nobody-knows-it"),
        "warning",
        "the price of odd is unknown",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_with_the_fix(tmp_path: Path, case: str) -> None:
    content, level, problem = CASES[case]
    found = checked(tmp_path, content, code=1 if level == "error" else 0)
    assert [f["level"] for f in found] == [level]
    assert problem in found[0]["problem"]
    assert found[0]["fix"]


def test_a_circle_of_strategies_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "routekit.toml"
    path.write_text(
        '[router]\nstrategy = "x"\n[strategies.x]\nuse = "cascade"\nstrategy = "y"\n'
        '[strategies.y]\nuse = "cascade"\nstrategy = "x"\n' + PAIR
    )
    result = CliRunner().invoke(main, ["config", "check", str(path)])
    assert result.exit_code == 1
    assert "circle" in result.output


@pytest.mark.parametrize(
    "content",
    [
        PAIR,
        "[router]\ndeadline_s = 30\n[reliability]\nfirst_token_s = 5\nidle_s = 10\nhedge = true\n" + PAIR,
        '[router]\nstrategy = "cascade"\n' + PAIR,
        '[[steps]]\nwhen = { kind = "plan" }\nstrategy = "best"\n[[steps]]\nwhen = {}\nstrategy = "cheapest"\n' + PAIR,
        '[reliability]\non_interrupt = "continue"\n' + deployment("a", 'capabilities = ["chat", "prefill"]'),
        "[router]\ndeadline_s = 0\n" + PAIR,
    ],
)
def test_what_is_fine_raises_no_alarm(tmp_path: Path, content: str) -> None:
    found = [f for f in checked(tmp_path, content) if "router.deadline_s is 0" not in f["problem"]]
    assert found == []


def test_the_starter_raises_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(main, ["init"])
    assert made.exit_code == 0, made.output
    assert checked(tmp_path, (tmp_path / "routekit.toml").read_text()) == []
