"""How long a provider may keep what it is sent: the words for it, and their order."""

from __future__ import annotations

RETENTIONS = {"zero": 0, "none": 0, "30d": 30, "default": 30, "unlimited": 10**9}
"""Known words in days; "zero" is the strictest."""


def retention_days(retention: str) -> int:
    """The days that a word means.

    >>> retention_days("zero"), retention_days("7d"), retention_days("who knows")
    (0, 7, 1000000000)
    """
    known = RETENTIONS.get(retention)
    if known is not None:
        return known
    number = retention.removesuffix("d")
    return int(number) if number.isdecimal() and len(number) < 10 else 10**9


def retention_fits(has: str | None, wanted: str) -> bool:
    """Whether a deployment that keeps data for `has` (None: nobody knows) serves a request that permits `wanted`."""
    if has == wanted:
        return True
    return has is not None and retention_days(has) <= retention_days(wanted)


def stricter_retention(one: str | None, other: str | None) -> str | None:
    """The shorter of two permitted retentions; None is no wish."""
    if one is None or other is None:
        return one if other is None else other
    return min(one, other, key=retention_days)
