from __future__ import annotations

from collections import Counter

import pytest
from tests.support.candidates import ask, candidate, names, seen

from routekit.builtin.strategies import Fastest
from routekit.errors import ConfigError
from routekit.types import Signals


def rank(candidates, *, stream=False, in_flight=None, seed=0, **options):
    options.setdefault("explore", 0)
    return Fastest(**options).rank(ask(stream=stream), candidates, Signals(seed=seed, in_flight=in_flight or {}))


CHATTY = candidate("chatty", latency=seen(0.1, 9.0))
TERSE = candidate("terse", latency=seen(0.5, 2.0))


def test_a_stream_goes_to_the_first_token_and_anything_else_to_the_whole_answer():
    assert names(rank([CHATTY, TERSE], stream=True)) == ["chatty", "terse"]
    decision = rank([CHATTY, TERSE])
    assert names(decision) == ["terse", "chatty"]
    assert decision.reason == "the least expected time to the whole answer, 2 s (p50 of recent calls), of 2"


def test_the_tail_counts_where_it_is_asked_for():
    usually = candidate("usually", latency=seen(0.1, 1.0, total_p95_s=30.0))
    always = candidate("always", latency=seen(0.1, 2.0, total_p95_s=2.5))
    assert names(rank([usually, always])) == ["usually", "always"]
    assert names(rank([usually, always], percentile="p95")) == ["always", "usually"]


def test_a_whole_answer_is_worked_out_from_tokens_where_only_streams_were_seen():
    streamed = candidate("streamed", latency=seen(0.5, None, per_token_s=0.01))  # 1,000 tokens: 10.5 s
    assert names(rank([streamed, candidate("known", latency=seen(None, 10.4))])) == ["known", "streamed"]
    assert names(rank([streamed, candidate("known", latency=seen(None, 10.6))])) == ["streamed", "known"]


def test_a_first_token_is_taken_to_come_with_the_end_where_only_whole_answers_were_seen():
    whole = candidate("whole", latency=seen(None, 1.0))
    assert names(rank([whole, candidate("a", latency=seen(1.1, 8.0))], stream=True)) == ["whole", "a"]


def test_failures_cost_time():
    flaky = candidate("flaky", latency=seen(0.1, 1.0, failure_rate=0.5))
    assert names(rank([flaky, candidate("steady", latency=seen(0.1, 1.9))])) == ["steady", "flaky"]
    assert names(rank([flaky, candidate("steady", latency=seen(0.1, 2.1))])) == ["flaky", "steady"]


def test_an_unseen_place_gets_its_chance_but_not_all_of_a_burst():
    known = [candidate("a", latency=seen(0.1, 1.0)), candidate("b", latency=seen(0.1, 1.2))]
    decision = rank([*known, candidate("new")])
    assert names(decision)[0] == "new"
    assert "not seen lately" in decision.reason
    assert names(rank([*known, candidate("new")], in_flight={"new": 1}))[0] == "a"


def test_an_unseen_place_does_not_beat_one_that_is_known_to_be_far_faster():
    known = [candidate("quick", latency=seen(0.1, 0.2)), *(candidate(n, latency=seen(0.1, 2.0)) for n in "ab")]
    assert names(rank([*known, candidate("new")]))[:2] == ["quick", "new"]


def test_the_prior_can_be_given():
    known = candidate("a", latency=seen(0.1, 1.0))
    assert names(rank([known, candidate("new")], prior_s=5)) == ["a", "new"]


def test_one_that_only_ever_failed_is_not_taken_for_an_unseen_one():
    dead = candidate("dead", latency=seen(failure_rate=1.0))
    assert names(rank([dead, candidate("a", latency=seen(0.1, 1.0))])) == ["a", "dead"]


def test_a_small_share_explores_and_says_so():
    candidates = [candidate(n, latency=seen(0.1, t)) for n, t in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    decisions = [rank(candidates, seed=seed, explore=0.2) for seed in range(1000)]
    firsts = Counter(names(decision)[0] for decision in decisions)
    assert 0.75 < firsts["a"] / 1000 < 0.85
    assert min(firsts["b"], firsts["c"]) > 60
    explored = next(decision for decision in decisions if names(decision)[0] == "c")
    assert names(explored) == ["c", "a", "b"]
    assert explored.reason.startswith("explored: 20% of requests")
    assert explored.ranked.scores[0] == explored.ranked.scores[1] == -1.0


def test_a_failing_place_is_not_explored():
    candidates = [candidate("a", latency=seen(0.1, 1.0)), candidate("bad", latency=seen(0.1, 1.0, failure_rate=0.8))]
    assert {names(rank(candidates, seed=seed, explore=1.0))[0] for seed in range(20)} == {"a"}


def test_another_percentile_is_refused():
    with pytest.raises(ConfigError, match=r"fastest\.percentile"):
        Fastest(percentile="p99")
