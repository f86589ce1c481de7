"""LangChain: `RoutedChatModel` for chains and agents, `RoutingMiddleware` for `create_agent`.

Nothing is imported before it is asked for: `RoutedChatModel` needs langchain-core alone,
`RoutingMiddleware` needs `langchain`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from routekit.langchain.binding import RoutedBinding
    from routekit.langchain.chat_model import RoutedChatModel
    from routekit.langchain.middleware import RoutingMiddleware
    from routekit.langchain.retrieve_tool import retrieve_original_tool

__all__ = ["RoutedBinding", "RoutedChatModel", "RoutingMiddleware", "retrieve_original_tool"]

_WHERE = {
    "RoutedBinding": "binding",
    "RoutedChatModel": "chat_model",
    "RoutingMiddleware": "middleware",
    "retrieve_original_tool": "retrieve_tool",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
