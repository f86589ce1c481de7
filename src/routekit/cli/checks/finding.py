"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check saw. `problem` is a sentence, also where all is well; `fix` says what to do, "" for "ok"."""

    level: Level
    subject: str
    problem: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain data for ``--json``."""
        return asdict(self)


def worst(findings: Iterable[Finding]) -> Level:
    """The gravest level among findings."""
    order: tuple[Level, ...] = ("ok", "warning", "error")
    return max((finding.level for finding in findings), key=order.index, default="ok")


def listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
