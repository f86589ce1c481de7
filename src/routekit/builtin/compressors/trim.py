"""Drops the oldest turns of a conversation until the rest fits."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from routekit.builtin.compressors._turns import counted, size_of, turn_starts, without_turns
from routekit.plugin import Compression, Compressor, CompressorPlugin
from routekit.types import Message, RouteRequest, count_tokens


class Trim(Compressor):
    """Whole turns go, oldest first; system messages, the newest user turn and what follows it stay.

    A turn is a user message with everything up to the next one. Turns that a tool call and its
    result tie together go together. Where even the newest turn is too large, it is all that is left.
    """

    lossless = False

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        messages, tools = request.messages, request.tools
        if target_tokens is None or size_of(request) <= target_tokens:
            return Compression(request=request, lossless=True)
        starts = turn_starts(messages)
        if len(starts) < 2:
            return Compression(request=request, lossless=True)

        def without(turns: int) -> tuple[Message, ...]:
            return without_turns(messages, 0, starts[turns])

        # The more turns go, the fewer tokens are left: the smallest number that fits is found by halving.
        turns = bisect_left(
            range(1, len(starts)), True, key=lambda n: count_tokens(without(n), tools)[0] <= target_tokens
        )
        kept = without(min(turns + 1, len(starts) - 1))
        gone = len(messages) - len(kept)
        if not gone:
            return Compression(request=request, lossless=True)
        return Compression(
            request=replace(request, messages=kept), lossless=False, removed=counted(gone, "older message")
        )


PLUGIN = CompressorPlugin(
    name="trim",
    factory=lambda options, context: Trim(),
    summary="Drops the oldest turns until the request fits; system messages and the newest turn stay.",
)
