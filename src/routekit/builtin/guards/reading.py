"""One pass over everything of a call that somebody wrote: messages with all of their parts, tools, parameters.

`Reading` walks; what is done with each text is its visitor's business. JSON inside texts stays JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from routekit.types import Message

_NOT_TEXT = frozenset({"role", "type"})
_IDS = frozenset({"id", "tool_call_id"})
"""Join calls with their results: read, but not redacted, because two of them could then be one."""

_MEDIA = frozenset({("image_url", "url"), ("input_audio", "data"), ("file", "file_data")})
"""Where a picture, sound or file stands, by the field around it and its own: told by place, never by its text."""

_SETTINGS = frozenset(
    {
        "modalities", "parallel_tool_calls", "reasoning_effort", "service_tier", "stream_options", "tool_choice",
        "verbosity",
    }
)  # fmt: skip
"""Parameters with words of the protocol. Every other one may carry what somebody wrote."""

_TEXTS = frozenset({"content", "text", "refusal", "description", "reasoning_content", "input"})
"""Fields whose names say nothing about what stands in them."""

ARGUMENTS = "arguments"
"""The label of JSON that is read as a text."""

_JSON_STARTS = ("{", "[")
_CHANNELS = {"user": "user", "system": "system", "developer": "system", "tool": "tool", "function": "tool"}


class Visitor(Protocol):
    """Gets each text with where it stands ("user", "system", "assistant", "tool", "tools", "params", "answer") and
    gives back what stays of it; the same object where nothing changes. `label` is the name of the field that it stands
    in, where that says something about it; `is_id`: what it gives back is not used."""

    def text(self, text: str, where: str, *, label: str = "", is_id: bool = False) -> str: ...


class Reading:
    """Copies of what had to change, the same objects where nothing had to."""

    def __init__(self, visitor: Visitor) -> None:
        self._visit = visitor.text
        self._where = ""

    def messages(self, messages: Sequence[Message], *, where: str | None = None) -> tuple[Message, ...]:
        read = []
        for message in messages:
            self._where = where or _CHANNELS.get(str(message.get("role")), "assistant")
            read.append(cast("Message", self._value("", message)))
        return tuple(read)

    def tools(self, tools: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        self._where = "tools"
        return tuple(self._value("", tool) for tool in tools)

    def params(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self._where = "params"
        read = {key: value if key in _SETTINGS else self._field("", key, value) for key, value in params.items()}
        return params if same(read.values(), params.values()) else read

    def _text(self, text: str, label: str = "", *, is_id: bool = False) -> str:
        return self._visit(text, self._where, label=label, is_id=is_id)

    def _value(self, around: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._content(value)
        if isinstance(value, Mapping):
            fields = {key: self._field(around, key, item) for key, item in value.items()}
            return value if all(fields[key] is item for key, item in value.items()) else fields
        if isinstance(value, (list, tuple)):
            items = [self._value(around, item) for item in value]
            return value if same(items, value) else items
        return value

    def _field(self, around: str, key: Any, value: Any) -> Any:
        if not isinstance(value, str):
            return self._value(str(key), value)
        if key in _NOT_TEXT or (around, key) in _MEDIA:
            return value
        if key in _IDS:
            self._text(value, is_id=True)
            return value
        if key == "arguments":
            return self.arguments(value)
        return self._content(value, "" if key in _TEXTS else str(key))

    def _content(self, text: str, label: str = "") -> str:
        read = self._text(text, label)
        if read is text or text.lstrip()[:1] not in _JSON_STARTS or _is_json(read) or not _is_json(text):
            return read
        return self.arguments(text)

    def arguments(self, text: str) -> str:
        """Arguments are JSON inside a text: they stay JSON, and escapes or numbers hide nothing."""
        plain = self._text(text, ARGUMENTS)
        try:
            before = json.loads(text)
            after = self._json(before)
        except (ValueError, RecursionError):
            return plain
        if plain == text and after is before:
            return text
        written = json.dumps(after, ensure_ascii=False)
        again = self._text(written, ARGUMENTS)
        return again if again is written or _is_json(again) else written

    def _json(self, value: Any, label: str = "") -> Any:
        if isinstance(value, str):
            return self._text(value, label)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            written = str(value)
            shown = self._text(written, label)
            return value if shown == written else shown
        if isinstance(value, list):
            items = [self._json(item, label) for item in value]
            return value if same(items, value) else items
        if isinstance(value, dict):
            fields = {self._text(key): self._json(item, key) for key, item in value.items()}
            unchanged = list(fields) == list(value) and same(fields.values(), value.values())
            return value if unchanged else fields
        return value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def same(new: Iterable[Any], old: Iterable[Any]) -> bool:
    """Whether these are the very same objects."""
    return all(a is b for a, b in zip(new, old, strict=True))
