"""Several learners as one: weights of their held-out predictions (Wolpert 1992, Breiman 1996)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANK = 12
"""The most directions that models may differ in."""


def rotation(residuals: NDArray[Any]) -> NDArray[Any]:
    """Directions (models, k) to learn in: what is hard for all of them, then what sets them apart most.

    An item response model in linear form (Lord 1980): the first column is common difficulty, the others are the
    leading singular vectors of what is left of `residuals` (rows, models) when each row's mean is taken away.
    """
    import numpy as np

    models = residuals.shape[1]
    apart = residuals - residuals.mean(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(apart.T @ apart)  # ascending; a matrix of models, whatever the number of rows
    leading = vectors[:, ::-1][:, : min(RANK, models) - 1]
    leading = leading - leading.mean(axis=0)  # the constant direction has no part in them but for rounding
    return np.concatenate([np.full((models, 1), models**-0.5), leading], axis=1)


def weigh(left_out: list[NDArray[Any]], targets: NDArray[Any]) -> NDArray[Any]:
    """Weights (learners, targets) for predictions that were made without each row itself.

    The mean of the best non-negative weights and of equal ones at the best slope. The slope on held-out rows is the
    shrinkage against the winner's curse: what is too sure of itself is shrunk here.
    """
    import numpy as np

    weights = np.empty((len(left_out), targets.shape[1]))
    for place in range(targets.shape[1]):
        table = np.stack([predicted[:, place] for predicted in left_out], axis=1)
        equal = table.mean(axis=1)
        slope = max(0.0, float(equal @ targets[:, place]) / max(float(equal @ equal), 1e-12))
        weights[:, place] = (_non_negative(table, targets[:, place]) + slope / len(left_out)) / 2
    return weights


def _non_negative(table: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
    """Non-negative least squares for a handful of columns: every set of columns is tried."""
    import numpy as np

    columns = table.shape[1]
    gram, moment = table.T @ table, table.T @ target
    gram = gram + np.eye(columns) * (1e-6 * np.trace(gram) / columns + 1e-12)
    best, least = np.zeros(columns), 0.0
    for count in range(1, columns + 1):
        for chosen in itertools.combinations(range(columns), count):
            places = list(chosen)
            found = np.linalg.solve(gram[np.ix_(places, places)], moment[places])
            error = float(-moment[places] @ found)
            if (found >= 0).all() and error < least:
                best, least = np.zeros(columns), error
                best[places] = found
    return best
