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

from routekit.errors import InvalidRequestError
from routekit.types import text_of

COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": True}
"""llguidance's way to ask for JSON on one line: small models otherwise spend their tokens on blanks."""

_UNENFORCED = frozenset(
    {"not", "uniqueItems", "contains", "minContains", "maxContains", "if", "then", "else", "dependencies",
     "dependentSchemas", "dependentRequired", "propertyNames", "unevaluatedProperties", "unevaluatedItems",
     "$dynamicRef", "$recursiveRef"}
)  # fmt: skip
"""Keywords that the grammar compiler does not know. It would then constrain nothing, in silence."""

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}
)  # fmt: skip
"""Formats it enforces. Others are annotations, as JSON Schema has them, and are left out."""

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMAS = frozenset({"items", "additionalProperties", "additionalItems"})
_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples", "example",
                          "deprecated", "readOnly", "writeOnly", "discriminator", "strict"})  # fmt: skip


class UnsupportedRequestError(InvalidRequestError):
    """This runtime cannot do what was asked for; another deployment may."""

    fall_back = True


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


def answer_schema(response_format: Any) -> dict[str, Any] | None:
    """The schema that `response_format` asks for, None for text."""
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind == "json_schema":
        inner = response_format.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, Mapping) else None
        if isinstance(schema, Mapping):
            return enforceable(schema, "response_format")
    raise InvalidRequestError(
        "response_format must be {'type': 'text'}, {'type': 'json_object'} or "
        "{'type': 'json_schema', 'json_schema': {'schema': {...}}}"
    )


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


def reply_schema(
    functions: Sequence[Mapping[str, Any]], *, may_answer: bool, answer: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One branch for an answer, where that is allowed, and one per function. Definitions move to the root."""
    definitions: dict[str, Any] = {}
    branches = []
    if may_answer:
        value = _hoisted(answer, "answer", definitions) if answer is not None else {"type": "string"}
        branches.append(_object(answer=value))
    for index, function in enumerate(functions):
        parameters = enforceable(function.get("parameters") or {"type": "object", "properties": {}}, function["name"])
        arguments = _hoisted(parameters, f"tool{index}", definitions)
        branches.append(_object(tool={"const": function["name"]}, arguments=arguments))
    schema: dict[str, Any] = {"x-guidance": COMPACT}
    schema |= branches[0] if len(branches) == 1 else {"anyOf": branches}
    if definitions:
        schema["$defs"] = definitions
    return schema


def enforceable(schema: Mapping[str, Any], where: str, *, closed: bool = True) -> dict[str, Any]:
    """A copy without annotations, its objects closed: small models invent further properties without end.

    (Not inside ``allOf``, whose parts would then exclude each other.)

    Raises:
        UnsupportedRequestError: a keyword that would not be enforced.
    """
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _UNENFORCED and value is not False:
            raise UnsupportedRequestError(f"{where}: local models cannot enforce the JSON schema keyword {key!r}")
        if key in _ANNOTATIONS or key in _UNENFORCED or (key == "format" and value not in _FORMATS):
            continue
        if key == "type":
            kinds = value if isinstance(value, list) else [value]
            if not kinds or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
                raise InvalidRequestError(f"{where}: {value!r} is no JSON schema type")
        elif key in _MAPS and isinstance(value, Mapping):
            value = {name: _inner(part, f"{where}.{name}", closed) for name, part in value.items()}
        elif key in _LISTS and isinstance(value, Sequence):
            value = [_inner(part, where, closed and key != "allOf") for part in value]
        elif key in _SCHEMAS:
            value = _inner(value, where, closed)
        result[key] = value
    if closed and "properties" in result and not result.keys() & {"allOf", "patternProperties"}:
        result.setdefault("additionalProperties", False)
    return result


def _inner(value: Any, where: str, closed: bool) -> Any:
    return enforceable(value, where, closed=closed) if isinstance(value, Mapping) else value


def _hoisted(schema: Mapping[str, Any], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema with its ``$defs`` moved to `definitions` under prefixed names, and its ``$ref``s along."""

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: _renamed(inner, prefix) if key == "$ref" and isinstance(inner, str) else moved(inner)
                for key, inner in value.items()
            }
        return [moved(item) for item in value] if isinstance(value, list) else value

    body = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    for holder in ("$defs", "definitions"):
        for name, definition in (schema.get(holder) or {}).items():
            definitions[f"{prefix}.{name}"] = moved(definition)
    if _points_at_root(body) or any(_points_at_root(value) for value in (schema.get("$defs") or {}).values()):
        definitions[f"{prefix}."] = moved(body)
    result: dict[str, Any] = moved(body)
    return result


