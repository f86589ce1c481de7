"""Pure: what an attempt is taken to have used. Every usage passes here once, whoever reported it.

What a provider, or a plugin, says is believed where it can be true of what was sent and of what came back.
What it does not say is counted here, and leans high: a bill that turns out lower is a pleasant surprise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from routekit.types import Candidate, Choice, Chunk, Usage
from routekit.types.reported import MOST

GENEROUS = 16
"""A report may pass what was sent, or asked for, by this factor: templates, a vendor's own tools, limits not kept."""

MOST_INPUT = 2**21
MOST_OUTPUT = 2**17
"""Tokens that may always be true: the longest windows on sale hold two million, the longest answers 128,000."""

LONGEST_TOKEN = 256
"""Characters. The longest entries of the vocabularies in use (runs of white space and dashes) have 128."""

CHARACTERS_PER_TOKEN = 3.0
"""For estimates that lean high: English text and code have 3.4 to 4.6 bytes to a token."""

_TOKENS_PER_FOREIGN_CHARACTER = 1.5
"""Characters outside of ASCII: one or less for most scripts with today's vocabularies, two to three with older ones."""

_DATA_PER_TOKEN = 16.0
"""Characters of base64, as of sound and of encrypted thoughts: more than either has."""

_UNREAD = frozenset(
    {"role", "data", "type", "index", "id", "object", "name", "tool_call_id", "signature", "expires_at"}
)
_COUNTS = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "audio_input_tokens",
           "audio_output_tokens", "image_input_tokens", "cache_write_1h_tokens")  # fmt: skip


class Counted(NamedTuple):
    """What is booked, and why it is uncertain: "" where it is not."""

    usage: Usage
    doubt: str = ""


def counted(
    reported: Any, candidate: Candidate, message: Mapping[str, Any], pieces: int = 0, others: Sequence[Choice] = ()
) -> Counted:
    """The usage of an answer that came: as reported where that can be true, else counted here and marked so.

    `pieces` are the parts of a stream that held something; each was a token at least; `others` are its further
    choices. A report that nobody
    can believe is uncertain: it may be a mistake in the report, or in the answer.
    """
    usage = None if reported is None else _checked(reported)
    if others:
        message = {"content": [message, *(choice.message for choice in others)]}
    if usage is None:
        return Counted(_estimate(candidate, message, pieces))
    taken, made = usage.input_tokens, usage.output_tokens
    if (doubt := _absurd(usage, candidate)) is not None:
        return Counted(_estimate(candidate, message, pieces), doubt)
    content = message.get("content")
    if taken and made and (content.__class__ is not str or len(content) <= made * LONGEST_TOKEN):
        return Counted(usage)
    if not taken and made and usage.estimated:  # only the total was said, and stands in the output
        taken = min(likely_input(candidate), made)
        return Counted(replace(usage, input_tokens=taken, output_tokens=made - taken))
    written = max(written_tokens(message), pieces)
    fits = made * LONGEST_TOKEN >= (len(content) if isinstance(content, str) else 0)
    if taken and (not written or (made and fits)):
        return Counted(usage)
    made = made if made and fits else written
    taken = taken or likely_input(candidate)
    return Counted(replace(usage, input_tokens=taken, output_tokens=made, estimated=True))


def counted_stream(candidate: Candidate, chunks: Sequence[Chunk]) -> Counted:
    """The same for the pieces that an unfinished stream has shown so far."""
    pieces = sum(1 for chunk in chunks if chunk.has_content)
    reported = next((chunk.usage for chunk in reversed(chunks) if chunk.usage is not None), None)
    return counted(reported, candidate, {"content": [chunk.delta for chunk in chunks]}, pieces)


def counted_input(tokens: Any, candidate: Candidate) -> Counted:
    """What embeddings have read: as reported where that can be true, else counted here."""
    usage = _checked(Usage(input_tokens=tokens)) if tokens.__class__ is int and tokens > 0 else None
    if usage is None:
        return Counted(Usage(input_tokens=likely_input(candidate), estimated=True))
    if usage.input_tokens > GENEROUS * candidate.work.input_bound + MOST_OUTPUT:
        doubt = f"the provider reports {usage.input_tokens} tokens, which these texts cannot be"
        return Counted(Usage(input_tokens=likely_input(candidate), estimated=True), doubt)
    return Counted(usage)


