"""Through routers: two of them on one server, as on two machines; and many processes on one budget."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis_server import Server

from routekit import BudgetExceededError, Router
from routekit.errors import ConfigError
from routekit.testing import Reply, ScriptedProvider, plugin_module
from routekit.types import Charge, Money, Usage
from routekit_redis import plugin
from routekit_redis.ledger import RedisLedger
from routekit_redis.options import RedisLedgerOptions

HERE = Path(__file__).parent
SCOPES = ("global", "project:p", "user:u", "tag:t", "run:r", "deployment:m")


def router_on(server: Server, home: Path, **more: object) -> Router:
    reply = Reply("ok", usage=Usage(input_tokens=100, output_tokens=450))  # 0.001 dollars
    redis = {"use": "redis", "url_env": "REDIS_URL", "timeout_s": 2}
    table = {
        "name": "m", "provider": "scripted", "model": "m", "price": {"input": 1, "output": 2}, "limits": {"rpm": 50},
    }  # fmt: skip
    budgets = [{"scope": "project:*", "limit_usd": 0.0025, "window": "day"}]
    return Router(
        {"router": {"budget_store": redis, "shared": redis}, "deployments": [table], "budgets": budgets, **more},
        plugins=[plugin_module(ScriptedProvider()), plugin],
        providers={"m": ScriptedProvider(*[reply] * 20)},
        env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(home), "REDIS_URL": server.url},
    )


def test_two_machines_share_budgets_and_limits(server: Server, tmp_path: Path) -> None:
    with router_on(server, tmp_path / "a") as one, router_on(server, tmp_path / "b") as two:
        for router in (one, two):
            router.complete("hi", scopes={"project": "search"}, max_tokens=450)
        for router in (one, two):
            with pytest.raises(BudgetExceededError) as refused:
                router.complete("hi", scopes={"project": "search"}, max_tokens=450)
            assert refused.value.spent == Money.from_usd("0.002")
        one.complete("hi", scopes={"project": "other"}, max_tokens=450)
    keys = RedisLedger(RedisLedgerOptions(url=server.url))
    assert [hold.state for hold in keys.holds()] == []
    assert keys.verify() == []
    keys.close()


def test_options_are_checked_when_the_router_is_made(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="url_env"):
        router_on(server, tmp_path, router={"budget_store": {"use": "redis", "url_emv": "REDIS_URL"}})


WORKER = """
import sys
sys.path[:0] = [sys.argv[1]]
from routekit.types import Charge, Money, Reservation
from routekit.errors import BudgetExceededError, BudgetUnavailableError
from routekit_redis.ledger import RedisLedger
from routekit_redis.options import RedisLedgerOptions
ledger = RedisLedger(RedisLedgerOptions(url=sys.argv[2], timeout_s=5))
name, tries, limit, scopes = sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6].split(",")
charges = tuple(Charge(key=f"{scope}|total", scope=scope, limit=Money(limit)) for scope in scopes)
done = 0
for number in range(tries):
    hold = Reservation(id=f"{name}-{number}", charges=charges, amount=Money(7), lease_s=600)
    try:
        ledger.reserve(hold)
    except BudgetExceededError:
        continue
    ledger.mark_sent(hold)
    if number % 5 == 4:
        ledger.release(hold)
        continue
    ledger.settle(hold, Money(7 if number % 2 else 3))
    done += 7 if number % 2 else 3
ledger.close()
print(done)
"""


@pytest.mark.parametrize(
    ("processes", "tries"), [(4, 400), pytest.param(8, 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_processes_race_for_one_budget_over_six_scopes(server: Server, processes: int, tries: int) -> None:
    limit = processes * tries * 2
    arguments = [str(HERE.parent / "src"), server.url]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments, f"w{number}", str(tries), str(limit), ",".join(SCOPES)],
            stdout=subprocess.PIPE, text=True,
        )
        for number in range(processes)
    ]  # fmt: skip
    ledger = RedisLedger(RedisLedgerOptions(url=server.url, timeout_s=5))
    charges = [Charge(key=f"{scope}|total", scope=scope, limit=Money(limit)) for scope in SCOPES]
    highest = polls = 0
    while any(one.poll() is None for one in running):
        for charge in charges:
            highest = max(highest, ledger.balance(charge).used.nanos)
            polls += 1
        time.sleep(0.002)
    outputs = [one.communicate()[0] for one in running]
    assert [one.returncode for one in running] == [0] * processes
    spent = sum(map(int, outputs))
    for charge in charges:
        balance = ledger.balance(charge)
        assert (balance.spent.nanos, balance.reserved.nanos) == (spent, 0), "lost or doubled"
    assert highest <= limit
    assert polls > 50
    assert spent >= limit - 7, "less than could be used was used"
    assert ledger.verify() == []
    ledger.close()
