"""Figures to inline SVG: bars with axes, a legend, and a title that a screen reader reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 260, 64, 12, 14, 34
COLOURS = 8
"""How many colours the style sheet has, in an order that stays apart for colour-blind eyes (Okabe and Ito)."""

OTHERS = "others"
Shown = Callable[[float], str]


def stacked(title: str, columns: Mapping[str, Mapping[str, float]], shown: Shown, order: Sequence[str] = ()) -> str:
    """Columns (days) of stacked parts; negative parts hang below the axis. Beyond eight kinds the rest is one."""
    totals: dict[str, float] = {}
    for parts in columns.values():
        for kind, value in parts.items():
            totals[kind] = totals.get(kind, 0) + abs(value)
    kinds = [kind for kind in order if kind in totals] or sorted(totals, key=lambda kind: -totals[kind])
    if len(kinds) > COLOURS:
        kinds = [*kinds[: COLOURS - 1], OTHERS]
    rows = [_merged(parts, kinds) for parts in columns.values()]
    top = max((sum(v for v in row.values() if v > 0) for row in rows), default=0) or 0
    bottom = min((sum(v for v in row.values() if v < 0) for row in rows), default=0) or 0
    ticks = _ticks(bottom, top)
    low, high = min(ticks[0], bottom), max(ticks[-1], top)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    step = (WIDTH - LEFT - RIGHT) / max(1, len(rows))
    drawn = [_axis(ticks, y, shown)]
    for place, (name, row) in enumerate(zip(columns, rows, strict=True)):
        up = down = 0.0
        x, width = LEFT + place * step + step * 0.1, max(1.0, min(step * 0.8, 48))
        x += (step * 0.8 - width) / 2
        for kind in kinds:
            value = row.get(kind, 0)
            if not value:
                continue
            start = up if value > 0 else down
            top_y, bottom_y = y(max(start, start + value)), y(min(start, start + value))
            told = escape(f"{name}: {kind} {shown(value)}")
            drawn.append(
                f'<rect class="c{kinds.index(kind)}" x="{x:.1f}" y="{top_y:.1f}" width="{width:.1f}" '
                f'height="{max(0.5, bottom_y - top_y):.1f}"><title>{told}</title></rect>'
            )
            if value > 0:
                up += value
            else:
                down += value
    every = max(1, math.ceil(len(rows) / 8))
    for place, name in enumerate(columns):
        if place % every == 0:
            x = LEFT + (place + 0.5) * step
            drawn.append(
                f'<text class="label" x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(name[5:])}</text>'
            )
    return _figure(title, drawn, kinds, HEIGHT)


def bars(title: str, rows: Mapping[str, Mapping[str, float]], kinds: Sequence[str], shown: Shown, stack: bool) -> str:
    """A row for each name, with its kinds one behind the other (`stack`) or one under the other."""
    names = list(rows)[:20]
    lane = 22 if stack else 12 * len(kinds) + 12
    height = TOP + lane * max(1, len(names)) + BOTTOM
    left = 150
    most = max((sum(rows[n].values()) if stack else max(rows[n].values(), default=0) for n in names), default=0)
    ticks = _ticks(0, most)
    drawn = []

    def x(value: float) -> float:
        return left + value / ticks[-1] * (WIDTH - left - 70)

    for tick in ticks:
        drawn.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>')
        drawn.append(
            f'<text class="label" x="{x(tick):.1f}" y="{height - 12}" text-anchor="middle">{escape(shown(tick))}</text>'
        )
    for place, name in enumerate(names):
        top, start = TOP + place * lane, 0.0
        label = name if len(name) <= 20 else f"{name[:19]}…"
        drawn.append(
            f'<text class="name" x="{left - 8}" y="{top + lane / 2 + 4:.1f}" text-anchor="end">{escape(label)}'
            f"<title>{escape(name)}</title></text>"
        )
        for number, kind in enumerate(kinds):
            value = rows[name].get(kind, 0)
            if not value:
                continue
            at = top + 3 if stack else top + 6 + 12 * number
            told = escape(f"{name}: {kind} {shown(value)}")
            width = max(1.0, x(value) - left)
            drawn.append(
                f'<rect class="c{number % COLOURS}" x="{x(start):.1f}" y="{at:.1f}" width="{width:.1f}" '
                f'height="{lane - 6 if stack else 10}"><title>{told}</title></rect>'
            )
            if stack:
                start += value
            else:
                end = x(value) + 4
                drawn.append(f'<text class="label" x="{end:.1f}" y="{at + 9:.1f}">{escape(shown(value))}</text>')
    return _figure(title, drawn, kinds, height)


def _merged(parts: Mapping[str, float], kinds: Sequence[str]) -> dict[str, float]:
    row = {kind: value for kind, value in parts.items() if kind in kinds}
    rest = sum(value for kind, value in parts.items() if kind not in kinds)
    if rest:
        row[OTHERS] = row.get(OTHERS, 0) + rest
    return row


def _ticks(low: float, high: float) -> list[float]:
    """Round values from at most `low` to at least `high`.

    >>> _ticks(0, 7)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    span = high - low or 1.0
    raw = span / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * number for number in range(first, max(last, first + 1) + 1)]


def _axis(ticks: Sequence[float], y: Callable[[float], float], shown: Shown) -> str:
    lines = []
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        lines.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        lines.append(
            f'<text class="label" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{escape(shown(tick))}</text>'
        )
    return "".join(lines)


def _figure(title: str, drawn: Sequence[str], kinds: Sequence[str], height: float) -> str:
    legend = "".join(
        f'<li><span class="key k{number % COLOURS}"></span>{escape(kind)}</li>' for number, kind in enumerate(kinds)
    )
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(drawn)}</svg><ul class="legend">{legend}</ul></figure>'
    )
