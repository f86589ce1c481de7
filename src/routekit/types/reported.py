"""Pure: what providers write into ``usage``, in all their dialects, as a `Usage` that can be true by itself.

Whether it can be true of *this* call is for the engine, which knows what was sent and what came back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from routekit.types.usage import Usage

MOST = 2**53
"""Counts above it (the largest integer that every JSON reader keeps) are no counts."""

TICKS_PER_NANO = 10
"""xAI's `cost_in_usd_ticks`: ten billion ticks are a dollar."""

TIER_LENGTH = 32

_INPUT = ("prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens", "prompt_eval_count")
_OUTPUT = ("completion_tokens", "output_tokens", "candidatesTokenCount", "outputTokens", "eval_count")
_TOTAL = ("total_tokens", "totalTokenCount", "totalTokens")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_READ = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens", "cachedContentTokenCount",
         "cacheReadInputTokens")  # fmt: skip
_WRITTEN = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_REASONED = ("reasoning_tokens", "thoughtsTokenCount")
_OUTSIDE = frozenset({"input_tokens", "inputTokens"})
"""Whoever counts the input under these names and cached tokens under Anthropic's counts them beside it."""


def count_of(value: Any) -> int | None:
    """A count of tokens: a whole number from 0 to 2^53, as a number or in digits. None for whatever else stands there.

    >>> [count_of(value) for value in (7, 7.0, "7", True, -1, 1e999, float("nan"), "many", None)]
    [7, 7, 7, None, None, None, None, None, None]
    """
    if value.__class__ is not int:
        # Neither infinity nor NaN is an integer; int() reads many a text that is no count.
        whole = isinstance(value, float) and value.is_integer()
        if not whole and not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16):
            return None
        value = int(value)
    return value if 0 <= value <= MOST else None


def read_usage(usage: Any, service_tier: Any = None) -> Usage | None:
    """The usage in a provider's own object, None where nothing in it can be read. Never raises.

    Buckets are made inclusive: where the total, or parts that are larger than the whole, show that cached
    tokens or reasoning were counted beside, they are put inside. A remainder that only the total knows was
    written and not shown, and counts as output. A total alone is all output, and marked as `estimated`.
    `service_tier` is the tier that the answer names outside of it.

    >>> read_usage({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 20,
    ...             "completion_tokens_details": {"reasoning_tokens": 7}})
    Usage(input_tokens=9, output_tokens=11, cache_read_tokens=0, cache_write_tokens=0, reasoning_tokens=7, \
audio_input_tokens=0, audio_output_tokens=0, image_input_tokens=0, estimated=False, cache_write_1h_tokens=0, \
service_tier=None, reported_nanos=None)
    """
    if not isinstance(usage, Mapping):
        return None
    name, taken = _first(usage, _INPUT)
    _, made = _first(usage, _OUTPUT)
    _, total = _first(usage, _TOTAL)
    inward, outward = _inner(usage, _INPUT_DETAILS), _inner(usage, _OUTPUT_DETAILS)
    creation = _inner(usage, ("cache_creation",)) or _inner(inward, ("cache_creation_token_details",))
    beside = _first(usage, _READ)[1] or 0
    read = _first(inward, ("cached_tokens", "cache_read"))[1] or beside
    hour = count_of(creation.get("ephemeral_1h_input_tokens")) or 0
    short = count_of(creation.get("ephemeral_5m_input_tokens")) or 0
    written = (
        _first(inward, ("cache_write_tokens", "cache_creation_tokens", "cache_creation"))[1]
        or _first(usage, _WRITTEN)[1]
        or short + hour
    )
    thought = _first(outward, ("reasoning_tokens", "reasoning"))[1] or _first(usage, _REASONED)[1] or 0
    cost = cost_nanos_of(usage)
    only_total = not taken and not made and bool(total)
    taken, made = _completed(taken, made, total)
    held = read + written
    if held and held > taken:
        taken += held
    elif held and name in _OUTSIDE and (beside or written) and not inward.get("cached_tokens"):
        taken += 0 if total is not None and total in (taken + made, taken + made + thought) else held
    elif held and total in (taken + held + made, taken + held + made + thought) and total != taken + made + thought:
        taken += held
    if thought > made:
        made += thought
    if total is not None and total > taken + made:
        made = total - taken
    if not (taken or made or cost):
        return None
    tier = _tier(service_tier) or _tier(usage.get("service_tier"))
    return Usage(
        input_tokens=taken,
        output_tokens=made,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
        audio_input_tokens=min(taken, count_of(inward.get("audio_tokens")) or 0),
        audio_output_tokens=min(made, count_of(outward.get("audio_tokens")) or 0),
        image_input_tokens=min(taken, count_of(inward.get("image_tokens")) or 0),
        estimated=only_total,
        cache_write_1h_tokens=min(written, hour),
        service_tier=tier,
        reported_nanos=cost,
    )


def cost_nanos_of(usage: Mapping[str, Any]) -> int | None:
    """What a provider says that the call cost, in nano-dollars: OpenRouter's and Perplexity's `cost`, xAI's ticks.

    Rounded up. None where it does not say, and for 0: gateways without prices of their own write that.
    """
    if (ticks := count_of(usage.get("cost_in_usd_ticks"))) is not None:
        return -(-ticks // TICKS_PER_NANO) or None
    dollars = usage.get("cost")
    if isinstance(dollars, Mapping):
        dollars = dollars.get("total_cost")
    if isinstance(dollars, bool) or not isinstance(dollars, int | float | str):
        return None
    try:
        exact = Decimal(str(dollars))
    except InvalidOperation:
        return None
    if not exact.is_finite() or not 0 < exact < 10**6:
        return None
    return math.ceil(exact * 10**9)


def _completed(taken: int | None, made: int | None, total: int | None) -> tuple[int, int]:
    """Input and output, where the total makes up for one that is not said."""
    if total is not None:
        if not taken and not made:
            return 0, total
        if taken is None and made is not None and total > made:
            return total - made, made
        if made is None and taken is not None and total > taken:
            return taken, total - taken
    return taken or 0, made or 0


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, int | None]:
    """The first of the names that holds a count, one above 0 before one of 0."""
    zero: tuple[str, int | None] = ("", None)
    for name in names:
        if name in found and (count := count_of(found[name])) is not None:
            if count:
                return name, count
            zero = zero if zero[0] else (name, 0)
    return zero


def _inner(found: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    return next((inner for name in names if isinstance(inner := found.get(name), Mapping)), {})


def _tier(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= TIER_LENGTH and value.isascii() else None
