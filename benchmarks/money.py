"""``python -m benchmarks.money [--quick]``: what budgets cost, what the stores bear, and who keeps a limit.

Every verdict is a ratio or a count of this run; absolute figures depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
SCOPES = ("global", "project:p", "user:u", "tag:t", "run:r", "deployment:d0")
VALUES = {"project": "p", "user": "u", "tag": "t", "run": "r"}
RACERS, LIMIT_USD, CALL_USD = 300, 0.01, 0.001
OUTPUT_TOKENS = 14
"""What the upstream of the benchmarks writes; at OUTPUT_USD a million a call costs CALL_USD."""

OUTPUT_USD = CALL_USD / OUTPUT_TOKENS * 1e6
console = Console(width=110)

WORKER = """
import json, sys, time
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/src", sys.argv[1] + "/plugins/routekit-redis/src"]
from routekit.types import Charge, Money, Reservation
from routekit.errors import BudgetUnavailableError
kind, where, name, seconds, scopes = sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]), sys.argv[6].split(",")
if kind == "ledger":
    from routekit.builtin.budgets.ledger.budget import LedgerBudget
    store = LedgerBudget(where, busy_timeout_s=5)
elif kind == "redis":
    from routekit_redis.ledger import RedisLedger
    from routekit_redis.options import RedisLedgerOptions
    store = RedisLedger(RedisLedgerOptions(url=where, timeout_s=5, persistence="ignore"))
else:
    from routekit.builtin.budgets.memory import MemoryBudget
    store = MemoryBudget()
charges = tuple(Charge(key=f"{scope}|total", scope=scope, limit=Money(10**15)) for scope in scopes)
count, end = 0, time.perf_counter() + seconds
while time.perf_counter() < end:
    hold = Reservation(id=f"{name}-{count}", charges=charges, amount=Money(10))
    try:
        store.reserve(hold)
        store.mark_sent(hold)
    except BudgetUnavailableError:
        continue
    store.settle(hold, Money(7))
    count += 1
store.close()
print(json.dumps({"count": count}))
"""


def per_second(kind: str, where: str, processes: int, seconds: float) -> float:
    """Whole lives of a hold (reserve, mark, settle over six scopes) per second, all processes together."""
    running = [
        subprocess.Popen(
            [
                sys.executable, "-c", WORKER, str(ROOT), kind, where, f"w{n}-{time.time_ns()}", str(seconds),
                ",".join(SCOPES),
            ],
            stdout=subprocess.PIPE, text=True,
        )
        for n in range(processes)
    ]  # fmt: skip
    return sum(json.loads(one.communicate(timeout=120)[0])["count"] for one in running) / seconds


class RedisServer:
    """A server of this run's own, on loopback, with an append-only file; None where there is no redis-server."""

    def __init__(self, folder: str) -> None:
        import socket

        binary = shutil.which("redis-server")
        self.url = None
        self._process = None
        if binary is None:
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            binary,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--appendonly",
            "yes",
            "--save",
            "",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"redis://127.0.0.1:{port}/0"
        time.sleep(0.5)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def stores(seconds: float) -> None:
    table = Table("store", *(f"{n} process{'es' if n > 1 else ''}" for n in (1, 2, 4, 8)), title_justify="left",
                  title="Lives of a hold per second, six scopes each")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(folder)
        try:
            table.add_row("memory", f"{per_second('memory', '-', 1, seconds):,.0f}", "-", "-", "-")
            for kind, where in (("ledger", f"{folder}/ledger"), ("redis", redis.url)):
                if where is None:
                    table.add_row(kind, "no redis-server here")
                    continue
                table.add_row(kind, *(f"{per_second(kind, where, n, seconds):,.0f}" for n in (1, 2, 4, 8)))
        finally:
            redis.stop()
    console.print(table)


