"""Every instant lies in exactly one window of each kind, in every time zone there is."""

from __future__ import annotations

import datetime as dt
import random
from zoneinfo import ZoneInfo, available_timezones

import pytest

from routekit.engine.budget.charges import window_identity

ZONES = sorted(zone for zone in available_timezones() if not zone.startswith(("posix/", "right/", "Etc/")))
FIRST, LAST = 631_152_000, 2_208_988_800  # 1990 to 2040
WINDOWS = ("hour", "day", "week", "month")
ODD = [
    ("America/St_Johns", "2009-11-01T02:31"),  # at 00:01 it is 23:01 of the day before again
    ("Australia/Lord_Howe", "2026-04-04T15:00"),  # clocks are set back by half an hour
    ("America/Sao_Paulo", "2018-11-04T03:00"),  # the day has no midnight
    ("Asia/Beirut", "2021-03-27T22:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),  # 30 December 2011 does not exist
    ("Europe/Berlin", "2026-10-25T00:30"),
    ("Africa/Cairo", "2026-04-23T22:00"),
    ("Asia/Gaza", "2026-03-28T00:00"),
]
LONGEST_S = {"hour": 3600, "day": 26 * 3600, "week": 8 * 86_400, "month": 32 * 86_400}


def check(window: str, zone: str, now: float) -> None:
    identity, resets_at = window_identity(window, zone, now)
    assert resets_at is not None
    end = resets_at.timestamp()
    where = (window, zone, now)
    assert now < end <= now + LONGEST_S[window], where
    assert window_identity(window, zone, end - 0.001)[0] == identity, where
    following, after = window_identity(window, zone, end)
    assert following != identity, where
    assert after is not None
    assert after.timestamp() > end, where
    # The window's first instant: where the one before it ends.
    start = end
    for _ in range(3):
        before = start - 1
        if window_identity(window, zone, before)[0] != identity:
            break
        start = _start(window, zone, before)
    assert start <= now, where
    assert window_identity(window, zone, start)[0] == identity, where
    earlier, until = window_identity(window, zone, start - 0.001)
    assert earlier != identity, where
    assert until is not None
    assert until.timestamp() == start, f"a gap or an overlap: {where}"


def _start(window: str, zone: str, now: float) -> float:
    """The first instant of the window, by bisection over its identity."""
    identity = window_identity(window, zone, now)[0]
    low, high = now - LONGEST_S[window] - 1, now
    while high - low > 0.4:
        middle = (low + high) / 2
        if window_identity(window, zone, middle)[0] == identity:
            high = middle
        else:
            low = middle
    return float(round(high))


@pytest.mark.parametrize(("zone", "moment"), ODD)
@pytest.mark.parametrize("window", WINDOWS)
def test_odd_moments_lie_in_one_window(zone: str, moment: str, window: str) -> None:
    around = dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC).timestamp()
    for minutes in range(-36 * 60, 36 * 60, 25):
        check(window, zone, around + minutes * 60)


@pytest.mark.parametrize(
    "pairs", [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])]
)
def test_instants_in_all_zones_lie_in_one_window(pairs: int) -> None:
    rng = random.Random(11)
    for _ in range(pairs):
        check(rng.choice(WINDOWS), rng.choice(ZONES), rng.uniform(FIRST, LAST))


def test_a_day_is_the_calendars_own() -> None:
    rng = random.Random(5)
    for _ in range(20_000):
        zone, now = rng.choice(ZONES), rng.uniform(FIRST, LAST)
        local = dt.datetime.fromtimestamp(now, ZoneInfo(zone))
        if local.hour != 23:  # where clocks are set back over midnight, this hour belongs to the day that had begun
            assert window_identity("day", zone, now)[0] == f"day:{local.date().isoformat()}@{zone}"
