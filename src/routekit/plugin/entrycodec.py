"""Cache entries as bytes: a version byte, then compressed JSON. Never pickle."""

from __future__ import annotations

import json
import zlib
from typing import Any

from routekit.types import CacheEntry, Money, Usage

VERSION = 3
MAX_BYTES = 16 * 1024 * 1024
"""What an entry may unpack to. The longest answers of today's models are below one mebibyte."""

_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
           "audio_input_tokens", "audio_output_tokens", "image_input_tokens")  # fmt: skip


def encode_entry(entry: CacheEntry) -> bytes:
    """The entry as bytes.

    Raises:
        TypeError, ValueError: something in it is not JSON, or it is larger than `MAX_BYTES`.
    """
    usage = entry.usage
    text = json.dumps(
        {
            "message": entry.message,
            "finish_reason": entry.finish_reason,
            "usage": [getattr(usage, name) for name in _COUNTS],
            "estimated": usage.estimated,
            "cost": entry.cost.nanos,
            "model": entry.model,
            "deployment": entry.deployment,
            "created_at": entry.created_at,
            "expires_at": entry.expires_at,
            "fresh_until": entry.fresh_until,
            "deltas": entry.deltas,
        },
        separators=(",", ":"),
    ).encode()
    if len(text) > MAX_BYTES:
        raise ValueError(f"the cache entry has {len(text)} bytes; the most is {MAX_BYTES}")
    return bytes((VERSION,)) + zlib.compress(text, 1)


def decode_entry(data: bytes) -> CacheEntry:
    """The entry that `encode_entry` made these bytes from. Unpacks at most `MAX_BYTES`.

    Raises:
        ValueError: these bytes are nothing of the kind.
    """
    if data[:1] != bytes((VERSION,)):
        raise ValueError("not a cache entry of this version")
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data[1:], MAX_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise ValueError("the cache entry is cut off, too large, or has something behind it")
        return _entry(json.loads(text))
    except (zlib.error, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"not a cache entry ({type(error).__name__})") from None


def _entry(fields: Any) -> CacheEntry:
    counts = [_typed(count, int) for count in _typed(fields["usage"], list)]
    if len(counts) != len(_COUNTS) or min(counts) < 0:
        raise ValueError("the usage in the cache entry is none")
    expires_at, fresh_until = fields["expires_at"], fields["fresh_until"]
    return CacheEntry(
        message=_typed(fields["message"], dict),
        finish_reason=_optional_text(fields["finish_reason"]),
        usage=Usage(**dict(zip(_COUNTS, counts, strict=True)), estimated=_typed(fields["estimated"], bool)),
        cost=Money(_typed(fields["cost"], int)),
        model=_optional_text(fields["model"]),
        deployment=_typed(fields["deployment"], str),
        created_at=float(_typed(fields["created_at"], (int, float))),
        expires_at=None if expires_at is None else float(_typed(expires_at, (int, float))),
        fresh_until=None if fresh_until is None else float(_typed(fresh_until, (int, float))),
        deltas=tuple(_typed(delta, dict) for delta in _typed(fields["deltas"], list)),
    )


def _typed(value: Any, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _optional_text(value: Any) -> str | None:
    return None if value is None else str(_typed(value, str))
