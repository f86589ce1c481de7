"""``routekit config``: is the configuration right?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import click

from routekit.cli.checks import configuration as checks
from routekit.cli.checks.finding import Finding
from routekit.cli.checks.reliability import of_reliability
from routekit.cli.checks.show import show
from routekit.cli.output import json_option
from routekit.cli.session import Session


@click.group(short_help="Check the configuration.")
def config() -> None:
    """Check the configuration."""


@config.command(short_help="Say what is wrong with a configuration, or with the one in force.")
@click.argument("path", required=False)
@json_option
@click.pass_context
def check(ctx: click.Context, path: str | None, as_json: bool) -> None:
    """Read the configuration at PATH (default: the one in force), build a router on it, and report problems.

    The machine is not looked at: `routekit doctor` does that. The exit code is 1 where there are errors.
    """
    session = ctx.ensure_object(Session)
    findings = list(_findings(session if path is None else Session(path, session.debug)))
    ctx.exit(show(findings, as_json=as_json))


def _findings(session: Session) -> Iterator[Finding]:
    from routekit.errors import RoutekitError
    from routekit.router import Router

    try:
        loaded = session.load()
        with closing(Router(loaded)) as router:
            deployments = router.deployments
    except RoutekitError as error:
        yield checks.broken(error)
        return
    yield from checks.configuration_found(loaded)
    yield from checks.of_configuration(loaded, deployments)
    yield from of_reliability(loaded, deployments)
