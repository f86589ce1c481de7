"""Pure: a canonical request to a key."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from routekit.engine.attempts.answer_checks import KINDS, AnswerPolicy, fault_of
from routekit.engine.history.assemble import is_empty
from routekit.types import Answer, CacheKey, RouteRequest, RouteResult

VERSION = "2"
"""Raised whenever what goes into the key, or its form, changes: old entries are then never found."""

NO_EFFECT = frozenset({"user", "metadata", "store", "stream_options", "safety_identifier", "prompt_cache_key"})
"""Parameters that cannot change an answer. Every other one, known or not, is part of the key."""


def namespace_of(kinds: Sequence[str], scopes: Mapping[str, Sequence[str]], own: str | None = None) -> str:
    """The partition of a tenant, in which `own` may be one more. No two tenants have the same.

    A tenant is what a request's scopes of these kinds name, all of them together.

    >>> namespace_of(["project", "user"], {"project": ["search"]}), namespace_of(["project"], {})
    ('project:["search"]', 'shared')
    >>> namespace_of(["project", "user"], {"project": ["search"], "user": ["ada"]})
    'project:["search"]/user:["ada"]'
    """
    named = [f"{kind}:{json.dumps(list(scopes[kind]), ensure_ascii=False)}" for kind in kinds if scopes.get(kind)]
    tenant = "/".join(named) or "shared"
    return tenant if own is None else f"{tenant}/{json.dumps(own, ensure_ascii=False)}"


def tenant_secret(secret: bytes, namespace: str) -> bytes:
    """A secret of the tenant's own: who sees digests cannot try questions out, nor compare tenants."""
    return hmac.digest(secret, b"routekit cache tenant\0" + namespace.encode("utf-8", "surrogatepass"), "sha256")


def cache_key(request: RouteRequest, asked: object, namespace: str, secret: bytes) -> CacheKey:
    """The key of a request inside a tenant's partition, made with the tenant's `secret` (HMAC-SHA-256).

    The whole request counts, fields that nobody here knows included, but for those of `NO_EFFECT`. `asked`
    is whose answers are as good as another: a strategy, a group, a model.
    """
    params = {key: value for key, value in request.params.items() if key not in NO_EFFECT and value is not None}
    if request.headers:
        params["extra_headers"] = request.headers.digest
    wanted = request.requirements
    canonical = json.dumps(
        [
            VERSION,
            namespace,
            request.messages,
            request.tools,
            params,
            asked,
            None if wanted == _PLAIN else repr(_ordered(wanted)),
        ],
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
        default=_plain,
    )
    return CacheKey(
        namespace=namespace,
        digest=hmac.digest(secret, canonical.encode("utf-8", "surrogatepass"), "sha256").hex(),
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


def may_store(request: RouteRequest, result: RouteResult, *, tool_calls: bool) -> bool:
    """Whether an answer is complete and valid, so that others may have it.

    Calls of tools only where opted in: what they lead to depends on when they are made.
    """
    reason, message = result.finish_reason, result.message
    if reason not in ("stop", "tool_calls") or message.get("refusal") or result.others or is_empty(message):
        return False
    if not tool_calls and (reason == "tool_calls" or message.get("tool_calls")):
        return False
    answer = Answer(message=message, finish_reason=reason)
    return fault_of(request, answer, None, _STRICT, []) is None


_STRICT = AnswerPolicy(KINDS)
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
