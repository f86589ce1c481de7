"""What another policy would have brought, from a log of decisions that were made with chances.

A log can only tell about what it might have done: each row has the propensity of the choice that was made. Estimates
are doubly robust (Dudik, Langford, Li 2011) with self-normalised weights (Swaminathan & Joachims 2015) beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routekit.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENOUGH = 50.0
"""The effective sample size below which no interval is given: it would be too short (measured: coverage .42 to .90)."""

SAMPLES = 1_000
FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Decisions and what became of them. Rows times actions: `features` (rows, actions, numbers) of what could be
    chosen, `allowed` and the new policy's chances `target` (rows, actions). Per row: `chosen` action, its `propensity`
    in (0, 1], and `reward`."""

    features: NDArray[Any]
    allowed: NDArray[Any]
    target: NDArray[Any]
    chosen: NDArray[Any]
    propensity: NDArray[Any]
    reward: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPolicy:
    """The new policy's mean reward: doubly robust `value` with `low` and `high` (95 %), `snips` beside it; the log's
    own mean `logged`, and the paired difference with its interval.

    `effective` is the effective sample size, `covered` the share of the new policy's choices that the log might have
    made. Where it is below `ENOUGH`, `enough` is false, and value and interval tell nothing.
    """

    value: float
    low: float
    high: float
    snips: float
    logged: float
    difference: float
    difference_low: float
    difference_high: float
    effective: float
    covered: float
    rows: int

    @property
    def enough(self) -> bool:
        return self.effective >= ENOUGH


def evaluate(log: Log, seed: int = 0) -> OffPolicy:
    """What the policy `log.target` would have brought.

    Raises:
        InvalidInputError: no rows, no propensities, or every choice was certain: such a log tells nothing about others.
    """
    import numpy as np

    n = len(log.reward)
    if not n:
        raise InvalidInputError("the log has no rows with a score")
    if not ((log.propensity > 0) & (log.propensity <= 1)).all():  # false for NaN, too
        raise InvalidInputError(
            "rows without the propensity of the choice cannot be replayed for quality; "
            "route with the strategy 'explore' to record it"
        )
    rows = np.arange(n)
    if (log.propensity >= 1).all() and not (log.target[rows, log.chosen] >= 1).all():
        raise InvalidInputError(
            "every choice in the log was certain, so it tells nothing about other choices' quality; "
            "route a share of the traffic with the strategy 'explore'"
        )
    rng = np.random.default_rng(seed)
    expected = _expected(log, rng)
    weight = log.target[rows, log.chosen] / log.propensity
    direct = (log.target * expected).sum(axis=1)
    robust = direct + weight * (log.reward - expected[rows, log.chosen])
    total = float(weight.sum())
    effective = total**2 / float((weight**2).sum()) if total > 0 else 0.0
    difference = robust - log.reward
    samples = rng.multinomial(n, np.full(n, 1 / n), size=SAMPLES) / n
    low, high = np.quantile(samples @ robust, [0.025, 0.975])
    worse, better = np.quantile(samples @ difference, [0.025, 0.975])
    return OffPolicy(
        value=float(robust.mean()), low=float(low), high=float(high),
        snips=float((weight * log.reward).sum() / total) if total > 0 else float("nan"),
        logged=float(log.reward.mean()), difference=float(difference.mean()), difference_low=float(worse),
        difference_high=float(better), effective=effective,
        covered=float((log.target * log.allowed).sum(axis=1).mean()),
        rows=n,
    )  # fmt: skip


def _expected(log: Log, rng: Any) -> NDArray[Any]:
    """Rewards (rows, actions) that are expected, each row's by a fit without its fold: ridge on the features and the
    action, weighted by nothing, so that its own errors are what the weights put right."""
    import numpy as np

    n, actions, numbers = log.features.shape
    fold = rng.permutation(n) % min(FOLDS, n)
    found = np.empty((n, actions))
    eye = np.eye(actions)
    for k in range(min(FOLDS, n)):
        inside = np.flatnonzero(fold != k)
        outside = np.flatnonzero(fold == k)
        if not len(inside):
            found[outside] = float(log.reward.mean())
            continue
        chosen = log.chosen[inside]
        x = np.concatenate([np.ones((len(inside), 1)), log.features[inside, chosen], eye[chosen]], axis=1)
        penalty = np.diag([1e-6, *[1.0] * (numbers + actions)])
        weights = np.linalg.solve(x.T @ x + penalty, x.T @ log.reward[inside])
        found[outside] = weights[0] + log.features[outside] @ weights[1 : 1 + numbers] + weights[1 + numbers :]
    return found
