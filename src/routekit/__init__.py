"""routekit: an LLM router that lives inside your program.

>>> import routekit
>>> "Router" in routekit.__all__
True

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from routekit._version import __version__

if TYPE_CHECKING:
    from routekit.config import Config
    from routekit.engine.stream.handles import AsyncStream, Stream
    from routekit.errors import (
        AllAttemptsFailedError,
        AllUnavailableError,
        AuthenticationError,
        BudgetExceededError,
        BudgetUnavailableError,
        CacheMissError,
        ConfigError,
        ContentFilterError,
        ContextLengthExceededError,
        CostCeilingError,
        DeadlineExceededError,
        GuardBlockedError,
        GuardUnavailableError,
        InvalidInputError,
        InvalidRequestError,
        InvalidResponseError,
        ModelNotFoundError,
        NoCandidateError,
        PluginConflictError,
        PluginError,
        PluginLoadError,
        PluginNotFoundError,
        PluginVersionError,
        ProviderError,
        ProviderSetupError,
        ProviderTimeoutError,
        ProviderUnavailableError,
        RateLimitError,
        RecipeError,
        RoutekitError,
        RoutingError,
        StreamInterruptedError,
        UnsupportedParameterError,
    )
    from routekit.plugin import Strategy
    from routekit.router import Router
    from routekit.types import (
        Attempt,
        Chunk,
        Deployment,
        Model,
        Money,
        Price,
        Requirements,
        RouteDecision,
        RouteRequest,
        RouteResult,
        Step,
        Usage,
    )

_ERRORS = (
    "AllAttemptsFailedError", "AllUnavailableError", "AuthenticationError", "BudgetExceededError",
    "BudgetUnavailableError", "CacheMissError", "ConfigError", "ContentFilterError", "ContextLengthExceededError",
    "CostCeilingError", "DeadlineExceededError", "GuardBlockedError", "GuardUnavailableError", "InvalidInputError",
    "InvalidRequestError", "InvalidResponseError", "ModelNotFoundError", "NoCandidateError",
    "PluginConflictError", "PluginError", "PluginLoadError", "PluginNotFoundError", "PluginVersionError",
    "ProviderError", "ProviderSetupError", "ProviderTimeoutError", "ProviderUnavailableError", "RateLimitError",
    "RecipeError", "RoutekitError", "RoutingError", "StreamInterruptedError",
    "UnsupportedParameterError",
)  # fmt: skip
_TYPES = (
    "Attempt", "Chunk", "Deployment", "Model", "Money", "Price", "Requirements", "RouteDecision",
    "RouteRequest", "RouteResult", "Step", "Usage",
)  # fmt: skip
_HOMES = {
    "Router": "routekit.router",
    "Config": "routekit.config",
    "Strategy": "routekit.plugin",
    "Stream": "routekit.engine.stream.handles",
    "AsyncStream": "routekit.engine.stream.handles",
    **dict.fromkeys(_ERRORS, "routekit.errors"),
    **dict.fromkeys(_TYPES, "routekit.types"),
}

__all__ = [
    "AllAttemptsFailedError",
    "AllUnavailableError",
    "AsyncStream",
    "Attempt",
    "AuthenticationError",
    "BudgetExceededError",
    "BudgetUnavailableError",
    "CacheMissError",
    "Chunk",
    "Config",
    "ConfigError",
    "ContentFilterError",
    "ContextLengthExceededError",
    "CostCeilingError",
    "DeadlineExceededError",
    "Deployment",
    "GuardBlockedError",
    "GuardUnavailableError",
    "InvalidInputError",
    "InvalidRequestError",
    "InvalidResponseError",
    "Model",
    "ModelNotFoundError",
    "Money",
    "NoCandidateError",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "PluginVersionError",
    "Price",
    "ProviderError",
    "ProviderSetupError",
    "ProviderTimeoutError",
    "ProviderUnavailableError",
    "RateLimitError",
    "RecipeError",
    "Requirements",
    "RouteDecision",
    "RouteRequest",
    "RouteResult",
    "RoutekitError",
    "Router",
    "RoutingError",
    "Step",
    "Strategy",
    "Stream",
    "StreamInterruptedError",
    "UnsupportedParameterError",
    "Usage",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'routekit' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
