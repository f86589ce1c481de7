"""``routekit quality``: learn from labelled rows which model is good enough, and check it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from routekit.cli.output import Column, json_option, note, print_json, say, table

_ROWS = click.Path(exists=True, dir_okay=False, path_type=Path)
_FIGURES = (Column("router"), Column("AIQ", "right"), Column("cost at equal quality", "right"))
_MODELS = (Column("model"), Column("mean", "right"), Column("ECE", "right"))


@click.group(short_help="Learn which model is good enough for a prompt.")
def quality() -> None:
    """Learn from labelled rows which model is good enough for a prompt, and check it on others."""


@quality.command(short_help="Fit a model on labelled rows.")
@click.argument("rows", type=_ROWS)
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write."
)
@click.option(
    "--embedder", type=click.Choice(["static", "sentence", "none"]), default="static", show_default=True,
    help="What turns prompts into vectors.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Which rows stand for all, where there are many.")
@json_option
def fit(rows: Path, output: Path, embedder: str, seed: int, as_json: bool) -> None:
    """Fit a model on ROWS and write it to a file that [quality] file = "..." names.

    ROWS has one JSON object a line: {"prompt": text, "scores": {model: 0 to 1 or null}}, and where they are known
    "task" and "cost": {model: US dollars}. A file may be packed (.gz).
    """
    from routekit.quality import QualityModel
    from routekit.quality.rows import read_rows

    given = read_rows(rows)
    with click.progressbar(length=len(given), label="reading prompts", file=sys.stderr) as bar:
        model = QualityModel.fit(given, embedder, seed, advance=lambda count: bar.update(count))
    model.save(output)
    report = model.report
    if as_json:
        print_json({**report, "file": str(output)})
        return
    table(_MODELS, [[name, f"{report['means'][name]:.3f}", f"{report['ece'][name]:.3f}"] for name in model.models])
    low, middle, high = report["aiq_gain"]
    if report["gate"]:
        say(
            f"learned from {report['rows']:,} rows: on rows left out {middle:+.4f} AIQ over the best mix of static "
            f"choices ({low:+.4f} to {high:+.4f}); {report['gate']:.0%} of what was learned is applied"
        )
    else:
        say(f"learned from {report['rows']:,} rows: no gain over static choices is sure; the models' averages are used")
    if not report["has_costs"]:
        note("the rows have no costs; better models were taken to cost twice as much each")
    note(f"written to {output}")


@quality.command(short_help="Check a model on rows that it was not fitted on.")
@click.argument("rows", type=_ROWS)
@click.option("--model", "file", required=True, type=_ROWS, help="What `routekit quality fit` wrote.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Where the curves go, as SVG.")
@json_option
def evaluate(rows: Path, file: Path, picture: Path | None, as_json: bool) -> None:
    """Check a model on ROWS that it was not fitted on, against choices that need no model.

    AIQ is the mean quality over all budgets between the cheapest and the dearest model; "cost at equal quality" is
    what a router takes, of the best single model's cost, to be as good as that model.
    """
    from routekit.quality import QualityModel
    from routekit.quality.evaluation import evaluate_rows
    from routekit.quality.evaluation import picture as drawn
    from routekit.quality.rows import read_rows

    found = evaluate_rows(QualityModel.load(file), read_rows(rows))
    if picture is not None:
        try:
            picture.write_text(drawn(found), encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{picture} cannot be written: {error.strerror}") from None
        note(f"picture: {picture}")
    if as_json:
        print_json(found)
        return
    table(_FIGURES, [_figures(name, found) for name in ("learned", "static", "zero", "length", "oracle")])
    best = found["best_static"]
    low, _, high = found["aiq_gain"]
    say(f"best single model: {best['model']}, {best['score']:.3f} at ${best['cost_usd']:.3g} a request")
    say(f"learned over static: {low:+.4f} to {high:+.4f} AIQ (95 %, {found['rows']:,} rows)")
    if found["apgr"] is not None:
        say(f"APGR {found['apgr']:.3f} ({found['apgr_models'][0]} against {found['apgr_models'][1]})")
    say(f"ECE {found['ece']:.3f}; Brier {found['brier']:.4f}, {found['brier_gain']:+.1%} better than the averages")


def _figures(name: str, found: dict[str, Any]) -> list[str]:
    share = found["cost_at_equal_quality"][name]
    return [name, f"{found['aiq'][name]:.4f}", "never" if share is None else f"{share:.0%}"]
