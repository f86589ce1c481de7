"""From what an endpoint answers to the right `ProviderError`, without its secrets.

`classify` is pure: status, headers and body in, an error out. What a refused request was refused for stands in
`refusals`. A body is parsed first and cleaned afterwards: what escapes hide is no secret to a parser.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from routekit.builtin.providers.refusals import CODES, Kind, Refusal, refusal
from routekit.builtin.providers.waits import wait_in_body
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
    UnsupportedParameterError,
)
from routekit.types.quoting import each_text, hidden, texts_in, unescaped, unquoted, withheld
from routekit.types.sending import LIMITS

Redact = Callable[[str], str]

BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationError,
    402: AuthenticationError,
    408: ProviderUnavailableError,
    409: ProviderUnavailableError,
    410: ModelNotFoundError,
    425: ProviderUnavailableError,
    429: RateLimitError,
}
"""Of the others, 3xx is a wrong `base_url`, 4xx a refused request (`refusals` says for what), 5xx (529 too) a place
that is not serving."""

BY_KIND: dict[Kind, type[ProviderError]] = {
    "context": ContextLengthExceededError,
    "filter": ContentFilterError,
    "model": ModelNotFoundError,
    "credential": AuthenticationError,
    "throttled": RateLimitError,
    "unavailable": ProviderUnavailableError,
    "generation": InvalidResponseError,
    "parameter": UnsupportedParameterError,
    "request": InvalidRequestError,
    "unknown": InvalidRequestError,
}

BY_CODE_WITHOUT_STATUS: dict[str, int] = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "server_error": 500,
    "api_error": 500,
    "internal_server_error": 500,
    "internal_error": 500,
    "internalservererror": 500,
    "service_unavailable": 503,
    "overloaded_error": 529,
    "overloaded": 529,
    "unavailable": 503,
    "timeout": 504,
}
"""What stands for a status where an error comes inside a 200 or a stream."""

_TOO_LONG_FOR_A_SERVER = re.compile(
    r"maximum context length|exceed\w* (the )?(available |maximum |model'?s )*context|prompt is too long", re.IGNORECASE
)
_BEARER = re.compile(r"(bearer\s+)[^\s\"'<>,;\\]+", re.IGNORECASE)
_OPENAI_KEY = re.compile(r"\bsk-[A-Za-z0-9_\-*]{8,}")
_TEXT_LIMIT = 500
_BODY_LIMIT = 16_384


class Details(NamedTuple):
    """What an error body says. `codes` are its code, type and reasons, in lower case; `status` a number in it;
    `param` the parameter that it names."""

    text: str
    codes: tuple[str, ...]
    status: int | None
    param: str = ""


class Meaning(NamedTuple):
    """The kind of error, and what it was refused for where it is a refusal."""

    kind: type[ProviderError]
    refusal: Refusal | None = None


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    deployment: str,
    redact: Redact,
    now: Callable[[], float] = time.time,
    sent: Any = None,
) -> ProviderError:
    """The error for a response that is not 2xx. `headers` are looked up by lower-case name; `now` is wall time.

    `redact` takes secrets out of a text; message and body of the error went through it. `sent` is the request (its
    body, or a call): what the response repeats of it is left out, too, and decides nothing.
    """
    text = body.decode("utf-8", "replace")
    value = _parsed(text)
    value = redact(text[:_BODY_LIMIT]) if value is None else each_text(value, redact)
    request = request_of(sent)
    texts = texts_in(request)
    details = read_details(value)
    meaning = meaning_of(status, details, texts, request, markup=isinstance(value, str) and "<" in value)
    shown = unquoted(details.text, texts) or "(no message)"
    hint = ""
    if meaning.kind is ProviderSetupError:
        hint = "; this is a redirect, which is not followed: set base_url to where the endpoint really is"
    elif meaning.kind is ModelNotFoundError and not details.codes and status == 404:
        hint = "; if the model's name is right, look at the path in base_url"
    return made(
        meaning,
        f"deployment {deployment!r}: HTTP {status}: {_short(shown)}{hint}",
        details,
        deployment=deployment,
        status=status,
        retry_after_s=_wait_s(meaning.kind, retry_after_s(headers, now), value, details.text),
        body=withheld(value, texts),
    )


def error_inside(
    value: Any, *, deployment: str, redact: Redact, status: int | None = 200, event: bool = False, sent: Any = None
) -> ProviderError:
    """The error for an error object inside a 200 or a stream: by its code, type or status where it has one."""
    value = each_text(value, redact)
    request = request_of(sent)
    texts = texts_in(request)
    details = read_details(value)
    meaning = _meaning_inside(details, texts, request)
    where = "the stream carried an error" if event else "an error inside a 200"
    return made(
        meaning,
        f"deployment {deployment!r}: {where}: {_short(unquoted(details.text, texts)) or '(no message)'}",
        details,
        deployment=deployment,
        status=status,
        retry_after_s=_wait_s(meaning.kind, None, value, details.text),
        body=withheld(value, texts),
    )


def made(meaning: Meaning, text: str, details: Details, **more: Any) -> ProviderError:
    """The error of this meaning, with its code where that is a known one."""
    error = meaning.kind(text, **more)
    error.code = next((code for code in details.codes if code in CODES or code in BY_CODE_WITHOUT_STATUS), "")
    refused = meaning.refusal
    if refused is None:
        return error
    if isinstance(error, UnsupportedParameterError):
        error.parameter, error.instead, error.by_value = refused.parameter, refused.instead, refused.value
    elif refused.kind == "unknown" and isinstance(error, InvalidRequestError):
        error.uncertain = True
    elif refused.kind == "generation":
        error.blame = "request"  # one prompt that a model stumbles over says little about it
    return error


def _wait_s(kind: type[ProviderError], told: float | None, body: Any, text: str) -> float | None:
    """How long to wait: what a header told, or what the body says where waiting can help."""
    if told is not None or not issubclass(kind, RateLimitError | ProviderUnavailableError):
        return told
    return wait_in_body(body, text)


def read_details(value: Any, depth: int = 0) -> Details:
    """Message, codes, status and parameter of an error body, in any of the shapes that endpoints use."""
    if isinstance(value, list) and value and depth < 4:  # Gemini wraps the error in a list
        return read_details(value[0], depth + 1)
    if not isinstance(value, Mapping):
        return Details(_flat(value) if isinstance(value, str) else "", (), None)
    error = value.get("error", value)
    if not isinstance(error, Mapping):
        error = {**value, "message": error}
    text = error.get("message") or error.get("detail") or error.get("error") or error.get("Message")
    reasons: list[Any] = []
    param = error.get("param")
    if isinstance(text, Mapping) and "detail" in text:  # Mistral
        text = text["detail"]
    if isinstance(text, list):  # FastAPI's: what is wrong where
        text, kinds, param = _problems(text, param)
        reasons += kinds
    inner = error.get("innererror")
    if isinstance(inner, Mapping):
        reasons.append(inner.get("code"))
    if isinstance(error.get("details"), list):  # Google's
        reasons += [entry.get("reason") for entry in error["details"] if isinstance(entry, Mapping)]
    metadata = error.get("metadata")
    if (
        isinstance(metadata, Mapping) and isinstance(metadata.get("raw"), str) and depth < 4
    ):  # OpenRouter's: the vendor's
        raw = _parsed(metadata["raw"])
        behind = read_details(metadata["raw"] if raw is None else raw, depth + 1)
        text = f"{text}: {behind.text}" if isinstance(text, str) and behind.text else text
        reasons += behind.codes
        param = param or behind.param
    named = [*reasons, error.get("code"), error.get("type"), error.get("status"), error.get("__type")]
    status = next((number for number in map(_status, (*named, value.get("status"))) if number), None)
    if text is not None and not isinstance(text, str):
        text = json.dumps(text)
    codes = tuple(name.lower() for name in named if isinstance(name, str) and name and not name.isdigit())
    return Details(_flat(text or ""), codes, status, param if isinstance(param, str) else "")


def _problems(problems: list[Any], param: Any) -> tuple[str, list[Any], Any]:
    """FastAPI's list of problems as words, codes and the parameter; never its `input`, which is the request's."""
    words, kinds = [], []
    for problem in problems:
        if not isinstance(problem, Mapping):
            words.append(str(problem))
            continue
        kinds.append(problem.get("type"))
        place = problem.get("loc")
        path = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
        param = param or ".".join(path)
        words.append(f"{'.'.join(path)}: {problem.get('msg', '')}" if path else str(problem.get("msg", "")))
    return "; ".join(words), kinds, param


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
    """A function that takes secrets out of a text, and whatever follows "Bearer".

    It knows them plain, URL-encoded and with the escapes of JSON and HTML, and takes pieces of 8 characters, too.

    >>> redactor(["s3cret-value"])("key s3cret-value and Bearer abc123")
    'key [redacted] and Bearer [redacted]'
    """
    plain = [secret for secret in secrets if secret]
    forms = {
        form
        for secret in plain
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.encode("unicode_escape").decode())
    }
    ordered = sorted(forms, key=len, reverse=True)

    def clean(text: str) -> str:
        for form in ordered:
            text = text.replace(form, "[redacted]")
        text = hidden(text, plain)
        return _OPENAI_KEY.sub("[redacted]", _BEARER.sub(r"\1[redacted]", text))

    def redact(text: str) -> str:
        read = unescaped(text) if "\\" in text or "&" in text else text
        if "%" in read:
            read = unquote(read)
        if read != text and (cleaned := clean(read)) != read:
            return cleaned
        return clean(text)

    return redact


def meaning_of(
    status: int, details: Details, texts: Sequence[str], request: Mapping[str, Any], *, markup: bool = False
) -> Meaning:
    """What a status and what stands beside it mean. `texts` are those of the request, `request` its parameters."""
    # What the request brought along decides nothing; of long ones, common turns of phrase are no quotation.
    text = unquoted(details.text, texts, run=20, whole=True)
    if 400 <= status < 500 and status not in BY_STATUS:
        limits = (request.get(name) for name in LIMITS)
        negative = any(isinstance(limit, int) and limit < 0 for limit in limits)
        found = refusal(status, details.codes, details.param, text, negative=negative, markup=markup)
        return Meaning(BY_KIND[found.kind], found)
    for code in details.codes:
        kind = CODES.get(code)
        if kind is not None and kind not in ("request", "parameter"):
            return Meaning(BY_KIND[kind], Refusal(kind))
    if status >= 500 and _TOO_LONG_FOR_A_SERVER.search(text):
        return Meaning(ContextLengthExceededError)
    if status in BY_STATUS:
        return Meaning(BY_STATUS[status])
    if 300 <= status < 400:
        return Meaning(ProviderSetupError)
    return Meaning(ProviderUnavailableError if status >= 500 else InvalidResponseError)


def _meaning_inside(details: Details, texts: Sequence[str], request: Mapping[str, Any]) -> Meaning:
    if details.status is not None:
        return meaning_of(details.status, details, texts, request)
    for code in details.codes:
        if code in BY_CODE_WITHOUT_STATUS:
            return meaning_of(BY_CODE_WITHOUT_STATUS[code], details, texts, request)
        if code in CODES:
            return meaning_of(400, details, texts, request)
    return Meaning(InvalidResponseError)


def request_of(sent: Any) -> Mapping[str, Any]:
    """A request as a mapping: its body as bytes, or the call that it was made of."""
    if isinstance(sent, bytes):
        found = _parsed(sent.decode("utf-8", "replace"))
        return found if isinstance(found, Mapping) else {}
    if sent is None:
        return {}
    return {**sent.params, "messages": sent.messages, "tools": sent.tools}


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


def _flat(text: str) -> str:
    return " ".join(text[:_BODY_LIMIT].split())


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."
