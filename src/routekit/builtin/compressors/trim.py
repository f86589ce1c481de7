"""Drops the oldest turns of a conversation until the rest fits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from routekit.plugin import Compression, Compressor, CompressorPlugin
from routekit.types import Message, RouteRequest, count_tokens

_KEPT_ROLES = frozenset({"system", "developer"})


class Trim(Compressor):
    """Whole turns go, oldest first; system messages, the newest user turn and what follows it stay.

    A turn is a user message with everything up to the next one. Turns that a tool call and its
    result tie together go together. Where even the newest turn is too large, it is all that is left.
    """

    lossless = False

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        messages, tools = request.messages, request.tools
        if target_tokens is None or count_tokens(messages, tools)[0] <= target_tokens:
            return Compression(request=request, lossless=True)
        starts = _turn_starts(messages)
        if len(starts) < 2:
            return Compression(request=request, lossless=True)

        def without(turns: int) -> tuple[Message, ...]:
            first = starts[turns]
            old = (message for message in messages[:first] if message.get("role") in _KEPT_ROLES)
            return (*old, *messages[first:])

        # The more turns go, the fewer tokens are left: the smallest number that fits is found by halving.
        turns = bisect_left(
            range(1, len(starts)), True, key=lambda n: count_tokens(without(n), tools)[0] <= target_tokens
        )
        kept = without(min(turns + 1, len(starts) - 1))
        gone = len(messages) - len(kept)
        if not gone:
            return Compression(request=request, lossless=True)
        removed = f"{gone} older message{'' if gone == 1 else 's'}"
        return Compression(request=replace(request, messages=kept), lossless=False, removed=removed)


def _turn_starts(messages: Sequence[Message]) -> list[int]:
    """Where each turn begins. The first is 0: what stands before the first user message is a turn, too."""
    starts: list[int] = []
    called: dict[str, int] = {}
    function_call: int | None = None
    for index, message in enumerate(messages):
        role = message.get("role")
        if role in _KEPT_ROLES:
            continue
        if role == "user" or not starts:
            starts.append(index if starts else 0)
        for call in message.get("tool_calls") or ():
            called[call.get("id", "")] = index
        if message.get("function_call"):
            function_call = index
        origin = None
        if role == "tool":
            origin = called.get(message.get("tool_call_id", ""))
        elif role == "function":
            origin = function_call
        while origin is not None and starts[-1] > origin:
            starts.pop()  # the result came after another user message: these turns are one
    return starts


PLUGIN = CompressorPlugin(
    name="trim",
    factory=lambda options, context: Trim(),
    summary="Drops the oldest turns until the request fits; system messages and the newest turn stay.",
)
