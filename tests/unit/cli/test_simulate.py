from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.command_line import invoke, write
from tests.support.environments import ROOT

EXAMPLE = str(ROOT / "docs" / "examples" / "outage.toml")


def test_strategies_are_shown_side_by_side_with_a_chart() -> None:
    result = invoke("simulate", EXAMPLE, "--strategy", "cheapest", "--strategy", "fastest")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["STRATEGY", "cheapest", "fastest"]
    assert sum("█" in line for line in lines) == 48


def test_json_is_the_same_each_time_and_follows_the_seed() -> None:
    first, again, other = (
        invoke("simulate", EXAMPLE, "--json", "--strategy", "cheapest", "--seed", seed).stdout for seed in "112"
    )
    assert first == again != other
    assert json.loads(first)[0]["seed"] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[deployments]]\nname = "a"\nfault = []\n[traffic]\nrequests = 1', "Did you mean 'faults'?"),
        ('[[deployments]]\nname = "a"\n[traffic]\nrate_per_s = 1', "how much traffic"),
        (
            '[[deployments]]\nname = "a"\n[traffic]\nrequests = 1\n[config.router]\nstrateg = "x"',
            "config.router.strateg",
        ),
        ('[[deployments]]\nname = "a"\n[traffic]\nrecording = "none.jsonl"', "none.jsonl"),
        ("deployments = 1 =", "TOML"),
    ],
)
def test_a_wrong_scenario_is_named_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    result = invoke("simulate", write(tmp_path, text, name="scenario.toml"))
    assert result.exit_code == 2 or result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
