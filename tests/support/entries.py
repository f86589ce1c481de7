"""Cache keys and entries for tests."""

from __future__ import annotations

from typing import Any

from routekit.types import CacheEntry, CacheKey, Money, Usage


def key(digest: str, namespace: str = "a") -> CacheKey:
    return CacheKey(namespace=namespace, digest=digest)


def entry(text: str = "hi", **changes: Any) -> CacheEntry:
    fields: dict[str, Any] = {
        "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
        "usage": Usage(input_tokens=3, output_tokens=4), "cost": Money(7), "model": "m", "deployment": "d",
        "created_at": 1000.0,
    }  # fmt: skip
    return CacheEntry(**{**fields, **changes})
