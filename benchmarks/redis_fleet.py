"""Round trips and microseconds of the ledger on Redis: `python benchmarks/redis_fleet.py`.

Starts a redis-server of its own on a loopback port, and ends it.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import tempfile
import time

import redis

from routekit.types import Charge, Money, Reservation
from routekit_redis.ledger import RedisLedger
from routekit_redis.options import RedisLedgerOptions

CALLS = 2000
BUDGETS = (1, 4, 8)


def main() -> None:
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        raise SystemExit("redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"]
        process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(port=port)
            _wait(client)
            print("| budgets | round trips | hold, us | end, us | on the server, us | memory, bytes |")
            print("|---|---|---|---|---|---|")
            for budgets in BUDGETS:
                print(_measured(client, port, budgets))
        finally:
            process.kill()
            process.wait()


def _measured(client: redis.Redis, port: int, budgets: int) -> str:
    client.flushall()
    ledger = RedisLedger(RedisLedgerOptions(url=f"redis://127.0.0.1:{port}/0", timeout_s=5))
    charges = tuple(
        Charge(key=f"s{n}|total", scope=f"s{n}", limit=Money(10**15), warn_at=(0.5,)) for n in range(budgets)
    )
    for number in range(100):
        _call(ledger, charges, f"warm{number}")
    client.config_resetstat()
    memory = client.info("memory")["used_memory"]
    took = [_call(ledger, charges, f"h{number}") for number in range(CALLS)]
    stats = client.info("commandstats")
    scripts = stats["cmdstat_evalsha"]
    grown = client.info("memory")["used_memory"] - memory
    ledger.close()
    begin, end = (statistics.median(pair[place] for pair in took) * 1e6 for place in (0, 1))
    trips, on_server, bytes_ = scripts["calls"] / CALLS, scripts["usec"] / CALLS, grown / CALLS
    return f"| {budgets} | {trips:.2f} | {begin:.0f} | {end:.0f} | {on_server:.0f} | {bytes_:.0f} |"


def _call(ledger: RedisLedger, charges: tuple[Charge, ...], name: str) -> tuple[float, float]:
    hold = Reservation(id=name, charges=charges, amount=Money(1000), deployment="mini", request_id=name)
    began = time.perf_counter()
    ledger.begin(hold)
    begun = time.perf_counter()
    ledger.settle(hold, Money(500))
    return begun - began, time.perf_counter() - begun


def _wait(client: redis.Redis) -> None:
    for _ in range(500):
        try:
            client.ping()
            return
        except redis.RedisError:
            time.sleep(0.01)
    raise SystemExit("redis-server did not start")


if __name__ == "__main__":
    main()