def router_with(port: int, home: str, budgets: str) -> Any:
    """A router on the loopback endpoint: without budgets, or with one or six, in memory or in the ledger."""
    from benchmarks.subjects import config
    from routekit import Router

    more: dict[str, Any] = {}
    if budgets != "none":
        store, _, count = budgets.partition(" x ")
        more["router"] = {"budget_store": store}
        more["budgets"] = [{"scope": scope, "limit_usd": 1000} for scope in SCOPES[: int(count)]]
    return Router(config(port, **more), env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": home})


def costs(port: int, rounds: int) -> dict[str, float]:
    """The median time of a request with each kind of budget, by turns; the ratios to a request without."""
    kinds = ("none", "memory x 1", "memory x 6", "ledger x 1", "ledger x 6")
    found: dict[str, dict[str, list[float]]] = {kind: {"sync": [], "async": []} for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        routers = {kind: router_with(port, f"{folder}/{place}", kind) for place, kind in enumerate(kinds)}

        def once(kind: str) -> None:
            began = time.perf_counter()
            routers[kind].complete("Why is the sky blue?", max_tokens=100, scopes=VALUES)
            found[kind]["sync"].append(time.perf_counter() - began)

        async def asynchronous() -> None:
            for number in range(rounds + 20):
                for kind in kinds:
                    began = time.perf_counter()
                    await routers[kind].acomplete("Why is the sky blue?", max_tokens=100, scopes=VALUES)
                    if number >= 20:
                        found[kind]["async"].append(time.perf_counter() - began)
            for kind in kinds:
                await routers[kind].aclose()

        for number in range(rounds + 20):
            for kind in kinds:
                once(kind)
                if number < 20:
                    found[kind]["sync"].clear()
        asyncio.run(asynchronous())
    table = Table("budgets", "sync, µs more", "ratio", "async, µs more", "ratio", title_justify="left",
                  title="A request over loopback, against one without budgets (median, by turns)")  # fmt: skip
    ratios = {}
    for kind in kinds:
        cells = []
        for face in ("sync", "async"):
            mine, plain = statistics.median(found[kind][face]), statistics.median(found["none"][face])
            ratios[f"{kind} {face}"] = mine / plain
            cells += [f"{(mine - plain) * 1e6:,.0f}", f"{mine / plain:.2f}"]
        table.add_row(kind, *cells)
    console.print(table)
    return ratios


async def race_ours(port: int, home: str) -> tuple[int, float]:
    """Answers, and what the ledger says was spent, in multiples of the limit."""
    from benchmarks.subjects import config
    from routekit import BudgetExceededError, Router

    settings = config(port, budgets=[{"scope": "provider:openai-compatible", "limit_usd": LIMIT_USD, "window": "day"}])
    settings["deployments"][0]["price"] = {"input": 0, "output": OUTPUT_USD}

    async def one(router: Any) -> bool:
        try:
            await router.acomplete("Why is the sky blue?", max_tokens=OUTPUT_TOKENS)
            return True
        except BudgetExceededError:
            return False

    async with Router(settings, env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": home}) as router:
        answered = sum(await asyncio.gather(*(one(router) for _ in range(RACERS))))
    return answered, answered * CALL_USD / LIMIT_USD


async def race_litellm(port: int) -> tuple[int, float]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm
    from litellm import Router

    litellm.suppress_debug_info = True
    router = Router(
        model_list=[
            {
                "model_name": "m",
                "litellm_params": {
                    "model": "openai/bench", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "not-a-key",
                    "input_cost_per_token": 0.0, "output_cost_per_token": OUTPUT_USD / 1e6,
                },
            }
        ],
        provider_budget_config={"openai": {"budget_limit": LIMIT_USD, "time_period": "1d"}},
        num_retries=0,
    )  # fmt: skip

    async def one() -> bool:
        try:
            await router.acompletion("m", messages=[{"role": "user", "content": "Why is the sky blue?"}], max_tokens=14)
            return True
        except Exception:
            return False

    answered = sum(await asyncio.gather(*(one() for _ in range(RACERS))))
    return answered, answered * CALL_USD / LIMIT_USD


def race(port: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as home:
        ours = asyncio.run(race_ours(port, home))
    theirs = asyncio.run(race_litellm(port))
    table = Table("subject", f"answered of {RACERS}", "spent / limit", title_justify="left",
                  title=f"{RACERS} requests of ${CALL_USD} at once, one budget of ${LIMIT_USD}")  # fmt: skip
    table.add_row("routekit, ledger", str(ours[0]), f"{ours[1]:.2f}")
    table.add_row("LiteLLM Router, provider_budget_config", str(theirs[0]), f"{theirs[1]:.2f}")
    console.print(table)
    return ours[1], theirs[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds: a look, not a measurement")
    quick = parser.parse_args().quick
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.upstream", "1800"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        stores(1.0 if quick else 3.0)
        costs(port, 100 if quick else 500)
        ours, _ = race(port)
    finally:
        server.terminate()
        server.wait()
    goals: list[tuple[str, Callable[[], bool]]] = [
        ("routekit never spends more than the limit", lambda: ours <= 1.0 + 1e-9),
        ("and lets it be used up", lambda: ours >= 0.89),
    ]
    for text, met in goals:
        console.print(f"{'[green]met' if met() else '[red]NOT met'}[/]  {text}")
    sys.exit(0 if all(met() for _, met in goals) else 1)


if __name__ == "__main__":
    main()
