"""The fitted thing: arrays, and how they turn one prompt into an estimate per model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routekit.quality.features import NEAREST, Looks, Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """`means` (models), `rotation` (models, k); each learner's weights already hold its share of the stack.

    `surface` (33, k) with the constant last; `landmarks` (n, dimensions + 32), `squares` their squared lengths, and
    `near` (n, k); `words` (buckets, k). `gate` is 0 where the models' averages are best; `trust_from`, `trust_to` are
    similarities to the fit between which a prompt is believed little by little. `tasks` are learned additions
    (tasks, k) by the name in `task_names`.
    """

    scale: Scale
    means: NDArray[Any]
    rotation: NDArray[Any]
    surface: NDArray[Any]
    landmarks: NDArray[Any]
    width: float
    near: NDArray[Any]
    words: NDArray[Any]
    gate: float
    trust_from: float
    trust_to: float
    tasks: NDArray[Any]
    task_names: tuple[str, ...]
    squares: NDArray[Any]

    def one(self, seen: Looks, place: int, task: str | None = None) -> tuple[NDArray[Any], float, NDArray[Any]]:
        """Estimates (models), trust 0..1 and the directions' values (k) of one prompt.

        Prompts are computed one by one, so that one alone gets exactly what it gets among many.
        """
        import numpy as np

        scale = self.scale
        standard = scale.standard(seen.surfaces[place : place + 1])
        point = scale.points(seen.vectors[place : place + 1], standard)[0]
        # einsum and not @: BLAS would wake threads for it, on the way of a request.
        apart = 2.0 * np.einsum("ij,j->i", self.landmarks, point) - self.squares - np.einsum("i,i->", point, point)
        kernel = np.exp(np.minimum(apart, 0.0) / np.float32(self.width))
        buckets, counts = seen.words[place]
        directions = standard[0] @ self.surface[:-1] + self.surface[-1] + np.einsum("i,ij->j", kernel, self.near)
        if len(buckets):
            directions = directions + np.einsum("i,ij->j", scale.weights(buckets, counts), self.words[buckets])
        if task is not None and task in self.task_names:
            directions = directions + self.tasks[self.task_names.index(task)]
        trust = believed(similarity(kernel), self.trust_from, self.trust_to)
        estimate = self.means + (self.gate * trust) * (self.rotation @ directions)
        return np.minimum(np.maximum(estimate, 0.0), 1.0), trust, directions


def similarity(kernel: NDArray[Any]) -> float:
    """How near a prompt is to the fit: the mean of the highest kernel values."""
    import numpy as np

    if len(kernel) <= NEAREST:
        return float(kernel.mean())
    return float(np.partition(kernel, -NEAREST)[-NEAREST:].mean())


def believed(found: float, low: float, high: float) -> float:
    """Trust between 0, for a stranger, and 1 (Sun et al. 2022: the distance to neighbours tells them)."""
    return min(max((found - low) / (high - low), 0.0), 1.0)
