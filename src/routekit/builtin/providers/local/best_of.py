"""Choosing among several answers of one model: more computing at the time of the question, same weights.

``logprob`` takes the answer that the model itself finds most likely per token. ``majority`` takes the
one that most of the others agree with (self-consistency, Wang et al. 2022); where all differ, the one
that shares most words with the others (minimum Bayes risk decoding with token F1).
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Select = Literal["logprob", "majority"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))


@dataclass(slots=True)
class Sample:
    """One answer as it was generated. `logprobs` are the tokens' entries in OpenAI's form."""

    text: str = ""
    finish_reason: str | None = None
    logprobs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def mean_logprob(self) -> float:
        values = [float(entry["logprob"]) for entry in self.logprobs]
        return sum(values) / len(values) if values else float("-inf")


def normalised(text: str) -> str:
    """What two equal answers have in common: the JSON value, or the words (as SQuAD compares them).

    >>> normalised('{"b": 1, "a": 2}') == normalised('{"a":2,"b":1}')
    True
    >>> normalised("The Nile.")
    'nile'
    """
    stripped = text.strip()
    if stripped.startswith(("{", "[")):
        try:
            return json.dumps(json.loads(stripped), sort_keys=True)
        except ValueError:
            pass
    return " ".join(_ARTICLES.sub(" ", stripped.casefold().translate(_PUNCTUATION)).split())


def choose(samples: Sequence[Sample], select: Select) -> Sample:
    """The best sample. Complete ones go before those that were cut off; ties go to the earlier one."""
    complete = [sample for sample in samples if sample.finish_reason == "stop" and sample.text.strip()]
    pool = complete or list(samples)
    if select == "logprob":
        return max(pool, key=lambda sample: sample.mean_logprob)
    values = [normalised(sample.text) for sample in pool]
    counts = Counter(values)

    def score(place: int) -> tuple[int, float, float]:
        agreement = sum(_overlap(values[place], other) for n, other in enumerate(values) if n != place)
        return counts[values[place]], agreement, pool[place].mean_logprob

    return pool[max(range(len(pool)), key=score)]


def _overlap(one: str, other: str) -> float:
    """Token F1: 1 for the same words, 0 for none in common."""
    left, right = Counter(one.split()), Counter(other.split())
    common = sum((left & right).values())
    return 2 * common / (left.total() + right.total()) if common else 0.0
