"""``python -m benchmarks.semantic_cache``: right and wrong hits on question pairs, and what a lookup takes.

`pairs/calibration.jsonl` is what the guard and the bound were made with, `pairs/heldout.jsonl` what is reported.
All subjects compare the same vectors (all-MiniLM-L6-v2). The peers' approach is one bound on the cosine: 0.8 is
the default of GPTCache and the value in the examples of LiteLLM's manual.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
from rich.console import Console
from rich.table import Table

from routekit.builtin.caches.semantic.cache import MeaningCache
from routekit.builtin.caches.semantic.calibration import LOCAL_BOUND
from routekit.builtin.caches.semantic.thresholds import upper_bound
from routekit.builtin.local_models.sentence import sentence_embedder
from routekit.types import ZERO, CacheEntry, CacheKey, RouteRequest, Usage

PAIRS = Path(__file__).parent / "pairs"
ENTRIES = 10_000
console = Console(width=150)
Answers = Callable[[str, str, Any, Any], bool]


def entry() -> CacheEntry:
    return CacheEntry(
        message={"role": "assistant", "content": "x"}, finish_reason="stop", usage=Usage(), cost=ZERO, model="m",
        deployment="d", created_at=0.0,
    )  # fmt: skip


def key(text: str, vector: Any, setting: str) -> CacheKey:
    request = RouteRequest(messages=({"role": "user", "content": text},))
    return CacheKey(namespace="n", digest=text, request=request, setting=setting, vector=vector)


def cosine(bound: float) -> Answers:
    return lambda a, b, va, vb: float(va @ vb) >= bound


def ours() -> Answers:
    cache = MeaningCache(bound=LOCAL_BOUND)
    count = 0

    def answers(a: str, b: str, va: Any, vb: Any) -> bool:
        nonlocal count
        count += 1
        cache.set(key(a, va, str(count)), entry())
        return cache.get(key(b, vb, str(count))) is not None

    return answers


SUBJECTS: dict[str, Callable[[], Answers]] = {
    f"routekit (bound {LOCAL_BOUND}, guard)": ours,
    "cosine > 0.8 (GPTCache, LiteLLM)": lambda: cosine(0.8),
    "cosine > 0.9": lambda: cosine(0.9),
    "cosine > 0.95": lambda: cosine(0.95),
}


def report(name: str) -> tuple[float, float]:
    rows = [json.loads(line) for line in (PAIRS / name).read_text().splitlines()]
    embedder = sentence_embedder()
    first, second = embedder.embed([row["a"] for row in rows])[0], embedder.embed([row["b"] for row in rows])[0]
    kinds = sorted({row["kind"] for row in rows if not row["same"]})
    same = sum(row["same"] for row in rows)
    different = len(rows) - same
    table = Table(
        "subject", f"hits of {same}", f"false of {different}", "false, 95 % upper", *kinds,
        title=f"{name}: false hits by kind", title_justify="left",
    )  # fmt: skip
    found = (0.0, 1.0)
    for subject, make in SUBJECTS.items():
        answers = make()
        hits = 0
        wrong: Counter[str] = Counter()
        for row, va, vb in zip(rows, first, second, strict=True):
            if answers(row["a"], row["b"], va, vb):
                hits += row["same"]
                wrong[row["kind"]] += not row["same"]
        total = sum(wrong.values())
        at_most = upper_bound(total, different)
        if make is ours:
            found = hits / same, at_most
        sizes = Counter(row["kind"] for row in rows)
        table.add_row(
            subject, f"{hits / same:.1%}", f"{total / different:.2%}", f"{at_most:.2%}",
            *(f"{wrong[kind] / sizes[kind]:.0%}" for kind in kinds),
        )  # fmt: skip
    console.print(table)
    return found


def lookup_us() -> float:
    """The median lookup among `ENTRIES` entries of one setting, without the embedding, in microseconds of CPU."""
    rng = numpy.random.default_rng(1)
    embedder = sentence_embedder()
    cache = MeaningCache(bound=LOCAL_BOUND)
    for number in range(ENTRIES):
        cache.set(key(f"question number {number}", rng.normal(size=384).astype(numpy.float32), "s"), entry())
    questions = ["How do I reset my password?", "Where is my order from last week?", "What is 15% of 200?"]
    vectors = embedder.embed(questions)[0]
    for text, vector in zip(questions, vectors, strict=True):
        cache.set(key(text, vector, "s"), entry())
    took = []
    for number in range(300):
        text, vector = questions[number % 3], vectors[number % 3]
        began = time.process_time()
        cache.get(key(text.lower(), vector, "s"))
        took.append((time.process_time() - began) * 1e6)
    return statistics.median(took)


def main() -> None:
    report("calibration.jsonl")
    hits, at_most = report("heldout.jsonl")
    took = lookup_us()
    table = Table("goal", "met")
    for text, met in (
        (f"at most 1 % false hits at the 95 % upper bound ({at_most:.2%})", at_most <= 0.01),
        (f"at least 60 % of paraphrases answered ({hits:.1%})", hits >= 0.6),
        (f"a lookup among {ENTRIES:,} under 1 ms without the embedding ({took:.0f} µs of CPU)", took < 1000),
    ):
        table.add_row(text, "yes" if met else "NO")
    console.print(table)


if __name__ == "__main__":
    main()
