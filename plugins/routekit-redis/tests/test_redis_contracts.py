"""The suites that SQLite's ledger passes too, on a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from redis_server import Server

from routekit.plugin import Cache, Ledger, SharedState
from routekit.testing.contracts import CacheContract, LedgerContract, SharedContract
from routekit_redis.cache import RedisCache
from routekit_redis.ledger import RedisLedger
from routekit_redis.options import RedisCacheOptions, RedisLedgerOptions, RedisOptions
from routekit_redis.shared import RedisShared


class TestRedisLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, shared_server: Server) -> Iterator[Ledger]:
        options = RedisLedgerOptions(url=shared_server.url, name=uuid.uuid4().hex, timeout_s=5)
        ledger = RedisLedger(options)
        yield ledger
        assert ledger.verify() == []
        ledger.close()


class TestRedisCache(CacheContract):
    @pytest.fixture
    def cache(self, shared_server: Server) -> Iterator[Cache]:
        cache = RedisCache(RedisCacheOptions(url=shared_server.url, name=uuid.uuid4().hex, timeout_s=5))
        yield cache
        cache.close()


class TestRedisShared(SharedContract):
    @pytest.fixture
    def pair(self, shared_server: Server) -> Iterator[tuple[SharedState, SharedState]]:
        options = RedisOptions(url=shared_server.url, name=uuid.uuid4().hex, timeout_s=5)
        pair = RedisShared(options), RedisShared(options)
        yield pair
        for one in pair:
            one.close()
