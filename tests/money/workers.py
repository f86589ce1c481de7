"""What the proofs run in processes of their own: ``python -m tests.money.workers NAME JSON``."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from routekit import Router
from routekit.builtin.budgets.ledger import database as ledgerfile
from routekit.builtin.budgets.ledger.budget import LedgerBudget
from routekit.errors import BudgetExceededError, BudgetUnavailableError
from routekit.types import Charge, Money, Reservation

SCOPES = ("global", "project:p", "user:u", "tag:t", "run:r", "deployment:m")
OUTPUT = 1000
"""Output tokens of each call; at PRICE_USD per million each costs COST_NANOS, at worst and in fact."""

PRICE_USD, COST_NANOS = 1.0, 1_000_000


def charges(limit: int) -> tuple[Charge, ...]:
    return tuple(Charge(key=f"{scope}|total", scope=scope, limit=Money(limit)) for scope in SCOPES)


def configuration(url: str, limit_usd: float) -> dict[str, Any]:
    """Six budgets of one size over one deployment whose calls cost exactly their worst case."""
    table = {
        "name": "m", "provider": "openai-compatible", "model": "m", "base_url": url, "max_output": OUTPUT,
        "price": {"input": 0, "output": PRICE_USD},
    }  # fmt: skip
    budgets = [{"scope": scope, "limit_usd": limit_usd} for scope in SCOPES]
    return {
        "deployments": [table],
        "budgets": budgets,
        "router": {"budget_store": {"use": "ledger", "busy_timeout_s": 5}, "max_attempts": 1},
    }


def through_a_router(url: str, home: str, limit_usd: float, requests: int) -> None:
    """So many requests; prints how many were answered and how many were refused."""
    answered = refused = 0
    scopes = {"project": "p", "user": "u", "tag": "t", "run": "r"}
    with Router(configuration(url, limit_usd), env={"ROUTEKIT_HOME": home, "ROUTEKIT_PLUGINS": ""}) as router:
        for number in range(requests):
            try:
                router.complete(f"question {number}", scopes=scopes, max_tokens=OUTPUT)
                answered += 1
            except BudgetExceededError:
                refused += 1
    print(json.dumps({"answered": answered, "refused": refused}))


def straight(file: str, name: str, tries: int, limit: int) -> None:
    """So many reservations of 1 straight at the ledger; one of five is released. Prints what was spent."""
    budget, spent = LedgerBudget(file, busy_timeout_s=5), 0
    all_charges = charges(limit)
    for number in range(tries):
        hold = Reservation(id=f"{name}-{number}", charges=all_charges, amount=Money(1), lease_s=3600)
        while True:
            try:
                budget.reserve(hold)
                budget.mark_sent(hold)
            except BudgetUnavailableError:
                time.sleep(random.uniform(0, 0.02))
                continue
            except BudgetExceededError:
                break
            if number % 5 == 4:
                budget.release(hold)
            else:
                budget.settle(hold, Money(1))
                spent += 1
            break
    budget.close()
    print(json.dumps({"spent": spent}))


def billed(file: str, bill: str, name: str, lease_s: float) -> None:
    """Calls without end until it is killed. What the upstream charged is flushed to the bill before it is settled."""
    budget = LedgerBudget(file, busy_timeout_s=5)
    everything = charges(10**15)
    rng = random.Random(name)
    with open(bill, "a", buffering=1) as upstream:
        for number in range(10**9):
            hold = Reservation(id=f"{name}-{number}", charges=everything, amount=Money(100), lease_s=lease_s,
                               request_id=f"{name}-{number}")  # fmt: skip
            try:
                budget.reserve(hold)
                if rng.random() < 0.1:
                    budget.release(hold)
                    continue
                budget.mark_sent(hold)
            except BudgetUnavailableError:
                continue
            actual = rng.randrange(101)
            upstream.write(f"{hold.id} {actual}\n")
            os.fsync(upstream.fileno())
            budget.settle(hold, Money(actual))


class _Dying(sqlite3.Connection):
    """Kills its process before or after the n-th statement."""

    left = 0
    after = False

    def execute(self, *args: Any) -> sqlite3.Cursor:  # type: ignore[override]  # passes everything on
        cls = type(self)
        cls.left -= 1
        if cls.left == 0 and not cls.after:
            os.kill(os.getpid(), signal.SIGKILL)
        cursor = super().execute(*args)
        if cls.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return cursor


def life(file: str, bill: str, story: str, die_at: int, after: bool) -> None:
    """One reservation's life on a ledger that exists; dies at the n-th statement. Prints "survived" past the last."""
    connect = sqlite3.connect
    budget = LedgerBudget(file, busy_timeout_s=5)
    budget.balance(charges(1)[0])  # opens the file with ordinary statements
    budget.close()
    _Dying.left, _Dying.after = 10**9, after
    ledgerfile.sqlite3 = _Patched(connect)  # type: ignore[attr-defined,assignment]  # the module's own view of sqlite3
    budget.balance(charges(1)[0])
    _Dying.left = die_at
    hold = Reservation(id="life", charges=charges(1000), amount=Money(100), lease_s=1.0)
    with open(bill, "a") as upstream:
        budget.reserve(hold)
        if story == "release":
            budget.release(hold)
        else:
            budget.mark_sent(hold)
            upstream.write("life 30\n")
            upstream.flush()
            os.fsync(upstream.fileno())
            if story == "settle":
                budget.settle(hold, Money(30))
            else:
                time.sleep(1.1)
                budget.correct("life", Money(30))
    print("survived")


def lives() -> None:
    """A life per line of standard input, each in a child of its own; prints how each ended."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.dup2(2, 1)
                life(**json.loads(line))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class _Patched:
    """The sqlite3 module, whose connections die."""

    def __init__(self, connect: Any) -> None:
        self._connect = connect

    def connect(self, *args: Any, **options: Any) -> Any:
        return self._connect(*args, factory=_Dying, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)


def arguments(worker: str, **values: Any) -> list[str]:
    """The command that runs a worker."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    return [sys.executable, "-m", "tests.money.workers", worker, json.dumps(plain)]


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
