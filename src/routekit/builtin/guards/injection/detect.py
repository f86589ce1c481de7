"""Pure: how much a text looks like an order that its reader must not obey."""

from __future__ import annotations

import re

from routekit.builtin.guards.injection.model import model_score
from routekit.builtin.guards.injection.rules import rule_score
from routekit.builtin.guards.injection.undisguise import readings
from routekit.builtin.guards.spans import Span

LIMITS = {"user": 0.55, "tool": 0.90}
"""What the model says of 1 in 100 ordinary texts, or of fewer, by where they stand; measured on the training sets' odd
rows by a model of the even ones (benchmarks/guards_train.py). Texts of tools are full of orders to people."""

_MOST_READINGS = 12
_PIECE = re.compile(r"[^.!?\n]{1,400}[.!?\n]*\s*")


def injection_score(text: str, channel: str = "user") -> float:
    """0..1; 0.5 and more is what at most 1 in 100 ordinary texts get."""
    best = 0.0
    limit = LIMITS.get(channel, LIMITS["tool"])
    for count, reading in enumerate(readings(text)):
        if count >= _MOST_READINGS:
            break
        best = max(best, rule_score(reading))
        if best >= 0.99:
            break
        if count == 0:
            score = model_score(reading)
            best = max(best, score / (2 * limit) if score < limit else 0.5 + (score - limit) / (2 * (1 - limit)))
    return best


def passages(text: str, channel: str, threshold: float) -> list[Span]:
    """The sentences of a text that make it suspicious; the whole text where no single one does."""
    found: list[Span] = []
    for piece in _PIECE.finditer(text):
        score = injection_score(piece.group(), channel)
        if score >= threshold:
            found.append(Span(*piece.span(), "PROMPT_INJECTION", score))
    rest = "".join(text[a:b] for a, b in _between(found, len(text)))
    if not found or injection_score(rest, channel) >= threshold:
        return [Span(0, len(text), "PROMPT_INJECTION", 1.0)]
    return found


def _between(spans: list[Span], size: int) -> list[tuple[int, int]]:
    starts = [0, *(span.end for span in spans)]
    ends = [*(span.start for span in spans), size]
    return list(zip(starts, ends, strict=True))
