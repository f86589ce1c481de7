"""Many processes, one budget over six scopes: never above the limit, nothing lost, all of it usable."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.money.workers import COST_NANOS, OUTPUT, SCOPES, arguments, charges
from tests.support.openai_server import OpenAIServer

from routekit.builtin.budgets.ledger.budget import FILE, LedgerBudget

ROOT = Path(__file__).parents[2]
LONG = [pytest.mark.slow, pytest.mark.timeout(3600)]


def run(commands: list[list[str]]) -> list[subprocess.Popen[str]]:
    return [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]


def highest_while(running: list[subprocess.Popen[str]], file: Path, limit: int) -> tuple[int, int]:
    """The highest spent + reserved of any scope that was seen while they ran, and how often was looked."""
    highest = polls = 0
    with closing(LedgerBudget(file, busy_timeout_s=5)) as ledger:
        while any(one.poll() is None for one in running):
            for charge in charges(limit):
                highest = max(highest, ledger.balance(charge).used.nanos)
                polls += 1
            time.sleep(0.005)
    return highest, polls


@pytest.mark.parametrize(("processes", "requests"), [(4, 150), pytest.param(8, 10_000, marks=LONG)])
def test_routers_of_many_processes_keep_one_budget(tmp_path: Path, processes: int, requests: int) -> None:
    affordable = processes * requests // 2
    limit = affordable * COST_NANOS + 3  # a worst case has three nano-dollars for rounding on top
    usage = {"prompt_tokens": 10, "completion_tokens": OUTPUT, "total_tokens": OUTPUT + 10}
    with OpenAIServer() as server:
        server.behave(text="ok", usage=usage)
        options = {"url": server.url, "home": tmp_path, "limit_usd": limit / 1e9, "requests": requests}
        running = run([arguments("through_a_router", **options)] * processes)
        highest, polls = highest_while(running, tmp_path / FILE, limit)
        found = [json.loads(one.communicate(timeout=60)[0]) for one in running]
        billed = len(server.requests) * COST_NANOS
    answered = sum(each["answered"] for each in found)
    assert answered + sum(each["refused"] for each in found) == processes * requests
    assert highest <= limit, "overshoot"
    assert polls > 20
    assert answered * COST_NANOS == billed >= limit * 0.999, "not all of the budget could be used"
    with closing(LedgerBudget(tmp_path / FILE)) as ledger:
        for charge in charges(limit):
            balance = ledger.balance(charge)
            assert (balance.spent.nanos, balance.reserved.nanos) == (billed, 0)
        assert ledger.verify() == []
        assert ledger.holds() == []


@pytest.mark.parametrize(("processes", "tries"), [(4, 600), pytest.param(8, 10_000, marks=LONG)])
def test_reservations_of_many_processes_keep_one_limit(tmp_path: Path, processes: int, tries: int) -> None:
    limit = processes * tries // 2
    file = tmp_path / "ledger"
    running = run([arguments("straight", file=file, name=f"w{n}", tries=tries, limit=limit) for n in range(processes)])
    highest, polls = highest_while(running, file, limit)
    spent = sum(json.loads(one.communicate(timeout=60)[0])["spent"] for one in running)
    assert [one.returncode for one in running] == [0] * processes
    assert highest <= limit
    assert polls > 20
    assert spent >= limit * 0.999
    with closing(LedgerBudget(file)) as ledger:
        sums = dict.fromkeys((f"{scope}|total" for scope in SCOPES), 0)
        for entry in ledger.entries():
            sums[entry.key] += entry.spent + entry.reserved
            assert sums[entry.key] <= limit, "at some moment more than the limit was taken"
        assert set(sums.values()) == {spent}
        assert ledger.verify() == []
