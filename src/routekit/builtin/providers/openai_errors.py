"""From what an endpoint answers to the right `ProviderError`, without its secrets.

`classify` is pure: status, headers and body in, an error out. The table below it says what means what;
the sources are the error pages of OpenAI, Azure, Groq, OpenRouter and Gemini, and the answers of vLLM,
llama.cpp and Ollama.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from routekit.builtin.providers.openai_waits import wait_in_body
from routekit.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ModelNotFoundError,
    ProviderError,
    ProviderSetupError,
    ProviderUnavailableError,
    RateLimitError,
)

Redact = Callable[[str], str]

BY_STATUS: dict[int, type[ProviderError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: AuthenticationError,
    403: AuthenticationError,
    404: ModelNotFoundError,
    408: ProviderUnavailableError,
    409: ProviderUnavailableError,
    410: ModelNotFoundError,
    413: InvalidRequestError,
    422: InvalidRequestError,
    425: ProviderUnavailableError,
    429: RateLimitError,
}
"""Of the others, 3xx is a wrong `base_url`, 4xx a refused request, 5xx (529 too) a place that is not serving."""

BY_CODE: dict[str, type[ProviderError]] = {
    "context_length_exceeded": ContextLengthExceededError,
    "exceed_context_size_error": ContextLengthExceededError,
    "content_filter": ContentFilterError,
    "content_policy_violation": ContentFilterError,
    "image_content_policy_violation": ContentFilterError,
    "responsibleaipolicyviolation": ContentFilterError,
    "moderation_blocked": ContentFilterError,
    "model_not_found": ModelNotFoundError,
    "model_decommissioned": ModelNotFoundError,
    "deploymentnotfound": ModelNotFoundError,
    "invalid_api_key": AuthenticationError,
    # Sent with 429, but no waiting helps: the account is unpaid, as with 402.
    "insufficient_quota": AuthenticationError,
    "billing_hard_limit_reached": AuthenticationError,
    "billing_not_active": AuthenticationError,
}
"""Codes and types that say more than the status beside them."""

BY_CODE_WITHOUT_STATUS: dict[str, type[ProviderError]] = {
    "rate_limit_exceeded": RateLimitError,
    "rate_limit_error": RateLimitError,
    "too_many_requests": RateLimitError,
    "resource_exhausted": RateLimitError,
    "authentication_error": AuthenticationError,
    "permission_error": AuthenticationError,
    "not_found_error": ModelNotFoundError,
    "notfounderror": ModelNotFoundError,
    "invalid_request_error": InvalidRequestError,
    "badrequesterror": InvalidRequestError,
    "server_error": ProviderUnavailableError,
    "api_error": ProviderUnavailableError,
    "internal_server_error": ProviderUnavailableError,
    "internal_error": ProviderUnavailableError,
    "internalservererror": ProviderUnavailableError,
    "service_unavailable": ProviderUnavailableError,
    "overloaded_error": ProviderUnavailableError,
    "overloaded": ProviderUnavailableError,
    "unavailable": ProviderUnavailableError,
    "timeout": ProviderUnavailableError,
}
"""What stands for a status where an error comes inside a 200 or a stream."""

_TOO_LONG = re.compile(
    r"maximum context length|context[ _-]?(length|window|size)|maximum (input|prompt|sequence) length"
    r"|prompt is too long|input is too long|prompt too long|too many (input )?tokens|max_model_len"
    r"|input token count .{0,40}exceeds|reduce the length of the (messages|prompt|input)",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content (management|filter|safety|usage)[ a-z]* polic|content filter(ed|ing)?\b|flagged by .{0,40}moderation"
    r"|violat\w+ .{0,40}(usage|content|safety) polic",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"model .{0,120}(does not exist|not found)", re.IGNORECASE)
_BEARER = re.compile(r"(bearer\s+)[^\s\"'<>,;\\]+", re.IGNORECASE)
_OPENAI_KEY = re.compile(r"\bsk-[A-Za-z0-9_\-*]{8,}")
_TEXT_LIMIT = 500
_BODY_LIMIT = 16_384


class Details(NamedTuple):
    """What an error body says. `codes` are its code and type, in lower case; `status` a number in it."""

    text: str
    codes: tuple[str, ...]
    status: int | None


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    deployment: str,
    redact: Redact,
    now: Callable[[], float] = time.time,
) -> ProviderError:
    """The error for a response that is not 2xx. `headers` are looked up by lower-case name; `now` is wall time.

    `redact` takes secrets out of a text; message and body of the error went through it.
    """
    text = redact(body[:_BODY_LIMIT].decode("utf-8", "replace"))
    value = _parsed(text)
    details = read_details(value if value is not None else text)
    kind = _kind(status, details)
    shown = details.text or "(no message)"
    hint = ""
    if kind is ProviderSetupError:
        hint = "; this is a redirect, which is not followed: set base_url to where the endpoint really is"
    elif kind is ModelNotFoundError and not details.codes and status == 404:
        hint = "; if the model's name is right, look at the path in base_url"
    return kind(
        f"deployment {deployment!r}: HTTP {status}: {shown}{hint}",
        deployment=deployment,
        status=status,
        retry_after_s=_wait_s(kind, retry_after_s(headers, now), value, details.text),
        body=value if value is not None else text,
    )


def error_inside(
    value: Any, *, deployment: str, redact: Redact, status: int | None = 200, event: bool = False
) -> ProviderError:
    """The error for an error object inside a 200 or a stream: by its code, type or status where it has one."""
    text = redact(json.dumps(value)[:_BODY_LIMIT])
    value = _parsed(text)
    value = text if value is None else value
    details = read_details(value)
    kind = _kind_inside(details)
    where = "the stream carried an error" if event else "an error inside a 200"
    return kind(
        f"deployment {deployment!r}: {where}: {details.text or '(no message)'}",
        deployment=deployment,
        status=status,
        retry_after_s=_wait_s(kind, None, value, details.text),
        body=value,
    )


def _wait_s(kind: type[ProviderError], told: float | None, body: Any, text: str) -> float | None:
    """How long to wait: what a header told, or what the body says where waiting can help."""
    if told is not None or not issubclass(kind, RateLimitError | ProviderUnavailableError):
        return told
    return wait_in_body(body, text)


def read_details(value: Any) -> Details:
    """Message, codes and status of an error body, in any of the shapes that endpoints use."""
    if isinstance(value, list) and value:  # Gemini wraps the error in a list
        value = value[0]
    if not isinstance(value, Mapping):
        return Details(_short(value) if isinstance(value, str) else "", (), None)
    error = value.get("error", value)
    if not isinstance(error, Mapping):
        error = {**value, "message": error}
    inner = error.get("innererror")
    named = [error.get("code"), error.get("type"), error.get("status")]
    if isinstance(inner, Mapping):
        named.append(inner.get("code"))
    status = next((number for number in map(_status, named) if number), None)
    text = error.get("message") or error.get("detail") or error.get("error")
    if text is not None and not isinstance(text, str):
        text = json.dumps(text)
    codes = tuple(name.lower() for name in named if isinstance(name, str) and not name.isdigit())
    return Details(_short(text or ""), codes, status)


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait from ``retry-after-ms`` or ``Retry-After`` (seconds or an HTTP date), or None.

    >>> retry_after_s({"retry-after": "2"}), retry_after_s({"retry-after-ms": "250"}), retry_after_s({})
    (2.0, 0.25, None)
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if not value:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return max(0.0, when.timestamp() - now())
    except (TypeError, ValueError, OverflowError):
        return None


def redactor(secrets: Iterable[str]) -> Redact:
    """A function that takes secrets (plain, URL-encoded, as JSON) out of a text, and whatever follows "Bearer".

    >>> redactor(["s3cret-value"])("key s3cret-value and Bearer abc123")
    'key [redacted] and Bearer [redacted]'
    """
    forms = {
        form
        for secret in secrets
        if secret
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.encode("unicode_escape").decode())
    }
    ordered = sorted(forms, key=len, reverse=True)

    def redact(text: str) -> str:
        for form in ordered:
            text = text.replace(form, "[redacted]")
        return _OPENAI_KEY.sub("[redacted]", _BEARER.sub(r"\1[redacted]", text))

    return redact


def _kind(status: int, details: Details) -> type[ProviderError]:
    for code in details.codes:
        if code in BY_CODE:
            return BY_CODE[code]
    if status in (400, 413, 422):
        if "rate_limit_exceeded" in details.codes:  # Groq's 413 for a minute's tokens
            return RateLimitError
        if _TOO_LONG.search(details.text):
            return ContextLengthExceededError
        if _FILTERED.search(details.text):
            return ContentFilterError
        if status == 400 and _NO_MODEL.search(details.text):
            return ModelNotFoundError
    found = BY_STATUS.get(status)
    if found is not None:
        return found
    if 300 <= status < 400:
        return ProviderSetupError
    if 400 <= status < 500:
        return InvalidRequestError
    return ProviderUnavailableError if status >= 500 else InvalidResponseError


def _kind_inside(details: Details) -> type[ProviderError]:
    if details.status is not None:
        return _kind(details.status, details)
    for table in (BY_CODE, BY_CODE_WITHOUT_STATUS):
        for code in details.codes:
            if code in table:
                found = table[code]
                return _kind(400, details) if found is InvalidRequestError else found
    return InvalidResponseError


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _status(value: Any) -> int | None:
    """A value as an HTTP error status, where it is one."""
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and 400 <= value < 600 else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."
