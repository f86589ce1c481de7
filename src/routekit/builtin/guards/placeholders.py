"""Names that stand for values in one request: ``[EMAIL_1]``, by first sight, the same value the same name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import ClassVar


class Placeholders:
    """The table of one request. It holds values: it is kept no longer than the request.

    >>> table = Placeholders()
    >>> table.name("EMAIL", "a@b.io"), table.name("EMAIL", "c@d.io"), table.name("EMAIL", "a@b.io")
    ('[EMAIL_1]', '[EMAIL_2]', '[EMAIL_1]')
    >>> table.restored("write to [EMAIL_2], not to [EMAIL_3]")
    'write to c@d.io, not to [EMAIL_3]'
    """

    SHAPE: ClassVar[re.Pattern[str]] = re.compile(r"\[[A-Z][A-Z0-9_]{1,40}_[0-9]{1,6}\]")

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._taken: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"Placeholders({len(self._values)})"

    def taken(self, names: Iterable[str]) -> None:
        """Names that stand in the request already; they are left to whom they belong."""
        self._taken = frozenset(names)

    def name(self, kind: str, value: str) -> str:
        known = self._names.get((kind, value))
        if known is not None:
            return known
        while True:
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            name = f"[{kind}_{number}]"
            if name not in self._taken:
                break
        self._names[kind, value] = name
        self._values[name] = value
        return name

    def holds(self, value: str) -> bool:
        """Whether the value is one of the request's own."""
        return any(known == value for known in self._values.values())

    def stranger(self, kind: str, value: str) -> str:
        """A name for a value that is not the request's own: it is not put back."""
        known = self._names.get((kind, value))
        if known is None:
            known = self.name(kind, value)
            del self._values[known]
        return known

    def restored(self, text: str, *, in_json: bool = False) -> str:
        """The text with the values in the place of their names; `in_json`: as they are written inside JSON strings."""
        if not self._values or "[" not in text:
            return text
        values = self._values

        def value_of(match: re.Match[str]) -> str:
            value = values.get(match.group())
            if value is None:
                return match.group()
            return json.dumps(value, ensure_ascii=False)[1:-1] if in_json else value

        return self.SHAPE.sub(value_of, text)

    def masked(self, text: str) -> str:
        """The text with the names in the place of their values; the longest value first."""
        for name, value in sorted(self._values.items(), key=lambda pair: -len(pair[1])):
            if value in text:
                text = text.replace(value, name)
            written = json.dumps(value, ensure_ascii=False)[1:-1]
            if written != value and written in text:
                text = text.replace(written, name)
        return text

    @property
    def longest(self) -> int:
        """The characters of the longest name."""
        return max(map(len, self._values), default=0)

    def open_at(self, text: str) -> int:
        """Where a name may begin that is not at its end yet; the text's length where none may.

        >>> table = Placeholders(); _ = table.name("EMAIL", "a@b.io")
        >>> table.open_at("to [EMA"), table.open_at("to [EMU"), table.open_at("to [EMAIL_1]")
        (3, 7, 12)
        """
        longest = self.longest
        start = text.rfind("[", max(0, len(text) - longest + 1)) if longest else -1
        if start < 0:
            return len(text)
        piece = text[start:]
        return start if any(len(piece) < len(name) and name.startswith(piece) for name in self._values) else len(text)
