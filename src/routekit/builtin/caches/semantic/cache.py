"""Answers to questions that mean the same as one that was asked before. Off unless configured.

Vectors only propose: an entry is handed out where everything but the question is equal, the question is similar
enough, and `_guard` finds nothing that tells the two apart.
"""

from __future__ import annotations

import functools
import json
import os
import random
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from pydantic import Field

from routekit.builtin.caches.semantic.calibration import FLOOR, LOCAL, calibrated_bound
from routekit.builtin.caches.semantic.guard.compare import difference
from routekit.builtin.caches.semantic.thresholds import exploration
from routekit.builtin.caches.semantic.vectors import Vectors, unit
from routekit.errors import ProviderSetupError
from routekit.plugin import CachePlugin, CacheStats, Options, PluginContext, SemanticCache, question_of
from routekit.types import CacheEntry, CacheKey, Clock, RouteRequest, SystemClock, text_of

SHADOW = "shadow.jsonl"
SHADOW_BYTES = 16 * 1024 * 1024

MAX_CHARACTERS = 2000
"""Longer messages are no questions: a vector says little of them, and the guard too much."""

CANDIDATES = 8
ENTRY_BYTES = 2500
"""Around each entry, where it is alone in its setting: places in dictionaries, arrays, the entry itself."""

_OBSERVED = 64


class SemanticCacheOptions(Options):
    """`embedder` names the deployment whose vectors are compared; without it the local sentence model.

    `bound` is the least similarity of a hit; without it what `routekit cache calibrate` found for the embedder.
    `verifier` names a deployment, group or model that is asked whether two questions mean the same before an
    answer is given. `bounds = "learned"` gives each entry a bound of its own, from what became of its hits: at
    most the share `max_error` is wrong. `shadow` answers nothing, and notes what an answer would have been worth.
    Vectors are searched exactly up to `graph_above` per setting. `max_mb` and `max_entries` bound the memory.
    """

    embedder: str | None = None
    bound: float | None = Field(default=None, ge=FLOOR, le=1)
    verifier: str | None = None
    bounds: Literal["fixed", "learned"] = "fixed"
    max_error: float = Field(default=0.01, gt=0, lt=0.5)
    shadow: bool = False
    max_mb: float = Field(default=256, gt=0)
    max_entries: int = Field(default=50_000, gt=0)
    graph_above: int = Field(default=20_000, ge=1000)
    timeout_s: float = Field(default=2.0, gt=0)


@dataclass(slots=True)
class _Kept:
    entry: CacheEntry
    key: tuple[str, str]
    digest: str
    size: int
    observed: list[tuple[float, bool]] = field(default_factory=list)


