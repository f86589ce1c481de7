"""Pure: what detectors found in a text, and which of it counts where findings overlap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """A finding: from `start` to `end`, in code points; `score` (0..1) says how sure it is."""

    start: int
    end: int
    kind: str
    score: float = 1.0


def apart(spans: Iterable[Span]) -> list[Span]:
    """Those that stay where several overlap: the surest, then the longest; in the order of the text.

    >>> apart([Span(0, 4, "PHONE", 0.6), Span(2, 9, "IBAN"), Span(9, 12, "IP")])
    [Span(start=2, end=9, kind='IBAN', score=1.0), Span(start=9, end=12, kind='IP', score=1.0)]
    """
    found = sorted(spans)
    kept: list[Span] = []
    for span in found:
        while kept and span.start < kept[-1].end:
            last = kept[-1]
            if (span.score, span.end - span.start) <= (last.score, last.end - last.start):
                break
            kept.pop()
        else:
            kept.append(span)
    return kept


def cut(text: str, spans: Iterable[Span], names: Iterable[str]) -> str:
    """The text with a name in the place of each span; the spans do not overlap and are in order."""
    pieces: list[str] = []
    done = 0
    for span, name in zip(spans, names, strict=True):
        pieces += (text[done : span.start], name)
        done = span.end
    pieces.append(text[done:])
    return "".join(pieces)
