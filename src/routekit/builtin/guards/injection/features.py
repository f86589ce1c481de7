"""Pure: a text as the numbers of its features, and the windows that a long one is read in."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterator

SIZE = 1 << 16
WINDOW, STEP = 400, 300
"""Characters: an order in a long text must not be drowned by what stands around it."""

_WORD = re.compile(r"[^\W\d_]+|[<>\[\]|#!:]+")
_MOST_WORDS = 120


def windows(text: str) -> Iterator[str]:
    """The text in overlapping windows."""
    if len(text) <= WINDOW:
        yield text
        return
    for start in range(0, len(text) - (WINDOW - STEP), STEP):
        yield text[start : start + WINDOW]


def features(text: str) -> set[int]:
    """The hashed features of a text in lower case: words, pairs, pairs with a gap, beginnings of words."""
    words = _WORD.findall(text)[:_MOST_WORDS]
    names: set[str] = set(words)
    names.update([f"{word[:5]}~" for word in words if len(word) > 5])
    names.update(map(" ".join, itertools.pairwise(words)))
    names.update(map("  ".join, zip(words, words[2:], strict=False)))
    crc = zlib.crc32
    return {crc(name.encode("utf-8", "surrogatepass")) & (SIZE - 1) for name in names}
