"""Which parts of a long text or JSON document to keep: errors first, then what the question is about, then figures.

Extractive selection by overlap of words weighted by their rarity inside the text (Spärck Jones, 1972). Nothing is
rewritten: what is kept is kept word for word.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from routekit.builtin.compressors._json import Number, write_json

CHARACTERS_PER_TOKEN = 3.8
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}|[0-9](?:[0-9A-Za-z._:/-]*[0-9A-Za-z])?|[^\W\d_]{2,}")
_PARTS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}|\d+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])")
_ALARM = re.compile(
    r"\b(?:errors?|exception|traceback|fail(?:ed|ure|ures|s)?|fatal|panic|critical|denied|refused|timeout|timed out|"
    r"invalid|missing|not found|unable|cannot|abort(?:ed)?|rollback|warning|warn|alert|overdue|declined|rejected|"
    r"(?:http|status|code)\W{1,12}[45]\d\d)\b|[A-Za-z]+(?:Error|Exception)\b",
    re.IGNORECASE,
)
_STOP = frozenset(
    re.findall(
        r"\w+",
        "the and for are was were has have had not but you your our with from this that what which who whom how why "
        "when where can could would should will does did done into about there their they them then than its any all "
        "each every some more most much many few get got give show tell please let make made find out use one two "
        "also just only",
    )
)
ALARM_WEIGHT, EDGE_WEIGHT, FIGURE_WEIGHT = 50.0, 20.0, 0.5
RARE = 1.5
"""The weight of a word that stands in less than about a quarter of the parts."""

EDGES = 2
"""Lines at the beginning and at the end that stay: headers, totals, exit codes."""


class Wanted:
    """What to look for: the words of a question, and those of the call that was made for it."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.words = frozenset(word for text in texts for word in words(text))

    def score(self, found: Sequence[str], weights: dict[str, float], text: str) -> float:
        """How much a part is worth. `found` are its words, `weights` the rarity of each in the whole."""
        score = sum(weights.get(word, 0.0) for word in set(found) if word in self.words)
        if any(weights.get(word, 0.0) > RARE and any(map(str.isdigit, word)) for word in found):
            score += EDGE_WEIGHT + ALARM_WEIGHT  # the very number that was asked for
        if _ALARM.search(text):
            score += ALARM_WEIGHT
        if any(char.isdigit() for char in text):
            score += FIGURE_WEIGHT
        return score


def words(text: str) -> list[str]:
    """The words that carry meaning, in lower case, plurals cut; parts of identifiers, too.

    >>> words("What is the status of orders A-17 and userName?")
    ['is', 'statu', 'of', 'order', '17', 'username', 'user', 'name']
    """
    found: list[str] = []
    for word in _WORD.findall(text):
        lower = word.lower()
        if lower in _STOP:
            continue
        found.append(_stem(lower))
        parts = [] if word.islower() and "_" not in word else _PARTS.findall(word)
        if len(parts) > 1:
            found.extend(_stem(part.lower()) for part in parts)
    return found


def shortened_text(text: str, limit: int, wanted: Wanted) -> str:
    """At most about `limit` characters of the text: whole lines or sentences, whole blocks of code, in their order."""
    parts, glue = _parts(text)
    if len(parts) < 2:
        return text
    kept = _chosen(parts, limit, wanted)
    if len(kept) == len(parts):
        return text
    noun = "lines" if glue == "\n" else "sentences"
    said: list[str] = []
    gap = 0
    for place, part in enumerate(parts):
        if place in kept:
            if gap:
                said.append(f"[... {gap} {noun} left out ...]")
                gap = 0
            said.append(part)
        else:
            gap += part.count("\n") + 1 if glue == "\n" else 1
    if gap:
        said.append(f"[... {gap} {noun} left out ...]")
    return glue.join(said)


def shortened_json(value: Any, limit: int, wanted: Wanted) -> Any:
    """The value with the least wanted elements of its lists, and parts of its texts, left out; valid JSON still."""
    if _size(value) <= limit:
        return value
    if isinstance(value, list):
        return _shortened_list(value, limit, wanted)
    if isinstance(value, dict):
        rows = value.get("rows")
        if "columns" in value and isinstance(rows, list):
            others = sum(_size(inner) for key, inner in value.items() if key != "rows")
            return {**value, "rows": _shortened_list(rows, limit - others - 24, wanted)}
        return _shortened_object(value, limit, wanted)
    if isinstance(value, str) and not isinstance(value, Number):
        return shortened_text(value, limit, wanted)
    return value


