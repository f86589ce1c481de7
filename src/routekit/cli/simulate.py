"""``routekit simulate``: strategies side by side on a scenario, in virtual time."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from routekit.cli.output import (
    Column,
    harmless,
    json_option,
    on_terminal,
    print_json,
    say,
    seconds,
    table,
    usd,
    working,
)

if TYPE_CHECKING:
    from routekit.testing.simulation import Report

_COLUMNS = (
    Column("strategy"),
    Column("availability", "right"),
    Column("p50", "right"),
    Column("p95", "right"),
    Column("p99", "right"),
    Column("max", "right"),
    Column("first token p95", "right"),
    Column("cost", "right"),
    Column("attempts", "right"),
    Column("most", "right"),
    Column("cached", "right"),
    Column("answered by", wrap=True),
    Column("errors", wrap=True),
)
BAR_CELLS = 20
"""The widest bar of a chart, in characters."""

_EIGHTHS = " ▏▎▍▌▋▊▉█"


@click.command(short_help="Try strategies on scripted deployments and traffic. Calls nobody.")
@click.argument("scenario")
@click.option("--strategy", "strategies", multiple=True, help="What to try; may be repeated. Default: the scenario's.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed is other luck.")
@json_option
def simulate(scenario: str, strategies: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Play the scenario file SCENARIO with each strategy: the real router, in virtual time.

    Prints availability, percentiles of latency, cost and attempts per request, and draws how they went
    over time. The same scenario, strategy and seed give the same figures.
    """
    from routekit.testing.simulation import Scenario
    from routekit.testing.simulation import simulate as play

    checked = Scenario.from_file(scenario)
    reports = []
    for strategy in strategies or checked.strategies or (None,):
        with working(f"simulating {strategy or checked.name}"):
            reports.append(play(checked, strategy=strategy, seed=seed))
    if as_json:
        print_json([report.to_dict() for report in reports])
        return
    first = reports[0]
    say(f"{harmless(first.scenario)}: {first.requests} requests, {first.abandoned} of them abandoned, seed {seed}\n")
    table(_COLUMNS, [_row(report) for report in reports])
    for report in reports:
        say()
        _draw(report)


def _row(report: Report) -> list[str]:
    latency = report.latency
    return [
        report.strategy,
        percent(report.availability),
        seconds(latency.p50_s),
        seconds(latency.p95_s),
        seconds(latency.p99_s),
        seconds(latency.max_s),
        seconds(report.ttft.p95_s),
        usd(report.cost_nanos),
        f"{report.attempts_per_request:.2f}",
        str(report.most_attempts),
        str(report.cache_hits),
        _listed({name: percent(share) for name, share in report.shares.items()}),
        _listed(report.errors),
    ]


def percent(share: float | None) -> str:
    """A share for people. What is not all of it never shows as 100 %.

    >>> percent(1.0), percent(0.999996), percent(0.5), percent(None)
    ('100 %', '99.99 %', '50 %', '-')
    """
    return "-" if share is None else f"{math.floor(share * 10_000 + 1e-6) / 100:g} %"


def bar(share: float, cells: int = BAR_CELLS) -> str:
    """A bar of at most so many characters, drawn in eighths; what is more than nothing is seen.

    >>> bar(0.5, 4), bar(0.0, 4), bar(0.01, 4), bar(1.0, 4)
    ('██  ', '    ', '▏   ', '████')
    """
    eighths = min(8 * cells, max(round(share * 8 * cells), 1 if share > 0 else 0))
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(cells)


def _listed(counts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "-"


def _chart(report: Report) -> Iterator[tuple[str, float | None]]:
    """The lines of a chart, each with the availability that it shows."""
    slowest_s = max((part.p95_s for part in report.timeline if part.p95_s is not None), default=0.0)
    wide = max((len(f"{part.from_s:.0f}") for part in report.timeline), default=1)
    for part in report.timeline:
        at = f"{part.from_s:>{wide}.0f} s"
        if part.availability is None:
            yield f"{at}  {'':{BAR_CELLS}}  {'-':>8}", None
            continue
        line = f"{at}  {bar(part.availability)}  {percent(part.availability):>8}"
        if part.p95_s is not None:
            line += f"  {bar(part.p95_s / slowest_s if slowest_s else 0.0)}  {seconds(part.p95_s)}"
        yield line, part.availability


def _draw(report: Report) -> None:
    lines = list(_chart(report))
    title = f"{harmless(report.strategy)}: availability, and p95 of answers, by when the request began"
    if not on_terminal(sys.stdout):
        say("\n".join([title, *(line.rstrip() for line, _ in lines)]))
        return
    _colour(title, lines)


def _colour(title: str, lines: Sequence[tuple[str, float | None]]) -> None:
    import os

    from rich.console import Console
    from rich.text import Text

    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    console = Console(file=sys.stdout, color_system=None if plain else "auto", highlight=False, emoji=False)
    console.print(Text(title, style="bold"), no_wrap=True, overflow="crop")
    for line, availability in lines:
        style = "dim" if availability is None else "green" if availability == 1 else "yellow" if availability else "red"
        console.print(Text(line, style=style), no_wrap=True, overflow="crop")
