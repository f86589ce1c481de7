"""Takes out the middle: what a conversation began with and what was said last count most.

That models read the middle of a long context worst is from Liu et al., "Lost in the Middle" (2023).
"""

from __future__ import annotations

from dataclasses import replace

from routekit.builtin.compressors._turns import counted, size_of, turn_starts, without_turns
from routekit.plugin import Compression, Compressor, CompressorPlugin
from routekit.types import Message, RouteRequest, text_tokens

LEAST_TOKENS = 64
"""What is left of each end of a text whose middle goes, together."""

_LEFT_OUT = "\n[... {} characters left out ...]\n"
_CUT_ROLES = frozenset({"tool", "function"})


class MiddleOut(Compressor):
    """Whole turns go, those in the middle first; the first turn and the newest stay, and system messages.

    Where that is not enough, the middles of the longest tool results that are plain text are cut out.
    """

    lossless = False

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        if target_tokens is None or size_of(request) <= target_tokens:
            return Compression(request=request, lossless=True)
        messages, gone = self._without_turns(request, target_tokens)
        smaller = replace(request, messages=messages) if gone else request
        smaller, cut = self._cut(smaller, target_tokens)
        if not gone and not cut:
            return Compression(request=request, lossless=True)
        parts = []
        if gone:
            parts.append(f"{counted(gone, 'message')} from the middle")
        if cut:
            parts.append(f"the middle of {counted(cut, 'tool result')}")
        return Compression(request=smaller, lossless=False, removed=" and ".join(parts))

    @staticmethod
    def _without_turns(request: RouteRequest, target: int) -> tuple[tuple[Message, ...], int]:
        messages = request.messages
        starts = turn_starts(messages)
        first, last = 1, len(starts) - 1  # turns from `first` up to `last` may go
        if last <= first:
            return messages, 0
        middle = (first + last) // 2
        low = high = middle
        kept = messages
        while high < last or low > first:
            # One more turn on alternate sides, beginning with the older one.
            if high < last and (high - middle <= middle - low or low == first):
                high += 1
            else:
                low -= 1
            kept = without_turns(messages, starts[low], starts[high])
            if size_of(replace(request, messages=kept)) <= target:
                break
        return kept, len(messages) - len(kept)

    @staticmethod
    def _cut(request: RouteRequest, target: int) -> tuple[RouteRequest, int]:
        """The longest results lose their middles first, each as much as is still needed."""
        over = size_of(request) - target
        if over <= 0:
            return request, 0
        messages = list(request.messages)
        places = [place for place, message in enumerate(messages) if _may_be_cut(message)]
        places.sort(key=lambda place: -len(str(messages[place].get("content"))))
        cut = 0
        for place in places:
            if over <= 0:
                break
            text = str(messages[place].get("content"))
            short = _without_middle(text, over)
            if len(short) < len(text):
                over -= text_tokens(text) - text_tokens(short)
                messages[place] = {**messages[place], "content": short}
                cut += 1
        return (replace(request, messages=tuple(messages)) if cut else request), cut


def _may_be_cut(message: Message) -> bool:
    content = message.get("content")
    if message.get("role") not in _CUT_ROLES or not isinstance(content, str):
        return False
    # JSON without its middle is no JSON, and code without it is no code.
    return "```" not in content and not content.lstrip().startswith(("{", "[")) and "characters left out" not in content


def _without_middle(text: str, tokens: int) -> str:
    """The text without at least so many tokens from its middle, as far as its ends allow."""
    total = text_tokens(text)
    keep = max(LEAST_TOKENS, total - tokens - 16)
    if keep >= total:
        return text
    each = int(len(text) * keep / total / 2)
    left, right = text[:each], text[len(text) - each :]
    # Whole lines where there are some: half a line says something else.
    if "\n" in left:
        left = left[: left.rindex("\n")]
    if "\n" in right:
        right = right[right.index("\n") + 1 :]
    return left + _LEFT_OUT.format(len(text) - len(left) - len(right)) + right


PLUGIN = CompressorPlugin(
    name="middle-out",
    factory=lambda options, context: MiddleOut(),
    summary="Drops turns from the middle until the request fits, then the middles of long tool results.",
)
