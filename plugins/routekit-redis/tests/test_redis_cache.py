"""What is on the server is somebody else's until its seal says otherwise."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_server import Server

from routekit import Router
from routekit.errors import ConfigError
from routekit.testing import ScriptedProvider, plugin_module
from routekit.types import CacheEntry, CacheKey, Money, Usage
from routekit_redis.cache import RedisCache
from routekit_redis.options import RedisCacheOptions

KEY = CacheKey(namespace="project:search", digest="ab" * 32)
SECRETS = {"SEAL": "a secret of all machines"}


def entry(text: str = "answer", **changes: Any) -> CacheEntry:
    now = time.time()
    made = CacheEntry(
        message={"role": "assistant", "content": text}, finish_reason="stop", usage=Usage(input_tokens=3),
        cost=Money(7), model="m", deployment="d", created_at=now, expires_at=now + 60,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def make(shared_server: Server) -> Any:
    name = uuid.uuid4().hex

    def made(env: dict[str, str] | None = None, **options: Any) -> RedisCache:
        given = {"url": shared_server.url, "name": name, "timeout_s": 5, "secret_env": "SEAL", **options}
        return RedisCache(RedisCacheOptions(**given), env=SECRETS if env is None else env)

    return made


def only_key(server: Server, cache: RedisCache) -> bytes:
    (name,) = server.client().keys(f"{cache._prefix}:*")
    return name


def test_machines_with_the_same_secret_share_answers_and_others_do_not(make: Any) -> None:
    make().set(KEY, entry())
    found = make().get(KEY)
    assert found is not None
    assert found.message["content"] == "answer"
    assert make({"SEAL": "the secret of somebody else"}).get(KEY) is None


def test_what_was_changed_moved_or_cut_is_a_miss(make: Any, shared_server: Server) -> None:
    cache, client = make(), shared_server.client()
    cache.set(KEY, entry())
    name = only_key(shared_server, cache)
    value = client.get(name)
    other = CacheKey(namespace=KEY.namespace, digest="cd" * 32)
    client.set(cache._name(other.namespace, other.digest), value)
    assert cache.get(other) is None  # moved
    for damaged in (value[:-1], value[:20], value + b"x", value[:40] + bytes([value[40] ^ 1]) + value[41:], b""):
        client.set(name, damaged)
        assert cache.get(KEY) is None
    client.delete(name)
    client.lpush(name, b"x")  # another kind of value
    with pytest.raises(redis.ResponseError):
        cache.get(KEY)


def test_what_is_too_large_is_neither_stored_nor_read(make: Any, shared_server: Server) -> None:
    cache = make(max_value_kb=1)
    import secrets

    cache.set(KEY, entry(secrets.token_hex(4000)))
    assert cache.get(KEY) is None
    shared_server.client().set(cache._name(KEY.namespace, KEY.digest), b"x" * 5_000_000)
    assert cache.get(KEY) is None


def test_entries_end_on_the_server_too(make: Any, shared_server: Server) -> None:
    cache = make()
    cache.set(KEY, entry(expires_at=time.time() + 0.2))
    assert 0 < shared_server.client().pttl(only_key(shared_server, cache)) <= 200
    time.sleep(0.3)
    assert cache.get(KEY) is None
    cache.set(KEY, entry(expires_at=time.time() - 1))
    assert cache.stats().entries == 0


def test_one_tenant_is_erased_and_the_others_stay(make: Any) -> None:
    cache = make()
    for namespace in ("a", "b"):
        for number in range(3):
            cache.set(CacheKey(namespace=namespace, digest=f"{number}" * 8), entry())
    assert cache.stats()[:2] == (2, 6)
    cache.clear("a")
    assert cache.stats()[:2] == (1, 3)
    assert len(list(cache.kept("b"))) == 3
    cache.clear()
    assert cache.stats()[:2] == (0, 0)


def test_nothing_readable_is_in_the_names(make: Any, shared_server: Server) -> None:
    cache = make()
    cache.set(CacheKey(namespace="project:secret-customer", digest="ef" * 32), entry())
    assert b"customer" not in only_key(shared_server, cache)


def test_secrets_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SEAL"):
        RedisCache(RedisCacheOptions(url="redis://127.0.0.1:1/0", secret_env="SEAL"), env={"SEAL": "short"})


def test_two_routers_share_answers_and_go_on_where_the_server_dies(server: Server, tmp_path: Path) -> None:
    table = {"url": server.url, "timeout_s": 1, "secret_env": "SEAL"}
    config = {
        "cache": {"use": ["redis"], "redis": table, "secret_env": "SEAL"},
        "deployments": [{"name": "a", "provider": "scripted", "model": "m", "price": {"input": 1, "output": 1}}],
    }

    def routed(home: str, provider: ScriptedProvider) -> Router:
        import routekit_redis.plugin

        env = {"ROUTEKIT_HOME": str(tmp_path / home), "ROUTEKIT_PLUGINS": "", **SECRETS}
        return Router(
            config, plugins=[plugin_module(provider), routekit_redis.plugin], env=env, providers={"a": provider}
        )

    one, two = ScriptedProvider("first"), ScriptedProvider("second")
    with routed("here", one) as here, routed("there", two) as there:
        assert here.complete("hi").cache == "miss"
        assert there.complete("hi").cache == "hit"
        server.kill()
        began = time.monotonic()
        result = there.complete("hi")
        assert time.monotonic() - began < 5
    assert result.text == "second"
    assert any("cache redis failed" in note for note in result.decision.notes)