def _points_at_root(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("$ref") == "#" or any(_points_at_root(inner) for inner in value.values())
    return isinstance(value, list) and any(_points_at_root(item) for item in value)


def _renamed(reference: str, prefix: str) -> str:
    if reference == "#":
        return f"#/$defs/{prefix}."
    for holder in ("#/$defs/", "#/definitions/"):
        if reference.startswith(holder):
            return f"#/$defs/{prefix}.{reference.removeprefix(holder)}"
    raise UnsupportedRequestError(f"the JSON schema reference {reference!r} points outside of $defs")


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidRequestError("a tool must be {'type': 'function', 'function': {'name': ..., 'parameters': ...}}")
    return function


def instructions(functions: Sequence[Mapping[str, Any]], may_answer: bool) -> str:
    """The part of the system message that lists the tools: one line each, ``name(a: string, b?: integer)``."""
    lines = ["You can use these tools:", *(f"- {signature(function)}" for function in functions)]
    example = '{"tool": "<name>", "arguments": {...}}'
    if may_answer:
        lines.append(f'To use a tool, write {example}. Otherwise write {{"answer": "<your answer>"}}.')
        lines.append("Use a tool when the question needs it; answer greetings and general questions yourself.")
    else:
        lines.append(f"Use the tool that fits: write {example}.")
    return "\n".join(lines)


def signature(function: Mapping[str, Any]) -> str:
    """A function in one line: ``name(a: string, b?: integer): what it does``."""
    parameters = function.get("parameters") or {}
    required = parameters.get("required") or ()
    listed = [
        f"{name}{'' if name in required else '?'}: {_kind(schema)}"
        for name, schema in (parameters.get("properties") or {}).items()
    ]
    what = " ".join(str(function.get("description") or "").split())
    return f"{function['name']}({', '.join(listed)})" + (f": {what}" if what else "")


def _kind(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    if isinstance(values := schema.get("enum"), list):
        return "|".join(json.dumps(value, ensure_ascii=False) for value in values)
    kind = schema.get("type", "any")
    return "|".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def render(
    messages: Sequence[Mapping[str, Any]], extra: str | None = None, system: str | None = None
) -> tuple[dict[str, str], ...]:
    """Plain chat: roles system, user and assistant only, texts only, no role twice in a row.

    Chat templates differ in what else they stand. `extra` is put behind the system message and says how
    to call tools; without it, earlier calls are left out, lest the model takes them for the way to answer,
    and their results stand with the question.

    Raises:
        UnsupportedRequestError: a content part that is no text.
    """
    rendered: list[dict[str, str]] = []
    names: dict[str, str] = {}

    def add(role: str, text: str) -> None:
        if rendered and rendered[-1]["role"] == role:
            rendered[-1]["content"] += f"\n\n{text}"
        else:
            rendered.append({"role": role, "content": text})

    for message in messages:
        role, text = message["role"], _text(message)
        if role in ("system", "developer"):
            add("system", text)
        elif role in ("tool", "function"):
            name = names.get(str(message.get("tool_call_id")), "") or message.get("name") or "the tool"
            add("user", f"Result of {name}: {text}")
        elif role == "assistant":
            calls = message.get("tool_calls") or ()
            written = []
            for call in calls:
                function = call.get("function") or {}
                names[str(call.get("id"))] = function.get("name", "")
                if extra:
                    written.append(_written(function))
            if text or written or not calls:
                add("assistant", "\n".join(([text] if text else []) + written))
        else:
            add("user", text)
    if not rendered or rendered[0]["role"] != "system":
        first = "\n\n".join(part for part in (system, extra) if part)
        if first:
            rendered.insert(0, {"role": "system", "content": first})
    elif extra:
        rendered[0]["content"] += f"\n\n{extra}"
    return tuple(rendered)


def _written(function: Mapping[str, Any]) -> str:
    """A call in the words that the model is to use itself."""
    arguments = function.get("arguments") or "{}"
    try:
        arguments = json.dumps(json.loads(arguments), ensure_ascii=False)
    except (TypeError, ValueError):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return f'{{"tool": {json.dumps(function.get("name", ""), ensure_ascii=False)}, "arguments": {arguments}}}'


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        for part in content:
            kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
            if kind not in ("text", "refusal"):
                raise UnsupportedRequestError(f"local models read text only; a message has a part of type {kind!r}")
    return text_of(message)


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
