"""What litellm's exceptions mean, in one table.

litellm gives the same failure different classes for different vendors (an overload is an
InternalServerError from one and a bare APIError with status 529 from another), so a row may ask for
a class, a status and, only where litellm leaves no attribute, for words of the message. Nothing here
imports litellm: classes are compared by name.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from routekit.builtin.providers.errors import (
    Details,
    Meaning,
    made,
    meaning_of,
    read_details,
    redactor,
    request_of,
)
from routekit.builtin.providers.waits import wait_in_text
from routekit.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ModelNotFoundError,
    ProviderError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    UnsupportedParameterError,
)
from routekit.types.quoting import texts_in, unescaped


class Row(NamedTuple):
    """The first row whose `name` (in the class's ancestry), `status` and `words` all fit decides.

    `answered` is False where no HTTP answer came, although litellm invents a status.
    """

    name: str
    error: type[ProviderError]
    status: int | None = None
    words: str | None = None
    answered: bool = True


_NO_KEY = r"Missing .{0,40}API Key|api_key .{0,40}must be set"
_NO_ANSWER = r"provider returned 'choices'|Empty or invalid response"
_UNREACHED = r"Connection (error|refused)|Cannot connect|[Nn]ame or service not known|nodename nor servname"

TABLE = (
    # Said in so many classes.
    Row("ContextWindowExceededError", ContextLengthExceededError),
    Row("ContentPolicyViolationError", ContentFilterError),
    Row("UnsupportedParamsError", UnsupportedParameterError, answered=False),
    Row("APIResponseValidationError", InvalidResponseError, answered=False),
    Row("BudgetExceededError", ProviderSetupError, answered=False),
    Row("ModelNotMappedError", ModelNotFoundError, answered=False),
    Row("LiteLLMUnknownProvider", ProviderSetupError, answered=False),
    # Several meanings in one class: only the words tell them apart.
    Row("AuthenticationError", ProviderSetupError, words=_NO_KEY, answered=False),
    Row("BadRequestError", ProviderSetupError, words=r"LLM Provider NOT provided", answered=False),
    Row("RateLimitError", AuthenticationError, words=r"insufficient_quota|exceeded your current quota"),
    Row("InternalServerError", InvalidResponseError, words=_NO_ANSWER, answered=False),
    Row("APIConnectionError", InvalidResponseError, words=r"Unable to get json response", answered=False),
    Row("InternalServerError", ProviderUnavailableError, words=_UNREACHED, answered=False),
    # A gateway's 504 has the class of our own time limit, which litellm reports as 408.
    Row("Timeout", ProviderUnavailableError, status=504),
    Row("Timeout", ProviderTimeoutError, answered=False),
    Row("TimeoutError", ProviderTimeoutError, answered=False),
    Row("APIConnectionError", ProviderUnavailableError, answered=False),
    Row("OSError", ProviderUnavailableError, answered=False),
)

_REDIRECT, _OTHER_4XX, _5XX, _BUG = (
    Row("", ProviderSetupError, answered=False),
    Row("", InvalidRequestError),  # `refusals` says for what
    Row("", ProviderUnavailableError),
    Row("", InvalidResponseError, answered=False),
)

_UNSENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ConnectionRefusedError", "gaierror",
                        "ClientConnectorError", "ConnectionTimeoutError"})  # fmt: skip
"""Of httpx and aiohttp: nothing was sent."""

_PARSING = (KeyError, IndexError, TypeError, AttributeError)
_SECRET = re.compile(
    r"(?i)(bearer\s+)[^\s\"',}]+"
    r"|((?:api[-_ ]?key|access[-_]?(?:key|token)|auth[-_]?token|secret|password|authorization|[?&]key)[\w-]*"
    r"[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"',&}]+"
    r"|\bsk-[\w-]{6,}"
)
_PREFIX = re.compile(r"^(?:litellm\.)?\w*(?:Error|Timeout)(?: Error)?: ")
_PIP = {
    "mcp": "mcp",
    "boto3": "boto3",
    "botocore": "boto3",
    "google": "google-cloud-aiplatform",
    "vertexai": "google-cloud-aiplatform",
    "azure": "azure-identity",
    "ibm_watsonx_ai": "ibm-watsonx-ai",
}
_LIMIT = 500


def classify(
    error: BaseException,
    *,
    deployment: str | None = None,
    secrets: Iterable[str] = (),
    now: float | None = None,
    sent: Any = None,
) -> ProviderError:
    """The `ProviderError` that an exception out of litellm stands for; a `ProviderError` stays what it is.

    `secrets` are blotted out of its message. `now` (seconds since 1970) is for ``Retry-After`` dates. `sent` is the
    call: what the message repeats of it decides nothing.
    """
    if isinstance(error, ProviderError):
        return error
    error = _unwrapped(error)
    missing = next((link for link in _chain(error) if isinstance(link, ImportError)), None)
    if missing is not None:
        return ProviderSetupError(_how_to_install(missing, secrets), deployment=deployment)
    row, status = _row(error)
    meaning, details = Meaning(row.error), _details(error)
    if row is _OTHER_4XX or row.error in (UnsupportedParameterError, ContextLengthExceededError):
        meaning = _refused(row, status or 400, details, sent)
    failure = made(
        meaning,
        _message(error, row, deployment, secrets),
        details,
        deployment=deployment,
        status=status if row.answered else None,
        retry_after_s=_retry_after_s(error, now),
    )
    failure.unsent = any(type(link).__name__ in _UNSENT for link in _chain(error))
    return failure


def _refused(row: Row, status: int, details: Details, sent: Any) -> Meaning:
    request = request_of(sent)
    found = meaning_of(status, details, texts_in(request), request)
    if row is _OTHER_4XX or found.kind is row.error:
        return found
    return Meaning(row.error)  # its class is more certain than its words


def _details(error: BaseException) -> Details:
    """What the vendor said, which litellm keeps as text behind a prefix, as JSON or as Python writes bytes."""
    text = str(getattr(error, "message", None) or error)[:16_384]
    while (shorter := _PREFIX.sub("", text, count=1)) != text:
        text = shorter
    start = text.find("{")
    value: Any = None
    if start >= 0:
        body = unescaped(text[start:]) if text[max(0, start - 2) : start] in ("b'", 'b"') else text[start:]
        with contextlib.suppress(ValueError, RecursionError):
            value, _ = json.JSONDecoder(strict=False).raw_decode(body)
    details = read_details(value if isinstance(value, Mapping) else text)
    named = [getattr(error, name, None) for name in ("code", "type")]
    codes = tuple(name.lower() for name in named if isinstance(name, str) and name and not name.isdigit())
    param = getattr(error, "param", None)
    return Details(
        details.text or text, (*details.codes, *codes), None,
        details.param or (param if isinstance(param, str) else ""),
    )  # fmt: skip


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets and without what looks like one."""
    text = redactor(secret for secret in secrets if len(secret) >= 4)(text)
    return _SECRET.sub(lambda found: f"{found[1] or found[2] or ''}[redacted]", text)


def _row(error: BaseException) -> tuple[Row, int | None]:
    if any(_redirected(link) for link in _chain(error)):
        return _REDIRECT, None
    names = {kind.__name__ for kind in type(error).__mro__}
    status = _status(error)
    text = str(getattr(error, "message", None) or error)
    if "APIConnectionError" in names and any(isinstance(link, _PARSING) for link in _chain(error)):
        return _BUG, None  # litellm stumbled over an answer it did not expect, and calls that a lost connection
    for row in TABLE:
        if row.name in names and row.status in (None, status) and (not row.words or re.search(row.words, text)):
            return row, status
    if status is None:
        return _BUG, None
    return (_5XX if status >= 500 else _OTHER_4XX), status


def _status(error: BaseException) -> int | None:
    try:
        status = int(getattr(error, "status_code", None) or 0)
    except (TypeError, ValueError):
        return None
    return status if 400 <= status < 600 else None


def _redirected(link: BaseException) -> bool:
    """Whether the endpoint sent the call elsewhere, which is not followed."""
    for status in (getattr(link, "status_code", None), getattr(getattr(link, "response", None), "status_code", None)):
        if isinstance(status, int) and 300 <= status < 400:
            return True
    return False


def _unwrapped(error: BaseException) -> BaseException:
    """A failure in mid-stream carries the one that happened."""
    original = getattr(error, "original_exception", None)
    return original if isinstance(original, BaseException) else error


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(20):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def _message(error: BaseException, row: Row, deployment: str | None, secrets: Iterable[str]) -> str:
    said = _said(error, secrets)
    name = type(error).__name__
    if name == "BudgetExceededError":
        said = f"litellm's own budget (litellm.max_budget) refused the call: {said}; raise or unset it"
    elif row is _REDIRECT:
        said = "a redirect came back, which is not followed: set base_url to where the endpoint really is"
    elif row is _BUG:
        said = f"the answer could not be read ({name}: {said})"
    return f"{deployment or 'litellm'}: {said}"


def _said(error: BaseException, secrets: Iterable[str]) -> str:
    text = str(getattr(error, "message", None) or error)[:16_384]
    text = text.partition("Traceback (most recent call last)")[0].strip()
    while (shorter := _PREFIX.sub("", text, count=1)) != text:
        text = shorter
    text = redacted(text, secrets)
    return text if len(text) <= _LIMIT else f"{text[: _LIMIT - 3]}..."


def _how_to_install(missing: ImportError, secrets: Iterable[str]) -> str:
    module = (missing.name or "").partition(".")[0]
    package = _PIP.get(module, module)
    said = _said(missing, secrets).rstrip(".")
    if not package and "oogle" in said:
        package = _PIP["google"]
    return f"litellm needs a package that is not installed: {said}" + (
        f". Install it with: pip install {package}" if package else ""
    )


def _retry_after_s(error: BaseException, now: float | None) -> float | None:
    for headers in (
        getattr(error, "litellm_response_headers", None),
        getattr(getattr(error, "response", None), "headers", None),
    ):
        if not headers:
            continue
        found: Mapping[str, Any] = {str(name).lower(): value for name, value in dict(headers).items()}
        for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
            if (value := found.get(name)) is not None and (seconds := _seconds(str(value), unit, now)) is not None:
                return seconds
    status = getattr(error, "status_code", None)
    # Of a refusal whose headers say nothing, litellm keeps the body as text.
    return wait_in_text(str(error)) if status in (429, 503, 529) else None


def _seconds(value: str, unit: int, now: float | None) -> float | None:
    try:
        seconds = float(value) / unit
        return seconds if 0 <= seconds < float("inf") else None
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    start = datetime.now(UTC).timestamp() if now is None else now
    return max(0.0, at.timestamp() - start)
