"""Pure: a canonical request to a key."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from routekit.types import CacheKey, RouteRequest

VERSION = "1"
"""Raised whenever what goes into the key, or its form, changes: old entries are then never found."""

NO_EFFECT = frozenset({"user", "metadata", "store", "stream_options", "safety_identifier", "prompt_cache_key"})
"""Parameters that cannot change an answer. Every other one, known or not, is part of the key."""


def cache_key(request: RouteRequest, strategy: str, namespace: str) -> CacheKey:
    """The key of a request inside a tenant's partition.

    Messages, tools, parameters, the group or model asked for, the requirements and the strategy all
    count: the same question under ``best`` is never answered with what ``cheapest`` got.
    """
    params = {key: value for key, value in request.params.items() if key not in NO_EFFECT and value is not None}
    wanted = request.requirements
    canonical = json.dumps(
        [
            VERSION,
            namespace,
            request.messages,
            request.tools,
            params,
            request.group,
            request.model,
            strategy,
            None if wanted == _PLAIN else repr(_ordered(wanted)),
        ],
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
        default=_plain,
    )
    return CacheKey(
        namespace=namespace,
        digest=hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest(),
        request=request,
    )


def may_cache(request: RouteRequest, *, nondeterministic: bool) -> bool:
    """Whether an answer may be reused: not where the caller asked for randomness, unless opted in.

    Nor where log-probabilities or several answers are wanted: entries hold one message and no more.

    An absent temperature counts as "no wish": whoever configures a cache expects repeated questions
    to hit it.
    """
    params = request.params
    if request.cache == "bypass" or (params.get("n") or 1) != 1 or params.get("logprobs"):
        return False
    return nondeterministic or not params.get("temperature")


_PLAIN = RouteRequest(messages=()).requirements


def _ordered(wanted: Any) -> list[tuple[str, Any]]:
    return [
        (name, sorted(value) if isinstance(value := getattr(wanted, name), frozenset) else value)
        for name in wanted.__slots__
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, (bytes, bytearray)):
        return hashlib.sha256(value).hexdigest()
    try:
        return dict(value)
    except (TypeError, ValueError):
        return repr(value)
