"""Our errors as LangChain's `ModelError` kinds too, so that middleware can read `is_retryable`.

What `RoutedChatModel` raises is both: ``except routekit.errors.RateLimitError`` and ``except
langchain_core.exceptions.ModelRateLimitError`` catch it. Mistakes of the caller (`ConfigError`, an
unknown strategy, `InvalidInputError`) stay what they are.
"""

from __future__ import annotations

from typing import Any

from langchain_core import exceptions as langchain

from routekit import errors


def _kind(name: str) -> type[Exception]:
    # Kinds that this langchain-core does not have are caught under their common root.
    root = getattr(langchain, "ModelError", langchain.LangChainException)
    found: type[Exception] = getattr(langchain, name, root)
    return found


def model_error(error: errors.RoutekitError) -> errors.RoutekitError:
    """The same error, of a class that is the matching LangChain kind as well.

    A new object: the original may be shared by callers that waited for one upstream call. It keeps
    the attributes, the traceback and the cause.
    """
    kind = _kind_of(error)
    if kind is None or isinstance(error, kind):
        return error
    both = _both(type(error), kind)
    made: Any = both.__new__(both, *error.args)
    made.args = error.args
    made.__dict__.update(error.__dict__)
    made.__cause__, made.__context__ = error.__cause__, error.__context__
    made.__suppress_context__ = True
    if hasattr(error, "__notes__"):
        made.__notes__ = list(error.__notes__)
    return made.with_traceback(error.__traceback__)  # type: ignore[no-any-return]


def _kind_of(error: BaseException) -> type[Exception] | None:
    """The LangChain kind, or None for errors that are not about calling a model."""
    if isinstance(error, errors.AuthenticationError):
        return _kind("ModelPermissionDeniedError" if error.status == 403 else "ModelAuthenticationError")
    if isinstance(error, errors.ProviderUnavailableError):
        return _kind("ModelConnectionError" if error.status is None else "ModelAPIError")
    if isinstance(error, errors.AllAttemptsFailedError):
        last = error.__cause__ or next((a.error for a in reversed(error.attempts) if a.error), None)
        return (_kind_of(last) if last is not None else None) or _kind("ModelError")
    for ours, name in _KINDS:
        if isinstance(error, ours):
            return _kind(name)
    return None


_KINDS: tuple[tuple[type[errors.RoutekitError], str], ...] = (
    (errors.RateLimitError, "ModelRateLimitError"),
    (errors.ContextLengthExceededError, "ContextOverflowError"),
    (errors.ModelNotFoundError, "ModelNotFoundError"),
    (errors.InvalidRequestError, "ModelInvalidRequestError"),
    (errors.InvalidResponseError, "ModelAPIError"),
    (errors.ProviderTimeoutError, "ModelTimeoutError"),
    (errors.ProviderError, "ModelError"),
    (errors.DeadlineExceededError, "ModelTimeoutError"),
    (errors.StreamInterruptedError, "ModelConnectionError"),
    (errors.RoutingError, "ModelError"),
)
"""First match wins, so subclasses stand before their parents."""


_MADE: dict[tuple[type[errors.RoutekitError], type[Exception]], type[errors.RoutekitError]] = {}


def _both(ours: type[errors.RoutekitError], kind: type[Exception]) -> type[errors.RoutekitError]:
    made = _MADE.get((ours, kind))
    if made is None:
        body = {"__module__": ours.__module__, "__doc__": ours.__doc__, "__qualname__": ours.__qualname__}
        made = _MADE.setdefault((ours, kind), type(ours.__name__, (ours, kind), body))
    return made
