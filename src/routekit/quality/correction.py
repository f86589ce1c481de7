"""What feedback adds to a fitted model: a bounded correction per model, by recursive least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOUND = 0.15
"""No amount of feedback moves an estimate further than this: a flood of thumbs cannot capture the router."""

FORGETTING = 0.999
"""What an older row still counts when a new one comes."""

PROOF = 20
"""Feedback for a model before its correction is applied at all; it must have predicted better than none by then."""


class Correction:
    """One model's residual ``score - estimate`` as a linear function of a prompt's `size` numbers.

    Every feedback first tests the correction, then teaches it (prequential evaluation, Dawid 1984): it is applied
    only while it has been the better prediction.
    """

    __slots__ = ("count", "covariance", "error", "error_without", "weights")

    def __init__(self, size: int) -> None:
        import numpy as np

        self.weights: NDArray[Any] = np.zeros(size)
        self.covariance: NDArray[Any] = np.eye(size)  # the prior is worth one row
        self.count = 0
        self.error = 0.0
        self.error_without = 0.0

    def of(self, numbers: NDArray[Any]) -> float:
        """The correction for a prompt, within ±`BOUND`; 0 while it has not proved itself."""
        if self.count < PROOF or self.error >= self.error_without:
            return 0.0
        return self._raw(numbers)

    def _raw(self, numbers: NDArray[Any]) -> float:
        return min(max(float(self.weights @ numbers), -BOUND), BOUND)

    def learn(self, numbers: NDArray[Any], residual: float, weight: float) -> None:
        """One feedback (Sherman & Morrison 1950). `weight` is how many rows it counts for."""
        import numpy as np

        self.error = FORGETTING * self.error + weight * (residual - self._raw(numbers)) ** 2
        self.error_without = FORGETTING * self.error_without + weight * residual**2
        self.count += 1
        toward = self.covariance @ numbers
        gain = toward / (FORGETTING / weight + float(numbers @ toward))
        self.weights = self.weights + gain * (residual - float(self.weights @ numbers))
        covariance = (self.covariance - np.outer(gain, toward)) / FORGETTING
        trace = float(np.trace(covariance))
        if trace > len(numbers):  # forgetting must not make directions that are never seen ever more uncertain
            covariance *= len(numbers) / trace
        self.covariance = (covariance + covariance.T) / 2
