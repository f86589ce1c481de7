"""From a prompt to what three learners see: its surface, its place among landmarks, its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from routekit.quality.surface import BITS, COUNT, Surface, bounded, surface

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from routekit.quality.embedders import Embedder

LANDMARKS = 1_000
"""Up to so many rows the kernels are exact; beyond, so many rows stand for all."""

BLOCK = 1_000
"""Rows that are looked at together while fitting."""

SURFACE_SHARE = 0.12
"""Weight of the standardised surface beside the unit vector in the kernel (measured on public rows)."""

NEAREST = 5
"""The similarity of a prompt to the fit is the mean to so many landmarks."""

_CLIP = 4.0  # standard deviations: one endless line is no reason to leave the range that was fitted


class Looks(NamedTuple):
    """Prompts as numbers: `vectors` (rows, dimensions), `surfaces` (rows, 32), `words` per row."""

    vectors: NDArray[Any]
    surfaces: NDArray[Any]
    words: list[tuple[NDArray[Any], NDArray[Any]]]

    def __len__(self) -> int:
        return len(self.surfaces)

    def at(self, places: NDArray[Any]) -> Looks:
        """Some of the rows."""
        return Looks(self.vectors[places], self.surfaces[places], [self.words[i] for i in places])


def looks(prompts: Sequence[str], embedder: Embedder, advance: Callable[[int], None] | None = None) -> Looks:
    """Prompts as numbers, block by block. `advance` is told how many are done."""
    import numpy as np

    vectors: list[NDArray[Any]] = []
    surfaces = np.empty((len(prompts), COUNT))
    words: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for start in range(0, len(prompts), BLOCK):
        texts = [bounded(text) for text in prompts[start : start + BLOCK]]
        vectors.append(embedder(texts))
        for place, text in enumerate(texts, start=start):
            found: Surface = surface(text)
            surfaces[place] = found.numbers
            words.append((found.buckets.astype(np.int32), found.counts))
        if advance is not None:
            advance(len(texts))
    return Looks(np.concatenate(vectors) if vectors else embedder([]), surfaces, words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What was typical of the fit: centre of the vectors, mean and spread of surfaces, rarity of words."""

    centre: NDArray[Any]
    mean: NDArray[Any]
    spread: NDArray[Any]
    rarity: NDArray[Any]

    @classmethod
    def of(cls, seen: Looks) -> Scale:
        """The scale of the rows that are fitted. Rarity is the inverse document frequency, smoothed."""
        import numpy as np

        found = np.zeros(1 << BITS)
        for places, _ in seen.words:
            found[places] += 1
        rarity = np.log((len(seen) + 1) / (found + 1)) + 1
        return cls(
            centre=seen.vectors.mean(axis=0).astype(np.float32),
            mean=seen.surfaces.mean(axis=0).astype(np.float32),
            spread=(seen.surfaces.std(axis=0) + 1e-3).astype(np.float32),
            rarity=rarity.astype(np.float16).astype(np.float32),
        )

    def standard(self, surfaces: NDArray[Any]) -> NDArray[Any]:
        """Surfaces in standard deviations, clipped."""
        import numpy as np

        z: NDArray[Any] = ((surfaces - self.mean) / self.spread).astype(np.float32)
        clipped: NDArray[Any] = np.minimum(np.maximum(z, -_CLIP), _CLIP)
        return clipped

    def points(self, vectors: NDArray[Any], standard: NDArray[Any]) -> NDArray[Any]:
        """Where prompts lie in the kernel's space: unit centred vector, and a share of the surface."""
        import numpy as np

        centred = vectors - self.centre
        norms = np.sqrt((centred * centred).sum(axis=1, keepdims=True))
        return np.concatenate([centred / np.maximum(norms, 1e-9), SURFACE_SHARE * standard], axis=1)

    def weights(self, places: NDArray[Any], counts: NDArray[Any]) -> NDArray[Any]:
        """A text's words as a unit vector over its buckets (tf-idf)."""
        import numpy as np

        values = counts * self.rarity[places]
        unit: NDArray[Any] = values / max(float(np.sqrt(values @ values)), 1e-9)
        return unit


def near(points: NDArray[Any], landmarks: NDArray[Any], width: float) -> NDArray[Any]:
    """Gaussian kernel ``exp(-distance^2 / width)`` of points (rows) to landmarks (columns)."""
    import numpy as np

    squares = (points * points).sum(axis=1)[:, None] + (landmarks * landmarks).sum(axis=1)
    squares -= 2.0 * (points @ landmarks.T)
    squares *= -1.0 / width
    kernel: NDArray[Any] = np.exp(np.minimum(squares, 0.0, out=squares), out=squares)
    return kernel


def whitening(kernel: NDArray[Any]) -> NDArray[Any]:
    """The matrix that turns kernel values at landmarks into features whose products are the kernel."""
    import numpy as np

    values, vectors = np.linalg.eigh(kernel.astype(np.float64))
    kept = values > 1e-6 * values[-1]
    found: NDArray[Any] = vectors[:, kept] / np.sqrt(values[kept])
    return found


def in_blocks(rows: int, features: Callable[[slice], NDArray[Any]]) -> Callable[[], Iterator[tuple[slice, Any]]]:
    """What `ridge` reads, computed block by block, and kept where it is small."""
    kept: dict[int, Any] = {}

    def blocks() -> Iterator[tuple[slice, Any]]:
        for start in range(0, rows, BLOCK):
            places = slice(start, min(start + BLOCK, rows))
            block = kept.get(start)
            if block is None:
                block = features(places)
                if len(kept) < 8:
                    kept[start] = block
            yield places, block

    return blocks
