"""Pure: which balances a call draws on."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from zoneinfo import ZoneInfo

from routekit.errors import InvalidInputError
from routekit.types import CALENDAR_WINDOWS, BudgetScope, Charge, Deployment, Window

PARTS = 60
"""A rolling window is counted in this many parts: it looks back over its period and at most one part more."""

_ROLLING = re.compile(r"rolling:(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


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
            earlier = prior_identities(scope.window, now)
            found.append(
                (
                    scope,
                    Charge(
                        key=f"{name}|{identity}",
                        scope=name,
                        limit=scope.limit,
                        hard=scope.on_exceeded != "warn",
                        resets_at=resets_at,
                        prior=tuple(f"{name}|{part}" for part in earlier),
                        warn_at=scope.warn_at,
                    ),
                )
            )
    return tuple(found)


def window_identity(window: Window, timezone: str, now: float) -> tuple[str, dt.datetime | None]:
    """The name of the window that `now` (seconds since 1970) falls into, and when the next one begins.

    A rolling window is named by its part; what is spent in that part has left the window by the second value.

    >>> window_identity("day", "Europe/Berlin", 0)[0]
    'day:1970-01-01@Europe/Berlin'
    """
    if window == "total":
        return "total", None
    if window not in CALENDAR_WINDOWS:
        period_s, part = rolling_period_s(window), _part(window, now)
        return f"{window}:{part}", dt.datetime.fromtimestamp((part + 1 + PARTS) * period_s / PARTS, dt.UTC)
    zone = ZoneInfo(timezone)
    local = dt.datetime.fromtimestamp(now, zone)
    if window == "hour":
        # Hours are counted in UTC: when clocks are set back one local hour happens twice.
        start = dt.datetime.fromtimestamp(now - now % 3600, dt.UTC)
        return f"hour:{start:%Y-%m-%dT%HZ}", start + dt.timedelta(hours=1)
    day = local.date()
    if now >= _midnight(day + dt.timedelta(days=1), zone).timestamp():
        day += dt.timedelta(days=1)  # clocks were set back over midnight: the day that has begun goes on
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
    return f"{name}@{timezone}", _midnight(following, zone)


def _midnight(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """The first instant of a day: where midnight happens twice the first one, where it is skipped the next that is."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=zone)


def rolling_period_s(window: Window) -> int:
    """The seconds that a rolling window looks back.

    Raises:
        InvalidInputError: it is no window at all.

    >>> rolling_period_s("rolling:24h")
    86400
    """
    found = _ROLLING.fullmatch(window)
    period_s = int(found[1]) * _SECONDS[found[2]] if found else 0
    if period_s < 1:
        raise InvalidInputError(
            f"window must be {', '.join(CALENDAR_WINDOWS)}, or a rolling one such as 'rolling:24h' "
            f"(a number and s, m, h or d); got {window!r}"
        )
    return period_s


def prior_identities(window: Window, now: float) -> tuple[str, ...]:
    """The names of the earlier parts that a rolling window still looks back on; none for the others."""
    if window in CALENDAR_WINDOWS:
        return ()
    return _parts_before(window, _part(window, now))


def _part(window: Window, now: float) -> int:
    return int(now * PARTS // rolling_period_s(window))


@lru_cache(maxsize=256)
def _parts_before(window: Window, part: int) -> tuple[str, ...]:
    return tuple(f"{window}:{earlier}" for earlier in range(part - PARTS, part))


def _names(scope: BudgetScope, values: Mapping[str, tuple[str, ...]], deployment: Deployment) -> list[str]:
    kind, wanted = scope.kind, scope.value
    if kind == "global":
        return ["global"]
    if kind == "deployment":
        have: tuple[str, ...] = (deployment.name,)
    elif kind == "provider":
        have = (deployment.provider,)
    elif kind == "key":
        # A key that the caller names, or the one that the deployment is asked with: by its variable, never its value.
        variable = deployment.options.get("api_key_env")
        have = (*values.get(kind, ()), *([variable] if isinstance(variable, str) else ()))
    else:
        have = values.get(kind, ())
    if wanted == "*":
        return [f"{kind}:{value}" for value in have]
    return [scope.scope] if wanted in have else []
