"""Pure: which balances a call draws on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from routekit.types import BudgetScope, Charge, Deployment, Window


def charges_for(
    scopes: Sequence[BudgetScope], values: Mapping[str, tuple[str, ...]], deployment: Deployment, now: float
) -> tuple[tuple[BudgetScope, Charge], ...]:
    """Every configured budget that a call to `deployment` falls under, with its balance's key.

    `values` are the request's scopes; `now` is in seconds since 1970. "kind:*" gives each value a
    balance of its own.
    """
    found: list[tuple[BudgetScope, Charge]] = []
    for scope in scopes:
        for name in _names(scope, values, deployment):
            identity, resets_at = window_identity(scope.window, scope.timezone, now)
            found.append(
                (
                    scope,
                    Charge(
                        key=f"{name}|{identity}",
                        scope=name,
                        limit=scope.limit,
                        hard=scope.on_exceeded != "warn",
                        resets_at=resets_at,
                    ),
                )
            )
    return tuple(found)


def window_identity(window: Window, timezone: str, now: float) -> tuple[str, dt.datetime | None]:
    """The name of the calendar window that `now` falls into, and when the next one begins.

    >>> window_identity("day", "Europe/Berlin", 0)[0]
    'day:1970-01-01@Europe/Berlin'
    """
    if window == "total":
        return "total", None
    local = dt.datetime.fromtimestamp(now, ZoneInfo(timezone))
    if window == "hour":
        # Hours are counted in UTC: when clocks are set back one local hour happens twice.
        start = dt.datetime.fromtimestamp(now - now % 3600, dt.UTC)
        return f"hour:{start:%Y-%m-%dT%HZ}", start + dt.timedelta(hours=1)
    day = local.date()
    if window == "week":
        day -= dt.timedelta(days=day.weekday())
        following = day + dt.timedelta(days=7)
        name = f"week:{day.isocalendar().year}-W{day.isocalendar().week:02d}"
    elif window == "month":
        day = day.replace(day=1)
        following = (day + dt.timedelta(days=32)).replace(day=1)
        name = f"month:{day:%Y-%m}"
    else:
        following = day + dt.timedelta(days=1)
        name = f"day:{day.isoformat()}"
    resets_at = dt.datetime(following.year, following.month, following.day, tzinfo=ZoneInfo(timezone))
    return f"{name}@{timezone}", resets_at


def _names(scope: BudgetScope, values: Mapping[str, tuple[str, ...]], deployment: Deployment) -> list[str]:
    kind, wanted = scope.kind, scope.value
    if kind == "global":
        return ["global"]
    if kind == "deployment":
        have: tuple[str, ...] = (deployment.name,)
    elif kind == "provider":
        have = (deployment.provider,)
    else:
        have = values.get(kind, ())
    if wanted == "*":
        return [f"{kind}:{value}" for value in have]
    return [scope.scope] if wanted in have else []
