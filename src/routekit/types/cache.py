"""What a cache stores, and under which key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from routekit.types.message import Message
from routekit.types.money import Money
from routekit.types.request import RouteRequest
from routekit.types.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """`namespace` is the tenant's physical partition, `digest` a hexadecimal hash of the whole request.

    `request`, `setting` and `vector` are for caches that compare meanings; exact caches leave them alone. `setting`
    is the digest of everything but the question, `vector` the question's embedding, an array or tuple of floats.
    """

    namespace: str
    digest: str
    request: RouteRequest | None = None
    setting: str = ""
    vector: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A complete, valid answer. `deltas` are the pieces it was streamed in, empty where it was not.

    `question` is what it answered, and `similarity` how close that is to what is asked now. `created_at`,
    `fresh_until` (from then on it is given while a new one is made) and `expires_at` are seconds since 1970;
    `cost` is what the answer cost to make.
    """

    message: Message
    finish_reason: str | None
    usage: Usage
    cost: Money
    model: str | None
    deployment: str
    created_at: float
    expires_at: float | None = None
    fresh_until: float | None = None
    deltas: tuple[dict[str, Any], ...] = ()
    similarity: float | None = None
    question: str | None = None
