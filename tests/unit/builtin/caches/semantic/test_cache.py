from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from routekit.builtin.caches.semantic.cache import MeaningCache, same_answer
from routekit.builtin.caches.semantic.calibration import calibrated_bound, write_calibration
from routekit.errors import ConfigError
from routekit.plugin import Cache
from routekit.testing import VirtualClock
from routekit.testing.contracts import CacheContract
from routekit.types import CacheEntry, CacheKey, Money, RouteRequest, Usage


class TestContract(CacheContract):
    """Under keys that have everything, it is a cache like any other."""

    @pytest.fixture
    def cache(self) -> Cache:
        class Embedding(MeaningCache):
            """Gives keys what the engine would give them."""

            def get(self, key: CacheKey) -> CacheEntry | None:
                found = super().get(full(key))
                return None if found is None else replace(found, question=None, similarity=None)

            def set(self, key: CacheKey, entry: CacheEntry) -> None:
                super().set(full(key), entry)

        def full(key: CacheKey) -> CacheKey:
            request = RouteRequest(messages=({"role": "user", "content": f"what is `{key.digest}`"},))
            vector = numpy.random.default_rng(abs(hash(key.digest)) % 2**32).normal(size=32)
            return replace(key, request=request, setting="s", vector=vector)

        return Embedding(clock=self.clock) if hasattr(self, "clock") else Embedding()


def entry(text: str = "an answer", **changes: Any) -> CacheEntry:
    return CacheEntry(
        **{
            "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "usage": Usage(),
            "cost": Money(5), "model": "m", "deployment": "d", "created_at": 0.0, **changes,
        }
    )  # fmt: skip


def key(question: Any, vector: list[float], namespace: str = "p", setting: str = "s") -> CacheKey:
    request = RouteRequest(messages=({"role": "user", "content": question},))
    return CacheKey(namespace=namespace, digest=str(question), request=request, setting=setting, vector=vector)


NEAR, FAR = [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]


def test_finds_what_means_the_same_and_says_how_close_it_was() -> None:
    cache = MeaningCache()
    cache.set(key("How do I buy a car?", [1.0, 0.0, 0.0]), entry("so"))
    found = cache.get(key("how can one purchase a car", NEAR))
    assert found is not None
    assert found.message["content"] == "so"
    assert found.question == "How do I buy a car?"
    assert 0.99 < (found.similarity or 0) < 1


@pytest.mark.parametrize(
    "other",
    [
        key("how can one sell a car", NEAR),  # the guard
        key("how can one purchase a car", FAR),  # too far
        key("how can one purchase a car", NEAR, namespace="q"),  # another tenant
        key("how can one purchase a car", NEAR, setting="t"),  # another system prompt, history, tools
        replace(key("how can one purchase a car", NEAR), vector=None),  # nobody could embed it
        replace(key("how can one purchase a car", NEAR), vector=[0.0, 0.0, 0.0]),
        replace(key("how can one purchase a car", NEAR), vector=[1.0, 0.0]),  # another embedder
        key([{"type": "image_url", "image_url": {"url": "x"}}], NEAR),
    ],
)
def test_nothing_else_is_a_hit(other: CacheKey) -> None:
    cache = MeaningCache()
    cache.set(key("How do I buy a car?", [1.0, 0.0, 0.0]), entry())
    assert cache.get(other) is None


def test_the_next_nearest_is_looked_at_where_the_guard_refuses_the_nearest() -> None:
    cache = MeaningCache()
    cache.set(key("How do I buy a car?", [1.0, 0.3, 0.0]), entry("right"))
    cache.set(key("How do I sell a car?", [1.0, 0.0, 0.0]), entry("wrong"))
    found = cache.get(key("how can one purchase a car", [1.0, 0.0, 0.0]))
    assert found is not None
    assert found.message["content"] == "right"


def test_memory_is_bounded_and_the_least_used_goes_first() -> None:
    cache = MeaningCache(max_entries=3)
    for number in range(3):
        cache.set(key(f"question {number}", [1.0, number / 10, 0.0]), entry(str(number)))
    assert cache.get(key("question 0", [1.0, 0.0, 0.0])) is not None
    cache.set(key("question 3", [1.0, 0.3, 0.0]), entry("3"))
    assert len(cache) == 3
    assert cache.get(key("question 1", [1.0, 0.1, 0.0])) is None
    assert cache.get(key("question 0", [1.0, 0.0, 0.0])) is not None
    small = MeaningCache(max_mb=0.01)
    for number in range(100):
        small.set(key(f"question {number}", [1.0, number / 10, 0.0]), entry("x" * 500))
    assert 0 < len(small) < 10
    assert small.stats().size_bytes <= 0.01 * 1024 * 1024


