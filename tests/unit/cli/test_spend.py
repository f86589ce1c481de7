from __future__ import annotations

import csv
import io
import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import invoke, write

from routekit.builtin.observers.records.store import FILE, RecordStore
from routekit.types import CallRecord, Savings, Usage


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with closing(RecordStore(tmp_path / FILE)) as store:
        for number in range(10):
            cost = 1_000_000 * (number + 1)
            store.add(
                [
                    CallRecord(
                        id=str(number), at=time.time() - number * 86_400, outcome="ok", strategy="cheapest",
                        deployment="mini" if number % 2 else "large\x1b[31m", model="m", provider="p", cost_nanos=cost,
                        scopes={"tag": ("a", "b")}, usage=Usage(input_tokens=1000, output_tokens=10),
                        savings=Savings(
                            baseline="large", baseline_nanos=3 * cost, cost_nanos=cost, routing_nanos=2 * cost,
                            compression_nanos=0, caching_nanos=0, overhead_nanos=0,
                        ),
                    )
                ]
            )  # fmt: skip
    return tmp_path


def test_spending_is_shown_with_a_chart(home: Path) -> None:
    result = invoke("spend")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["mini", "large�[31m", "total"]
    assert "$0.055" in lines[3]
    assert "$0.11" in lines[3]
    assert "\x1b" not in result.stdout
    assert any(line.startswith("mini") and "█" in line and "░" in line for line in lines[4:])


def test_json_is_exact_and_the_total_counts_each_call_once(home: Path) -> None:
    found = json.loads(invoke("spend", "--by", "tag", "--json").stdout)
    assert [(row["name"], row["calls"], row["cost_nanos"]) for row in found["rows"]] == [
        ("a", 10, 55_000_000), ("b", 10, 55_000_000),
    ]  # fmt: skip
    assert (found["total"]["calls"], found["total"]["saved_nanos"]) == (10, 110_000_000)


def test_csv_has_one_line_per_row(home: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(invoke("spend", "--by", "day", "--csv").stdout)))
    assert len(rows) == 10
    assert sum(int(row["cost_nanos"]) for row in rows) == 55_000_000


@pytest.mark.parametrize(("since", "calls"), [("36h", 2), ("90m", 1), ("1w", 7), ("2020-01-01", 10)])
def test_since_is_a_span_or_a_date(home: Path, since: str, calls: int) -> None:
    assert json.loads(invoke("spend", "--since", since, "--json").stdout)["total"]["calls"] == calls


def test_what_is_wrong_is_said(home: Path) -> None:
    assert invoke("spend", "--since", "yesterday").exit_code == 2
    assert invoke("spend", "--by", "moon").exit_code == 2
    assert invoke("spend", "--json", "--csv").exit_code == 2
    assert invoke("--config", write(home, "nonsense = 1"), "spend").exit_code == 1


def test_without_records_it_says_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "none"))
    result = invoke("spend")
    assert result.exit_code == 0
    assert "no requests are recorded" in result.stderr
    assert json.loads(invoke("spend", "--json").stdout) == {
        "by": "deployment", "rows": [], "total": None, "left_out": 0,
    }  # fmt: skip
    assert not (tmp_path / "none").exists()