class MeaningCache(SemanticCache):
    """In this process: vectors by partition and setting, the least recently used entry out first."""

    def __init__(
        self,
        *,
        home: Path | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        **options: Any,
    ) -> None:
        self.options = SemanticCacheOptions.checked(options, where="semantic")
        self.embedder = self.options.embedder
        self.verifier = self.options.verifier
        self.timeout_s = self.options.timeout_s
        self._folder = None if home is None else home / "cache"
        self.bound = self.options.bound or calibrated_bound(self._folder, self.embedder or LOCAL)
        self._time = (clock or SystemClock()).time
        self._rng = rng or random.Random()
        self._max_bytes = int(self.options.max_mb * 1024 * 1024)
        self._lock = Lock()
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._by_digest: dict[tuple[str, str], int] = {}
        self._by_question: dict[tuple[str, str, str], int] = {}
        self._vectors: dict[tuple[str, str], Vectors] = {}
        self._pending: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._bytes = 0
        self._next = 0

    def question(self, request: RouteRequest) -> str | None:
        question = question_of(request)
        return question if question is not None and len(question) <= MAX_CHARACTERS else None

    def get(self, key: CacheKey) -> CacheEntry | None:
        question = None if key.request is None else question_of(key.request)
        vector = None if key.vector is None else unit(key.vector)
        if question is None or vector is None:
            return None
        learning = self.options.shadow or self.options.bounds == "learned"
        least = FLOOR if learning else self.bound
        for number, similarity, entry in self._near(key, vector, least):
            if difference(question, entry.question or "", alike) is not None:
                continue
            if learning and not self._gives(number, similarity):
                self._expect(key, number, similarity)
                return None
            with self._lock:
                if number in self._kept:
                    self._kept.move_to_end(number)
            return replace(entry, similarity=similarity)
        return None

    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        self._learn(key, entry)
        question = None if key.request is None else question_of(key.request)
        vector = None if key.vector is None else unit(key.vector)
        if question is None or vector is None:
            return
        place = (key.namespace, key.setting)
        kept = _Kept(replace(entry, question=question, similarity=None), place, key.digest, 0)
        kept.size = (
            ENTRY_BYTES + 4 * len(question) + 2 * vector.nbytes + _bytes_of(entry.message) + _bytes_of(entry.deltas)
        )
        with self._lock:
            self._drop(self._by_digest.get((key.namespace, key.digest)))
            if kept.size > self._max_bytes:
                return
            vectors = self._vectors.get(place)
            if vectors is None:
                vectors = self._vectors[place] = Vectors(len(vector), self.options.graph_above)
            if vectors.dimensions != len(vector):
                raise ValueError(f"the embedder gives {len(vector)} figures, and gave {vectors.dimensions} before")
            self._next += 1
            vectors.add(self._next, vector)
            self._kept[self._next] = kept
            self._by_digest[key.namespace, key.digest] = self._next
            self._by_question[key.namespace, key.setting, question] = self._next
            self._bytes += kept.size
            while self._bytes > self._max_bytes or len(self._kept) > self.options.max_entries:
                self._drop(next(iter(self._kept)))

    def delete(self, key: CacheKey) -> None:
        with self._lock:
            self._drop(self._by_digest.get((key.namespace, key.digest)))

    def clear(self, namespace: str | None = None) -> None:
        with self._lock:
            for number in [n for n, kept in self._kept.items() if namespace is None or kept.key[0] == namespace]:
                self._drop(number)

    def stats(self) -> CacheStats:
        with self._lock:
            return CacheStats(len({kept.key[0] for kept in self._kept.values()}), len(self._kept), self._bytes)

    def kept(self, namespace: str) -> Iterator[tuple[str, CacheEntry]]:
        now = self._time()
        with self._lock:
            found = [(kept.digest, kept.entry) for kept in self._kept.values() if kept.key[0] == namespace]
        yield from sorted(
            ((digest, entry) for digest, entry in found if entry.expires_at is None or entry.expires_at > now),
            key=lambda pair: -pair[1].created_at,
        )

    def verified(self, key: CacheKey, entry: CacheEntry, same: bool) -> None:
        with self._lock:
            number = self._by_question.get((key.namespace, key.setting, entry.question or ""))
            if number is not None:
                self._observe(number, entry.similarity or 0.0, same)

    async def aset(self, key: CacheKey, entry: CacheEntry) -> None:
        self.set(key, entry)

    def __len__(self) -> int:
        return len(self._kept)

    def _near(self, key: CacheKey, vector: Any, least: float) -> list[tuple[int, float, CacheEntry]]:
        """Entries of this partition and setting that are similar enough, the nearest first; ends expired ones."""
        now = self._time()
        found = []
        with self._lock:
            vectors = self._vectors.get((key.namespace, key.setting))
            if vectors is None or vectors.dimensions != len(vector):
                return []
            for number, similarity in vectors.nearest(vector, CANDIDATES):
                entry = self._kept[number].entry
                if entry.expires_at is not None and entry.expires_at <= now:
                    self._drop(number)
                elif similarity >= least:
                    found.append((number, similarity, entry))
        return found

    def _gives(self, number: int, similarity: float) -> bool:
        if self.options.shadow:
            return False
        with self._lock:
            kept = self._kept.get(number)
            observed = [] if kept is None else list(kept.observed)
        return self._rng.random() >= exploration(observed, similarity, self.options.max_error)

    def _expect(self, key: CacheKey, number: int, similarity: float) -> None:
        """The answer that is now made elsewhere will show whether this entry's would have done."""
        with self._lock:
            self._pending[key.namespace, key.digest] = (number, similarity)
            if len(self._pending) > 1000:
                self._pending.popitem(last=False)

    def _learn(self, key: CacheKey, entry: CacheEntry) -> None:
        with self._lock:
            number, similarity = self._pending.pop((key.namespace, key.digest), (0, 0.0))
            kept = self._kept.get(number)
        if kept is None:
            return
        same = same_answer(kept.entry, entry)
        with self._lock:
            self._observe(number, similarity, same)
        if self.options.shadow:
            self._note(similarity, same)

    def _observe(self, number: int, similarity: float, same: bool) -> None:
        kept = self._kept.get(number)
        if kept is not None:
            kept.observed.append((similarity, same))
            del kept.observed[:-_OBSERVED]

    def _note(self, similarity: float, same: bool) -> None:
        """One line for calibration: figures, no texts."""
        if self._folder is None:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        file = os.open(self._folder / SHADOW, flags, 0o600)
        try:
            if os.fstat(file).st_size < SHADOW_BYTES:
                row = {"similarity": round(similarity, 4), "same": same, "embedder": self.embedder or LOCAL}
                os.write(file, (json.dumps(row) + "\n").encode())
        finally:
            os.close(file)

    def _drop(self, number: int | None) -> None:
        kept = None if number is None else self._kept.pop(number, None)
        if number is None or kept is None:
            return
        self._bytes -= kept.size
        vectors = self._vectors[kept.key]
        vectors.remove(number)
        if not len(vectors):
            del self._vectors[kept.key]
        if self._by_digest.get((kept.key[0], kept.digest)) == number:
            del self._by_digest[kept.key[0], kept.digest]
        asked = (*kept.key, kept.entry.question or "")
        if self._by_question.get(asked) == number:
            del self._by_question[asked]


