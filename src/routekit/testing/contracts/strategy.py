"""The contract of a strategy, as tests.

Example::

    import pytest
    from routekit.testing.contracts import StrategyContract
    from routekit_mine import Nearest

    class TestNearest(StrategyContract):
        @pytest.fixture
        def strategy(self):
            return Nearest(radius=3)
"""

from __future__ import annotations

import asyncio
import copy
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from routekit.plugin import Strategy
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import (
    Answer,
    Attempt,
    Candidate,
    Deployment,
    Latency,
    Model,
    Price,
    RouteDecision,
    RouteRequest,
    Signals,
    Step,
    Verdict,
    Work,
)

ROUNDS = 25
"""Situations that each promise is held against."""

STEPS = (None, *(Step(kind=kind) for kind in ("plan", "act", "observe", "answer", "recover", "summarise", "else")))


class StrategyContract(ContractSuite):
    """Subclass it and give the `strategy` fixture. Nested strategies must be bound already.

    `requests` may be overridden where a strategy needs requests of a special kind.
    """

    @pytest.fixture
    def strategy(self) -> Strategy:
        """The strategy under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `strategy` that returns the strategy")

    @pytest.fixture
    def requests(self) -> Sequence[RouteRequest]:
        """The requests that it is asked to rank for, in turn."""
        return sample_requests()

    def test_it_has_a_name(self, strategy: Strategy) -> None:
        assert isinstance(strategy, Strategy)
        assert strategy.name
        assert strategy.name == strategy.name.strip().lower()

    def test_it_ranks_candidates_only_and_each_once(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        for request, candidates, signals in situations(requests):
            given = {id(candidate) for candidate in candidates}
            ranked = [id(candidate) for candidate in strategy.rank(request, candidates, signals).ranked.candidates]
            assert set(ranked) <= given, "ranked somebody who is no candidate"
            assert len(ranked) == len(set(ranked)), "ranked a candidate twice"

    def test_the_order_of_the_candidates_does_not_matter(
        self, strategy: Strategy, requests: Sequence[RouteRequest]
    ) -> None:
        for request, candidates, signals in situations(requests):
            shuffled = list(candidates)
            Random(signals.seed).shuffle(shuffled)
            ours, theirs = (strategy.rank(request, some, signals) for some in (candidates, shuffled))
            assert ours.ranked == theirs.ranked, "the order depends on the order of the candidates; break ties by name"
            assert ours.reason == theirs.reason

    def test_the_same_facts_give_the_same_decision(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        for request, candidates, signals in situations(requests):
            first, second = (strategy.rank(request, candidates, signals) for _ in range(2))
            assert first == second, "draw random numbers from random.Random(signals.seed), and read no clock"

    def test_nothing_that_it_is_given_is_touched(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        for request, candidates, signals in situations(requests):
            before = [_figures(candidate) for candidate in candidates], copy.deepcopy(_plain(signals)), request
            strategy.rank(request, candidates, signals)
            assert before == ([_figures(candidate) for candidate in candidates], _plain(signals), request)

    def test_the_decision_explains_itself(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        for request, candidates, signals in situations(requests):
            decision = strategy.rank(request, candidates, signals)
            assert decision.strategy == strategy.name
            assert decision.path[0] == strategy.name, "path starts with the outermost strategy"
            assert decision.reason.strip(), "say in one sentence why the first is first"
            assert decision.signals.seed == signals.seed, "record the signals, so that it can be replayed"
            json.dumps(decision.to_dict())

    def test_scores_are_numbers_that_never_rise(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        for request, candidates, signals in situations(requests):
            ranked = strategy.rank(request, candidates, signals).ranked
            scores = list(ranked.scores)
            assert len(scores) == len(ranked)
            assert not any(math.isnan(score) for score in scores)
            assert scores == sorted(scores, reverse=True), "a higher score is better, so the first has the highest"

    def test_rejections_are_of_candidates_that_are_not_ranked(
        self, strategy: Strategy, requests: Sequence[RouteRequest]
    ) -> None:
        for request, candidates, signals in situations(requests):
            decision = strategy.rank(request, candidates, signals)
            rejected = [rejection.deployment.name for rejection in decision.rejections]
            ranked = {candidate.name for candidate in decision.ranked.candidates}
            assert set(rejected) <= {candidate.name for candidate in candidates}
            assert not ranked & set(rejected), "a candidate is ranked or rejected, not both"
            assert len(rejected) == len(set(rejected))
            assert all(rejection.reason for rejection in decision.rejections)

    def test_one_candidate_and_none_are_no_special_case(
        self, strategy: Strategy, requests: Sequence[RouteRequest]
    ) -> None:
        for request, candidates, signals in situations(requests):
            assert len(strategy.rank(request, [], signals).ranked) == 0
            assert len(strategy.rank(request, candidates[:1], signals).ranked) <= 1

    def test_it_may_be_used_from_many_threads(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        cases = situations(requests)
        alone = [strategy.rank(*case) for case in cases]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda case: strategy.rank(*case), cases * 4)) == alone * 4

    def test_it_gathers_signals(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        for request, candidates, signals in situations(requests):
            gathered = strategy.gather(request, candidates, signals)
            assert isinstance(gathered, Signals)
            assert isinstance(asyncio.run(strategy.agather(request, candidates, signals)), Signals)
            assert strategy.rank(request, candidates, gathered).strategy == strategy.name

    def test_review_gives_a_verdict(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        for request, candidates, signals in situations(requests):
            attempts = _attempts(strategy.rank(request, candidates, signals))
            for answer in sample_answers():
                verdict = strategy.review(request, answer, attempts)
                assert isinstance(verdict, Verdict)
                assert verdict.action == "accept" or strategy.reviews, "set `reviews` where answers are looked at"
                assert verdict.action != "escalate" or verdict.reason, "say why another one is asked"
                if verdict.action == "consult":
                    assert verdict.request is not None
                    second = strategy.review(request, answer, attempts, sample_answers()[0])
                    assert second.action != "consult", "after a consultation there must be a verdict"

    def test_it_learns_quietly(self, strategy: Strategy, requests: Sequence[RouteRequest]) -> None:
        for request, candidates, signals in situations(requests):
            decision = strategy.rank(request, candidates, signals)
            strategy.learn(request, decision, _attempts(decision))


def sample_requests() -> list[RouteRequest]:
    """Requests of the usual shapes: short and long, with tools, streamed, in each kind of step."""
    tool = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
    plain = [RouteRequest(messages=({"role": "user", "content": "Why is the sky blue?"},), step=step) for step in STEPS]
    return [
        *plain,
        RouteRequest(messages=({"role": "user", "content": "word " * 4000},), stream=True),
        RouteRequest(messages=({"role": "user", "content": "Find it."},), tools=(tool,), metadata={"tier": "gold"}),
        RouteRequest(messages=({"role": "user", "content": [{"type": "text", "text": "In parts."}]},)),
    ]


def sample_answers() -> list[Answer]:
    """Answers of the usual shapes: a text, nothing, cut off, a tool call, a refusal."""
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    shapes: list[tuple[Any, str]] = [
        ({"role": "assistant", "content": "Because of Rayleigh scattering."}, "stop"),
        ({"role": "assistant", "content": ""}, "stop"),
        ({"role": "assistant", "content": '{"half":'}, "length"),
        ({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"),
        ({"role": "assistant", "content": None, "refusal": "No."}, "stop"),
    ]
    return [Answer(message=message, finish_reason=reason) for message, reason in shapes]


def sample_candidates(random: Random, count: int) -> list[Candidate]:
    """Candidates with equal and unequal figures, known and unknown ones, in no particular order."""
    work = Work(random.randrange(1, 5000), 20_000, random.randrange(1, 1000), random.choice([None, 1000]))
    names = random.sample(range(10 * count + 10), count)
    return [_candidate(random, f"d{number}", work) for number in names]


def _candidate(random: Random, name: str, work: Work) -> Candidate:
    price = None
    if random.random() < 0.8:
        per_million = random.choice([0, 1_000_000_000, random.randrange(10**10)])
        price = Price(input=per_million, cached_input=per_million // 10, output=per_million * 4)
    deployment = Deployment(
        name=name,
        provider=random.choice(["a", "b"]),
        model=Model(id=f"model-{name}", price=price),
        weight=random.choice([0.0, 1.0, 1.0, random.random() * 10]),
        tags=frozenset(random.sample(["eu", "local", "external"], random.randrange(3))),
    )
    quality = random.choice([0.5, 0.8, round(random.random(), 3)])
    cached = random.choice([0, 0, work.input_tokens // 2])
    return Candidate(deployment, quality, random.random() < 0.5, work, cached, _latency(random))


def _latency(random: Random) -> Latency | None:
    if random.random() < 0.3:
        return None
    failure_rate = random.choice([0.0, 0.0, random.random(), 1.0])
    if failure_rate == 1.0:
        return Latency(failure_rate=1.0, peak_ewma_s=random.random())
    ttft, total = random.random(), 1 + random.random() * 9
    return Latency(
        samples=random.randrange(1, 64), ttft_p50_s=random.choice([None, ttft]), ttft_p95_s=ttft * 3,
        total_p50_s=total, total_p95_s=total * 2, per_token_s=random.choice([None, 0.02]),
        peak_ewma_s=total, failure_rate=failure_rate,
    )  # fmt: skip


def situations(requests: Sequence[RouteRequest]) -> list[tuple[RouteRequest, list[Candidate], Signals]]:
    """Arguments for `rank`: the same ones in every run."""
    made = []
    for number in range(max(ROUNDS, len(requests))):
        random = Random(number)
        candidates = sample_candidates(random, random.choice([1, 2, 3, 5, 8, 20]))
        signals = Signals(
            seed=random.getrandbits(32),
            now=1_700_000_000.0 + number,
            latency={c.name: c.latency for c in candidates if c.latency is not None},
            in_flight={c.name: random.randrange(5) for c in candidates if random.random() < 0.5},
            cached_prefix={c.name: c.cached_tokens for c in candidates if c.cached_tokens},
        )
        made.append((requests[number % len(requests)], candidates, signals))
    return made


def _attempts(decision: RouteDecision) -> list[Attempt]:
    return [Attempt(deployment=candidate.deployment, outcome="ok") for candidate in decision.ranked.candidates[:1]]


def _figures(candidate: Candidate) -> tuple[Any, ...]:
    return (
        candidate.name, candidate.quality, candidate.quality_inferred, candidate.work, candidate.cached_tokens,
        candidate.latency,
    )  # fmt: skip


def _plain(signals: Signals) -> dict[str, Any]:
    return {
        key: dict(value) if isinstance(value, dict) else value
        for key, value in signals._asdict().items()
        if key != "extra"
    }
