"""When the window that a balance is named by has ended."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

SLACK_S = 86_400
"""Windows are days of a time zone; here it is not known which."""

_ROLLING = re.compile(r"rolling:(\d{1,6})([smhd]):(\d{1,18})")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PARTS = 60


@lru_cache(maxsize=4096)
def ends_at(key: str) -> int:
    """Seconds since 1970 by which the window of `key` has surely ended; 0: it never does, or nobody knows.

    >>> ends_at("user:u|day:1970-01-01@Europe/Berlin"), ends_at("global|total")
    (172800, 0)
    """
    kind, _, name = key.rpartition("|")[2].partition(":")
    name = name.partition("@")[0]
    try:
        if kind == "rolling":
            return _rolled(f"rolling:{name}")
        start, length = _start(kind, name)
        return int((start + length).timestamp()) + SLACK_S
    except (ValueError, OverflowError):
        return 0


def _start(kind: str, name: str) -> tuple[dt.datetime, dt.timedelta]:
    if kind == "hour":
        return dt.datetime.strptime(name, "%Y-%m-%dT%HZ").replace(tzinfo=dt.UTC), dt.timedelta(hours=1)
    if kind == "day":
        return dt.datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=dt.UTC), dt.timedelta(days=1)
    if kind == "week":
        return dt.datetime.strptime(f"{name}-1", "%G-W%V-%u").replace(tzinfo=dt.UTC), dt.timedelta(days=7)
    if kind == "month":
        return dt.datetime.strptime(name, "%Y-%m").replace(tzinfo=dt.UTC), dt.timedelta(days=31)
    raise ValueError(kind)


def _rolled(name: str) -> int:
    found = _ROLLING.fullmatch(name)
    if found is None:
        return 0
    period_s = int(found[1]) * _SECONDS[found[2]]
    return int((int(found[3]) + 1 + _PARTS) * period_s / _PARTS) + SLACK_S
