"""Labelled rows, checked once: prompts, and how good each model's answer was."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routekit.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINIMUM = 20
"""The least distinct prompts that anything can be learned from."""

SYSTEM_SHARE = 500
"""Of a system message its first characters count; few-shot padding would drown the question otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRows:
    """`scores` and `costs` are (rows, models), NaN where missing; costs are US dollars for one request."""

    prompts: tuple[str, ...]
    models: tuple[str, ...]
    scores: NDArray[Any]
    costs: NDArray[Any]
    tasks: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def has_costs(self) -> bool:
        """Whether every model's cost is known in some row."""
        import numpy as np

        return bool((~np.isnan(self.costs)).any(axis=0).all())

    def subset(self, places: Sequence[int] | NDArray[Any]) -> LabelledRows:
        """Some of the rows, in the order given."""
        import numpy as np

        chosen = np.asarray(places, dtype=int)
        return LabelledRows(
            prompts=tuple(self.prompts[i] for i in chosen), models=self.models, scores=self.scores[chosen],
            costs=self.costs[chosen], tasks=tuple(self.tasks[i] for i in chosen),
        )  # fmt: skip


def text_of(row: Mapping[str, Any]) -> str | None:
    """The text that quality depends on: the last user message, behind the first words of the system's; else None."""
    prompt = row.get("prompt")
    if isinstance(prompt, str):
        return prompt
    messages = row.get("messages")
    return last_turn(messages) if isinstance(messages, Sequence) and not isinstance(messages, str) else None


def last_turn(messages: Sequence[Any]) -> str | None:
    """What the user said last, behind the first `SYSTEM_SHARE` characters of the system message; None: nothing."""
    user = system = None
    for message in messages:
        if isinstance(message, Mapping):
            if message.get("role") == "user":
                user = _content(message)
            elif message.get("role") in ("system", "developer") and system is None:
                system = _content(message)
    if user is None:
        return None
    return f"{system[:SYSTEM_SHARE]}\n{user}" if system else user


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def labelled(rows: Iterable[Mapping[str, Any]], models: Sequence[str] | None = None) -> LabelledRows:
    """Rows ``{"prompt" | "messages", "scores": {model: 0..1 | None}, "task"?, "cost"?: {model: dollars}}``.

    `models` fixes the columns; without it they are all names that occur, in alphabetical order.

    Raises:
        InvalidInputError: a row that cannot be used, with its number; no scores; fewer than two models.
    """
    import numpy as np

    prompts: list[str] = []
    tasks: list[str | None] = []
    scores: list[Mapping[str, Any]] = []
    costs: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise _bad(number, f"is a {type(row).__name__}")
        text, given = text_of(row), row.get("scores")
        if text is None or not text.strip():
            raise _bad(number, "has no text in 'prompt' or 'messages'")
        if not isinstance(given, Mapping):
            raise _bad(number, "has no 'scores'")
        prompts.append(text)
        scores.append({str(k): _score(v, number, str(k)) for k, v in given.items()})
        cost = row.get("cost")
        costs.append({str(k): _cost(v, number) for k, v in cost.items()} if isinstance(cost, Mapping) else {})
        task = row.get("task")
        tasks.append(None if task is None else str(task))
    if not prompts:
        raise InvalidInputError('there are no rows; a row is {"prompt": text, "scores": {model: 0 to 1}}')
    names = tuple(models) if models is not None else tuple(sorted({name for row in scores for name in row}))
    nan = math.nan
    matrix = np.array([[row.get(name, nan) for name in names] for row in scores], dtype=float).reshape(-1, len(names))
    if not names or np.isnan(matrix).all():
        raise InvalidInputError("no row has a score; label some answers first, with 0 for wrong and 1 for right")
    if models is None:
        seen = ~np.isnan(matrix).all(axis=0)
        names = tuple(name for name, has in zip(names, seen, strict=True) if has)
        matrix = matrix[:, seen]
        if len(names) < 2:
            raise InvalidInputError(
                f"only {names[0]!r} has scores; a choice needs the scores of two models or more on the same prompts"
            )
    price = np.array([[row.get(name, nan) for name in names] for row in costs], dtype=float).reshape(-1, len(names))
    return LabelledRows(prompts=tuple(prompts), models=names, scores=matrix, costs=price, tasks=tuple(tasks))


def _bad(number: int, what: str) -> InvalidInputError:
    return InvalidInputError(f'row {number} {what}; a row is {{"prompt": text, "scores": {{model: 0 to 1 or null}}}}')


def _score(value: Any, number: int, model: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:  # NaN is not between them either
        raise _bad(number, f"scores {model!r} with {value!r}, which is no number from 0 to 1")
    return float(value)


def _cost(value: Any, number: int) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise _bad(number, f"has the cost {value!r}, which is no amount in US dollars")
    return float(value)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a JSON lines file, also one packed with gzip.

    Raises:
        InvalidInputError: the file cannot be read, or a line is no JSON object.
    """
    import gzip

    path = Path(path)
    rows: list[dict[str, Any]] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise InvalidInputError(f"{path}, line {number}: a row is a JSON object, one a line")
                    rows.append(row)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{path}, line {len(rows) + 1}: a row is a JSON object, one a line") from error
    return rows


_SPACE = re.compile(r"\W+")


def merged(rows: LabelledRows) -> LabelledRows:
    """Rows of one text made one, with the mean of their scores: a row must not be predicted from its own copy."""
    import numpy as np

    groups: dict[str, list[int]] = {}
    for place, prompt in enumerate(rows.prompts):
        groups.setdefault(_SPACE.sub(" ", prompt.casefold()), []).append(place)
    if len(groups) == len(rows):
        return rows
    members = list(groups.values())
    firsts = [group[0] for group in members]

    def mean(table: NDArray[Any]) -> NDArray[Any]:
        out = table[firsts].copy()
        for place, group in enumerate(members):
            if len(group) > 1:
                block = table[group]
                seen = ~np.isnan(block)
                total = np.where(seen, block, 0.0).sum(axis=0)
                out[place] = np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan)
        return out

    whole = rows.subset(firsts)
    return LabelledRows(
        prompts=whole.prompts, models=rows.models, scores=mean(rows.scores), costs=mean(rows.costs), tasks=whole.tasks
    )
