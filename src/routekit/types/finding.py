"""What a guard noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a guard found: of which `kind`, `where` it stands, never the value.

    `where` is "user", "system", "assistant", "tool", "tools" (their definitions), "params" or "answer"; `count`
    says how many different ones; `score` (0..1) how sure the guard is; `guard` is the guard's name in the
    configuration, which the engine fills in.
    """

    kind: str
    where: str
    count: int = 1
    score: float = 1.0
    guard: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for records."""
        return {
            "guard": self.guard, "kind": self.kind, "where": self.where, "count": self.count,
            "score": round(self.score, 3),
        }  # fmt: skip
