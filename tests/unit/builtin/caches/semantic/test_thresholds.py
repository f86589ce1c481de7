from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.caches.semantic.thresholds import curve, exploration, lowest_bound, upper_bound


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_upper_bound_is_where_so_few_would_be_a_surprise(wrong: int, total: int) -> None:
    found = upper_bound(min(wrong, total), total)
    assert min(wrong, total) / total <= found <= 1
    assert upper_bound(0, total) <= found
    if wrong == 0:
        assert abs((1 - found) ** total - 0.05) < 1e-6


def test_the_lowest_bound_that_keeps_the_budget_from_there_on() -> None:
    pairs = [(0.9, True, True)] * 50 + [(0.7, True, False)] * 5 + [(0.95, False, False)] * 500
    found = lowest_bound(curve(pairs), 0.01)
    assert found is not None
    assert found.bound == 0.705
    assert found.hits == 1.0
    assert lowest_bound(curve([(0.9, True, True), (0.9, True, False)]), 0.01) is None  # too few pairs to know


def test_an_entry_is_trusted_when_it_was_right_often_and_at_that_similarity() -> None:
    assert exploration([], 0.99, 0.01) == 1.0
    right = [(0.9, True)] * 60
    assert exploration(right, 0.95, 0.05) < exploration(right[:5], 0.95, 0.05) <= 1.0
    mixed = [(0.9, True)] * 30 + [(0.7, False)] * 30
    assert exploration(mixed, 0.7, 0.05) > 0.9
    assert exploration(mixed, 0.92, 0.05) < exploration(mixed, 0.75, 0.05)


def test_the_share_of_wrong_answers_stays_within_the_budget() -> None:
    rng = random.Random(7)
    wrong = given_ = 0
    for _ in range(40):  # entries, each with a curve of its own
        middle = rng.uniform(0.7, 0.9)
        observed: list[tuple[float, bool]] = []
        for _ in range(150):
            similarity = rng.uniform(0.6, 1.0)
            right = similarity > middle
            if rng.random() < exploration(observed[-64:], similarity, 0.05):
                observed.append((similarity, right))
            else:
                given_ += 1
                wrong += not right
    assert given_ > 300
    assert wrong / (40 * 150) <= 0.05
