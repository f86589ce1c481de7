"""off-peak passes the contract of every strategy, and prefers whoever is inside a window."""

from __future__ import annotations

import datetime as dt

import pytest

from routekit import ConfigError, Router
from routekit.plugin import Strategy
from routekit.testing import ScriptedProvider, VirtualClock, plugin_module
from routekit.testing.contracts import StrategyContract
from routekit_offpeak import OffPeak, Window

NIGHT = {"deployments": ["dear"], "start": "22:00", "end": "06:00", "timezone": "Europe/Berlin", "discount": 0.9}


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Strategy:
        return OffPeak(windows=[{**NIGHT, "deployments": [], "providers": ["p"]}])


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-07-01T21:59:59+02:00", False),
        ("2026-07-01T22:00:00+02:00", True),
        ("2026-07-02T05:59:59+02:00", True),
        ("2026-07-02T06:00:00+02:00", False),
        ("2026-07-01T20:30:00+00:00", True),  # the zone is the window's, not the machine's
    ],
)
def test_a_window_may_pass_midnight(moment: str, inside: bool) -> None:
    assert Window(**NIGHT).is_open(at(moment)) is inside


def test_a_night_belongs_to_the_day_it_begins_on() -> None:
    friday = Window(**NIGHT, days=["fri"])
    assert friday.is_open(at("2026-07-04T02:00:00+02:00"))  # Saturday morning of Friday's night
    assert not friday.is_open(at("2026-07-03T02:00:00+02:00"))


@pytest.mark.parametrize(
    ("moment", "first"), [("2026-07-01T12:00:00+02:00", "cheap"), ("2026-07-01T23:00:00+02:00", "dear")]
)
def test_who_is_off_peak_comes_first(moment: str, first: str) -> None:
    table = {"provider": "scripted", "model": "m"}
    router = Router(
        {
            "deployments": [
                {**table, "name": "cheap", "price": {"input": 1, "output": 1}},
                {**table, "name": "dear", "price": {"input": 2, "output": 2}},
            ],
            "strategies": {"night": {"use": "off-peak", "windows": [NIGHT]}},
        },
        plugins=[plugin_module(ScriptedProvider()), __import__("routekit_offpeak.plugin", fromlist=["plugin"])],
        clock=VirtualClock(wall=at(moment)),
        env={"ROUTEKIT_PLUGINS": ""},
    )
    result = router.complete("hi", strategy="night")
    assert result.deployment == first
    assert ("90% off" in result.decision.reason) is (first == "dear")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"timezone": "Mars/Olympus"}, "time zone"),
        ({"deployments": []}, "for nobody"),
        ({"discount": 2}, "discount"),
        ({"strat": "22:00"}, "strat"),
    ],
)
def test_bad_options_are_named(change: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        OffPeak(windows=[{**NIGHT, **change}])
