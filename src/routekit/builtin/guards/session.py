"""What a redacting guard does with the answers to one request: private data is taken out, the request's own put back.

A stream and a whole answer go through the same windows, which cut a text at places that only the text itself
decides; so both make the same text, wherever a stream was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from routekit.builtin.guards.placeholders import Placeholders
from routekit.builtin.guards.reading import ARGUMENTS, Reading
from routekit.builtin.guards.spans import Span
from routekit.plugin import Finding, GuardSession
from routekit.types import Message

_LOUD = re.compile(r"\[[A-Z][A-Z0-9_]{1,40}_[0-9]{1,6}\]|(?P<loud>[0-9@_=:\[]|-----)")
"""What private data and secrets have and prose has not; a placeholder counts as prose."""

_QUIET = 48
"""So many characters without any of it part two findings: as far as a word beside a number is looked for."""

_MOST = 8192
"""Characters that are held back at most."""

Spans = Callable[[str], Sequence[Span]]


class _Restoring:
    """A text in pieces; only what may be the beginning of a placeholder is held back."""

    def __init__(self, table: Placeholders, *, in_json: bool = False) -> None:
        self._table, self._in_json = table, in_json
        self._held = ""

    def feed(self, text: str) -> str:
        text = self._held + text
        open_at = self._table.open_at(text)
        self._held = text[open_at:]
        return self._table.restored(text[:open_at], in_json=self._in_json)

    def end(self) -> str:
        rest, self._held = self._held, ""
        return rest


class _Redacting:
    """A text in pieces: what may yet become private data is held back until what follows says that it is none."""

    def __init__(self, redact: Callable[[str], str], restore: Callable[[str], str]) -> None:
        self._redact, self._restore = redact, restore
        self._held = ""

    def feed(self, text: str) -> str:
        return self._read(self._held + text, final=False)

    def end(self) -> str:
        return self._read(self._held, final=True)

    def _read(self, text: str, *, final: bool) -> str:
        done: list[str] = []
        place = 0
        while place < len(text):
            first = _next_loud(text, place)
            if first < 0:
                stop = len(text) if final else _space_before(text, place, len(text) - _QUIET)
                done.append(self._restore(text[place:stop]))
                place = stop
                break
            begin = _space_before(text, place, first - _QUIET)
            done.append(self._restore(text[place:begin]))
            place = begin
            stop = _end_of_loud(text, first, final=final)
            if stop < 0 or stop - begin > _MOST:
                if len(text) - begin < _MOST:
                    break
                stop = begin + _MOST
            done.append(self._redact(text[begin:stop]))
            place = stop
        self._held = text[place:]
        return "".join(done)


def _next_loud(text: str, place: int) -> int:
    while (match := _LOUD.search(text, place)) is not None:
        if match["loud"] is not None:
            return match.start()
        place = match.end()
    return -1


def _space_before(text: str, start: int, stop: int) -> int:
    """The place behind the last space before `stop`, or `start`."""
    return max(start, text.rfind(" ", start, max(start, stop)) + 1, text.rfind("\n", start, max(start, stop)) + 1)


def _end_of_loud(text: str, first: int, *, final: bool) -> int:
    """Where the first quiet space behind a finding is, -1 where that is not known yet."""
    last = first
    while True:
        following = _next_loud(text, last + 1)
        limit = len(text) if following < 0 else following
        space = text.find(" ", last + _QUIET, max(last, limit - _QUIET))
        if space >= 0:
            return space + 1
        if following < 0:
            return len(text) if final else -1
        last = following


class AnswerSession(GuardSession):
    """Holds the table of one request, as long as that lasts. `spans` finds what is to be taken out,
    None: nothing is."""

    def __init__(self, table: Placeholders, *, restore: bool, spans: Spans | None) -> None:
        self._table = table
        self._own = table if restore else Placeholders()
        self._spans = spans
        self._windows: dict[Any, _Restoring | _Redacting] = {}
        self._calls: dict[Any, str] = {}
        self._found: dict[str, dict[str, float]] = {}

    def __repr__(self) -> str:
        return "AnswerSession()"

    @property
    def findings(self) -> Sequence[Finding]:
        return [Finding(kind, "answer", len(values), max(values.values())) for kind, values in self._found.items()]

    def restarted(self) -> None:
        self._windows.clear()
        self._calls.clear()

    def message(self, message: Message) -> Message:
        read: Message = Reading(_Whole(self)).messages((message,), where="answer")[0]
        return read

    def masked(self, message: Message) -> Message:
        read: Message = Reading(_Masked(self._table)).messages((message,), where="answer")[0]
        return read

    def feed(self, delta: Mapping[str, Any]) -> Mapping[str, Any]:
        read = {key: self._piece(key, value) for key, value in delta.items()}
        if all(read[key] is value for key, value in delta.items()):
            return delta
        return {key: value for key, value in read.items() if value not in ("", None, [])}

    def end(self) -> Mapping[str, Any]:
        delta: dict[str, Any] = {}
        for key, window in self._windows.items():
            if text := window.end():
                if isinstance(key, tuple):
                    calls = delta.setdefault("tool_calls", [])
                    calls.append({"index": key[0], "function": {"arguments": text}})
                else:
                    delta[key] = text
        for index, arguments in self._calls.items():
            text = Reading(_Whole(self, in_json=True)).arguments(arguments)
            delta.setdefault("tool_calls", []).append({"index": index, "function": {"arguments": text}})
        self._windows.clear()
        self._calls.clear()
        return delta

    def redacted(self, text: str) -> str:
        """A piece of text without private data but the request's own, which is put back."""
        done, pieces = 0, []
        for span in self._spans(text) if self._spans is not None else ():
            value = text[span.start : span.end]
            if self._table.holds(value):
                continue
            values = self._found.setdefault(span.kind, {})
            values[value] = max(values.get(value, 0.0), span.score)
            pieces += [self._own.restored(text[done : span.start]), self._table.stranger(span.kind, value)]
            done = span.end
        pieces.append(self._own.restored(text[done:]))
        return "".join(pieces)

    def window(self, *, in_json: bool = False) -> _Restoring | _Redacting:
        if self._spans is None:
            return _Restoring(self._own, in_json=in_json)
        return _Redacting(self.redacted, self._own.restored)

    def _piece(self, key: str, value: Any) -> Any:
        if key == "role":
            return value
        if isinstance(value, str):
            window = self._windows.get(key)
            if window is None:
                window = self._windows[key] = self.window()
            text = window.feed(value)
            return value if text == value else text
        if key == "tool_calls" and isinstance(value, list | tuple):
            return [self._call(place, call) for place, call in enumerate(value)]
        if isinstance(value, list | tuple | Mapping):
            return cast("dict[str, Any]", self.message(cast("Message", {key: value})))[key]
        return value

    def _call(self, place: int, call: Any) -> Any:
        function = call.get("function") if isinstance(call, Mapping) else None
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if function is None or not isinstance(arguments, str) or not arguments:
            return call
        index = call.get("index")
        index = place if not isinstance(index, int) else index
        if self._spans is not None:  # numbers are told from their names when the JSON is whole
            self._calls[index] = self._calls.get(index, "") + arguments
            text = ""
        else:
            window = self._windows.get((index, "arguments"))
            if window is None:
                window = self._windows[index, "arguments"] = self.window(in_json=True)
            text = window.feed(arguments)
        return {**call, "function": {**function, "arguments": text}}


class _Whole:
    """Reads the texts of a whole answer as a stream of it would be read."""

    def __init__(self, session: AnswerSession, *, in_json: bool = False) -> None:
        self._session, self._in_json = session, in_json

    def text(self, text: str, where: str, *, label: str = "", is_id: bool = False) -> str:
        if is_id or not text:
            return text
        window = self._session.window(in_json=self._in_json or label == ARGUMENTS)
        read = window.feed(text) + window.end()
        return text if read == text else read


class _Masked:
    def __init__(self, table: Placeholders) -> None:
        self._table = table

    def text(self, text: str, where: str, *, label: str = "", is_id: bool = False) -> str:
        return text if is_id else self._table.masked(text)
