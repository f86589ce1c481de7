from __future__ import annotations

import threading

import pytest
from tests.support.clock import Now
from tests.support.entries import entry, key

from routekit.builtin.caches.memory import PLUGIN, MemoryCache
from routekit.errors import ConfigError


def test_drops_the_least_recently_used_first() -> None:
    cache = MemoryCache(max_entries=2)
    for digest in "12":
        cache.set(key(digest), entry())
    cache.get(key("1"))
    cache.set(key("3"), entry())
    assert [cache.get(key(d)) is not None for d in "123"] == [True, False, True]


def test_bytes_are_a_bound_and_replacing_gives_them_back() -> None:
    cache = MemoryCache(max_mb=0.1)
    for number in range(100):
        cache.set(key(str(number)), entry("x" * 10_000))
        assert cache.size_bytes <= 0.1 * 1024 * 1024
    assert 5 <= len(cache) <= 10
    before = cache.size_bytes
    for _ in range(50):
        cache.set(key("99"), entry("x" * 10_000))
    assert cache.size_bytes == before
    cache.clear()
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_an_entry_larger_than_the_cache_is_not_kept_and_displaces_only_its_older_self() -> None:
    cache = MemoryCache(max_mb=0.1)
    cache.set(key("1"), entry("small"))
    cache.set(key("2"), entry("small"))
    cache.set(key("2"), entry("x" * 200_000))
    assert cache.get(key("1")) is not None
    assert cache.get(key("2")) is None


def test_the_pieces_of_a_stream_count() -> None:
    plain, streamed = MemoryCache(), MemoryCache()
    plain.set(key("1"), entry())
    streamed.set(key("1"), entry(deltas=tuple({"content": str(n)} for n in range(100))))
    assert streamed.size_bytes > plain.size_bytes + 100 * 100


def test_an_expired_entry_is_a_miss_and_gives_its_bytes_back() -> None:
    clock = Now()
    cache = MemoryCache(clock=clock)
    cache.set(key("1"), entry(expires_at=1010.0))
    clock.now = 1009.9
    assert cache.get(key("1")) is not None
    clock.now = 1010.0
    assert cache.get(key("1")) is None
    assert cache.size_bytes == 0


def test_clear_takes_one_partition() -> None:
    cache = MemoryCache()
    cache.set(key("1", "a"), entry())
    cache.set(key("1", "b"), entry())
    cache.clear("a")
    assert cache.get(key("1", "a")) is None
    assert cache.get(key("1", "b")) is not None


def test_threads_keep_the_books_straight() -> None:
    cache = MemoryCache(max_entries=50)

    def work(seed: int) -> None:
        for number in range(500):
            place = key(str((seed * number) % 90))
            cache.set(place, entry("x" * (number % 40)))
            cache.get(key(str(number % 90)))
            if number % 7 == 0:
                cache.delete(place)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) <= 50
    cache.clear()
    assert cache.size_bytes == 0


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ConfigError, match="max_entry"):
        MemoryCache(max_entry=3)
    with pytest.raises(ConfigError, match="max_mb"):
        PLUGIN.options.checked({"max_mb": 0}, where="cache.memory")
