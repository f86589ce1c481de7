"""Pure: what went wrong with an attempt, as an error of the tree, and what is owed for it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from routekit.engine.budget.usage import counted, counted_stream
from routekit.engine.permit import Permit
from routekit.errors import (
    AuthenticationError,
    InvalidRequestError,
    ProviderError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.types import Chunk, Deployment, Usage

_REFUSED = (RateLimitError, AuthenticationError, InvalidRequestError, ProviderSetupError)
"""Who answers so has not worked on the request."""

_GATEWAY_TIMEOUTS = frozenset({504, 524})
"""A proxy lost patience with whoever may be at work behind it; 524 is Cloudflare's."""

_UNREACHED = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)


def as_provider_error(error: BaseException, deployment: Deployment) -> ProviderError | None:
    """The error of the tree that fits, or None for what is no failure (a cancellation)."""
    if isinstance(error, ProviderError):
        if error.deployment is None:
            error.deployment = deployment.name
        return error
    if isinstance(error, TimeoutError):
        late = ProviderTimeoutError(f"{deployment.name} did not answer in time", deployment=deployment.name)
        late.__suppress_context__ = True
        return late
    if isinstance(error, Exception):
        wrapped = ProviderUnavailableError(
            f"provider {deployment.provider!r} failed with an unclassified {type(error).__name__}",
            deployment=deployment.name,
        )
        wrapped.unsent = isinstance(error, _UNREACHED)
        if not isinstance(error, OSError):
            wrapped.blame = "local"  # a bug in the plugin says nothing about the deployment
        # Where it happened helps; what it says may repeat a key.
        wrapped.__cause__ = _without_text(error)
        wrapped.__suppress_context__ = True
        return wrapped
    return None


def _without_text(error: Exception) -> Exception:
    """An error of the same type and place that says nothing."""
    try:
        silent = type(error).__new__(type(error))
        silent.args = ()
    except Exception:  # its type has a constructor of its own
        silent = RuntimeError(type(error).__name__)
    return silent.with_traceback(error.__traceback__)


def owed(failure: ProviderError | None, permit: Permit, chunks: Sequence[Chunk]) -> tuple[Usage | None, str]:
    """What an attempt that ended in a failure, or was given up (None), has used; and why that is uncertain, or "".

    None: nothing was worked on. Whatever was sent is owed, unless the failure proves the opposite: what was
    reported, else the input and what was received. Of a whole answer nobody knows how much of it was
    written when its call was given up, timed out or lost its connection: it is uncertain.
    """
    if failure is not None and failure.usage is not None:
        found = counted(failure.usage, permit.candidate, {})
        return found.usage, found.doubt
    if not permit.sent or (failure is not None and not was_worked_on(failure)):
        return None, ""
    if permit.streamed and (chunks or failure is None or not failure.received):
        found = counted_stream(permit.candidate, chunks)
        return found.usage, found.doubt
    received = "" if failure is None else failure.received
    usage = counted(None, permit.candidate, {"content": received}).usage
    if received:
        return usage, ""  # it came to its end, and this is what came
    return usage, "it was sent, and may have been answered to the end"


def was_worked_on(failure: ProviderError) -> bool:
    """Whether the provider may have worked on what it failed at."""
    if failure.unsent or isinstance(failure, _REFUSED):
        return False
    status = failure.status
    return status is None or status < 400 or status in _GATEWAY_TIMEOUTS


def short(error: ProviderError) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:197] + '...'}"
