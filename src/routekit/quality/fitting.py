"""Fitting: three learners in closed form, a stack, trust and a gate. Deterministic; no row is predicted from itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from routekit.errors import InvalidInputError
from routekit.quality.embedders import Embedder
from routekit.quality.evaluate import brier, calibration_error, utility
from routekit.quality.features import LANDMARKS, NEAREST, Looks, Scale, in_blocks, looks, near, whitening
from routekit.quality.predictor import Predictor
from routekit.quality.ridge import Fitted, ridge
from routekit.quality.rows import MINIMUM, LabelledRows, merged
from routekit.quality.stack import rotation, weigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

GATES = (1.0, 0.75, 0.5, 0.25)
"""Shares of what was learned that may be applied; none of them where none is sure to gain."""

SAMPLES = 60
"""Bootstrap samples behind the gate."""

GATE_ROWS = 4_000
"""At most so many rows decide about the gate: its interval is narrow enough by then."""

CLUSTERS = 8
"""Groups that stand in for tasks where rows name none."""

PRIOR_ROWS = 4.0
"""A model's mean is drawn to the mean of all as if so many rows had said so."""

_Advance = Callable[[int], None]


def fit(
    rows: LabelledRows, embedder: Embedder, seed: int, advance: _Advance | None = None
) -> tuple[Predictor, dict[str, Any]]:
    """The predictor of rows, and the report about it: plain data.

    Raises:
        InvalidInputError: fewer than `MINIMUM` distinct prompts.
    """
    import numpy as np

    given = len(rows)
    rows = merged(rows)
    n = len(rows)
    if n < MINIMUM:
        raise InvalidInputError(f"{n} distinct prompts have scores; at least {MINIMUM} are needed, 200 are useful")
    rng = np.random.default_rng(seed)
    seen = looks(rows.prompts, embedder, advance)
    scale = Scale.of(seen)
    means, residuals = _residuals(rows.scores)
    turn = rotation(residuals)
    targets = residuals @ turn
    chosen = np.arange(n) if n <= LANDMARKS else np.sort(rng.choice(n, LANDMARKS, replace=False))
    standard = scale.standard(seen.surfaces)
    points = scale.points(seen.vectors, standard)
    landmarks = points[chosen].astype(np.float16).astype(np.float32)
    width = _width(landmarks)
    weights: list[NDArray[Any]] = []
    held: list[NDArray[Any]] = []
    for found in (
        _surface(standard, targets),
        _near(points, landmarks, width, targets),
        _words(seen, scale, chosen, targets),
    ):
        weights.append(found.weights)
        held.append(found.left_out)
    shares = weigh(held, targets)
    directions = sum((share * left for share, left in zip(shares, held, strict=True)), np.zeros_like(targets))
    tasks, names = _tasks(rows.tasks, targets - directions)
    low, high = _trust(points, landmarks, width, chosen, _groups(rows, points, rng))
    learned = directions @ turn.T
    costs = _filled_costs(rows, means)
    gate, gain = _gate(means, learned, rows.scores, costs, rng)
    predictor = Predictor(
        scale=scale, means=means, rotation=turn, surface=(weights[0] * shares[0]).astype(np.float32),
        landmarks=landmarks, width=width, near=(weights[1] * shares[1]).astype(np.float32),
        words=(weights[2] * shares[2]).astype(np.float16).astype(np.float32), gate=gate, trust_from=low, trust_to=high,
        tasks=tasks, task_names=names,
        squares=(landmarks * landmarks).sum(axis=1),
    )  # fmt: skip
    held_out = np.clip(means + gate * learned, 0, 1)
    static = brier(np.broadcast_to(means, rows.scores.shape), rows.scores)
    report = {
        "rows": given, "distinct": n, "models": list(rows.models), "tasks": len(names),
        "observed": round(float((~np.isnan(rows.scores)).mean()), 4), "has_costs": rows.has_costs, "gate": gate,
        "aiq_gain": gain, "means": _named(rows.models, means), "mean_costs": _named(rows.models, costs.mean(axis=0)),
        "brier": round(brier(held_out, rows.scores), 5), "brier_static": round(static, 5),
        "brier_gain": round(1 - brier(held_out, rows.scores) / static, 4) if static > 0 else 0.0,
        "ece": {
            name: round(calibration_error(held_out[:, [m]], rows.scores[:, [m]]), 4)
            for m, name in enumerate(rows.models)
        },
        "stack": {
            name: round(float(share.mean()), 3)
            for name, share in zip(("surface", "neighbours", "words"), shares, strict=True)
        },
        "trust": [round(low, 4), round(high, 4)],
    }  # fmt: skip
    return predictor, report


