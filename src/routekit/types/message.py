"""Messages: OpenAI Chat Completions dictionaries, the field's lingua franca, and how to read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from routekit.errors import InvalidInputError
from routekit.types.text import well_formed, well_formed_json

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
ROLES = frozenset(Role.__args__)  # type: ignore[attr-defined]  # typing has no public way to read a Literal alias


class FunctionCall(TypedDict, total=False):
    name: str
    arguments: str


class ToolCall(TypedDict, total=False):
    id: str
    type: str
    function: FunctionCall


class Message(TypedDict, total=False):
    """One message. `content` is a text, a list of content parts, or None beside `tool_calls`.

    Keys that are not listed here travel untouched to the provider.
    """

    role: str
    content: Any
    name: str
    tool_calls: list[ToolCall]
    tool_call_id: str
    refusal: str | None


def as_messages(value: str | Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """A prompt or a list of messages, checked and made a tuple.

    Lone surrogates in texts (halves of characters that somebody cut in two) become U+FFFD: no UTF-8 can carry them.

    Raises:
        InvalidInputError: nothing in it, an item that is no message, a role nobody knows, a number that JSON has no
            word for, or parts that are nested too deeply.
    """
    if isinstance(value, str):
        if not value:
            raise InvalidInputError("the prompt is empty; pass a text or a list of messages")
        return ({"role": "user", "content": well_formed(value)},)
    if isinstance(value, Mapping):
        raise InvalidInputError("messages must be a list of messages; wrap the single message in a list")
    messages = list(value)
    if not messages:
        raise InvalidInputError(
            "messages is empty; pass at least one message, such as {'role': 'user', 'content': ...}"
        )
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else type(message).__name__
        if not isinstance(message, Mapping) or not isinstance(role, str) or role not in ROLES:
            raise InvalidInputError(
                f"messages[{index}] has role {role!r}; each message is a dictionary with a role among "
                f"{', '.join(sorted(ROLES))}"
            )
        content = message.get("content")
        if content.__class__ is not str and content is not None and not isinstance(content, (str, list, tuple)):
            raise InvalidInputError(
                f"messages[{index}] has content of type {type(content).__name__}; it is a text, a list of parts or None"
            )
        messages[index] = well_formed_json(message, f"messages[{index}]")
    return tuple(messages)  # type: ignore[arg-type]  # checked above


def text_of(message: Mapping[str, Any]) -> str:
    """The text of one message: its content, or the joined texts of its parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        texts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "".join(text for text in texts if isinstance(text, str))
    return ""


def follows_tool_results(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the answer to these follows the results of tools: then the work may be done, and nothing left to say."""
    for message in reversed(messages):
        role = message.get("role")
        if role not in ("system", "developer"):
            return role in ("tool", "function")
    return False


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The newest user message's text, or an empty one."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message)
    return ""
