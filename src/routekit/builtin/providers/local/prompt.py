"""Tools and conversations, as a prompt that a small model understands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from routekit.builtin.providers.local.grammar import UnsupportedRequestError
from routekit.types import text_of


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
