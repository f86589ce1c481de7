"""What is raised is ours and LangChain's at once."""

from __future__ import annotations

import pytest
from langchain_core import exceptions as langchain

from routekit import errors
from routekit.langchain.errors import model_error
from routekit.types import Money


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (errors.RateLimitError("x", retry_after_s=2), langchain.ModelRateLimitError, True),
        (errors.AuthenticationError("x", status=401), langchain.ModelAuthenticationError, False),
        (errors.AuthenticationError("x", status=403), langchain.ModelPermissionDeniedError, False),
        (errors.InvalidRequestError("x"), langchain.ModelInvalidRequestError, False),
        (errors.ContentFilterError("x"), langchain.ModelInvalidRequestError, False),
        (errors.ContextLengthExceededError("x"), langchain.ContextOverflowError, False),
        (errors.ModelNotFoundError("x"), langchain.ModelNotFoundError, False),
        (errors.ProviderTimeoutError("x"), langchain.ModelTimeoutError, True),
        (errors.ProviderUnavailableError("x", status=503), langchain.ModelAPIError, True),
        (errors.ProviderUnavailableError("x"), langchain.ModelConnectionError, True),
        (errors.InvalidResponseError("x"), langchain.ModelAPIError, True),
        (errors.DeadlineExceededError("x"), langchain.ModelTimeoutError, True),
        (errors.NoCandidateError("x"), langchain.ModelError, False),
        (errors.GuardBlockedError(guard="g", rule="r", where="request"), langchain.ModelError, False),
    ],
)
def test_kinds(error: errors.RoutekitError, kind: type[Exception], retryable: bool) -> None:
    made = model_error(error)
    assert isinstance(made, kind)
    assert isinstance(made, type(error))
    assert str(made) == str(error)
    assert made.__dict__ == error.__dict__
    assert type(made).__name__ == type(error).__name__
    assert getattr(made, "is_retryable") is retryable  # noqa: B009  # LangChain's attribute, not ours


def test_all_attempts_failed_is_what_the_last_attempt_was() -> None:
    error = errors.AllAttemptsFailedError("x")
    error.__cause__ = errors.RateLimitError("y")
    made = model_error(error)
    assert isinstance(made, langchain.ModelRateLimitError)
    assert made.__cause__ is error.__cause__
    assert isinstance(model_error(errors.AllAttemptsFailedError("x")), langchain.ModelError)


def test_keyword_attributes_survive() -> None:
    error = errors.BudgetExceededError(
        scope="user:a", limit=Money(5), spent=Money(4), reserved=Money(0), asked=Money(2)
    )
    made = model_error(error)
    assert isinstance(made, errors.BudgetExceededError)
    assert made.scope == "user:a"
    assert made.asked == Money(2)


def test_the_callers_mistakes_stay_what_they_are() -> None:
    for error in (errors.ConfigError("x"), errors.InvalidInputError("x"), errors.PluginNotFoundError("x")):
        assert model_error(error) is error


def test_classes_are_made_once() -> None:
    assert type(model_error(errors.RateLimitError("a"))) is type(model_error(errors.RateLimitError("b")))
