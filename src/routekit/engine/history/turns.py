"""Pure: the order of turns that a reader takes, and how a conversation may begin and end there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from routekit.engine.history.dialect import Reader
from routekit.types import text_of

CONTINUE = "Please continue."
BEGINNING = "(The beginning of the conversation was left out.)"
BRIDGE = "(Tool results received.)"
"""What is put in where a reader needs a message that nobody wrote."""


def without_blanks(messages: Sequence[Any]) -> list[Any]:
    """Without the messages in which nothing is said, which some readers refuse."""
    return [message for message in messages if not _is_blank(message)]


def in_turns(messages: Sequence[Any], who: Reader) -> list[Any]:
    """The order of roles that the reader takes, from the first message to the last."""
    dialect, out = who.dialect, list[Any]()
    spoken = False
    for message in messages:
        role, before = message["role"], out[-1]["role"] if out else ""
        if dialect.alternates and role == "system" and spoken:
            message, role = {**message, "role": "user"}, "user"
        if dialect.opens_with_user and not spoken and role == "assistant":
            out.append({"role": "user", "content": BEGINNING})
            before = "user"
        spoken = spoken or role != "system"
        if dialect.bridged and role == "user" and before == "tool":
            out.append({"role": "assistant", "content": BRIDGE})
        elif dialect.alternates and role == before and role in ("user", "assistant") and "tool_calls" not in out[-1]:
            out[-1] = _merged(out[-1], message)
            continue
        out.append(message)
    if not spoken and not dialect.blank:
        out.append({"role": "user", "content": CONTINUE})
    elif out and out[-1]["role"] == "assistant" and dialect.last != "any":
        out += _to_go_on(out.pop(), who)
    return out


def _to_go_on(message: Mapping[str, Any], who: Reader) -> list[Mapping[str, Any]]:
    """A closing assistant message as the reader goes on with it, else one that asks for it behind."""
    mark = who.dialect.mark
    if not who.prefill or message.get("function_call"):
        return [message, {"role": "user", "content": CONTINUE}]
    if mark:
        return [message if message.get(mark) is True else {**message, mark: True}]
    content = message.get("content")
    if isinstance(content, str):
        return [message if content == content.rstrip() else {**message, "content": content.rstrip()}]
    if content and isinstance(content[-1], Mapping):
        text = content[-1].get("text")
        if isinstance(text, str) and text != text.rstrip():
            return [{**message, "content": [*content[:-1], {**content[-1], "text": text.rstrip()}]}]
    return [message]


def _merged(one: Mapping[str, Any], two: Mapping[str, Any]) -> Mapping[str, Any]:
    a, b = one.get("content"), two.get("content")
    if isinstance(a, str) and isinstance(b, str):
        return {**one, **two, "content": f"{a}\n\n{b}"}
    return {**one, **two, "content": [*_as_parts(a), *_as_parts(b)]}


def _as_parts(content: Any) -> Iterable[Any]:
    if isinstance(content, (list, tuple)):
        return content
    return ({"type": "text", "text": content},) if content else ()


def _is_blank(message: Mapping[str, Any]) -> bool:
    """Whether nothing is said in it: no text but white space, no part, no call. A result may be empty."""
    if message["role"] in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
        return False
    content = message.get("content")
    if not content or isinstance(content, str):
        return not (content or "").strip()
    return all(
        isinstance(part, Mapping) and part.get("type") == "text" and not text_of({"content": [part]}).strip()
        for part in content
    )