def _named(models: tuple[str, ...], values: NDArray[Any]) -> dict[str, float]:
    return {name: round(float(value), 8) for name, value in zip(models, values, strict=True)}


def _residuals(scores: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The models' shrunk means, and what rows differ from them. A missing score is put at its row's own, shrunk."""
    import numpy as np

    seen = ~np.isnan(scores)
    filled = np.where(seen, scores, 0.0)
    overall = filled.sum() / seen.sum()
    means = (filled.sum(axis=0) + PRIOR_ROWS * overall) / (seen.sum(axis=0) + PRIOR_ROWS)
    known = np.where(seen, scores - means, 0.0)
    count = seen.sum(axis=1, keepdims=True)
    own = known.sum(axis=1, keepdims=True) / (count + 2)
    return means, np.where(seen, known, own)


def _width(landmarks: NDArray[Any]) -> float:
    """Twice the median squared distance between landmarks."""
    import numpy as np

    some = landmarks[:400].astype(np.float64)
    squares = (some * some).sum(axis=1)
    distances = squares[:, None] + squares - 2 * some @ some.T
    return 2 * max(float(np.median(distances[np.triu_indices(len(some), 1)])), 1e-6)


def _surface(standard: NDArray[Any], targets: NDArray[Any]) -> Fitted:
    import numpy as np

    with_constant = np.concatenate([standard.astype(np.float64), np.ones((len(standard), 1))], axis=1)
    return ridge(in_blocks(len(standard), lambda places: with_constant[places]), targets)


def _near(points: NDArray[Any], landmarks: NDArray[Any], width: float, targets: NDArray[Any]) -> Fitted:
    import numpy as np

    own = landmarks.astype(np.float64)
    white = whitening(near(own, own, width))
    exact = len(points) == len(landmarks)

    def features(places: slice) -> NDArray[Any]:
        block = own[places] if exact else points[places].astype(np.float64)
        spread: NDArray[Any] = near(block, own, width) @ white
        return spread

    found = ridge(in_blocks(len(points), features), targets)
    return Fitted(white @ found.weights, found.left_out)


def _words(seen: Looks, scale: Scale, chosen: NDArray[Any], targets: NDArray[Any]) -> Fitted:
    """The linear kernel of tf-idf in the span of the landmarks; its weights are those of single buckets."""
    import numpy as np

    buckets = np.unique(np.concatenate([seen.words[i][0] for i in chosen]))
    place_of = np.full(len(scale.rarity), -1, dtype=np.int64)
    place_of[buckets] = np.arange(len(buckets))
    table = np.zeros((len(buckets), len(chosen)), dtype=np.float32)
    for column, row in enumerate(chosen):
        places, counts = seen.words[row]
        table[place_of[places], column] = scale.weights(places, counts)

    def kernel(rows: Any) -> NDArray[Any]:
        out = np.zeros((len(rows), len(chosen)))
        for at, row in enumerate(rows):
            places, counts = seen.words[row]
            known = place_of[places] >= 0
            if known.any():
                out[at] = scale.weights(places, counts)[known] @ table[place_of[places[known]]]
        return out

    white = whitening(kernel(chosen) + 1e-4 * np.eye(len(chosen)))
    fitted = ridge(in_blocks(len(seen), lambda places: kernel(range(places.start, places.stop)) @ white), targets)
    weights = np.zeros((len(scale.rarity), targets.shape[1]))
    weights[buckets] = table @ (white @ fitted.weights).astype(np.float32)
    return Fitted(weights, fitted.left_out)


def _tasks(tasks: tuple[str | None, ...], left: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """What each named task adds to what the prompt already said: a mean of what is left, shrunk by its own noise."""
    import numpy as np

    names = tuple(sorted({task for task in tasks if task is not None}))
    found = np.zeros((len(names), left.shape[1]), dtype=np.float32)
    for place, name in enumerate(names):
        own = left[[at for at, task in enumerate(tasks) if task == name]]
        if len(own) >= 5:
            mean, noise = own.mean(axis=0), own.var(axis=0) / len(own)
            found[place] = mean * np.maximum(0.0, 1 - noise / np.maximum(mean**2, 1e-12))  # James & Stein 1961
    return found, names


def _groups(rows: LabelledRows, points: NDArray[Any], rng: Any) -> NDArray[Any]:
    """Which rows belong together: by task where rows have one, else by nearness."""
    import numpy as np

    names = sorted({task for task in rows.tasks if task is not None})
    if len(names) > 1:
        place = {name: k for k, name in enumerate(names)}
        return np.array([place.get(task, len(names)) if task is not None else len(names) for task in rows.tasks])
    centres = points[rng.choice(len(points), min(CLUSTERS, len(points) // 4), replace=False)]
    nearest = np.zeros(len(points), dtype=int)
    for _ in range(8):
        nearest = (2 * points @ centres.T - (centres * centres).sum(axis=1)).argmax(axis=1)
        centres = np.stack(
            [points[nearest == k].mean(axis=0) if (nearest == k).any() else c for k, c in enumerate(centres)]
        )
    return nearest


def _trust(
    points: NDArray[Any], landmarks: NDArray[Any], width: float, chosen: NDArray[Any], groups: NDArray[Any]
) -> tuple[float, float]:
    """The similarities between which a prompt is believed: from that of a group never seen to that of most rows."""
    import numpy as np

    place = np.linspace(0, len(points) - 1, min(len(points), 1_000)).astype(int)
    kernel = near(points[place], landmarks, width)
    kernel[place[:, None] == chosen] = 0.0
    high = float(np.quantile(_nearest(kernel), 0.1))
    kernel[groups[place][:, None] == groups[chosen]] = 0.0
    low = min(float(np.median(_nearest(kernel))), high - 0.05)
    return low, high


def _nearest(kernel: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    mean: NDArray[Any] = np.partition(kernel, -NEAREST, axis=1)[:, -NEAREST:].mean(axis=1)
    return mean


def _filled_costs(rows: LabelledRows, means: NDArray[Any]) -> NDArray[Any]:
    """Costs without gaps: a model's mean where one is missing; where none is known, better ones cost twice as much."""
    import numpy as np

    if not rows.has_costs:
        rank = np.argsort(np.argsort(means, kind="stable"), kind="stable")
        return np.broadcast_to(2.0**rank, rows.scores.shape)
    return np.where(np.isnan(rows.costs), np.nanmean(rows.costs, axis=0), rows.costs)


def _gate(
    means: NDArray[Any], learned: NDArray[Any], scores: NDArray[Any], costs: NDArray[Any], rng: Any
) -> tuple[float, list[float]]:
    """The share to apply, and its gain over the zero router on held-out predictions: 10 %, 50 % and 90 % quantile.

    A share passes where its gain is not negative at the 10 % quantile; the best median wins; 0 is the zero router.
    """
    import numpy as np

    some = np.sort(rng.permutation(len(scores))[:GATE_ROWS])
    scores, costs, learned = scores[some], costs[some], learned[some]
    filled = np.where(np.isnan(scores), np.clip(means + learned, 0, 1), scores)
    weights = rng.multinomial(len(some), np.full(len(some), 1 / len(some)), size=SAMPLES).astype(float)
    best, gain = 0.0, [0.0, 0.0, 0.0]
    for share in GATES:
        found = utility(np.clip(means + share * learned, 0, 1), filled, costs, costs.mean(axis=0)).gains(weights)
        quantiles = [round(float(q), 5) for q in np.quantile(found, [0.1, 0.5, 0.9])]
        if quantiles[0] >= 0 and quantiles[1] > gain[1]:
            best, gain = share, quantiles
    return best, gain
