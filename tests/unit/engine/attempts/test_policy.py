"""What to do after an attempt failed."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.attempts.policy import BACKOFF_CAP_S, Failure, attempt_limit_s, next_move
from routekit.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthExceededError,
    InvalidResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.types import Candidate, Deployment, Model, Work

ERRORS = [
    RateLimitError("x"), RateLimitError("x", retry_after_s=3), RateLimitError("x", retry_after_s=300),
    AuthenticationError("x"), ContentFilterError("x"), ContextLengthExceededError("x"),
    InvalidResponseError("x"), ProviderTimeoutError("x"), ProviderUnavailableError("x"),
]  # fmt: skip


def candidate(name: str, window: int | None = 1000) -> Candidate:
    return Candidate(
        Deployment(name=name, provider="p", model=Model(id=name, context_window=window)), 0.5, False, Work(1, 1, 1, 1)
    )


@given(
    st.integers(1, 6),
    st.lists(st.sampled_from(ERRORS), max_size=8),
    st.one_of(st.none(), st.floats(0, 60)),
    st.integers(0, 99),
)
def test_a_walk_always_ends_within_its_limits(count, errors, remaining_s, seed) -> None:
    candidates = [candidate(f"c{i}", window=1000 * (i + 1)) for i in range(count)]
    failures: list[Failure] = []
    asked: list[int] = []
    for used in range(20):
        move = next_move(failures, candidates, used, remaining_s, rng=random.Random(seed))
        if move.action == "stop":
            break
        assert remaining_s is None or move.wait_s < remaining_s
        asked.append(move.place)
        failures.append(Failure(move.place, errors[used % len(errors)] if errors else ERRORS[-1]))
    else:
        raise AssertionError("it never stopped")
    assert len(asked) <= 3
    assert len(asked) <= count + 1
    assert len(asked) - len(set(asked)) <= 1, "at most one retry in place"
    if len(set(asked)) < len(asked):
        assert isinstance(failures[asked.index(asked[-1])].error, (RateLimitError, ProviderUnavailableError))


def test_another_place_comes_before_the_same_again() -> None:
    pair = [candidate("a"), candidate("b")]
    down = ProviderUnavailableError("x")
    assert next_move([Failure(0, down)], pair, 1, None).place == 1
    again = next_move([Failure(0, down), Failure(1, down)], pair, 2, None, rng=random.Random(1))
    assert (again.action, again.place) == ("ask", 0)
    assert 0 <= again.wait_s <= BACKOFF_CAP_S


def test_a_silent_place_is_left_not_retried() -> None:
    assert next_move([Failure(0, ProviderTimeoutError("x"))], [candidate("a")], 1, None).action == "stop"


def test_half_the_time_while_somebody_else_could_answer() -> None:
    assert attempt_limit_s(10, others_left=True) == 5
    assert attempt_limit_s(10, others_left=False) == 10
    assert attempt_limit_s(None, others_left=True) is None
