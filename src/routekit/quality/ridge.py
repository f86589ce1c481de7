"""Ridge regression in closed form, with exact leave-one-out predictions, over blocks of rows.

With features of a kernel's landmarks this is kernel ridge regression, exact where every row is a landmark and
Nystroem's approximation beyond (Williams & Seeger 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHAS = tuple(10.0 ** (power / 2) for power in range(-4, 5))
"""The penalties that are tried, as shares of the features' summed squares (a row on average)."""

Blocks = Callable[[], "Iterator[tuple[slice, NDArray[Any]]]"]
"""Yields places and features of successive rows, anew at each call."""


class Fitted(NamedTuple):
    """`weights` (features, targets), and the predictions (rows, targets) made without each row itself."""

    weights: NDArray[Any]
    left_out: NDArray[Any]


def ridge(blocks: Blocks, targets: NDArray[Any]) -> Fitted:
    """Fits every target with the penalty of `ALPHAS` that leaves the least squared error when a row is left out.

    Memory is that of one block and of the features' Gram matrix, however many rows there are.
    """
    import numpy as np

    gram: NDArray[Any] | None = None
    moment: NDArray[Any] | None = None
    for places, features in blocks():
        own, with_targets = features.T @ features, features.T @ targets[places]
        gram = own if gram is None else gram + own
        moment = with_targets if moment is None else moment + with_targets
    if gram is None or moment is None:
        raise ValueError("there are no rows to fit")
    values, vectors = _spectrum(gram)
    scale = float(values.sum()) / len(targets) or 1.0
    shrunk = [1.0 / (values + alpha * scale) for alpha in ALPHAS]
    turned = moment if vectors is None else vectors.T @ moment
    errors = np.zeros((len(ALPHAS), targets.shape[1]))
    for places, features in blocks():
        rotated = features if vectors is None else features @ vectors
        squares = rotated * rotated
        for k, share in enumerate(shrunk):
            without = _without(rotated @ (share[:, None] * turned), (squares @ share)[:, None], targets[places])
            errors[k] += ((targets[places] - without) ** 2).sum(axis=0)
    each = np.stack([shrunk[k] for k in errors.argmin(axis=0)], axis=1)
    weights = each * turned
    left_out = np.empty(targets.shape)
    for places, features in blocks():
        rotated = features if vectors is None else features @ vectors
        left_out[places] = _without(rotated @ weights, (rotated * rotated) @ each, targets[places])
    return Fitted(weights if vectors is None else vectors @ weights, left_out)


def _spectrum(gram: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Eigenvalues and vectors; None for the vectors where the matrix is diagonal already, as an exact kernel's is."""
    import numpy as np

    diagonal = gram.diagonal()
    beside = float(np.abs(gram - np.diag(diagonal)).max())
    if beside <= 1e-7 * float(diagonal.max()):
        return np.maximum(diagonal, 0.0), None
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0.0), vectors


def _without(fitted: NDArray[Any], leverage: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    """What a row would get had it not been there: (fit - h y) / (1 - h), h being its leverage."""
    import numpy as np

    h = np.minimum(leverage, 1 - 1e-6)
    left: NDArray[Any] = (fitted - h * targets) / (1.0 - h)
    return left
