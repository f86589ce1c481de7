from __future__ import annotations

from routekit.types.suggest import closest, suggestion


def test_the_closest_name_is_suggested_or_all_are_named() -> None:
    known = ("best", "cheapest", "fastest")
    assert closest("cheapets", known) == "cheapest"
    assert closest("zzz", known) is None
    assert closest("cheap", known, cutoff=0.95) is None
    assert suggestion("fastst", known) == "did you mean 'fastest'?"
    assert suggestion("zzz", known) == "known: best, cheapest, fastest"
    assert suggestion("zzz", (name for name in ())) == "known: none"
