from __future__ import annotations

from collections import Counter

from tests.support.candidates import ask, candidate, names, seen

from routekit.builtin.strategies import LeastBusy
from routekit.types import Signals


def rank(candidates, in_flight=None, seed=0, **options):
    return LeastBusy(**options).rank(ask(), candidates, Signals(seed=seed, in_flight=in_flight or {}))


def test_the_less_loaded_of_two_comes_first():
    candidates = [candidate("a", latency=seen(peak_ewma_s=1.0)), candidate("b", latency=seen(peak_ewma_s=0.5))]
    assert names(rank(candidates)) == ["b", "a"]
    decision = rank(candidates, {"b": 3})
    assert names(decision) == ["a", "b"]
    assert decision.reason == "the less loaded of two drawn: 0 in flight, load 1 s, against 2 s of b"


def test_the_most_loaded_of_many_is_never_first_and_every_other_is_sometimes():
    candidates = [candidate(name, latency=seen(peak_ewma_s=1.0)) for name in "abcd"]
    firsts = Counter(names(rank(candidates, {"d": 9, "c": 5, "b": 1}, seed))[0] for seed in range(500))
    assert set(firsts) == {"a", "b", "c"}
    # With two choices of four the least loaded is drawn in half of all pairs.
    assert 0.4 < firsts["a"] / 500 < 0.6


def test_fallbacks_stand_by_rising_load():
    candidates = [candidate(name, latency=seen(peak_ewma_s=1.0)) for name in "abcd"]
    load = {"d": 9, "c": 5, "b": 1}
    for seed in range(20):
        first, *others = names(rank(candidates, load, seed))
        assert others == [name for name in "abcd" if name != first]


def test_a_place_that_fails_fast_is_not_an_idle_one():
    broken = candidate("broken", latency=seen(peak_ewma_s=0.2, failure_rate=0.9))
    assert names(rank([broken, candidate("fine", latency=seen(peak_ewma_s=1.0))])) == ["fine", "broken"]


def test_an_unseen_place_is_taken_for_a_median_one():
    candidates = [candidate("new"), candidate("slow", latency=seen(peak_ewma_s=4.0))]
    assert names(rank(candidates, {"new": 1})) == ["slow", "new"]
    assert names(rank(candidates, {"new": 1}, prior_s=0.1)) == ["new", "slow"]


def test_live_figures_in_the_signals_count_too():
    signals = Signals(latency={"a": seen(peak_ewma_s=9.0), "b": seen(peak_ewma_s=1.0)})
    assert names(LeastBusy().rank(ask(), [candidate("a"), candidate("b")], signals)) == ["b", "a"]


def test_one_candidate_is_the_only_one():
    assert rank([candidate("a")]).reason == "the only candidate"


def test_it_asks_for_what_it_needs():
    assert LeastBusy().uses_load
    assert LeastBusy().uses_latency
