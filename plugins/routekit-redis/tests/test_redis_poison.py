"""What cannot be processed stops nobody else: odd names, damaged holds, other people's values, forbidden commands."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_server import Server
from test_redis_failures import GLOBAL, hold, opened, used

from routekit.errors import BudgetUnavailableError
from routekit.types import Charge, Limits, Money
from routekit_redis import cache as cache_module
from routekit_redis.cache import RedisCache
from routekit_redis.options import RedisCacheOptions, RedisOptions
from routekit_redis.shared import RedisShared

LIMIT = Charge(key="k|total", scope="k", limit=Money(1000))


def client_of(server: Server) -> Any:
    return redis.Redis.from_url(server.url)


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def half_written(server: Server, name: str, keys: str, state: str = "sent") -> None:
    """A hold as an older script left it behind, its lease over."""
    prefix = f"{{routekit:{name}}}"
    client = client_of(server)
    client.hset(f"{prefix}:h:poison", mapping={"state": state, "amount": "5", "keys": keys, "exp": "1"})
    client.zadd(f"{prefix}:leases", {"poison": 1.0})
    client.zadd(f"{prefix}:holds", {"poison": 1.0})


@pytest.mark.parametrize("odd", ["a\ud800", "\udfff"])
def test_a_name_that_is_no_unicode_is_refused_and_blocks_nobody(shared_server: Server, odd: str) -> None:
    bad = Charge(key=f"user:{odd}|total", scope=f"user:{odd}", limit=Money(100))
    with opened(shared_server, name=f"names{len(odd)}") as ledger:
        with pytest.raises(BudgetUnavailableError, match="Unicode"):
            ledger.reserve(hold("a", 1, bad))
        ledger.release(hold("a", 1, bad))
        ledger.reserve(hold("b", 1))
        assert used(ledger) == (0, 1)
        assert ledger.verify() == []


@pytest.mark.parametrize("keys", ['[["a\\ud800|total","a"]]', "nonsense", "[1]", '{"a":', "", "[[1,2]]"])
@pytest.mark.parametrize("state", ["reserved", "sent", "uncertain"])
def test_a_damaged_hold_is_put_aside_and_shown(shared_server: Server, keys: str, state: str) -> None:
    name = f"damaged{abs(hash((keys, state)))}"
    with opened(shared_server, name=name) as ledger:
        ledger.reserve(hold("a", 10))
        half_written(shared_server, name, keys, state)
        ledger.reserve(hold("b", 10))
        ledger.settle(hold("a", 10), Money(3))
        ledger.settle(hold("poison", 5), Money(3))
        ledger.reserve(hold("c", 10))
        assert used(ledger) == (3, 20)
        assert {found.id: found.state for found in ledger.holds()}["poison"] == "damaged"
        assert [key for key, _, _ in ledger.balances()] == ["global|total"]
        assert ledger.verify() == []
        assert not ledger._late


def test_a_hold_that_is_something_else_altogether_blocks_nobody(shared_server: Server) -> None:
    with opened(shared_server, name="else") as ledger:
        ledger.reserve(hold("a", 10))
        client = client_of(shared_server)
        client.set("{routekit:else}:h:odd", "a text")
        for order in ("leases", "holds"):
            client.zadd(f"{{routekit:else}}:{order}", {"odd": 1.0})
        ledger.reserve(hold("b", 1))
        assert {found.id: found.state for found in ledger.holds()} == {
            "a": "reserved",
            "b": "reserved",
            "odd": "damaged",
        }


@pytest.mark.parametrize("value", ["a text", {"s": "many", "r": "0"}, {"s": "-5"}, {"s": str(2**63 - 5)}])
def test_a_balance_that_is_none_refuses_its_own_calls_and_leaves_no_half(shared_server: Server, value: Any) -> None:
    name = f"spoilt{abs(hash(str(value)))}"
    soft = Charge(key="soft|total", scope="soft", limit=Money(2**62), hard=False)
    with opened(shared_server, name=name) as ledger:
        ledger.reserve(hold("a", 1))
        client = client_of(shared_server)
        place = f"{{routekit:{name}}}:b:soft|total"
        client.set(place, value) if isinstance(value, str) else client.hset(place, mapping=value)
        with pytest.raises(BudgetUnavailableError, match="soft"):
            ledger.reserve(hold("b", 10, GLOBAL, soft))
        assert used(ledger) == (0, 1)
        assert {found.id for found in ledger.holds()} == {"a"}
        ledger.reserve(hold("c", 1))
        assert used(ledger) == (0, 2)


@pytest.mark.parametrize("command", ["xadd", "hset", "hsetnx", "hincrby", "sadd", "zadd", "zrem", "del", "expireat"])
def test_a_user_who_may_not_write_something_leaves_no_half(tmp_path: Path, command: str) -> None:
    server = Server(tmp_path, "--user", "rk", "on", ">pw", "~*", "+@all")
    try:
        address = server.url.replace("redis://", "redis://rk:pw@")
        with opened(server) as admin:
            admin.reserve(hold("before", 60, LIMIT))
            client_of(server).execute_command("ACL", "SETUSER", "rk", f"-{command}")
            from routekit_redis.ledger import RedisLedger
            from routekit_redis.options import RedisLedgerOptions

            options = RedisLedgerOptions.model_validate({"url_env": "U", "timeout_s": 1.0})
            limited = RedisLedger(options, env={"U": address})
            with pytest.raises(BudgetUnavailableError, match=f"(?i){command}"):
                limited.reserve(hold("h", 60, LIMIT))
            limited.settle(hold("before", 60, LIMIT), Money(5))
            assert used(admin, LIMIT) == (0, 60)
            assert admin.verify() == []
            client_of(server).execute_command("ACL", "SETUSER", "rk", "+@all")
            limited.reserve(hold("h", 60, LIMIT))
            until(lambda: used(admin, LIMIT) == (5, 60))  # the end that was kept is written by the writer
            limited.close()
    finally:
        server.stop()


def test_a_server_without_memory_writes_no_half_of_an_end(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        with opened(server) as ledger:
            ledger.reserve(hold("a", 60, LIMIT))
            client_of(server).config_set("maxmemory", "1")
            ledger.settle(hold("a", 60, LIMIT), Money(5))
            with pytest.raises(BudgetUnavailableError):
                ledger.reserve(hold("b", 1, LIMIT))
            client_of(server).config_set("maxmemory", "0")
            ledger.reserve(hold("c", 1, LIMIT))
            assert used(ledger, LIMIT) == (5, 1)
            assert ledger.verify() == []
    finally:
        server.stop()


def test_an_absurd_bill_is_booked_at_what_was_held(shared_server: Server) -> None:
    with opened(shared_server, name="absurd") as ledger:
        ledger.reserve(hold("a", 10, LIMIT))
        ledger.settle(hold("a", 10, LIMIT), Money(2**70))
        assert used(ledger, LIMIT) == (10, 0)
        ledger.reserve(hold("b", 10, LIMIT))
        assert not ledger._late


def test_an_uncertain_end_counts_whole_until_it_is_corrected(shared_server: Server) -> None:
    with opened(shared_server, name="doubt") as ledger:
        one = hold("a", 10, LIMIT)
        ledger.reserve(one)
        ledger.mark_sent(one)
        for _ in range(2):
            ledger.mark_uncertain(one)
            assert used(ledger, LIMIT) == (10, 0)
        assert [found.state for found in ledger.holds()] == ["uncertain"]
        assert ledger.verify() == []
        ledger.correct("a", Money(3))
        ledger.mark_uncertain(one)
        assert used(ledger, LIMIT) == (3, 0)
        assert ledger.verify() == []


def test_a_lease_can_be_renewed(shared_server: Server) -> None:
    with opened(shared_server, name="renewed") as ledger:
        one = hold("a", 10, LIMIT, lease_s=0.5)
        ledger.reserve(one)
        ledger.mark_sent(one)
        for _ in range(3):
            time.sleep(0.3)
            ledger.renew(one)
        assert [found.state for found in ledger.holds()] == ["sent"]
        ledger.settle(one, Money(1))
        ledger.renew(one)
        assert used(ledger, LIMIT) == (1, 0)
        assert ledger.verify() == []


def test_an_event_loop_waits_for_no_end(server: Server) -> None:
    with opened(server) as ledger:
        holds = [hold(f"h{number}", 1, LIMIT) for number in range(300)]
        for one in holds:
            ledger.reserve(one)
        on_loop: list[int] = []
        run, loop_thread = ledger._link.run, threading.get_ident()

        def watched(script: str, names: list[str], *arguments: Any, wait: int = 0) -> Any:
            on_loop.append(threading.get_ident() == loop_thread)
            return run(script, names, *arguments, wait=wait)

        ledger._link.run = watched  # type: ignore[method-assign]  # counts what the real one does

        async def end() -> None:
            for one in holds:
                ledger.settle(one, Money(1))
                ledger.glance(LIMIT)
            while ledger._late:
                await asyncio.sleep(0.01)

        asyncio.run(end())
        assert on_loop
        assert not any(on_loop)
        assert used(ledger, LIMIT) == (300, 0)


@pytest.mark.parametrize("value", ["oops", "", "nan me x", "inf", "1e999 x y", "\x00"])
def test_a_field_of_somebody_else_does_not_end_the_shared_thread(server: Server, value: str) -> None:
    heard: list[str] = []
    shared = RedisShared(RedisOptions(url=server.url, timeout_s=1.0))
    try:
        client = client_of(server)
        client.hset("{routekit:default}:ejected", "odd", value)
        shared.start(lambda place, _until, _reason: heard.append(place))
        client.hset("{routekit:default}:ejected", "good", f"{time.time() + 60} somebody down")
        until(lambda: heard == ["good"])
        limits = Limits(concurrency=1)
        for number in range(3):
            assert shared.take("p", f"call{number}", 1, limits) is None
            shared.give_back("p", f"call{number}")
            until(lambda: client.zcard(shared._keys("p")[2]) == 0)
        shared.eject("odd", time.time() + 60, "really down")
        until(lambda: client.hget("{routekit:default}:ejected", "odd") != value.encode())
    finally:
        shared.close()


def test_a_job_that_fails_does_not_end_the_shared_thread(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = RedisShared(RedisOptions(url=server.url, timeout_s=1.0))
    send, failed = shared._send, threading.Event()

    def fails_once(*waiting: Any) -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        send(*waiting)

    monkeypatch.setattr(shared, "_send", fails_once)
    try:
        assert shared.take("p", "a", 1, Limits(concurrency=1)) is None
        shared.give_back("p", "a")
        until(lambda: client_of(server).zcard(shared._keys("p")[2]) == 0)
        assert failed.is_set()
    finally:
        shared.close()


def test_a_cold_cache_makes_one_client_and_one_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def slow(*_: Any) -> object:
        time.sleep(0.02)
        made.append(object())
        return made[-1]

    monkeypatch.setattr(cache_module, "connect", slow)
    cache = RedisCache(RedisCacheOptions(url="redis://127.0.0.1:1"))
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append((cache._connected(), cache._secret()))) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(found)) == 1
