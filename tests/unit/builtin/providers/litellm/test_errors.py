"""What litellm raises, and what it means: the whole table, row by row, with litellm's own classes."""

from __future__ import annotations

import os
import warnings

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit import errors
from routekit.builtin.providers.litellm.convert import usage_of
from routekit.builtin.providers.litellm.errors import TABLE, classify, redacted
from routekit.types import Usage

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from litellm import exceptions as raised

WHO = {"llm_provider": "openai", "model": "m"}


def api_error(status: int, message: str = "no") -> Exception:
    return raised.APIError(status_code=status, message=message, **WHO)


def bad_request(message: str) -> Exception:
    return raised.BadRequestError(message, **WHO)


def mid_stream(original: Exception) -> Exception:
    return raised.MidStreamFallbackError("broke", original_exception=original, **WHO)


def caused(error: Exception, context: Exception) -> Exception:
    error.__context__ = context
    return error


def at_status(error: Exception, status: int) -> Exception:
    error.status_code = status  # type: ignore[attr-defined]
    return error


CASES = {
    "context window": (raised.ContextWindowExceededError("no", **WHO), errors.ContextLengthExceededError, 400),
    "context length in words": (
        bad_request("This model's maximum context length is 8 tokens"),
        errors.ContextLengthExceededError,
        400,
    ),
    "content policy": (raised.ContentPolicyViolationError("no", **WHO), errors.ContentFilterError, 400),
    "content filter in words": (bad_request("code: content_filter"), errors.ContentFilterError, 400),
    "unsupported parameters": (raised.UnsupportedParamsError("no `x`", **WHO), errors.UnsupportedParameterError, None),
    "plain bad request": (bad_request("messages must not be empty"), errors.InvalidRequestError, 400),
    "bad request that is a conflict": (at_status(bad_request("wait"), 409), errors.ProviderUnavailableError, 409),
    "bad request with another 4xx": (at_status(bad_request("teapot"), 418), errors.InvalidRequestError, 418),
    "schema": (raised.JSONSchemaValidationError("m", "openai", "{", "{}"), errors.InvalidResponseError, None),
    "response validation": (raised.APIResponseValidationError("bad", **WHO), errors.InvalidResponseError, None),
    "litellm's own budget": (raised.BudgetExceededError(2.0, 1.0), errors.ProviderSetupError, None),
    "model not mapped": (raised.ModelNotMappedError("not mapped"), errors.ModelNotFoundError, None),
    "unknown vendor class": (
        raised.LiteLLMUnknownProvider(model="x", custom_llm_provider="nobody"),
        errors.ProviderSetupError,
        None,
    ),
    "unknown vendor in words": (bad_request("LLM Provider NOT provided."), errors.ProviderSetupError, None),
    "payment": (raised.PaymentRequiredError("pay", **WHO), errors.AuthenticationError, 402),
    "permission": (
        raised.PermissionDeniedError(
            "no", response=httpx.Response(403, request=httpx.Request("POST", "http://x")), **WHO
        ),
        errors.AuthenticationError,
        403,
    ),
    "authentication": (raised.AuthenticationError("wrong key", **WHO), errors.AuthenticationError, 401),
    "no key at all": (
        raised.AuthenticationError("Missing Anthropic API Key - set it", **WHO),
        errors.ProviderSetupError,
        None,
    ),
    "not found": (raised.NotFoundError("gone", **WHO), errors.ModelNotFoundError, 404),
    "rate limit": (raised.RateLimitError("slow", **WHO), errors.RateLimitError, 429),
    "quota used up": (
        raised.RateLimitError("You exceeded your current quota", **WHO),
        errors.AuthenticationError,
        429,
    ),
    "time limit": (raised.Timeout("late", **WHO), errors.ProviderTimeoutError, None),
    "gateway timeout": (
        raised.Timeout("late", exception_status_code=504, **WHO),
        errors.ProviderUnavailableError,
        504,
    ),
    "our own time limit": (TimeoutError(), errors.ProviderTimeoutError, None),
    "connection": (raised.APIConnectionError(message="reset", **WHO), errors.ProviderUnavailableError, None),
    "refused": (raised.InternalServerError("Connection refused", **WHO), errors.ProviderUnavailableError, None),
    "refused, as openai says it": (
        raised.InternalServerError("OpenAIException - Connection error.", **WHO),
        errors.ProviderUnavailableError,
        None,
    ),
    "server error": (raised.InternalServerError("oops", **WHO), errors.ProviderUnavailableError, 500),
    "no choices": (
        raised.InternalServerError("LiteLLM: provider returned 'choices' that is not a list", **WHO),
        errors.InvalidResponseError,
        None,
    ),
    "no JSON": (
        raised.APIConnectionError(message="Unable to get json response - Expecting value", **WHO),
        errors.InvalidResponseError,
        None,
    ),
    "an answer litellm stumbled over": (
        caused(raised.APIConnectionError(message="'content'", **WHO), KeyError("content")),
        errors.InvalidResponseError,
        None,
    ),
    "bad gateway": (raised.BadGatewayError("no", **WHO), errors.ProviderUnavailableError, 502),
    "unavailable": (raised.ServiceUnavailableError("no", **WHO), errors.ProviderUnavailableError, 503),
    "bare 401": (api_error(401), errors.AuthenticationError, 401),
    "bare 402": (api_error(402), errors.AuthenticationError, 402),
    "bare 403": (api_error(403), errors.AuthenticationError, 403),
    "bare 404": (api_error(404), errors.ModelNotFoundError, 404),
    "bare 408": (api_error(408), errors.ProviderUnavailableError, 408),
    "bare 409": (api_error(409), errors.ProviderUnavailableError, 409),
    "bare 413": (api_error(413), errors.InvalidRequestError, 413),
    "bare 422": (api_error(422), errors.InvalidRequestError, 422),
    "bare 429": (api_error(429), errors.RateLimitError, 429),
    "bare 529": (api_error(529), errors.ProviderUnavailableError, 529),
    "cut in mid-stream": (
        mid_stream(raised.APIConnectionError(message="peer closed", **WHO)),
        errors.ProviderUnavailableError,
        None,
    ),
    "rate limit in mid-stream": (mid_stream(raised.RateLimitError("slow", **WHO)), errors.RateLimitError, 429),
    "mid-stream without a cause": (
        raised.MidStreamFallbackError("broke", **WHO),
        errors.ProviderUnavailableError,
        503,
    ),
    "a socket error": (ConnectionResetError("reset"), errors.ProviderUnavailableError, None),
    "a bug": (TypeError("'NoneType' object is not subscriptable"), errors.InvalidResponseError, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_failure_has_one_meaning(case):
    error, expected, status = CASES[case]
    found = classify(error, deployment="d")
    assert type(found) is expected
    assert found.status == status
    assert found.deployment == "d"
    assert str(found).startswith("d: ")
    assert found.__cause__ is None
    assert found.__context__ is None


def test_every_row_of_the_table_decides_a_case():
    """A row that no case needs is dead, or untested: without it, some case must come out differently."""
    from routekit.builtin.providers.litellm import errors as litellm_errors

    def outcomes() -> list[tuple[type, int | None]]:
        return [(type(found := classify(error)), found.status) for error, _, _ in CASES.values()]

    whole, idle = outcomes(), []
    try:
        for row in TABLE:
            litellm_errors.TABLE = tuple(other for other in TABLE if other is not row)
            if outcomes() == whole:
                idle.append(row)
    finally:
        litellm_errors.TABLE = TABLE
    assert idle == []


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        (ModuleNotFoundError("No module named 'mcp.types'", name="mcp.types"), "pip install mcp"),
        (ModuleNotFoundError("No module named 'botocore'", name="botocore"), "pip install boto3"),
        (ModuleNotFoundError("No module named 'somebody'", name="somebody.else"), "pip install somebody"),
        (ImportError("Google Cloud SDK not found."), "pip install google-cloud-aiplatform"),
    ],
)
def test_a_missing_package_comes_with_the_command_that_installs_it(missing, command):
    wrapped = caused(
        raised.APIConnectionError(message=f"{missing}\nTraceback (most recent call last): ...", **WHO), missing
    )
    for error in (missing, wrapped):
        found = classify(error, deployment="d")
        assert type(found) is errors.ProviderSetupError
        assert str(found).endswith(command)
        assert found.blame == "local"


