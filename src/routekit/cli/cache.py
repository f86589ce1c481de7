"""``routekit cache``: what is kept, for whom, and how to get rid of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from routekit.cli.calibrate import calibrate
from routekit.cli.output import Column, json_option, note, one_line, print_json, say, table, usd
from routekit.cli.session import Session, pass_session

if TYPE_CHECKING:
    from routekit.plugin import Cache
    from routekit.router import Router
    from routekit.types import CacheEntry

_TIERS = (
    Column("tier"), Column("partitions", "right"), Column("entries", "right"), Column("size", "right"), Column("note"),
)  # fmt: skip
_ENTRIES = (
    Column("key"), Column("tier"), Column("model"), Column("age", "right"), Column("ends in", "right"),
    Column("cost", "right"), Column("answer", wrap=True),
)  # fmt: skip
_SHOWN = 60
_OF_PROCESSES = "in each program's memory; this shows none of it"

tenant_option = click.option(
    "--tenant", "tenant", multiple=True, metavar="[KIND=]VALUE",
    help="A value of a scope that [cache] `scope` names (the first one where no KIND= is given); several together are "
    "one tenant: --tenant project=search --tenant user=ada is Ada within search.",
)  # fmt: skip
namespace_option = click.option(
    "--namespace", metavar="NAME", help="A `cache_namespace` inside the tenant's partition."
)


@click.group(short_help="Show what is cached, look into a tenant's answers, erase them.")
def cache() -> None:
    """Show what is cached, look into a tenant's answers, erase them."""


@cache.command(short_help="Show how much each tier keeps.")
@json_option
@pass_session
def stats(session: Session, as_json: bool) -> None:
    """Show partitions (one per tenant), entries and size of each configured tier."""
    rows: list[dict[str, Any]] = []
    with _caches(session) as (_, tiers):
        for name, tier in tiers:
            found = tier.stats() if tier.shared else None
            rows.append({"tier": name, "shared": tier.shared, **(found._asdict() if found else {})})
    if as_json:
        print_json(rows)
    elif rows:
        table(_TIERS, [_counted(row) for row in rows])
    else:
        note("no cache is configured; set `use` in [cache]")


@cache.command(short_help="List a tenant's answers.")
@tenant_option
@namespace_option
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@click.option("--text", is_flag=True, help="Show how each answer begins.")
@json_option
@pass_session
def inspect(
    session: Session, tenant: tuple[str, ...], namespace: str | None, limit: int, text: bool, as_json: bool
) -> None:
    """List the newest answers of a tenant; without --tenant, those of requests that named none.

    Questions are not kept: a key is a hash. Answers are shown with --text only.
    """
    rows: list[dict[str, Any]] = []
    with _caches(session) as (router, tiers):
        partition = _partition(router, tenant, namespace)
        for name, tier in tiers:
            if tier.shared:
                found = itertools.islice(tier.kept(partition), limit)
                rows += [_row(name, digest, entry, text) for digest, entry in found]
    if as_json:
        print_json(rows)
    elif rows:
        table(_ENTRIES if text else _ENTRIES[:-1], [_shown(row) for row in rows])
    else:
        note(f"nothing is kept for {partition}")


@cache.command(short_help="Erase a tenant's answers, or everything.")
@tenant_option
@namespace_option
@click.option("--all", "everything", is_flag=True, help="Erase the answers of everybody.")
@pass_session
def clear(session: Session, tenant: tuple[str, ...], namespace: str | None, everything: bool) -> None:
    """Erase what is kept for a tenant (--tenant), or for everybody (--all).

    What running programs hold in memory ends with its lifetime, or with the program.
    """
    if everything is bool(tenant or namespace is not None):
        raise click.UsageError("say whose answers: --tenant VALUE, or --all")
    with _caches(session) as (router, tiers):
        partition = None if everything else _partition(router, tenant, namespace)
        cleared = [name for name, tier in tiers if tier.shared and _cleared(tier, partition)]
    said = "everybody" if partition is None else partition
    say(f"erased for {said}: {', '.join(cleared)}" if cleared else "no tier outlives its program; nothing to erase")


cache.add_command(calibrate)


def _cleared(tier: Cache, partition: str | None) -> bool:
    tier.clear(partition)
    return True


@contextmanager
def _caches(session: Session) -> Iterator[tuple[Router, list[tuple[str, Cache]]]]:
    from contextlib import ExitStack, closing

    from routekit.router import Router

    with closing(Router(session.load())) as router, ExitStack() as stack:
        tiers = router.caches()
        for _, tier in tiers:
            stack.callback(tier.close)
        yield router, tiers


def _partition(router: Router, tenant: tuple[str, ...], namespace: str | None) -> str:
    from routekit.engine.cache.key import namespace_of

    kinds = router.config.cache.scopes
    values: dict[str, list[str]] = {}
    for given in tenant:
        kind, equals, value = given.partition("=")
        if not equals or kind not in kinds:
            kind, value = (kinds[0] if kinds else ""), given
        values.setdefault(kind, []).append(value)
    return namespace_of(kinds, values, namespace)


def _row(tier: str, digest: str, entry: CacheEntry, text: bool) -> dict[str, Any]:
    from routekit.types import text_of

    return {
        "key": digest,
        "tier": tier,
        "model": entry.model,
        "deployment": entry.deployment,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "finish_reason": entry.finish_reason,
        "cost_nanos": entry.cost.nanos,
        "usage": entry.usage.to_dict(),
        **({"text": text_of(entry.message)} if text else {}),
    }


def _counted(row: dict[str, Any]) -> list[str]:
    if "entries" not in row:
        return [row["tier"], "-", "-", "-", "cannot be counted" if row["shared"] else _OF_PROCESSES]
    return [row["tier"], str(row["partitions"]), str(row["entries"]), f"{row['size_bytes'] / 1024:,.0f} KiB", ""]


def _shown(row: dict[str, Any]) -> list[str]:
    now = time.time()
    ends = row["expires_at"]
    cells = [
        row["key"][:12], row["tier"], row["model"] or "-", _span(now - row["created_at"]),
        "-" if ends is None else _span(ends - now), usd(row["cost_nanos"]),
    ]  # fmt: skip
    if "text" in row:
        answer = one_line(row["text"])
        cells.append(answer if len(answer) <= _SHOWN else f"{answer[: _SHOWN - 3]}...")
    return cells


def _span(seconds: float) -> str:
    """A time for people.

    >>> _span(30), _span(600), _span(90_000)
    ('30 s', '10 min', '25 h')
    """
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
