"""What a cache stores, and under which key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from routekit.types.message import Message
from routekit.types.money import Money
from routekit.types.request import RouteRequest
from routekit.types.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """`namespace` is the tenant's physical partition, `digest` a hexadecimal hash of the whole request.

    `request` is for caches that compare meanings; exact caches leave it alone.
    """

    namespace: str
    digest: str
    request: RouteRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A complete, valid answer. `deltas` are the pieces it was streamed in, empty where it was not.

    `created_at` and `expires_at` are seconds since 1970; `cost` is what the answer cost to make.
    """

    message: Message
    finish_reason: str | None
    usage: Usage
    cost: Money
    model: str | None
    deployment: str
    created_at: float
    expires_at: float | None = None
    deltas: tuple[dict[str, Any], ...] = ()
    similarity: float | None = None
