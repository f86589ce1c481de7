"""The picture of a calibration: hits and false hits over the bound, as a file of SVG that stands alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 64, 64, 40, 56
HITS, FALSE, LIMIT = "#0072b2", "#d55e00", "#555"
"""Colours that stay apart for colour-blind eyes (Okabe and Ito)."""


class Shown(NamedTuple):
    """One bound: shares between 0 and 1."""

    bound: float
    hits: float
    false_hits: float
    false_at_most: float


def calibration_svg(points: Sequence[Shown], budget: float, chosen: float | None, title: str) -> str:
    """Hits on the left axis; false hits with the 95 % upper bound on the right one, and the budget for them."""
    low, high = points[0].bound, points[-1].bound
    most = max(2 * budget, min(1.0, 1.1 * max(point.false_hits for point in points)))

    def x(bound: float) -> float:
        return LEFT + (bound - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(share: float, top: float = 1.0) -> float:
        return TOP + (1 - min(share, top) / top) * (HEIGHT - TOP - BOTTOM)

    def line(value: Callable[[Shown], float], top: float, colour: str, dashes: str = "") -> str:
        path = " ".join(f"{x(point.bound):.1f},{y(value(point), top):.1f}" for point in points)
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"{dashes}/>'

    drawn = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', _text(WIDTH / 2, 22, title, 15, "middle")]
    for step in range(6):
        share = step / 5
        at = y(share)
        drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        drawn.append(_text(LEFT - 8, at + 4, f"{share:.0%}", 12, "end", HITS))
        drawn.append(_text(WIDTH - RIGHT + 8, at + 4, f"{share * most:.1%}", 12, "start", FALSE))
        bound = low + (high - low) * share
        drawn.append(_text(x(bound), HEIGHT - BOTTOM + 20, f"{bound:.2f}", 12, "middle"))
    dashed = ' stroke-dasharray="6 4"'
    drawn += [
        line(lambda point: point.hits, 1.0, HITS),
        line(lambda point: point.false_hits, most, FALSE),
        line(lambda point: point.false_at_most, most, FALSE, dashed),
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(budget, most):.1f}" y2="{y(budget, most):.1f}" '
        f'stroke="{LIMIT}" stroke-dasharray="2 4"/>',
    ]
    if chosen is not None:
        at = x(chosen)
        drawn.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{LIMIT}"/>')
        side = "end" if chosen > (low + high) / 2 else "start"
        drawn.append(_text(at + (-6 if side == "end" else 6), TOP + 14, f"bound {chosen:.3f}", 12, side))
    legend = ((HITS, "hits (left)"), (FALSE, "false hits (right); dashed: 95 % upper bound; dotted: the budget"))
    for place, (colour, text) in enumerate(legend):
        drawn.append(_text(LEFT + 120 * place, HEIGHT - 12, text, 12, "start", colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}" font-family="system-ui, sans-serif">{"".join(drawn)}</svg>\n'
    )


def _text(x: float, y: float, text: str, size: int, anchor: str, colour: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )
