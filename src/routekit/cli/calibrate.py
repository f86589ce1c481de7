"""``routekit cache calibrate``: how similar is similar enough, from labelled pairs or from the shadow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from routekit.cli.output import Column, json_option, note, print_json, say, table, working
from routekit.cli.session import Session, pass_session

if TYPE_CHECKING:
    from routekit.router import Router

_POINTS = (
    Column("bound", "right"), Column("hits", "right"), Column("false hits", "right"), Column("at most", "right"),
    Column(""),
)  # fmt: skip
_SHOWN = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
Row = tuple[float, bool, bool]


@click.command(short_help="Find the semantic cache's bound from labelled pairs.")
@click.argument("pairs", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--max-false-hits", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.01, show_default=True,
    help="The share of different pairs that may get the other's answer, with 95 % confidence.",
)  # fmt: skip
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Where the curve goes, as SVG.")
@click.option("--dry-run", is_flag=True, help="Show what would be found; write no bound.")
@json_option
@pass_session
def calibrate(
    session: Session, pairs: Path, max_false_hits: float, picture: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Find the lowest similarity at which the semantic cache keeps a budget of false hits, and write it down.

    PAIRS has one JSON object a line: {"a": question, "b": question, "same": true or false}, or what the cache notes in
    its shadow: {"similarity": 0.93, "same": false}. The guard is applied first, as in a lookup. The texts are
    embedded by the embedder of [cache.semantic], which may cost money.
    """
    from routekit.builtin.caches.semantic.calibration import LOCAL, write_calibration
    from routekit.builtin.caches.semantic.thresholds import curve, lowest_bound
    from routekit.report.curve import Shown, calibration_svg
    from routekit.router import Router

    config = session.load()
    options = (config.cache.model_extra or {}).get("semantic", {})
    embedder = options.get("embedder")
    name = embedder or LOCAL
    rows = list(_read(pairs, name))
    # Not yet calibrated is no reason to refuse being calibrated.
    with closing(Router(config.model_copy(update={"cache": type(config.cache)()}))) as router, working("embedding"):
        compared = list(_compared(router, embedder, rows))
    same = sum(row[2] for row in compared)
    if not same or same == len(compared):
        raise click.ClickException(f"{pairs} needs pairs that are the same and pairs that are not")
    points = curve(compared)
    found = lowest_bound(points, max_false_hits)
    home = router.home / "cache"
    if picture is None and not dry_run:
        picture = home / f"calibration-{''.join(c if c.isalnum() or c in '-._' else '-' for c in name)}.svg"
    if picture is not None:
        title = f"{name}: {same} same and {len(compared) - same} different pairs"
        picture.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shown = [Shown(p.bound, p.hits, p.false_hits, p.false_at_most) for p in points]
        picture.write_text(calibration_svg(shown, max_false_hits, found.bound if found else None, title))
    if found is not None and not dry_run:
        write_calibration(
            home, name,
            {"bound": found.bound, "max_false_hits": max_false_hits, "hits": round(found.hits, 4),
             "false_hits_at_most": round(found.false_at_most, 5), "pairs": len(compared)},
        )  # fmt: skip
    if as_json:
        print_json(
            {
                "embedder": name, "bound": found.bound if found else None, "pairs": len(compared), "same": same,
                "hits": found.hits if found else None, "false_hits_at_most": found.false_at_most if found else None,
                "picture": None if picture is None else str(picture),
                "curve": [point._asdict() for point in points],
            }
        )  # fmt: skip
    else:
        wanted = {*_SHOWN, *([found.bound] if found else [])}
        table(_POINTS, [_row(point, found) for point in points if point.bound in wanted])
        if picture is not None:
            note(f"picture: {picture}")
    if found is None:
        different = len(compared) - same
        raise click.ClickException(
            f"no bound keeps false hits at {max_false_hits:.2%} with 95 % confidence; {different} different pairs are "
            f"{'too few to know' if different < 3 / max_false_hits else 'too often taken for the same'}"
        )
    if not as_json:
        said = "would be" if dry_run else "is now"
        say(f"the bound of {name} {said} {found.bound}: {found.hits:.1%} of the same pairs are answered")


def _read(pairs: Path, embedder: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(pairs.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            usable = isinstance(row["same"], bool) and (
                isinstance(row.get("similarity"), (int, float))
                or (isinstance(row["a"], str) and isinstance(row["b"], str))
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            usable = False
        if not usable:
            raise click.ClickException(
                f'{pairs}, line {number}: a row is {{"a": text, "b": text, "same": true or false}}, '
                f'or {{"similarity": number, "same": true or false}}'
            )
        if row.get("embedder", embedder) == embedder:  # what another one's vectors looked like says nothing
            yield row


def _compared(router: Router, embedder: str | None, rows: list[dict[str, Any]]) -> Iterator[Row]:
    """Similarity, whether the guard lets it pass, and whether it is the same."""
    from routekit.builtin.caches.semantic.cache import alike
    from routekit.builtin.caches.semantic.guard.compare import difference
    from routekit.builtin.caches.semantic.vectors import unit

    vectors: dict[str, Any] = {}
    for row in rows:
        if "similarity" in row:
            yield float(row["similarity"]), True, row["same"]
            continue
        for text in (row["a"], row["b"]):
            if text not in vectors:
                vectors[text] = unit(router.embed(text, embedder=embedder))
        one, other = vectors[row["a"]], vectors[row["b"]]
        if one is not None and other is not None:
            yield float(one @ other), difference(row["a"], row["b"], alike) is None, row["same"]


def _row(point: Any, found: Any) -> list[str]:
    chosen = found is not None and point.bound == found.bound
    return [
        f"{point.bound:.3f}", f"{point.hits:.1%}", f"{point.false_hits:.2%}", f"{point.false_at_most:.2%}",
        "chosen" if chosen else "",
    ]  # fmt: skip