def test_an_error_of_ours_stays_itself():
    mine = errors.ProviderTimeoutError("late")
    assert classify(mine) is mine


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("place", ["litellm", "response"])
def test_retry_after_is_read_in_all_its_forms(headers, expected, place):
    request = httpx.Request("POST", "http://x")
    if place == "litellm":
        error = raised.RateLimitError("slow", **WHO)
        error.litellm_response_headers = httpx.Headers(headers)
    else:
        error = raised.RateLimitError("slow", response=httpx.Response(429, headers=headers, request=request), **WHO)
    now = 1_795_435_200.0  # 2026-11-23T12:00:00Z
    assert classify(error, now=now).retry_after_s == expected


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60))
def test_a_secret_never_survives_wherever_it_stands(secret):
    for text in (f"bad key {secret}", f"Authorization: Bearer {secret}", f"https://x/y?key={secret}&z=1", secret):
        assert secret not in redacted(text, [secret])
        assert secret not in str(classify(bad_request(text), secrets=[secret]))


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdef123456.",
        "Authorization: Bearer abcdef123456",
        'sent {"api_key": "abcdef123456"}',
        "https://host/v1?key=abcdef123456",
        "aws_secret_access_key=abcdef123456",
    ],
)
def test_what_looks_like_a_secret_goes_even_if_nobody_named_it(text):
    assert "abcdef123456" not in redacted(text)