def _shortened_list(items: list[Any], limit: int, wanted: Wanted) -> list[Any]:
    if len(items) == 1:
        return [shortened_json(items[0], limit - 2, wanted)]
    texts = [_values(item) for item in items]
    sizes = [_size(item) + 1 for item in items]
    scores = _scores(texts, wanted, edges=1)
    kept: dict[int, Any] = {}
    left = limit - 40
    for rank, place in enumerate(sorted(range(len(items)), key=lambda place: (-scores[place], place))):
        if sizes[place] <= left:
            kept[place] = items[place]
        elif rank < 3 and left > 80 and isinstance(items[place], (dict, list, str)):
            # Part of what is wanted most is worth more than all of what is wanted least.
            kept[place] = shortened_json(items[place], left - 2, wanted)
        else:
            continue
        left -= _size(kept[place]) + 1
    if len(kept) == len(items):
        return [kept[place] for place in range(len(items))]
    short: list[Any] = []
    gap = 0
    for place in range(len(items)):
        if place in kept:
            if gap:
                short.append(_left_out(gap))
                gap = 0
            short.append(kept[place])
        else:
            gap += 1
    if gap:
        short.append(_left_out(gap))
    return short


def _values(item: Any) -> str:
    """What an element says: of an object its values, for the keys are in all of them."""
    if isinstance(item, dict):
        return " ".join(_values(inner) for inner in item.values())
    if isinstance(item, list):
        return " ".join(map(_values, item))
    return str(item)


def _shortened_object(value: dict[str, Any], limit: int, wanted: Wanted) -> dict[str, Any]:
    """Small members stay as they are; the large ones share what is left by their size."""
    sizes = {key: _size(inner) for key, inner in value.items()}
    room = limit - sum(len(key) + 4 for key in value)
    left, large = room, dict(sizes)
    # What is smaller than an equal share stays whole, which makes the others' share larger.
    while large:
        share = left / len(large)
        small = [key for key, size in large.items() if size <= share]
        if not small:
            break
        for key in small:
            left -= large.pop(key)
    total = sum(large.values())
    short: dict[str, Any] = {}
    for key, inner in value.items():
        own = max(40, int(max(0, left) * sizes[key] / total)) if key in large else sizes[key]
        short[key] = shortened_json(inner, own, wanted)
    return short


def _scores(parts: Sequence[str], wanted: Wanted, *, edges: int) -> list[float]:
    """How much each part is worth."""
    found = [words(part) for part in parts]
    counts = Counter(word for each in found for word in set(each))
    weights = {word: math.log(1 + len(parts) / counts[word]) for word in wanted.words if word in counts}
    scores = [wanted.score(each, weights, part) for each, part in zip(found, parts, strict=True)]
    for place in {*range(min(edges, len(parts))), *range(max(0, len(parts) - edges), len(parts))}:
        scores[place] += EDGE_WEIGHT
    return scores


def _chosen(parts: Sequence[str], limit: int, wanted: Wanted) -> set[int]:
    """The places of the parts to keep, within `limit` characters."""
    scores = _scores(parts, wanted, edges=EDGES)
    kept: set[int] = set()
    used = 0
    # Of equals the earlier ones: the same text is always shortened the same way.
    for place in sorted(range(len(parts)), key=lambda place: (-scores[place], place)):
        if used + len(parts[place]) + 1 <= limit:
            kept.add(place)
            used += len(parts[place]) + 1
    return kept


def _parts(text: str) -> tuple[list[str], str]:
    """Lines, with blocks of code and tracebacks whole; or sentences, where lines are paragraphs."""
    lines = text.split("\n")
    if "```" not in text and len(text) > 240 * len(lines):
        return _SENTENCE.split(text), " "
    parts: list[str] = []
    block: list[str] | None = None
    for line in lines:
        if block is not None:
            block.append(line)
            if line.lstrip().startswith("```"):
                parts.append("\n".join(block))
                block = None
        elif line.lstrip().startswith("```"):
            block = [line]
        elif parts and line[:1] in (" ", "\t") and _holds(parts[-1]):
            parts[-1] = f"{parts[-1]}\n{line}"  # the body of a traceback, or what an error line goes on with
        else:
            parts.append(line)
    if block is not None:
        parts.append("\n".join(block))
    return parts, "\n"


def _holds(part: str) -> bool:
    return len(part) < 4000 and bool(_ALARM.search(part.split("\n", 1)[0]))


def _left_out(number: int) -> str:
    return f"... {number} left out"


def _size(value: Any) -> int:
    return len(write_json(value))


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
