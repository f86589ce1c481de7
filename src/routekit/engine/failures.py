"""Pure: what went wrong with an attempt, as an error of the tree, and what it had used."""

from __future__ import annotations

from typing import Any

from routekit.engine.billing import usage_or_estimate
from routekit.errors import (
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from routekit.types import Candidate, Deployment, Usage


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


def usage_so_far(candidate: Candidate, chunks: Any) -> Usage:
    """What an unfinished attempt has used at least: the provider's figure if it came, else a count."""
    for chunk in reversed(chunks):
        if chunk.usage is not None:
            return chunk.usage  # type: ignore[no-any-return]  # chunks are Chunk objects
    text = "".join(chunk.text for chunk in chunks if isinstance(chunk.text, str))
    return usage_or_estimate(None, candidate, text)


def short(error: ProviderError) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:197] + '...'}"
