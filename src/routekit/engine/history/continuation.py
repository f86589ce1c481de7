"""Pure: how an answer that broke off is taken up by somebody else.

The partial answer is sent as the beginning of the assistant's own turn ("prefill"), and what comes
back is joined to it. Only plain text can be taken up: half a tool call or half a JSON document has a
meaning that another model need not share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from routekit.types import Candidate, Chunk, Message, RouteRequest, text_tokens

ECHO_CHARACTERS = 20
"""A shorter beginning may come twice by chance; a longer one is an endpoint that repeats its prefill."""

_OTHER = ("tool_calls", "function_call", "refusal", "audio")


def continuable(request: RouteRequest, chunks: Iterable[Chunk]) -> str | None:
    """The text to go on from, or None where going on could break a meaning or repeat something."""
    wanted = request.params.get("response_format")
    if wanted is not None and (not isinstance(wanted, Mapping) or wanted.get("type") != "text"):
        return None
    if (request.params.get("n") or 1) != 1:
        return None
    texts: list[str] = []
    for chunk in chunks:
        if any(chunk.delta.get(key) for key in _OTHER):
            return None
        texts.append(chunk.text)
    text = "".join(texts)
    return text if text.strip() else None


def with_prefill(params: Mapping[str, Any], said: str) -> dict[str, Any]:
    """The parameters for the rest: what was said already counts against the limit on output."""
    left = dict(params)
    for name in ("max_tokens", "max_completion_tokens"):
        if left.get(name) is not None:
            left[name] = max(1, int(left[name]) - text_tokens(said))
    return left


def with_partial(messages: tuple[Message, ...], said: str) -> tuple[Message, ...]:
    """The messages with the partial answer as the beginning of the assistant's turn, or added to the one there is."""
    begun = messages[-1] if messages else None
    if begun is not None and begun["role"] == "assistant" and isinstance(text := begun.get("content"), str):
        return (*messages[:-1], {**begun, "content": text + said.rstrip()})
    return (*messages, {"role": "assistant", "content": said.rstrip()})


def enlarged(candidate: Candidate, tokens: int) -> Candidate:
    """The candidate with so many more tokens to read: the partial answer is sent along and paid for."""
    work = candidate.work
    work = work._replace(input_tokens=work.input_tokens + tokens, input_bound=work.input_bound + 4 * tokens + 16)
    return Candidate(
        candidate.deployment, candidate.quality, candidate.quality_inferred, work, candidate.cached_tokens,
        candidate.latency,
    )  # fmt: skip


class Joint:
    """Joins the new stream to `said` without repeating any of it and without losing anything.

    Two things are taken out of the new stream's beginning: the whole of `said`, where an endpoint
    repeats its prefill; and the white space at the end of `said`, which is not sent because some
    endpoints refuse a prefill that ends in it, and which the model then writes again.
    """

    def __init__(self, said: str) -> None:
        self._sent = said.rstrip()
        self._space = said[len(self._sent) :]
        self._held = ""
        self._comparing = len(self._sent) >= ECHO_CHARACTERS
        self._spacing = bool(self._space)

    @property
    def settled(self) -> bool:
        """Whether everything that follows is new."""
        return not self._comparing and not self._spacing

    def feed(self, text: str) -> str:
        """What of `text`, and of what was held back before, is new for certain."""
        held = self._held + text
        self._held = ""
        if self._comparing:
            if len(held) < len(self._sent) and self._sent.startswith(held):
                self._held = held
                return ""
            self._comparing = False
            if held.startswith(self._sent):
                held = held[len(self._sent) :]
        if self._spacing and held:
            if len(held) < len(self._space) and self._space.startswith(held):
                self._held = held
                return ""
            self._spacing = False
            if held.startswith(self._space):
                held = held[len(self._space) :]
        return held

    def end(self) -> str:
        """What is still held back when the new stream ends: the beginning of a repetition is text like any other.

        White space that `said` ends with was handed over already and is not given twice.
        """
        held, self._held = self._held, ""
        self._spacing, spacing = False, self._spacing and not self._comparing
        self._comparing = False
        return "" if spacing and self._space.startswith(held) else held
