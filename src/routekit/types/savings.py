"""What a call saved, against the deployment that would have been asked without a router."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """A call's counterfactual and how its saving splits; nano-dollars, parts may be negative.

    `baseline` is the deployment that the call is compared with: there the whole request, neither
    compressed nor cached, would have cost `baseline_nanos`. Of the difference to what was paid,
    `routing_nanos` comes from another deployment's prices, `compression_nanos` from tokens that were
    not sent, `caching_nanos` from routekit's cache or the provider's. `overhead_nanos` is what failed
    attempts, hedges, escalations and judges cost on top.

    Always: ``baseline_nanos - cost_nanos == routing_nanos + compression_nanos + caching_nanos - overhead_nanos``.
    """

    baseline: str
    baseline_nanos: int
    cost_nanos: int
    routing_nanos: int
    compression_nanos: int
    caching_nanos: int
    overhead_nanos: int

    @property
    def saved_nanos(self) -> int:
        """All parts together; negative where the call cost more than the baseline."""
        return self.baseline_nanos - self.cost_nanos

    def to_dict(self) -> dict[str, Any]:
        """Plain data for records."""
        return {
            "baseline": self.baseline,
            "baseline_nanos": self.baseline_nanos,
            "saved_nanos": self.saved_nanos,
            "routing_nanos": self.routing_nanos,
            "compression_nanos": self.compression_nanos,
            "caching_nanos": self.caching_nanos,
            "overhead_nanos": self.overhead_nanos,
        }
