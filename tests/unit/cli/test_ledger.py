from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import invoke, write

from routekit import Router
from routekit.types import Charge, Money, Reservation

CONFIG = """
[[deployments]]
name = "mini"
provider = "openai-compatible"
model = "gpt-5-mini"
base_url = "http://127.0.0.1:9/v1"

[[budgets]]
scope = "project:search"
limit_usd = 0.000001

[[budgets]]
scope = "user:*"
limit_usd = 2
window = "rolling:24h"
on_exceeded = "warn"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger: 400 nano-dollars of project "search", an uncertain hold of 300, a user in a rolling window."""
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, CONFIG)
    with Router() as router, closing(router.budget_store()) as store:
        from routekit.engine.budget.charges import charges_for

        scopes = [table.to_scope() for table in router.config.budgets]
        values = {"project": ("search",), "user": ("ada",)}
        pairs = charges_for(scopes, values, router.deployments[0], router.clock.time())
        charges = tuple(charge for _, charge in pairs)
        store.reserve(hold("spent", 500, *charges))
        store.settle(hold("spent", 500, *charges), Money(400))
        lost = hold("lost", 300, charges[0], lease_s=0.5)
        store.reserve(lost)
        store.mark_sent(lost)
        store.reserve(hold("open", 50, charges[0], lease_s=3600))
        with closing(sqlite3.connect(tmp_path / "home" / "ledger.sqlite3", isolation_level=None)) as database:
            database.execute("UPDATE holds SET expires_at = 1 WHERE id = 'lost'")
    return tmp_path


def hold(name: str, amount: int, *charges: Charge, lease_s: float = 600) -> Reservation:
    return Reservation(id=name, charges=charges, amount=Money(amount), lease_s=lease_s, deployment="mini")


def test_budgets_are_shown_as_they_stand(home: Path) -> None:
    rows = json.loads(invoke("ledger", "budgets", "--json").stdout)
    project, user = rows
    assert project["scope"] == "project:search"
    assert (project["spent_nanos"], project["reserved_nanos"], project["left_nanos"]) == (700, 50, 250)
    assert project["used"] == 0.75
    assert (user["scope"], user["spent_nanos"], user["limit_nanos"]) == ("user:ada", 400, 2_000_000_000)
    assert user["resets_at"] is not None
    text = invoke("ledger", "budgets").stdout
    assert "75%" in text
    assert "rolling:24h" in text


def test_a_budget_that_nobody_used_is_shown_and_a_wildcard_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "home"))
    path = write(tmp_path, CONFIG)
    rows = json.loads(invoke("--config", path, "ledger", "budgets", "--json").stdout)
    assert [(row["scope"], row["spent_nanos"]) for row in rows] == [("project:search", 0)]


def test_verify_says_ok_and_finds_a_forged_balance(home: Path) -> None:
    good = invoke("ledger", "verify")
    assert (good.exit_code, good.stdout.split(":")[0]) == (0, "ok")
    with closing(sqlite3.connect(home / "home" / "ledger.sqlite3", isolation_level=None)) as database:
        database.execute("UPDATE balances SET spent = spent - 1 WHERE scope = 'project:search'")
    bad = invoke("ledger", "verify", "--json")
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["wrong"] == ["project:search|total"]


def test_an_uncertain_hold_is_listed_and_corrected(home: Path) -> None:
    found = json.loads(invoke("ledger", "holds", "--state", "uncertain", "--json").stdout)
    assert [(row["id"], row["amount"], row["scopes"]) for row in found] == [("lost", 300, ["project:search"])]
    assert "uncertain" in invoke("ledger", "holds").stdout
    corrected = invoke("ledger", "correct", "lost", "0.00000001")
    assert corrected.exit_code == 0, corrected.stderr
    assert json.loads(invoke("ledger", "budgets", "--json").stdout)[0]["spent_nanos"] == 410
    again = invoke("ledger", "correct", "lost", "0")
    assert again.exit_code == 2
    assert "no uncertain hold 'lost'" in again.stderr
    assert invoke("ledger", "correct", "open", "-1").exit_code == 2
    assert invoke("ledger", "verify").exit_code == 0


def test_every_entry_is_exported(home: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in invoke("ledger", "export", "--jsonl").stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(invoke("ledger", "export", "--csv").stdout)))
    assert [row["kind"] for row in rows] == [line["kind"] for line in lines]
    assert {row["hold"] for row in rows} == {"spent", "lost", "open"}
    assert sum(int(row["spent_nanos"]) for row in rows if row["scope"] == "project:search") in (400, 700)
    file = tmp_path / "out.jsonl"
    done = invoke("ledger", "export", "--jsonl", "-o", str(file), "--after", str(lines[1]["seq"]))
    assert done.exit_code == 0
    assert [json.loads(line) for line in file.read_text().splitlines()] == lines[2:]
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_a_store_without_entries_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "home"))
    path = write(tmp_path, '[router]\nbudget_store = "memory"\n' + CONFIG)
    result = invoke("--config", path, "ledger", "verify")
    assert result.exit_code == 1
    assert "router.budget_store" in result.stderr


def test_options_of_the_store_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "home"))
    path = write(tmp_path, '[router]\nbudget_store = { use = "ledger", synchronous = "full" }\n' + CONFIG)
    assert invoke("--config", path, "ledger", "verify").exit_code == 0
    path = write(tmp_path, '[router]\nbudget_store = { use = "ledger", synchronus = "full" }\n' + CONFIG)
    result = invoke("--config", path, "ledger", "verify")
    assert result.exit_code == 1
    assert "synchronous" in result.stderr
