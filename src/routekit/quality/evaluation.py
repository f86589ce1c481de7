"""A model against what needs no model, on rows that it was not fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routekit.errors import InvalidInputError
from routekit.quality.evaluate import (
    Curve,
    apgr,
    area,
    brier,
    calibration_error,
    reliability,
    router_curve,
    zero_router,
)
from routekit.quality.rows import LabelledRows, labelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from routekit.quality.model import QualityModel

_SAMPLES = 200


def evaluate_rows(model: QualityModel, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures as plain data; `curves` has the points of every router, `reliability` the bins of calibration.

    Routers: ``learned`` (the model), ``length`` (longer prompts to the dearer model), ``static`` (the mix of static
    choices that the fit's averages suggest), ``zero`` (the best mix, in hindsight on these rows), ``oracle`` (who knows
    every score). Rows where a model has no score are left out. Costs come from the rows; where there are none, from
    the fit; choices only ever see the fit's mean costs.

    Raises:
        InvalidInputError: no row has scores of all models of the file.
    """
    import numpy as np

    table = labelled(rows, models=model.models)
    given = len(table)
    whole = np.flatnonzero(~np.isnan(table.scores).any(axis=1))
    if not len(whole):
        raise InvalidInputError(
            f"no row has scores of all of {', '.join(model.models)}; the rows must be about the models of the file"
        )
    table = table.subset(whole)
    means = np.array([float(model.report["mean_costs"][name]) for name in model.models])
    if not model.report["has_costs"] and table.has_costs:  # the fit could only guess
        means = np.nanmean(table.costs, axis=0)
    costs = np.where(np.isnan(table.costs), means, table.costs)
    predicted = model.predict(table.prompts)
    static = np.broadcast_to([float(model.report["means"][name]) for name in model.models], predicted.shape)
    curves = {
        "learned": router_curve(predicted, table.scores, costs, means),
        "length": router_curve(_by_length(table, means, static), table.scores, costs, means),
        "static": router_curve(static, table.scores, costs, means),
        "zero": zero_router(table.scores, costs),
        "oracle": router_curve(table.scores, table.scores, costs, means),
    }
    low, high = float(costs.mean(axis=0).min()), float(costs.mean(axis=0).max())
    best = int(table.scores.mean(axis=0).argmax())
    best_score, best_cost = float(table.scores[:, best].mean()), float(costs[:, best].mean())
    weak, strong = int(means.argmin()), best
    return {
        "rows": len(table), "left_out": given - len(table), "models": list(model.models),
        "aiq": {name: round(area(curve, low, high), 5) for name, curve in curves.items()},
        "aiq_gain": _interval(predicted, static, table.scores, costs, means),
        "apgr": _rounded(
            apgr(predicted[:, strong] - predicted[:, weak], table.scores[:, weak], table.scores[:, strong])
            if strong != weak else None
        ),
        "apgr_models": [model.models[weak], model.models[strong]],
        "best_static": {"model": model.models[best], "score": round(best_score, 5), "cost_usd": best_cost},
        "cost_at_equal_quality": {
            name: _share(curve.cost_of(best_score), best_cost)
            for name, curve in curves.items()
        },
        "ece": round(calibration_error(predicted, table.scores), 5),
        "brier": round(brier(predicted, table.scores), 5),
        "brier_static": round(brier(static, table.scores), 5),
        "brier_gain": round(1 - brier(predicted, table.scores) / max(brier(static, table.scores), 1e-12), 5),
        "reliability": reliability(predicted, table.scores),
        "curves": {name: [curve.costs.tolist(), curve.scores.tolist()] for name, curve in curves.items()},
    }  # fmt: skip


def _share(cost: float | None, of: float) -> float | None:
    return None if cost is None else round(cost / of, 4) if of else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _by_length(table: LabelledRows, means: NDArray[Any], static: NDArray[Any]) -> NDArray[Any]:
    """Longer prompts want dearer models: the advantage of a model grows with length times the rank of its cost."""
    import numpy as np

    length = np.array([len(prompt) for prompt in table.prompts], dtype=float)
    place = np.argsort(np.argsort(length, kind="stable"), kind="stable") / max(len(length) - 1, 1) - 0.5
    rank = np.argsort(np.argsort(means, kind="stable"), kind="stable") / max(len(means) - 1, 1)
    made: NDArray[Any] = static + 0.2 * place[:, None] * rank
    return made


def _interval(
    predicted: NDArray[Any], static: NDArray[Any], scores: NDArray[Any], costs: NDArray[Any], means: NDArray[Any]
) -> list[float]:
    """AIQ above the static router of the same fit: the 2.5 %, 50 % and 97.5 % quantile of bootstrap samples."""
    import numpy as np

    from routekit.quality.evaluate import utility

    rng = np.random.default_rng(0)
    n = len(scores)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=_SAMPLES).astype(float)
    gains = utility(predicted, scores, costs, means).gains(weights) - utility(static, scores, costs, means).gains(
        weights
    )
    return [round(float(q), 5) for q in np.quantile(gains, [0.025, 0.5, 0.975])]


def picture(found: dict[str, Any]) -> str:
    """Cost against quality, and predicted against true, as a file of SVG that stands alone."""
    colours = {"learned": "#0072b2", "length": "#e69f00", "static": "#cc79a7", "zero": "#555", "oracle": "#009e73"}
    curves = {name: Curve(*found["curves"][name]) for name in colours}
    right = max(max(curve.costs) for curve in curves.values()) or 1.0
    low = min(min(curve.scores) for curve in curves.values())
    high = max(max(curve.scores) for curve in curves.values())
    spread = (high - low) or 1.0
    drawn = ['<rect width="920" height="420" fill="#fff"/>']
    drawn += [_text(60, 24, "quality over cost (US dollars a request)"), _text(560, 24, "true over predicted")]
    for step in range(5):
        y = 370 - step * 80
        drawn.append(f'<line x1="60" x2="500" y1="{y}" y2="{y}" stroke="#ddd"/>')
        drawn.append(_text(54, y + 4, f"{low + spread * step / 4:.2f}", "end"))
        drawn.append(_text(60 + step * 110, 390, f"{right * step / 4:.2g}", "middle"))
        drawn.append(_text(560 + step * 80, 390, f"{step / 4:.2f}", "middle"))
    for place, (name, curve) in enumerate(curves.items()):
        points = [*zip(curve.costs, curve.scores, strict=True), (right, curve.scores[-1])]
        path = " ".join(f"{60 + x / right * 440:.1f},{370 - (y - low) / spread * 320:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2.5"/>')
        drawn.append(_text(60 + 90 * place, 412, name, colour=colours[name]))
    drawn.append('<line x1="560" y1="370" x2="880" y2="50" stroke="#bbb"/>')
    most = max((count for _, count, _, _ in found["reliability"]), default=1)
    for _, count, predicted, true in found["reliability"]:
        drawn.append(
            f'<circle cx="{560 + predicted * 320:.1f}" cy="{370 - true * 320:.1f}" '
            f'r="{3 + 9 * (count / most) ** 0.5:.1f}" fill="#0072b2" fill-opacity=".6"/>'
        )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 920 420" role="img" '
        f'aria-label="quality over cost, and calibration" font-family="system-ui, sans-serif">{"".join(drawn)}</svg>\n'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "#222") -> str:
    return f'<text x="{x}" y="{y}" font-size="12" text-anchor="{anchor}" fill="{colour}">{text}</text>'
