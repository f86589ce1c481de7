"""Pure: why an answer ended, in Chat Completions' words, whoever says it and however."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ERROR = "error"
"""The provider gave up in the middle. No answer, whatever came before."""

_SAME_AS = {
    "stop": "end_turn stop_sequence stop_token eos eos_token eos_found complete completed done finish finished normal "
    "end finish_reason_stop",
    "length": "max_tokens max_output_tokens max_new_tokens max_completion_tokens max_length token_limit "
    "token_limit_reached model_length model_context_window_exceeded context_length finish_reason_max_tokens",
    "tool_calls": "tool_call tool_use tools finish_reason_tool_calls",
    "content_filter": "content_filtered safety recitation blocklist prohibited_content spii image_safety "
    "guardrail_intervened guardrails sensitive error_toxic finish_reason_safety finish_reason_recitation",
    ERROR: "failed failure internal_error server_error network_error exception abort aborted cancelled canceled "
    "insufficient_system_resource malformed_function_call malformed_tool_call unexpected_tool_call model_error "
    "malformed_model_output malformed_tool_use finish_reason_error",
}
"""Of Anthropic, Bedrock, Cohere, DeepSeek, Gemini, Mistral, OpenRouter, TGI, vLLM and Zhipu."""

_TABLE = {word: reason for reason, words in _SAME_AS.items() for word in words.split()}
_OURS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_LONGEST = 64


def finish_reason_of(value: Any) -> str | None:
    """The reason as Chat Completions name it; other words in lower case; None where there is none.

    >>> [finish_reason_of(said) for said in ("stop", "MAX_TOKENS", "end_turn", {"type": "stop"}, "", None)]
    ['stop', 'length', 'stop', 'stop', None, None]
    """
    if value in _OURS if value.__class__ is str else not value:
        return value or None
    if isinstance(value, Mapping):
        value = value.get("type") or value.get("reason")
    if not isinstance(value, str):
        return "stop" if value else None
    word = value.strip().lower().replace("-", "_").replace(" ", "_")[:_LONGEST]
    return _TABLE.get(word, word.encode("ascii", "replace").decode() or None)
