"""Pure: what a refused request was refused for, as a table of kinds.

A 400 says little. Some vendors send it for a wrong key, an empty account or a country that they do not serve,
and many say in words only that a prompt is too long or a parameter unknown. Codes, types and names of parameters
decide first; words are asked last, and never words that the request itself brought along.

The rows come from the error pages of OpenAI, Azure, Anthropic, Gemini, Mistral, Groq, Together, Fireworks,
DeepSeek, OpenRouter, Cohere, xAI, Bedrock, DashScope, Zhipu and GitHub Models, and from what vLLM, SGLang, TGI, Ollama,
LM Studio, llama.cpp and the LiteLLM proxy answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from routekit.builtin.providers import refusal_words as words

Kind = Literal[
    "context",  # too many tokens for this model: a larger window
    "filter",  # the vendor's content filter
    "model",  # no such model here, or none for chat
    "credential",  # the key, the account, its money or its place: the next one, and the key is blamed
    "throttled",  # too much at once: later, or the next one
    "unavailable",  # not now: the next one
    "generation",  # the model's own output was no good: the next one, nobody is blamed
    "parameter",  # a parameter, or a feature, that is not taken here
    "request",  # certainly the request's own fault
    "unknown",  # anybody's guess: one other is asked
]


class Refusal(NamedTuple):
    """A kind; for "parameter" the name or the feature that is refused, what to write `instead`, and whether only
    the `value` is refused."""

    kind: Kind
    parameter: str = ""
    instead: str = ""
    value: bool = False


CODES: dict[str, Kind] = {
    "context_length_exceeded": "context",
    "exceed_context_size_error": "context",
    "context_window_exceeded": "context",
    "contextwindowexceedederror": "context",
    "tokens_limit_reached": "context",
    "model_max_prompt_tokens_exceeded": "context",
    "max_tokens_exceeded": "context",
    "input_too_long": "context",
    "prompt_too_long": "context",
    "content_filter": "filter",
    "content_policy_violation": "filter",
    "contentpolicyviolationerror": "filter",
    "image_content_policy_violation": "filter",
    "responsibleaipolicyviolation": "filter",
    "moderation_blocked": "filter",
    "data_inspection_failed": "filter",
    "datainspectionfailed": "filter",
    "model_not_found": "model",
    "model_decommissioned": "model",
    "model_not_available": "model",
    "deploymentnotfound": "model",
    "operationnotsupported": "model",
    "invalid_api_key": "credential",
    "api_key_invalid": "credential",
    "invalidapikey": "credential",
    "incorrect_api_key": "credential",
    "invalid_authentication": "credential",
    "api_key_expired": "credential",
    "api_key_service_blocked": "credential",
    "permission_denied": "credential",
    "permissiondenied": "credential",
    "unauthenticated": "credential",
    "expiredtokenexception": "credential",
    "unrecognizedclientexception": "credential",
    "invalidsignatureexception": "credential",
    "accessdeniedexception": "credential",
    "account_deactivated": "credential",
    "organization_restricted": "credential",
    "model_terms_required": "credential",
    "unsupported_country_region_territory": "credential",
    # Sent with 429, but no waiting helps: the account is unpaid, as with 402.
    "insufficient_quota": "credential",
    "billing_hard_limit_reached": "credential",
    "billing_not_active": "credential",
    "billing_error": "credential",
    "billing_disabled": "credential",
    "budget_exceeded": "credential",
    "insufficient_balance": "credential",
    "insufficient_credits": "credential",
    "arrearage": "credential",
    "throttlingexception": "throttled",
    "throttling": "throttled",
    "throttling.ratequota": "throttled",
    "throttling.allocationquota": "throttled",
    "too_many_requests": "throttled",
    "toomanyrequestsexception": "throttled",
    "servicequotaexceededexception": "throttled",
    "resource_exhausted": "throttled",
    "rate_limit_exceeded": "throttled",
    "rate_limit_error": "throttled",
    "cancelled": "unavailable",
    "modelerrorexception": "unavailable",
    "modelnotreadyexception": "unavailable",
    "modeltimeoutexception": "unavailable",
    "serviceunavailableexception": "unavailable",
    "tool_use_failed": "generation",
    "json_validate_failed": "generation",
    "output_parse_failed": "generation",
    "unsupported_parameter": "parameter",
    "unknown_parameter": "parameter",
    "unsupported_value": "parameter",
    "unsupported_parameters": "parameter",
    "extra_forbidden": "parameter",
    "unsupportedparamserror": "parameter",
    "invalid_value": "request",
    "invalid_type": "request",
    "invalid_json_schema": "request",
    "invalid_function_parameters": "request",
    "missing_required_parameter": "request",
    "array_above_max_length": "request",
    "array_below_min_length": "request",
    "string_above_max_length": "request",
    "string_below_min_length": "request",
    "integer_above_max_value": "request",
    "integer_below_min_value": "request",
    "decimal_above_max_value": "request",
    "decimal_below_min_value": "request",
}
"""Codes, types and reasons that say more than the status beside them, in lower case. The closed list of codes
that are kept beside a failed attempt."""

PARAMETERS = frozenset(
    {
        "audio", "best_of", "chat_template_kwargs", "enable_thinking", "frequency_penalty", "function_call",
        "functions", "guided_json", "include_usage", "logit_bias", "logprobs", "max_completion_tokens",
        "max_output_tokens", "max_tokens", "metadata", "min_p", "modalities", "n", "parallel_tool_calls", "plugins",
        "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "provider", "reasoning",
        "reasoning_effort", "repetition_penalty", "response_format", "safe_prompt", "safety_identifier", "seed",
        "service_tier", "stop", "store", "stream", "stream_options", "temperature", "thinking", "tool_choice",
        "tools", "top_a", "top_k", "top_logprobs", "top_p", "transforms", "truncate", "user", "verbosity",
        "web_search_options",
    }
)  # fmt: skip
"""Parameters that are believed to be meant where only words name them."""

_INSTEAD = re.compile(r"[Uu]se [`'\"]?(\w+)[`'\"]?( parameter)? instead|[Pp]lease use [`'\"]?(\w+_\w+)[`'\"]?")
_OF_THE_REQUEST = re.compile(r"(messages?|input|tools|functions|response_format\.json_schema)\b", re.IGNORECASE)
_BY_VALUE = re.compile(r"\bvalue|\bonly\b|=", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SYNONYMS = {
    "image_url": "vision", "image": "vision", "input_audio": "audio", "include_usage": "stream_options",
    "functions": "tools", "tool": "tools", "max_new_tokens": "max_tokens",
}  # fmt: skip
_CERTAIN_KINDS = frozenset({"context", "filter", "model", "credential", "throttled", "unavailable", "generation"})


def refusal(
    status: int, codes: Sequence[str], param: str, text: str, *, negative: bool = False, markup: bool = False
) -> Refusal:
    """What a response with a 4xx stands for, beyond what its status says.

    `codes` are its codes, types and reasons in lower case, the most telling first; `param` the parameter that it
    names; `text` its words, without what they quote of the request. `negative` says that the request itself had a
    negative limit, `markup` that the body is a page and no message.
    """
    found = _by_code(codes, param, text)
    if found is not None:
        return found
    if status in (400, 413, 422, 403, 424, 498, 499):
        if words.FILTERED.search(text):
            return Refusal("filter")
        if status == 403:
            return Refusal("credential")
    if status in (424, 499):
        return Refusal("throttled" if words.THROTTLED.search(text) else "unavailable")
    if status == 404:
        feature = _feature(text)
        return Refusal("parameter", feature) if feature else Refusal("model")
    return _by_words(status, param, text, negative, markup)


def _by_code(codes: Sequence[str], param: str, text: str) -> Refusal | None:
    for code in codes:
        kind = CODES.get(code)
        if kind is None:
            continue
        if kind in _CERTAIN_KINDS:
            return Refusal(kind)
        if kind == "parameter":
            return _parameter(param, text, value=code == "unsupported_value")
        if words.TOO_LONG.search(text) and (not param or param in ("max_tokens", "max_completion_tokens")):
            return Refusal("context")
        if words.OUTPUT_LIMIT.search(text):
            return Refusal("parameter", "max_tokens", value=True)
        if feature := _feature(text):
            return Refusal("parameter", feature)
        return Refusal("request")
    return None


def _by_words(status: int, param: str, text: str, negative: bool, markup: bool) -> Refusal:
    if words.THROTTLED.search(text):
        return Refusal("throttled")
    if (words.NEGATIVE.search(text) and not negative) or words.TOO_LONG.search(text) or words.EXCEEDS.search(text):
        return Refusal("context")
    if status == 413 and not markup and re.search(r"too (large|long|big)|exceed", text, re.IGNORECASE):
        return Refusal("context")
    if words.GENERATION.search(text):
        return Refusal("generation")
    if words.OUTPUT_LIMIT.search(text):
        return Refusal("parameter", "max_tokens", value=True)
    if words.TOOL_PARSER.search(text):
        return Refusal("parameter", "tools")
    if words.CREDENTIAL.search(text):
        return Refusal("credential")
    if feature := _feature(text):
        return Refusal("parameter", feature)
    if name := _named(text):
        return _parameter(name, text, value=bool(_BY_VALUE.search(text)))
    if words.NO_MODEL.search(text):
        return Refusal("model")
    if words.UNAVAILABLE.search(text):
        return Refusal("unavailable")
    if words.OURS_ALONE.search(text) or _OF_THE_REQUEST.match(param):
        return Refusal("request")
    return Refusal("unknown")


def _parameter(param: str, text: str, *, value: bool) -> Refusal:
    name = _plain(param) or _named(text)
    feature = _feature(text)
    if feature and name in ("", "messages", "tools", "response_format"):
        return Refusal("parameter", feature)
    if name == "messages" and "role" in param:
        return Refusal("parameter", "system")
    if not name:
        return Refusal("unknown")
    found = _INSTEAD.search(text)
    instead = (found[1] or found[3]) if found else ""
    return Refusal(
        "parameter", _SYNONYMS.get(name, name), instead if instead in PARAMETERS else "", value and not instead
    )


def _named(text: str) -> str:
    """The parameter that the words refuse, "" where they name none that is known."""
    for pattern in words.NAMED:
        for found in pattern.finditer(text):
            name = _plain(found["name"])
            if name in PARAMETERS or name in _SYNONYMS:
                return _SYNONYMS.get(name, name)
    return ""


def _feature(text: str) -> str:
    return next((name for name, pattern in words.FEATURES if pattern.search(text)), "")


def _plain(name: str) -> str:
    """A parameter's own name: of ``body.stream_options.include_usage`` and ``presencePenalty`` what we call it."""
    first = re.split(r"[.\[\]]", name.strip().removeprefix("body.").removeprefix("body->"))[0]
    return _CAMEL.sub("_", first).lower()
