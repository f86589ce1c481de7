"""``routekit doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import click

from routekit.cli.checks import configuration as checks
from routekit.cli.checks.finding import Finding
from routekit.cli.checks.reachability import endpoints_reachable
from routekit.cli.checks.reliability import of_reliability
from routekit.cli.checks.show import show
from routekit.cli.output import json_option, working
from routekit.cli.session import Session


@click.command(short_help="Check configuration, keys, plugins and local models.")
@click.option("--online", is_flag=True, help="Also try to connect to the hosts of the deployments.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, online: bool, as_json: bool) -> None:
    """Check Python, configuration, plugins, keys, local models, endpoints, state, budgets and groups.

    Says what to do about each finding. Nobody is asked anything, and no key is shown or sent. The exit
    code is 1 where there are errors; warnings alone leave it 0.
    """
    with working("checking"):
        findings = list(_findings(ctx.ensure_object(Session), online))
    ctx.exit(show(findings, as_json=as_json))


def _findings(session: Session, online: bool) -> Iterator[Finding]:
    from routekit.config.load import home_of
    from routekit.errors import RoutekitError
    from routekit.plugin.manager import discover
    from routekit.router import Router

    yield from checks.python_version()
    yield from checks.plugins_usable(discover(os.environ))
    yield from checks.state_directory(home_of(os.environ))
    try:
        config = session.load()
    except RoutekitError as error:
        yield checks.broken(error)
        return
    yield from checks.configuration_found(config)
    yield from checks.variables_set(config, os.environ)
    yield from checks.local_models(config)
    yield from checks.semantic_cache(config)
    yield from endpoints_reachable(config, online=online)
    try:
        with closing(Router(config)) as router:
            deployments = router.deployments
    except RoutekitError as error:
        yield checks.broken(error)
        return
    yield from checks.of_configuration(config, deployments)
    yield from of_reliability(config, deployments)
