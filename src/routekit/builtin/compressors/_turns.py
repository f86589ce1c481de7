"""Conversations cut into turns that may go or stay as a whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from routekit.types import Message, RouteRequest, count_tokens

KEPT_ROLES = frozenset({"system", "developer"})
"""Messages that stay wherever they stand."""

_REFERENCE = re.compile(r"\[the same (?:\d+ lines )?as in the result of ([^\]\n]{1,200})\]")


def turn_starts(messages: Sequence[Message]) -> list[int]:
    """Where each turn begins. The first is 0: what stands before the first user message is a turn, too.

    A turn is a user message with everything up to the next one. Turns that a tool call and its result, or
    a reference to an earlier result, tie together are one.
    """
    starts: list[int] = []
    called: dict[str, int] = {}
    function_call: int | None = None
    for index, message in enumerate(messages):
        role = message.get("role")
        if role in KEPT_ROLES:
            continue
        if role == "user" or not starts:
            starts.append(index if starts else 0)
        for call in message.get("tool_calls") or ():
            called[call.get("id", "")] = index
        if message.get("function_call"):
            function_call = index
        origins: list[int | None] = []
        if role == "tool":
            origins = [called.get(message.get("tool_call_id", "")), *(called.get(name) for name in referred(message))]
        elif role == "function":
            origins = [function_call]
        for origin in origins:
            while origin is not None and starts[-1] > origin:
                starts.pop()  # the result came after another user message: these turns are one
    return starts


def reference_to(call_id: str, lines: int | None = None) -> str:
    """What stands for a text that the result of an earlier call has already.

    >>> reference_to("call_1")
    '[the same as in the result of call_1]'
    """
    return f"[the same {'' if lines is None else f'{lines} lines '}as in the result of {call_id}]"


def referred(message: Message) -> list[str]:
    """The calls whose results a tool's result refers to."""
    content = message.get("content")
    return _REFERENCE.findall(content) if isinstance(content, str) and "[the same " in content else []


def without_turns(messages: Sequence[Message], first: int, last: int) -> tuple[Message, ...]:
    """The messages without those from `first` up to `last`; system messages among them stay."""
    between = (message for message in messages[first:last] if message.get("role") in KEPT_ROLES)
    return (*messages[:first], *between, *messages[last:])


def size_of(request: RouteRequest) -> int:
    """Likely input tokens."""
    return count_tokens(request.messages, request.tools)[0]


def rewritten(
    request: RouteRequest, rewrite: Callable[[int, Message], Message], roles: frozenset[str]
) -> tuple[RouteRequest, int]:
    """The request with each message of these roles rewritten, and how many have changed."""
    messages = tuple(
        rewrite(place, message) if message.get("role") in roles else message
        for place, message in enumerate(request.messages)
    )
    changed = sum(new is not old for new, old in zip(messages, request.messages, strict=True))
    return (replace(request, messages=messages) if changed else request), changed


def counted(number: int, noun: str) -> str:
    """So many of them, in words.

    >>> counted(1, "message"), counted(2, "message")
    ('1 message', '2 messages')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
