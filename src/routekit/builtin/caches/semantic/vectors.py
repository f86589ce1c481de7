"""The nearest of many vectors: by one matrix product, and above some ten thousands by a graph (HNSW)."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence
from typing import Any

FIRST_ROWS = 1
"""Most settings are single conversations; a table grows by doubling."""


FED_ROWS = 8
"""A graph takes seconds to build for many rows: each new row brings so many of the old ones with it."""

LINKS, LOOKED_AT = 32, 128
"""Of a graph's nodes, and how many a search looks at; recall above 0.98 on unit vectors of 384 floats."""


class Vectors:
    """Unit vectors under whole numbers. Not safe in threads: its owner has a lock.

    Up to `graph_above` rows a search is exact (half a millisecond for 10,000 of 384 floats); above it faiss' HNSW
    graph (Malkov and Yashunin, 2016) is asked, where it is installed, whose answer is nearly always the same.
    """

    def __init__(self, dimensions: int, graph_above: int = 20_000) -> None:
        import numpy

        self._numpy = numpy
        self.dimensions = dimensions
        self._graph_above = graph_above
        self._rows: Any = numpy.empty((FIRST_ROWS, dimensions), dtype=numpy.float32)
        self._ids: list[int] = []
        self._place: dict[int, int] = {}
        self._graph: Any = None
        self._nodes: list[int] = []
        self._noded: set[int] = set()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def by_graph(self) -> bool:
        """Whether a search asks the graph: it has all rows, and not too many that are gone."""
        return self._graph is not None and len(self._noded) == len(self._ids)

    def add(self, number: int, vector: Any) -> None:
        """Adds a unit vector; `number` must never have been added before."""
        place = len(self._ids)
        if place == len(self._rows):
            rows = self._numpy.empty((2 * place, self.dimensions), dtype=self._numpy.float32)
            rows[:place] = self._rows
            self._rows = rows
        self._rows[place] = vector
        self._ids.append(number)
        self._place[number] = place
        if len(self._ids) > self._graph_above:
            self._feed()

    def remove(self, number: int) -> None:
        """Removes a vector; the last one takes its place."""
        place = self._place.pop(number, None)
        if place is None:
            return
        last = self._ids.pop()
        if last != number:
            self._ids[place] = last
            self._rows[place] = self._rows[len(self._ids)]
            self._place[last] = place
        self._noded.discard(number)
        if self._graph is not None and len(self._noded) < len(self._nodes) // 2:
            self._graph, self._nodes, self._noded = None, [], set()  # begun again with the next row

    def nearest(self, vector: Any, count: int) -> list[tuple[int, float]]:
        """At most `count` numbers with their cosine similarities, the nearest first."""
        if not self._ids:
            return []
        places: Sequence[int] = range(len(self._ids))
        if self.by_graph:
            _, labels = self._graph.search(vector.reshape(1, -1), 4 * count)
            numbers = [self._nodes[label] for label in labels[0] if label >= 0]
            places = [self._place[number] for number in numbers if number in self._place]
            similarities = self._rows[places] @ vector
        else:
            similarities = self._rows[: len(self._ids)] @ vector
        top: Sequence[int] = range(len(similarities))
        if len(similarities) > count:
            top = self._numpy.argpartition(similarities, -count)[-count:].tolist()
        ordered = sorted(((float(similarities[i]), self._ids[places[i]]) for i in top), reverse=True)
        return [(number, similarity) for similarity, number in ordered]

    def _feed(self) -> None:
        """Brings a few more rows into the graph."""
        if self._graph is None:
            if importlib.util.find_spec("faiss") is None:
                return
            import faiss

            self._graph = faiss.IndexHNSWFlat(self.dimensions, LINKS, faiss.METRIC_INNER_PRODUCT)
            self._graph.hnsw.efSearch = LOOKED_AT
        # Rows stand nearly in the order in which they came: the search for missing ones begins where it left off.
        start = min(len(self._noded), len(self._ids) - 1)
        places = itertools.chain(range(start, len(self._ids)), range(start))
        missing = (self._ids[place] for place in places if self._ids[place] not in self._noded)
        numbers = list(itertools.islice(missing, FED_ROWS))
        self._graph.add(self._rows[[self._place[number] for number in numbers]])
        self._nodes.extend(numbers)
        self._noded.update(numbers)


def unit(vector: Sequence[float]) -> Any:
    """A float32 array of length one; None where the vector has no direction."""
    import numpy

    found = numpy.asarray(vector, dtype=numpy.float32)
    length = float(numpy.linalg.norm(found)) if found.ndim == 1 else 0.0
    return None if not 0 < length < float("inf") else found / length
