"""How good a router is: the figures that papers compare, computed from a whole table of scores and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRICES = 120
"""How many exchange rates of quality against money a curve is drawn from."""


class Curve(NamedTuple):
    """Points of a router that can be dialled: mean cost in US dollars a request, mean score. Ascending in both."""

    costs: NDArray[Any]
    scores: NDArray[Any]

    def at(self, cost: float) -> float:
        """The score at a cost, between points the mix of both; before the first point its own score."""
        import numpy as np

        return float(np.interp(cost, self.costs, self.scores))

    def cost_of(self, score: float) -> float | None:
        """The least cost at which a score is reached; None: never."""
        import numpy as np

        if score > self.scores[-1] + 1e-12:
            return None
        return float(np.interp(score, self.scores, self.costs))


def frontier(costs: NDArray[Any], scores: NDArray[Any]) -> Curve:
    """The non-decreasing concave hull of points: what mixing them by chance reaches (RouterBench, section 3)."""
    import numpy as np

    kept: list[tuple[float, float]] = []
    for place in np.lexsort((-scores, costs)):
        point = (float(costs[place]), float(scores[place]))
        if kept and point[1] <= kept[-1][1]:
            continue
        while len(kept) >= 2 and _below(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return Curve(np.array([p[0] for p in kept]), np.array([p[1] for p in kept]))


def _below(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    return (middle[1] - first[1]) * (last[0] - first[0]) <= (last[1] - first[1]) * (middle[0] - first[0])


def area(curve: Curve, low: float, high: float) -> float:
    """The mean score over costs from `low` to `high`: average improvement in quality, AIQ (RouterBench)."""
    import numpy as np

    if high <= low:
        return float(curve.scores[-1])
    inside = (curve.costs > low) & (curve.costs < high)
    x = np.concatenate([[low], curve.costs[inside], [high]])
    y = np.interp(x, curve.costs, curve.scores)
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (high - low))


def choices(predicted: NDArray[Any], mean_costs: NDArray[Any]) -> NDArray[Any]:
    """Which model (rows, prices) has the most predicted score less cost, at each of `PRICES` exchange rates.

    `mean_costs` are what a request is expected to take of each model; the row's own cost would be known too late.
    """
    import numpy as np

    dearest = float(mean_costs.max()) or 1.0
    rates = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, PRICES - 1)]) / dearest
    picked = np.empty((len(predicted), len(rates)), dtype=np.int64)
    for place, rate in enumerate(rates):
        picked[:, place] = (predicted - rate * mean_costs).argmax(axis=1)
    return picked


class Utility(NamedTuple):
    """What choices brought, row by row: `scores` and `costs` (rows, prices), and the models' own (rows, models)."""

    scores: NDArray[Any]
    costs: NDArray[Any]
    model_scores: NDArray[Any]
    model_costs: NDArray[Any]

    def gains(self, weights: NDArray[Any]) -> NDArray[Any]:
        """AIQ above that of the zero router, for each row of `weights` (samples, rows): bootstrap samples."""
        import numpy as np

        total = weights.sum(axis=1, keepdims=True)
        tables = [weights @ table / total for table in self]
        found = np.empty(len(weights))
        for place, (scores, costs, model_scores, model_costs) in enumerate(zip(*tables, strict=True)):
            low, high = float(model_costs.min()), float(model_costs.max())
            zero = area(frontier(model_costs, model_scores), low, high)
            found[place] = area(frontier(costs, scores), low, high) - zero
        return found


def utility(predicted: NDArray[Any], scores: NDArray[Any], costs: NDArray[Any], mean_costs: NDArray[Any]) -> Utility:
    """The outcome of `choices`. `scores` and `costs` have no gaps."""
    import numpy as np

    picked = choices(predicted, mean_costs)
    return Utility(np.take_along_axis(scores, picked, axis=1), np.take_along_axis(costs, picked, axis=1), scores, costs)


def router_curve(predicted: NDArray[Any], scores: NDArray[Any], costs: NDArray[Any], mean: NDArray[Any]) -> Curve:
    """Cost against quality of a router that is dialled through all exchange rates."""
    found = utility(predicted, scores, costs, mean)
    return frontier(found.costs.mean(axis=0), found.scores.mean(axis=0))


def zero_router(scores: NDArray[Any], costs: NDArray[Any]) -> Curve:
    """The best mix of static choices, the one that asks nothing about the prompt (RouterBench)."""
    return frontier(costs.mean(axis=0), scores.mean(axis=0))


def apgr(advantage: NDArray[Any], weak: NDArray[Any], strong: NDArray[Any]) -> float | None:
    """Average performance gap recovered (RouteLLM): .5 is a coin, 1 is the dearer model's mean at once.

    `advantage` orders the rows; the highest go to the strong model first. None where the strong one is not better.
    """
    import numpy as np

    gap = strong - weak
    if gap.sum() <= 0:
        return None
    order = np.argsort(-advantage, kind="stable")
    share = np.concatenate([[0.0], np.cumsum(gap[order]) / gap.sum()])
    return float(((share[1:] + share[:-1]) / 2).mean())


def calibration_error(predicted: NDArray[Any], scores: NDArray[Any], bins: int = 10) -> float:
    """Expected calibration error over bins of equal width, of all pairs that have a score."""
    total, n = 0.0, 0
    for low, count, mean_predicted, mean_score in reliability(predicted, scores, bins):
        del low
        total += count * abs(mean_predicted - mean_score)
        n += count
    return total / n if n else 0.0


def reliability(predicted: NDArray[Any], scores: NDArray[Any], bins: int = 10) -> list[tuple[float, int, float, float]]:
    """Per bin: its lower bound, how many pairs, their mean prediction and mean score. Empty bins are left out."""
    import numpy as np

    seen = ~np.isnan(scores)
    p, s = predicted[seen], scores[seen]
    places = np.minimum((p * bins).astype(int), bins - 1)
    found = []
    for place in range(bins):
        inside = places == place
        count = int(inside.sum())
        if count:
            found.append((place / bins, count, float(p[inside].mean()), float(s[inside].mean())))
    return found


def brier(predicted: NDArray[Any], scores: NDArray[Any]) -> float:
    """Mean squared error of all pairs that have a score."""
    import numpy as np

    return float(np.nanmean((predicted - scores) ** 2))
