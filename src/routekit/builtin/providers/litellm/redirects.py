"""litellm's HTTP clients follow redirects, also those (307, 308) that carry the whole prompt to another host.

Whose host that is nobody configured, so the clients that litellm makes for models are told not to. What it fetches
by GET (a picture by its address) asks for redirects itself, and gets them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def refuse_redirects() -> None:
    """Wraps what makes litellm's clients, in the whole process: it shares them between all who use it."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler
    from litellm.llms.openai.common_utils import BaseOpenAILLM

    for owner in (HTTPHandler, AsyncHTTPHandler):
        _wrap(owner, "create_client", lambda make: make)
    for name in ("_get_sync_http_client", "_get_async_http_client"):
        _wrap(BaseOpenAILLM, name, staticmethod)


def _wrap(owner: Any, name: str, kind: Callable[[Any], Any]) -> None:
    make = getattr(owner, name, None)
    if make is None or hasattr(make, "_routekit"):
        return

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        client = make(*args, **kwargs)
        if client is not None:
            client.follow_redirects = False
        return client

    made._routekit = True  # type: ignore[attr-defined]  # a mark, so that it is wrapped once
    setattr(owner, name, kind(made))