def test_expired_entries_are_gone() -> None:
    clock = VirtualClock()
    cache = MeaningCache(clock=clock)
    cache.set(key("q 1", NEAR), entry(expires_at=clock.time() + 10))
    assert cache.get(key("q 1", NEAR)) is not None
    clock.sleep(11)
    assert cache.get(key("q 1", NEAR)) is None
    assert len(cache) == 0


def test_entries_learn_how_similar_is_similar_enough() -> None:
    cache = MeaningCache(bounds="learned", max_error=0.1, rng=random.Random(3))
    cache.set(key("How do I buy a car?", [1.0, 0.0, 0.0]), entry("so"))
    ask = key("how can one purchase a car", NEAR)
    answered = []
    for _ in range(200):
        found = cache.get(ask)
        answered.append(found is not None)
        if found is None:
            cache._learn(ask, entry("so"))  # what is made anew turns out to be the same
    assert not any(answered[:3])  # nothing is known yet
    assert sum(answered[100:]) > sum(answered[:100])
    assert sum(answered[100:]) > 30


def test_an_entry_that_was_wrong_is_not_given() -> None:
    cache = MeaningCache(bounds="learned", max_error=0.05, rng=random.Random(3))
    cache.set(key("How do I buy a car?", [1.0, 0.0, 0.0]), entry("so"))
    ask = key("how can one purchase a car", NEAR)
    for number in range(60):
        if cache.get(ask) is None:
            cache._learn(ask, entry(f"another {number}"))
    assert sum(cache.get(ask) is not None for _ in range(50)) <= 8


def test_in_the_shadow_nothing_is_answered_and_figures_are_noted(tmp_path: Path) -> None:
    cache = MeaningCache(home=tmp_path, shadow=True)
    cache.set(key("How do I buy a car?", [1.0, 0.0, 0.0]), entry("A secret: yes"))
    for text in ("a secret  yes", "no"):
        ask = key(f"how can one purchase a car{'?' * len(text)}", NEAR)
        assert cache.get(ask) is None
        cache.set(ask, entry(text))
    file = tmp_path / "cache" / "shadow.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["same"] for row in rows] == [True, False]
    assert "secret" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_bound_is_needed_for_vectors_that_nobody_has_calibrated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="calibrate"):
        MeaningCache(home=tmp_path, embedder="mine")
    assert MeaningCache(home=tmp_path, embedder="mine", bound=0.9).bound == 0.9
    write_calibration(tmp_path / "cache", "mine", {"bound": 0.87})
    write_calibration(tmp_path / "cache", "other", {"bound": 0.9})
    assert MeaningCache(home=tmp_path, embedder="mine").bound == 0.87
    (tmp_path / "cache" / "semantic.json").write_text("[1")
    with pytest.raises(ConfigError):
        calibrated_bound(tmp_path / "cache", "mine")


def test_answers_are_the_same_where_they_say_the_same() -> None:
    assert same_answer(entry("Yes."), entry("yes"))
    assert not same_answer(entry("It is 15 km."), entry("It is 16 km."))
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calling = entry(message={"role": "assistant", "content": None, "tool_calls": [call]})
    again = entry(message={"role": "assistant", "content": None, "tool_calls": [{**call, "id": "2"}]})
    assert same_answer(calling, again)
    assert not same_answer(calling, entry())


def test_many_conversations_take_no_more_memory_than_they_say() -> None:
    import tracemalloc

    cache = MeaningCache(max_mb=4)
    vector = list(numpy.random.default_rng(1).normal(size=384))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(3000):  # each has a history, and so a setting, of its own
        cache.set(key(f"question {number}", vector, setting=str(number)), entry("an answer " * 5))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 100 < len(cache) < 3000
    assert used < 1.5 * 4 * 1024 * 1024
    cache.clear()
    assert cache.stats() == (0, 0, 0)
    assert not cache._vectors
    assert not cache._by_question


def test_what_the_verifier_said_is_learned_by_the_entry_that_it_was_about() -> None:
    cache = MeaningCache()
    cache.set(key("How do I buy a car?", [1.0, 0.0, 0.0]), entry())
    ask = key("how can one purchase a car", NEAR)
    found = cache.get(ask)
    assert found is not None
    cache.verified(ask, found, False)
    assert [kept.observed for kept in cache._kept.values()] == [[(found.similarity, False)]]


def test_long_messages_are_no_questions() -> None:
    short, long = ({"role": "user", "content": "x" * length} for length in (2000, 2001))
    assert MeaningCache().question(RouteRequest(messages=(short,))) == "x" * 2000  # type: ignore[arg-type]  # plain
    assert MeaningCache().question(RouteRequest(messages=(long,))) is None  # type: ignore[arg-type]  # plain
