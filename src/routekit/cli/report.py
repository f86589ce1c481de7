"""``routekit report``: one page about what was spent, saved and decided."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from routekit.cli.output import say, usd, working
from routekit.cli.session import Session, pass_session
from routekit.cli.spend import records_of, since_option


@click.command(short_help="Write one page about what was spent, saved and decided.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("report.html"), show_default=True,
    help="The file. It needs nothing else, and can be sent to others.",
)  # fmt: skip
@since_option
@click.option(
    "--decisions", type=click.IntRange(0, 20_000), default=1000, show_default=True, help="The newest so many."
)
@pass_session
def report(session: Session, output: Path, since: float | None, decisions: int) -> None:
    """Write a page with plots of spending, savings, latency and fallbacks, and the decisions behind them.

    It is one file of HTML without anything to load; tables can be sorted and filtered. No message is in it, but
    names of projects, users and tags are.
    """
    from routekit.report import written

    with closing(records_of(session)) as store, working("adding up the records"):
        try:
            figures = written(store.rows(since), output, decisions=decisions, left_out=store.left_out(since))
        except OSError as error:
            raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None
    total = figures.total
    say(f"{output}: {total.calls} requests, {usd(total.cost)} spent, {usd(max(0, total.saved))} saved")