def same_answer(a: CacheEntry, b: CacheEntry) -> bool:
    """Whether two answers say the same, as far as can be told without a model: strict, and best for short ones."""
    if a.message.get("tool_calls") or b.message.get("tool_calls"):
        return _calls(a.message) == _calls(b.message)
    one, other = text_of(a.message), text_of(b.message)
    return _bare(one) == _bare(other) or difference(one, other, alike) is None


@functools.lru_cache(maxsize=8192)
def alike(a: str, b: str) -> float:
    """How similar two words are to the local sentence model; -1 where it is not installed."""
    one, other = _word_vector(a), _word_vector(b)
    return -1.0 if one is None or other is None else float(one @ other)


@functools.lru_cache(maxsize=8192)
def _word_vector(word: str) -> Any:
    embedder = _embedder()
    return None if embedder is None else embedder.embed([word])[0][0]


@functools.cache
def _embedder() -> Any:
    from routekit.builtin.local_models.sentence import sentence_embedder

    try:
        return sentence_embedder()
    except ProviderSetupError:  # then only what is known to be the same is the same
        return None


def _bare(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum() or char in "+-*/<>=.%")


def _calls(message: Mapping[str, Any]) -> list[Any]:
    return [call.get("function") for call in message.get("tool_calls") or ()]


def _bytes_of(value: Any) -> int:
    return 2 * len(json.dumps(value, default=repr)) + sys.getsizeof(value)


def _make(options: SemanticCacheOptions, context: PluginContext) -> MeaningCache:
    return MeaningCache(home=context.home, clock=context.clock, **options.model_dump())


PLUGIN = CachePlugin(
    name="semantic",
    factory=_make,
    options=SemanticCacheOptions,
    summary="Answers to questions that mean the same, in this process; guarded, calibrated, off unless named.",
)
