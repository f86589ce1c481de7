"""How similar is similar enough: from labelled pairs for all, or for each entry from what became of its hits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

CONFIDENCE = 0.95


class Point(NamedTuple):
    """What a bound would do: shares of same and of different pairs that are answered."""

    bound: float
    hits: float
    false_hits: float
    false_at_most: float
    wrong: int


def upper_bound(wrong: int, total: int, confidence: float = CONFIDENCE) -> float:
    """The share that is not exceeded with that confidence, one-sided (Clopper and Pearson, 1934).

    >>> round(upper_bound(0, 299), 4), round(upper_bound(3, 1000), 4), upper_bound(0, 0)
    (0.01, 0.0077, 1.0)
    """
    if total == 0 or wrong >= total:
        return 1.0
    low, high = wrong / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(wrong, total, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def curve(pairs: Iterable[tuple[float, bool, bool]], step: float = 0.005) -> list[Point]:
    """What each bound from 0.5 to 1 would do; a pair is (similarity, passes the guard, is the same)."""
    rows = list(pairs)
    same, different = sum(row[2] for row in rows), sum(not row[2] for row in rows)
    found = []
    for place in range(round(0.5 / step) + 1):
        bound = round(0.5 + place * step, 4)
        hits = sum(row[2] and row[1] and row[0] >= bound for row in rows)
        wrong = sum(not row[2] and row[1] and row[0] >= bound for row in rows)
        found.append(
            Point(bound, hits / same if same else 0.0, wrong / different if different else 0.0,
                  upper_bound(wrong, different), wrong)
        )  # fmt: skip
    return found


def lowest_bound(points: Sequence[Point], max_false_hits: float) -> Point | None:
    """The lowest bound from which on no bound's false hits exceed the budget with confidence; None: there is none."""
    found = None
    for point in reversed(points):
        if point.false_at_most > max_false_hits:
            break
        found = point
    return found


def exploration(observed: Sequence[tuple[float, bool]], similarity: float, max_error: float) -> float:
    """With what probability an entry's answer should be checked rather than given, so that it is wrong at most
    that often.

    `observed` are earlier (similarity, was right) of this entry. Given a logistic curve of being right over similarity,
    all curves that the observations do not rule out are looked at, and the worst counts (after vCache, Schroeder et
    al. 2025; the region is that of the likelihood ratio).
    """
    if not observed:
        return 1.0
    import numpy

    middles, slopes = (part.ravel() for part in numpy.meshgrid(_MIDDLES, _SLOPES, indexing="ij"))
    at = numpy.array([s for s, _ in observed])
    was_right = numpy.array([right for _, right in observed])
    chances = _right(at, middles[:, None], slopes[:, None])
    happened = numpy.where(was_right, chances, 1 - chances)
    likelihoods = numpy.log(numpy.maximum(happened, 1e-12)).sum(axis=1)
    short = likelihoods.max() - likelihoods
    now = _right(similarity, middles, slopes)
    found = 1.0
    for epsilon, quantile in _QUANTILES:
        surely = (1 - epsilon) * float(now[short <= quantile / 2].min())
        found = min(found, 1.0 if surely >= 1 else max(0.0, 1 - max_error / (1 - surely)))
    return found


_MIDDLES = [0.4 + 0.02 * place for place in range(31)]
_SLOPES = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
_QUANTILES = ((0.001, 10.83), (0.005, 7.88), (0.01, 6.63), (0.05, 3.84))
"""Of chi squared with one degree of freedom: what the log-likelihood may fall short, twice."""


def _right(similarity: Any, middle: Any, slope: Any) -> Any:
    """The logistic curve's value at a similarity, or at many, for curves side by side."""
    import numpy

    return 1 / (1 + numpy.exp(numpy.clip(-slope * (similarity - middle), -60, 60)))


def _at_most(wrong: int, total: int, share: float) -> float:
    """The chance of at most so many among `total`."""
    if share <= 0:
        return 1.0
    return sum(
        math.exp(
            math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
            + k * math.log(share) + (total - k) * math.log1p(-share)
        )
        for k in range(wrong + 1)
    )  # fmt: skip
