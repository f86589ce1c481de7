"""A master found by Sentinel, and another one after it has died."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import redis
from redis_server import BINARIES, Server
from test_redis_failures import hold
from test_redis_fleet import BIG, until

from routekit.errors import BudgetUnavailableError
from routekit.types import Money
from routekit_redis.ledger import RedisLedger
from routekit_redis.options import RedisLedgerOptions


def test_the_next_master_serves(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    first = Server(tmp_path / "a", "--repl-diskless-sync-delay", "0")
    second = Server(tmp_path / "b", "--replicaof", f"127.0.0.1 {first.port}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor mine 127.0.0.1 {first.port} 1\n"
        "sentinel down-after-milliseconds mine 500\nsentinel failover-timeout mine 5000\n"
    )
    binary = next(found for name in BINARIES if (found := shutil.which(name)))
    sentinel = subprocess.Popen([binary, str(settings), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        asked = redis.Redis(port=port)

        def knows_the_replica() -> bool:
            try:
                return bool(asked.execute_command("SENTINEL", "REPLICAS", "mine"))
            except redis.RedisError:
                return False

        until(knows_the_replica)
        until(lambda: second.client().info("replication").get("master_link_status") == "up")
        options = RedisLedgerOptions(url=f"redis+sentinel://127.0.0.1:{port}/mine/0", timeout_s=1, wait_replicas=1)
        ledger = RedisLedger(options)
        ledger.begin(hold("a", 10, BIG))
        ledger.settle(hold("a", 10, BIG), Money(4))
        until(lambda: second.client().hget("{routekit:default}:meta", "seq") == b"2")
        ledger.close()
        ledger = RedisLedger(RedisLedgerOptions(url=options.url, timeout_s=1))
        ledger.begin(hold("b", 10, BIG))
        until(lambda: second.client().hget("{routekit:default}:meta", "seq") == b"3")
        first.kill()
        deadline = time.monotonic() + 30
        while True:
            try:
                ledger.begin(hold("c", 10, BIG))
                break
            except BudgetUnavailableError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        ledger.settle(hold("b", 10, BIG), Money(5))
        until(lambda: not ledger._late)
        assert ledger.balance(BIG).spent == Money(9)
        assert ledger.verify() == []
        ledger.close()
    finally:
        sentinel.kill()
        sentinel.wait()
        first.kill()
        second.kill()
