from __future__ import annotations

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routekit.builtin.caches.semantic.vectors import Vectors, unit


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 30)), max_size=200), st.integers(0, 99))
def test_finds_what_a_plain_search_finds(steps: list[tuple[str, int]], seed: int) -> None:
    rng = numpy.random.default_rng(seed)
    vectors, known = Vectors(8), {}
    for kind, number in steps:
        if kind == "remove":
            vectors.remove(number)
            known.pop(number, None)
        elif number not in known:
            known[number] = unit(rng.normal(size=8))
            vectors.add(number, known[number])
    query = unit(rng.normal(size=8))
    expected = sorted(((float(v @ query), n) for n, v in known.items()), reverse=True)[:5]
    found = vectors.nearest(query, 5)
    assert [number for number, _ in found] == [number for _, number in expected]
    assert len(vectors) == len(known)


def test_a_graph_takes_over_where_there_are_many() -> None:
    pytest.importorskip("faiss")
    rng = numpy.random.default_rng(1)
    rows = [unit(rng.normal(size=16)) for _ in range(1500)]
    exact, graph = Vectors(16), Vectors(16, graph_above=1000)
    for number, row in enumerate(rows):
        exact.add(number, row)
        graph.add(number, row)
    assert graph.by_graph
    for number in range(300):
        exact.remove(number)
        graph.remove(number)
    same = 0
    for _ in range(100):
        query = unit(rng.normal(size=16))
        found = graph.nearest(query, 5)
        assert all(number >= 300 for number, _ in found)
        same += found[0][0] == exact.nearest(query, 5)[0][0]
    assert same >= 95


def test_a_vector_without_a_direction_is_none() -> None:
    assert unit([0.0, 0.0]) is None
    assert unit([float("nan"), 1.0]) is None
    assert unit([]) is None
