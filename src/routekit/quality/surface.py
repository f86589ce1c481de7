"""What a prompt looks like: 32 numbers that need no model, and its words in hashed buckets, from one pass over it.

Length and form alone already rank prompts by difficulty. Hashes are the same in every process and on every machine.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNT = 32
"""How many numbers describe the surface."""

BITS = 15
"""Words and pairs of words fall into ``2 ** BITS`` buckets."""

HEAD, TAIL = 6_000, 2_000
"""Of a longer text its first and last characters are looked at: a bound of the time that a prompt takes."""

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+|_{2,}|[^\w\s]")
_OPTION = re.compile(r"\n\s*\(?[A-P][.):] +([^\n]*)")
_MIX = 0x9E3779B97F4A7C15  # 2**64 / the golden ratio (Knuth): spreads what CRC-32, which is linear, leaves together

_CLASSES = (
    "not except never least false incorrect without cannot no none",
    "if when then suppose assume given each every let",
    "many much long far old calculate compute total find number sum average percent",
    "why explain because best likely reason infer according conclude most should",
    "who where which country city name year called known whose",
    "def class return import assert function python code program print list array string",
)
_CLASS = {word: place for place, words in enumerate(_CLASSES) for word in words.split()}
_MATHS = "=+*/^<>∑∫√≤≥×÷±∞π"


class Surface(NamedTuple):
    """`numbers` are `COUNT` finite features, `buckets` ascending places of words and pairs, `counts` how often each
    stands there, as ``1 + log(n)`` (sublinear term frequency)."""

    numbers: list[float]
    buckets: NDArray[Any]
    counts: NDArray[Any]


def bounded(text: str) -> str:
    """The part of a text that is looked at."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


def surface(text: str) -> Surface:
    """How a text looks, and its words. Pure; time grows with the length up to `HEAD` + `TAIL` characters."""
    tokens = _TOKEN.findall(text)
    lowered = text.lower()
    lower = _TOKEN.findall(lowered) if len(lowered) != len(text) else [token.lower() for token in tokens]
    return Surface(_numbers(text, tokens, lower), *_buckets(lower))


def _numbers(text: str, tokens: list[str], lower: list[str]) -> list[float]:
    log, count = math.log1p, text.count
    size = len(text)
    words = [token for token in tokens if token[0].isalpha()]
    numbers = [token for token in tokens if token[0].isdigit()]
    lengths = [len(word) for word in words]
    n, letters = len(words) or 1, sum(lengths)
    classes = [0] * len(_CLASSES)
    for token in lower:
        place = _CLASS.get(token)
        if place is not None:
            classes[place] += 1
    options = _OPTION.findall(text)
    choices = len(options) or 1
    digits = sum(map(len, numbers))
    first = _OPTION.search(text) if options else None
    sentences = count(". ") + count("? ") + count("! ") + 1
    return [
        log(size),
        log(len(words)),
        log(count("\n")),
        log(first.start() if first else size),
        letters / n,
        sum(1 for length in lengths if length >= 9) / n,
        min(max(lengths, default=0), 40) / 10,
        len(set(lower)) / (len(lower) or 1),
        log(len(words) / sentences),
        log(len(numbers)),
        10 * digits / (size + 20),
        min(max(map(len, numbers), default=0), 12) / 4,
        sum(1 for word in words if word[0].isupper()) / n,
        sum(1 for word in words if len(word) > 1 and word.isupper()) / n,
        log(sum(map(count, _MATHS))),
        log(count("\\") + count("$")),
        log(count("(")),
        log(count(",")) - log(len(words)) / 2,
        log(count('"') + count("'")),
        float(not text.isascii()),
        log(count("{") + count(";") + count("```") + count("    ")),
        log(count("__")),
        log(count("?")),
        *map(log, classes),
        len(options) / 4,
        log(sum(map(len, options)) / choices),
        sum(1 for option in options if option[:12].strip("$-. ")[:1].isdigit()) / choices,
    ]


def _buckets(lower: list[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    import numpy as np

    crc = zlib.crc32
    hashes = np.array([crc(token.encode("utf-8", "surrogatepass")) for token in lower], dtype=np.uint64)
    if not hashes.size:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    pairs = (hashes[:-1] * np.uint64(3) + np.uint64(1)) ^ (hashes[1:] << np.uint64(7))
    mixed = (np.concatenate([hashes, pairs]) * np.uint64(_MIX)) >> np.uint64(64 - BITS)
    mixed.sort()
    places = np.flatnonzero(np.concatenate([[True], mixed[1:] != mixed[:-1]]))
    counts = np.diff(np.append(places, mixed.size))
    return mixed[places].astype(np.int64), (1.0 + np.log(counts)).astype(np.float32)
