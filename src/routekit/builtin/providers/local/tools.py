"""Tools and JSON for models that know neither: rendered into plain chat, enforced by a grammar.

llama.cpp does not enforce the choice of a tool, and most small models were never taught to call one. So
the tools are listed in the system message, and the answer is bound to a JSON schema that has one branch
for an answer and one for each tool::

    {"answer": "..."}   or   {"tool": "get_weather", "arguments": {"city": "Paris"}}

Earlier calls and their results are told to the model in the same words. All of this is pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routekit.builtin.providers.local.grammar import COMPACT, answer_schema, reply_schema
from routekit.builtin.providers.local.prompt import instructions, render
from routekit.errors import InvalidRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a call is put to the model: plain chat messages, and the schema its answer is bound to.

    `schema` None means free text. `tools` says that the answer is in the form described above;
    `structured` that its ``answer`` is a JSON value and not a text.
    """

    messages: tuple[dict[str, str], ...]
    schema: Mapping[str, Any] | None = None
    tools: bool = False
    structured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model said: a text, or the call of a tool with its arguments as a JSON string."""

    text: str | None = None
    tool: str | None = None
    arguments: str = "{}"


def plan(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    params: Mapping[str, Any] | None = None,
    *,
    system: str | None = None,
) -> Plan:
    """Turns a Chat Completions request into plain chat and a schema. `system` is used where there is none.

    Raises:
        UnsupportedRequestError: a picture, a sound, or a schema that cannot be enforced.
        InvalidRequestError: a malformed tool, `tool_choice` or `response_format`.
    """
    params = params or {}
    answer = answer_schema(params.get("response_format"))
    chosen, may_answer = choose_tools(tools, params.get("tool_choice"))
    listed = [tool["function"] for tool in tools]
    rendered = render(messages, instructions(listed, may_answer) if chosen else None, system)
    if not chosen:
        return Plan(messages=rendered, schema=None if answer is None else {"x-guidance": COMPACT, **answer})
    schema = reply_schema(chosen, may_answer=may_answer, answer=answer)
    return Plan(messages=rendered, schema=schema, tools=True, structured=answer is not None)


def choose_tools(tools: Sequence[Mapping[str, Any]], choice: Any) -> tuple[list[Mapping[str, Any]], bool]:
    """The functions that may be called, and whether the model may answer instead."""
    functions = [_function(tool) for tool in tools]
    if choice == "none" or (not functions and choice in (None, "auto")):
        return [], True
    if choice in (None, "auto"):
        return functions, True
    if choice in ("required", "any") and functions:
        return functions, False
    if isinstance(choice, Mapping):
        inner = choice.get("function")
        name = inner.get("name") if isinstance(inner, Mapping) else None
        named = [function for function in functions if function["name"] == name]
        if named:
            return named, False
    names = ", ".join(function["name"] for function in functions) or "none"
    raise InvalidRequestError(f"tool_choice {choice!r} names none of the tools given ({names})")


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidRequestError("a tool must be {'type': 'function', 'function': {'name': ..., 'parameters': ...}}")
    return function


def parse(text: str, *, structured: bool = False) -> Reply:
    """Reads the model's JSON.

    Raises:
        ValueError: it is not in the form that the schema demands (cut off by a limit, mostly).
    """
    value = json.loads(text)
    if isinstance(value, dict) and isinstance(value.get("tool"), str):
        return Reply(tool=value["tool"], arguments=json.dumps(value.get("arguments", {}), ensure_ascii=False))
    if isinstance(value, dict) and "answer" in value:
        answer = value["answer"]
        plain = isinstance(answer, str) and not structured
        return Reply(text=answer if plain else json.dumps(answer, ensure_ascii=False))
    raise ValueError("neither an answer nor a tool")


ANSWER_PREFIX = '{"answer": "'


class AnswerText:
    """Reads the text of a growing ``{"answer": "..."``, so that an answer can be streamed beside tools.

    >>> reader = AnswerText()
    >>> [reader.feed(part) for part in ('{"answer"', ': "Hel', 'lo\\\\', 'n', '!"}')]
    ['', 'Hel', 'lo', '\\n', '!']
    """

    def __init__(self) -> None:
        self._raw = ""
        self._read = len(ANSWER_PREFIX)
        self.started = False
        self.ended = False

    @property
    def raw(self) -> str:
        return self._raw

    def feed(self, part: str) -> str:
        """The text that became readable with this part."""
        self._raw += part
        if not self.started:
            self.started = self._raw.startswith(ANSWER_PREFIX)
        if not self.started or self.ended:
            return ""
        raw, place = self._raw, self._read
        while place < len(raw):
            if raw[place] == '"':
                self.ended = True
                break
            width = 1
            if raw[place] == "\\":
                width = self._escape(place)
                if place + width > len(raw) or width == 0:
                    break
            place += width
        text: str = json.loads(f'"{raw[self._read : place]}"', strict=False)
        self._read = place
        return text

    def _escape(self, place: int) -> int:
        """How long the escape at `place` is; 0 while that cannot be told. Surrogates come in pairs."""
        raw = self._raw
        if place + 1 >= len(raw):
            return 0
        if raw[place + 1] != "u":
            return 2
        if place + 6 > len(raw):
            return 0
        if raw[place + 2 : place + 4].lower() in ("d8", "d9", "da", "db"):
            follows = raw[place + 6 : place + 8]
            if len(follows) < 2 and "\\u".startswith(follows):
                return 0
            return 12 if follows == "\\u" else 6
        return 6
