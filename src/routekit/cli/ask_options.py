"""What `ask` and `explain` take alike, and how it becomes the arguments of a router's call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

import click

if TYPE_CHECKING:
    from routekit.router import Router

Function = TypeVar("Function", bound=Callable[..., Any])


class Asked(TypedDict):
    """The parsed options, as click hands them over."""

    strategy: str | None
    model: str | None
    system: str | None
    deadline_s: float | None
    max_cost_usd: str | None
    scope: tuple[str, ...]


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--strategy", metavar="NAME", help="The strategy that ranks; default: the configuration's."),
    click.option("--model", metavar="NAME", help="Only this deployment, model id or group."),
    click.option("--system", metavar="TEXT", help="A system message before the prompt."),
    click.option("--deadline-s", type=click.FloatRange(min=0), metavar="N", help="Seconds for it all; 0: no limit."),
    click.option("--max-cost-usd", metavar="X", help="The most it may cost, in US dollars, every attempt included."),
    click.option("--scope", multiple=True, metavar="KIND=VALUE", help="Whom it counts for, such as project=search."),
)


def request_options(function: Function) -> Function:
    """The prompt and the options above."""
    decorated: Any = function
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return cast("Function", click.argument("prompt")(decorated))


def messages_of(prompt: str, system: str | None) -> list[dict[str, str]]:
    """The conversation; the prompt "-" reads stdin."""
    if prompt == "-":
        prompt = sys.stdin.buffer.read().decode("utf-8", errors="replace").removeprefix("\ufeff")
    if not prompt.strip():
        raise click.UsageError("the prompt is empty; give a text, or - and the text on stdin")
    messages = [{"role": "user", "content": prompt}]
    return [{"role": "system", "content": system}, *messages] if system else messages


def call_options(router: Router, asked: Asked) -> dict[str, Any]:
    """Keyword arguments of `Router.complete`, without those that were not given.

    Raises:
        click.BadParameter: a strategy nobody registered, an amount that is none, a scope without value.
    """
    from routekit.errors import InvalidInputError, PluginNotFoundError
    from routekit.types import Money

    given: dict[str, Any] = {"model": asked["model"], "deadline_s": asked["deadline_s"]}
    options = {key: value for key, value in given.items() if value is not None}
    if asked["strategy"] is not None:
        try:
            options["strategy"] = router.resolve_strategy(asked["strategy"])
        except PluginNotFoundError as error:
            raise click.BadParameter(str(error), param_hint="--strategy") from None
    if asked["max_cost_usd"] is not None:
        try:
            options["max_cost_usd"] = Money.from_usd(asked["max_cost_usd"])
        except InvalidInputError as error:
            raise click.BadParameter(str(error), param_hint="--max-cost-usd") from None
    if asked["scope"]:
        options["scopes"] = _scopes(asked["scope"])
    return options


def _scopes(pairs: Sequence[str]) -> dict[str, list[str]]:
    scopes: dict[str, list[str]] = {}
    for pair in pairs:
        kind, given, value = pair.partition("=")
        if not (kind.strip() and given and value.strip()):
            raise click.BadParameter(f"{pair!r} is not KIND=VALUE, such as project=search", param_hint="--scope")
        scopes.setdefault(kind.strip(), []).append(value.strip())
    return scopes