def likely_input(candidate: Candidate) -> int:
    """The input tokens, where nobody reported them: the likely count and a third more, never above the bound."""
    work = candidate.work
    return min(work.input_bound, work.input_tokens + -(-work.input_tokens // 3))


def written_tokens(value: Any) -> int:
    """About how many tokens all the text in a message, a delta or parts of them is, rounded up."""
    return round(_written(value, 0) + 0.5) if value else 0


def _written(value: Any, depth: int) -> float:
    if isinstance(value, str):
        if value.isspace():
            return 0.0
        if value.isascii():
            return len(value) / CHARACTERS_PER_TOKEN
        foreign = sum(character > "\x7f" for character in value)
        return (len(value) - foreign) / CHARACTERS_PER_TOKEN + foreign * _TOKENS_PER_FOREIGN_CHARACTER
    if depth > 8:
        return 0.0
    if isinstance(value, Mapping):
        named, data = value.get("name"), value.get("data")
        inner: Iterable[Any] = (item for key, item in value.items() if key not in _UNREAD)
        coded = len(data) / _DATA_PER_TOKEN if isinstance(data, str) else 0.0
        return coded + _written(named, depth + 1) + sum(_written(item, depth + 1) for item in inner)
    if isinstance(value, list | tuple):
        return sum(_written(item, depth + 1) for item in value)
    return 0.0


def _estimate(candidate: Candidate, message: Mapping[str, Any], pieces: int) -> Usage:
    return Usage(
        input_tokens=likely_input(candidate), output_tokens=max(written_tokens(message), pieces), estimated=True
    )


def _checked(reported: Any) -> Usage | None:
    """The usage with counts that are counts and parts that fit into their wholes; None where it is no usage."""
    if not isinstance(reported, Usage):
        return None
    taken, made = _count(reported.input_tokens), _count(reported.output_tokens)
    if reported.input_tokens.__class__ is int and taken == reported.input_tokens and made == reported.output_tokens:
        parts = [getattr(reported, name) for name in _COUNTS]
        read, written, thought, heard, spoken, seen, hour = parts
        if (
            all(part.__class__ is int and part >= 0 for part in parts)
            and read + written <= taken
            and thought <= made
            and hour <= written
            and max(heard, seen) <= taken
            and spoken <= made
        ):
            return reported
    read, written = _count(reported.cache_read_tokens), _count(reported.cache_write_tokens)
    read = min(read, taken)
    written = min(written, taken - read)
    return Usage(
        input_tokens=taken,
        output_tokens=made,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=min(made, _count(reported.reasoning_tokens)),
        audio_input_tokens=min(taken, _count(reported.audio_input_tokens)),
        audio_output_tokens=min(made, _count(reported.audio_output_tokens)),
        image_input_tokens=min(taken, _count(reported.image_input_tokens)),
        estimated=bool(reported.estimated),
        cache_write_1h_tokens=min(written, _count(reported.cache_write_1h_tokens)),
        service_tier=reported.service_tier if isinstance(reported.service_tier, str) else None,
        reported_nanos=_count(reported.reported_nanos) or None,
    )


def _count(value: Any) -> int:
    return value if value.__class__ is int and 0 <= value <= MOST else 0


def _absurd(usage: Usage, candidate: Candidate) -> str | None:
    """Why the report cannot be true of this call, or None."""
    work, model = candidate.work, candidate.deployment.model
    window = model.context_window or MOST_INPUT
    if usage.input_tokens > max(2 * window, MOST_INPUT, GENEROUS * work.input_bound):
        return f"the provider reports {usage.input_tokens} input tokens, more than the request can be"
    limit = work.output_bound or model.max_output or window
    if usage.output_tokens > max(GENEROUS * limit, MOST_OUTPUT) * work.answers:
        return f"the provider reports {usage.output_tokens} output tokens, more than was asked for"
    return None
