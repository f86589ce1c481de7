from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from routekit.testing import Scenario, compare, simulate
from routekit.testing.simulation import random_scenario

OUTAGE: dict[str, Any] = {
    "name": "an outage",
    "deployments": [
        {
            "name": "primary",
            "price": {"input": 1, "output": 4},
            "faults": [{"kind": "error", "status": 503, "from_s": 20, "until_s": 50}],
        },
        {"name": "spare", "price": {"input": 3, "output": 12}},
    ],
    "traffic": {"rate_per_s": 4, "duration_s": 100, "output_tokens": {"median": 100, "p95": 200}},
    "config": {"router": {"strategy": "ordered", "deadline_s": 20}},
}


def changed(**tables: Any) -> dict[str, Any]:
    return {**OUTAGE, **tables}


def test_an_outage_is_survived_and_the_primary_comes_back() -> None:
    report = simulate(OUTAGE)
    assert 350 < report.requests < 450
    assert report.availability == 1.0
    assert report.errors == {}
    assert report.most_attempts == 2
    assert 0.2 < report.shares["spare"] < 0.5, "the spare answers during the outage, and hardly longer"
    during = [part for part in report.timeline if part.from_s >= 20 and part.until_s <= 50]
    assert sum(part.requests for part in during) > report.calls["primary"] - report.answered * report.shares["primary"]


def test_nobody_else_to_ask_means_errors_in_the_window_only() -> None:
    report = simulate(changed(deployments=OUTAGE["deployments"][:1]))
    assert 0.6 < report.availability < 0.8
    assert set(report.errors) <= {"AllAttemptsFailedError", "AllUnavailableError", "DeadlineExceededError"}
    assert all(part.availability == 1.0 for part in report.timeline if part.until_s <= 20 or part.from_s >= 65)
    assert all(part.availability == 0.0 for part in report.timeline if part.from_s >= 21 and part.until_s <= 49)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    scenario = random_scenario(7)
    first = simulate(scenario, seed=7).to_json()
    assert first == simulate(scenario, seed=7).to_json()
    assert first != simulate(scenario, seed=8).to_json()


def test_the_report_does_not_depend_on_the_process() -> None:
    program = "from routekit.testing import simulate_seed\nfor s in range(12): print(simulate_seed(s).to_json())"
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]  # fmt: skip
    assert told[0]
    assert told[0] == told[1]


def test_strategies_are_compared_under_the_same_traffic() -> None:
    cheap_one, dear_one = ({**table, "faults": []} for table in OUTAGE["deployments"])
    scenario = changed(deployments=[cheap_one, {**dear_one, "weight": 2}])
    dear, cheap = compare(scenario, ["ordered", "cheapest"])
    assert (dear.strategy, cheap.strategy) == ("ordered", "cheapest")
    assert dear.requests == cheap.requests
    assert dear.shares == {"spare": 1.0}
    assert cheap.shares == {"primary": 1.0}
    assert dear.cost_nanos > 2 * cheap.cost_nanos > 0


def test_prices_and_latencies_are_those_of_the_scenario() -> None:
    sizes = {"input_tokens": {"median": 100}, "output_tokens": {"median": 40}}
    report = simulate(
        {
            "deployments": [
                {
                    "name": "a",
                    "price": {"input": 0, "output": 10},
                    "first_token_s": {"median": 2},
                    "tokens_per_s": 20,
                }
            ],
            "traffic": {"requests": 10, "rate_per_s": 1, "streamed": 1, **sizes},
        }
    )
    assert (report.latency.p50_s, report.latency.max_s) == (4.0, 4.0)
    assert report.ttft.p99_s == 2.0
    assert (report.cost_nanos, report.cost_usd) == (10 * 40 * 10_000, "0.004")


def test_a_spread_has_its_median_and_its_95th_percentile() -> None:
    report = simulate(
        {
            "deployments": [{"name": "a", "first_token_s": {"median": 1, "p95": 4}, "tokens_per_s": 1e9}],
            "traffic": {"requests": 2000, "rate_per_s": 100},
        }
    )
    assert report.latency.p50_s == pytest.approx(1, rel=0.1)
    assert report.latency.p95_s == pytest.approx(4, rel=0.15)


def test_a_budget_ends_the_spending() -> None:
    budget = {"scope": "global", "limit_usd": 0.02}
    report = simulate(changed(config={**OUTAGE["config"], "budgets": [budget]}))
    assert 0 < report.cost_nanos <= 20_000_000
    assert report.errors["BudgetExceededError"] > 100


def test_what_was_asked_before_comes_from_the_cache() -> None:
    traffic = {"rate_per_s": 1, "requests": 100, "repeated": 0.5}
    report = simulate(changed(traffic=traffic, config={**OUTAGE["config"], "cache": {"use": ["memory"]}}))
    assert report.cache_hits > 30
    assert report.calls["primary"] <= 100 - report.cache_hits


@pytest.mark.parametrize("enforces", [{"rpm": 10}, {"concurrency": 1}])
def test_limits_that_the_router_does_not_know_are_met_with_429(enforces: dict[str, int]) -> None:
    alone = [{"name": "a", "enforces": enforces, "first_token_s": {"median": 1}}]
    report = simulate(changed(deployments=alone, traffic={"rate_per_s": 4, "duration_s": 30}))
    assert 0 < report.availability < 0.9


def test_a_recording_is_played(tmp_path: Path) -> None:
    lines = [
        '{"at": 5, "input_tokens": 10, "output_tokens": 20, "tags": ["red"], "prompt": "same: <1>"}',
        "",
        '{"at": 1, "input_tokens": 10, "output_tokens": 20, "stream": true}',
        '{"at": 6, "input_tokens": 10, "output_tokens": 20, "prompt": "same: <1>"}',
    ]
    (tmp_path / "asked.jsonl").write_text("\n".join(lines))
    file = tmp_path / "played.toml"
    file.write_text(
        '[[deployments]]\nname = "a"\n[traffic]\nrecording = "asked.jsonl"\n'
        '[config.cache]\nuse = ["memory"]\nscope = "global"\n'
    )
    report = simulate(file)
    assert (report.scenario, report.requests, report.cache_hits) == ("played", 3, 1)
    assert report.ttft.p50_s is not None
    assert Scenario.from_file(file).traffic.recording == "asked.jsonl"


async def test_it_runs_where_an_event_loop_runs_already() -> None:
    assert simulate(OUTAGE).to_json() == simulate(Scenario.from_dict(OUTAGE)).to_json()
