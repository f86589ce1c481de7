"""The contract of a cache, as tests.

Example::

    import pytest
    from routekit.testing.contracts import CacheContract
    from routekit_mine import MineCache

    class TestMine(CacheContract):
        @pytest.fixture
        def cache(self, tmp_path):
            cache = MineCache(tmp_path)
            yield cache
            cache.close()
"""

from __future__ import annotations

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from routekit.plugin import Cache
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import CacheEntry, CacheKey, Money, Usage


class CacheContract(ContractSuite):
    """Subclass it and give the `cache` fixture: room for a hundred small entries, on the system's clock.

    A store that outlives the test is fine: every test uses namespaces of its own.
    """

    @pytest.fixture
    def cache(self) -> Cache:
        """The cache under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `cache` that returns the cache")

    @pytest.fixture
    def namespace(self) -> str:
        return f"contract-{uuid.uuid4()}"

    def test_an_unknown_key_is_a_miss(self, cache: Cache, namespace: str) -> None:
        assert isinstance(cache, Cache)
        assert cache.get(_key(namespace, 1)) is None

    def test_an_entry_comes_back_equal(self, cache: Cache, namespace: str) -> None:
        for number, entry in enumerate(sample_entries()):
            cache.set(_key(namespace, number), entry)
        for number, entry in enumerate(sample_entries()):
            assert cache.get(_key(namespace, number)) == entry, "every field must survive"

    def test_a_second_set_replaces(self, cache: Cache, namespace: str) -> None:
        cache.set(_key(namespace, 1), sample_entry("old"))
        cache.set(_key(namespace, 1), sample_entry("new"))
        found = cache.get(_key(namespace, 1))
        assert found is not None
        assert found.message["content"] == "new"

    def test_delete_forgets_one_entry(self, cache: Cache, namespace: str) -> None:
        cache.set(_key(namespace, 1), sample_entry())
        cache.set(_key(namespace, 2), sample_entry())
        cache.delete(_key(namespace, 1))
        assert cache.get(_key(namespace, 1)) is None
        assert cache.get(_key(namespace, 2)) is not None

    def test_deleting_an_unknown_key_is_fine(self, cache: Cache, namespace: str) -> None:
        cache.delete(_key(namespace, 1))

    def test_a_namespace_never_sees_another_ones_entries(self, cache: Cache, namespace: str) -> None:
        others = [f"{namespace}-b", f"{namespace}/", f"{namespace}:1", namespace.upper(), namespace[:-1], ""]
        cache.set(_key(namespace, 1), sample_entry("mine"))
        for other in others:
            assert cache.get(_key(other, 1)) is None, f"{other!r} was answered from {namespace!r}"
        cache.set(_key(others[0], 1), sample_entry("theirs"))
        found = cache.get(_key(namespace, 1))
        assert found is not None
        assert found.message["content"] == "mine"

    def test_an_expired_entry_is_a_miss(self, cache: Cache, namespace: str) -> None:
        cache.set(_key(namespace, 1), sample_entry(created_at=1.0, expires_at=2.0))
        assert cache.get(_key(namespace, 1)) is None

    def test_an_expired_entry_does_not_leave_an_older_one_behind(self, cache: Cache, namespace: str) -> None:
        cache.set(_key(namespace, 1), sample_entry())
        cache.set(_key(namespace, 1), sample_entry(expires_at=2.0))
        assert cache.get(_key(namespace, 1)) is None

    def test_an_entry_expires_while_it_lies_there(self, cache: Cache, namespace: str) -> None:
        cache.set(_key(namespace, 1), sample_entry(expires_at=time.time() + 0.05))
        time.sleep(0.1)
        assert cache.get(_key(namespace, 1)) is None

    def test_the_asynchronous_methods_do_the_same(self, cache: Cache, namespace: str) -> None:
        async def both() -> None:
            assert await cache.aget(_key(namespace, 1)) is None
            await cache.aset(_key(namespace, 1), sample_entry("async"))
            assert await cache.aget(_key(namespace, 1)) == sample_entry("async")

        asyncio.run(both())
        assert cache.get(_key(namespace, 1)) == sample_entry("async")

    def test_clear_takes_one_namespace(self, cache: Cache, namespace: str) -> None:
        other = f"{namespace}-other"
        cache.set(_key(namespace, 1), sample_entry())
        cache.set(_key(other, 1), sample_entry())
        try:
            cache.clear(namespace)
        except NotImplementedError:
            pytest.skip("this cache cannot be cleared")
        assert cache.get(_key(namespace, 1)) is None
        assert cache.get(_key(other, 1)) is not None

    def test_what_is_kept_can_be_counted_and_looked_into(self, cache: Cache, namespace: str) -> None:
        before = cache.stats()
        if before is None:
            pytest.skip("this cache cannot be counted")
        cache.set(_key(namespace, 1), sample_entry("old", created_at=1.0))
        cache.set(_key(namespace, 2), sample_entry("new", created_at=2.0))
        cache.set(_key(f"{namespace}-other", 3), sample_entry("theirs"))
        after = cache.stats()
        assert after is not None
        assert (after.partitions - before.partitions, after.entries - before.entries) == (2, 3)
        assert after.size_bytes > before.size_bytes
        found = list(cache.kept(namespace))
        assert [digest for digest, _ in found] == [_key(namespace, 2).digest, _key(namespace, 1).digest]
        assert [entry.message["content"] for _, entry in found] == ["new", "old"]
        assert list(cache.kept(f"{namespace}-nobody")) == []

    def test_a_large_entry_is_whole_or_a_miss(self, cache: Cache, namespace: str) -> None:
        entry = sample_entry("ä" * 500_000)
        cache.set(_key(namespace, 1), entry)
        assert cache.get(_key(namespace, 1)) in (None, entry)

    def test_threads_may_use_it_at_once(self, cache: Cache, namespace: str) -> None:
        def work(number: int) -> None:
            for _ in range(5):
                cache.set(_key(namespace, number % 8), sample_entry(str(number % 8)))
                found = cache.get(_key(namespace, number % 8))
                assert found is None or found.message["content"] == str(number % 8), "an entry of another key"

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(32)))


def sample_entry(text: str = "hello", **changes: Any) -> CacheEntry:
    """A small entry that does not expire."""
    fields: dict[str, Any] = {
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "usage": Usage(input_tokens=12, output_tokens=3),
        "cost": Money(1_500),
        "model": "some-model",
        "deployment": "some-deployment",
        "created_at": 1_700_000_000.25,
    }
    return CacheEntry(**{**fields, **changes})


def sample_entries() -> list[CacheEntry]:
    """Entries of the usual shapes: text, a tool call, a streamed answer, unknown figures, odd characters."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": "\\u00e9\\n"}'}}
    return [
        sample_entry(),
        sample_entry("Zoë \U0001f600 \u2028 \x00 \"quoted\" 'single' \\ line\nbreak"),
        sample_entry(message={"role": "assistant", "content": None, "tool_calls": [call]}, finish_reason="tool_calls"),
        sample_entry("ab", deltas=({"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"})),
        sample_entry("", finish_reason=None, model=None, cost=Money(0), usage=Usage()),
        sample_entry(
            usage=Usage(input_tokens=9, cache_read_tokens=4, cache_write_tokens=2, output_tokens=7, reasoning_tokens=5)
        ),
        sample_entry(expires_at=99_999_999_999.5, cost=Money(2**62), usage=Usage(input_tokens=1, estimated=True)),
        sample_entry(
            message={"role": "assistant", "content": "x", "annotations": [{"n": 1.5, "ok": True, "no": None}]}
        ),
    ]


def _key(namespace: str, number: int) -> CacheKey:
    return CacheKey(namespace=namespace, digest=f"{number:064x}")