def test_messages_are_short_and_say_things_once():
    error = raised.APIConnectionError(
        message="litellm.APIError: OpenAIException - boom\nTraceback (most recent call last):\n  File x", **WHO
    )
    assert str(classify(error, deployment="d")) == "d: OpenAIException - boom"
    assert len(str(classify(bad_request("x" * 9_999)))) < 600


CACHED = {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}
THOUGHT = {"completion_tokens_details": {"reasoning_tokens": 7}}
READ = {"prompt_tokens_details": {"cached_tokens": 20}}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        pytest.param(
            {"prompt_tokens": 130, "completion_tokens": 5, **CACHED},
            Usage(input_tokens=130, output_tokens=5, cache_read_tokens=100, cache_write_tokens=20),
            id="inclusive, Anthropic's names",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, **CACHED},
            Usage(input_tokens=130, output_tokens=5, cache_read_tokens=100, cache_write_tokens=20),
            id="cached tokens left out, as Anthropic itself counts",
        ),
        pytest.param(
            {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 75, **READ},
            Usage(input_tokens=70, output_tokens=5, cache_read_tokens=20),
            id="cached tokens left out, told by the total",
        ),
        pytest.param(
            {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55, "prompt_cache_hit_tokens": 20},
            Usage(input_tokens=50, output_tokens=5, cache_read_tokens=20),
            id="DeepSeek's name",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19, **THOUGHT},
            Usage(input_tokens=10, output_tokens=9, reasoning_tokens=7),
            id="reasoning inside",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 26, **THOUGHT},
            Usage(input_tokens=10, output_tokens=16, reasoning_tokens=7),
            id="reasoning on top, as xAI counts",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 2, **THOUGHT},
            Usage(input_tokens=10, output_tokens=9, reasoning_tokens=7),
            id="more reasoning than output",
        ),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None, id="nothing reported"),
    ],
)  # fmt: skip
def test_usage_ends_up_in_inclusive_buckets(reported, expected):
    assert usage_of(reported) == expected
