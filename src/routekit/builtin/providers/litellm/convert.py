"""What litellm answers, as the engine's types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from routekit.errors import InvalidResponseError
from routekit.plugin import (
    Embeddings,
)
from routekit.plugin.finishreason import finish_reason_of
from routekit.types import Answer, Choice, Message, Usage
from routekit.types.reported import read_usage

_KEPT_HEADERS = ("ratelimit", "retry-after", "request-id", "trace-id")

_OF_THE_ANSWER = ("citations", "search_results", "related_questions", "images", "videos")


def _answer(response: Any) -> Answer:
    """An `Answer` whose message has all that the provider said: thinking blocks, signatures, citations."""
    if not getattr(response, "choices", None):
        raise InvalidResponseError("the provider answered without a choice")
    choice = response.choices[0]
    message = cast("Message", _plain(choice.message))
    message.setdefault("content", None)
    for call in message.get("tool_calls") or ():
        # It belongs into deltas; strict endpoints refuse it when it comes back.
        cast("dict[str, Any]", call).pop("index", None)
    message.update(_beside(response))  # type: ignore[typeddict-item]  # what a vendor adds
    reported = getattr(response, "usage", None)
    hidden = _hidden(response)
    logprobs = getattr(choice, "logprobs", None)
    return Answer(
        message=message,
        finish_reason=_reason(choice),
        usage=None if reported is None else usage_of(_plain(reported), getattr(response, "service_tier", None)),
        model=hidden.get("provider_response_model") or response.model,
        logprobs=_plain(logprobs) if logprobs is not None else None,
        headers=_headers(hidden.get("additional_headers") or {}),
        others=tuple(
            Choice(
                message=cast("Message", _plain(other.message)),
                finish_reason=_reason(other),
                logprobs=_plain(found) if (found := getattr(other, "logprobs", None)) is not None else None,
                index=place,
            )
            for place, other in enumerate(response.choices[1:], start=1)
        ),
    )


def _reason(choice: Any) -> Any:
    """The finish reason. Words that litellm does not know become "stop" there, also those for a failure."""
    native = (getattr(choice, "provider_specific_fields", None) or {}).get("native_finish_reason")
    return native if finish_reason_of(native) in ("error", "length", "content_filter") else choice.finish_reason


def _beside(response: Any) -> dict[str, Any]:
    """What a vendor puts beside the choices that belongs to the answer, such as Perplexity's citations."""
    found = ((key, getattr(response, key, None)) for key in _OF_THE_ANSWER)
    return {key: value for key, value in found if value}


def usage_of(reported: Mapping[str, Any], tier: Any = None, *, estimated: bool = False) -> Usage | None:
    """Inclusive buckets from litellm's usage; None where it is all zero, which litellm says for "not reported".

    A `cost` in it is litellm's own reckoning more often than the provider's word, and cannot be told from it.
    """
    usage = read_usage(reported, tier)
    return None if usage is None else replace(usage, estimated=estimated or usage.estimated, reported_nanos=None)


def _embeddings(response: Any) -> Embeddings:
    rows = sorted((_plain(row) for row in response.data), key=lambda row: int(row.get("index") or 0))
    usage = _plain(response.usage) if getattr(response, "usage", None) is not None else {}
    return Embeddings(
        vectors=tuple(tuple(float(x) for x in row["embedding"]) for row in rows),
        input_tokens=None if (read := read_usage(usage)) is None else read.total_tokens,
        model=getattr(response, "model", None),
    )


def _headers(found: Mapping[str, Any]) -> dict[str, str]:
    plain = {str(name).lower().removeprefix("llm_provider-"): str(value) for name, value in found.items()}
    return {name: value for name, value in plain.items() if any(part in name for part in _KEPT_HEADERS)}


def _hidden(response: Any) -> Mapping[str, Any]:
    return getattr(response, "_hidden_params", None) or {}


def _plain(value: Any) -> dict[str, Any]:
    """One of litellm's objects as a dictionary, without keys that say nothing."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items() if item is not None}
    found: dict[str, Any] = value.model_dump(exclude_none=True, warnings=False)
    return found
