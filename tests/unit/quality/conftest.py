"""Rows with a pattern that can be learned: code is hard for the small model, poems are not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

numpy = pytest.importorskip("numpy")

_CODE = (
    "write a function that returns",
    "def solve(x): return",
    "sort the list of tuples",
    "implement a python class for",
)
_POEM = (
    "write a verse about",
    "who wrote the song of",
    "tell me a story of",
    "name the author of a poem on",
)
_THINGS = [
    "rivers",
    "stones",
    "winter",
    "ships",
    "lamps",
    "wolves",
    "bread",
    "gardens",
    "letters",
    "glass",
    "iron",
    "rain",
]


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    found = []
    for number in range(count):
        code = rng.random() < 0.5
        start = rng.choice(_CODE if code else _POEM)
        prompt = f"{start} {rng.choice(_THINGS)} and {rng.choice(_THINGS)}, number {number}"
        small = rng.random() < (0.15 if code else 0.9)
        large = rng.random() < 0.92
        found.append({
            "prompt": prompt, "task": "code" if code else "poem",
            "scores": {"small": float(small), "large": float(large)}, "cost": {"small": 0.001, "large": 0.02},
        })  # fmt: skip
    return found


def bag(texts: Sequence[str]) -> Any:
    """An embedder without a model: which of a few words stand in a text."""
    words = [*_THINGS, "function", "def", "sort", "class", "verse", "song", "story", "author"]
    return numpy.array([[float(word in text) for word in words] for text in texts]) + 1e-3


@pytest.fixture(scope="session")
def fitted() -> Any:
    from routekit.quality import QualityModel

    return QualityModel.fit(rows(300), embedder=bag)
