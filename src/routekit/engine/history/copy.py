"""Pure: messages copied so deeply that nobody's changes reach anybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routekit.types import (
    Message,
)


def copied(message: Mapping[str, Any]) -> Message:
    """A message that its new owner may change."""
    return {key: _copied(value) for key, value in message.items()}  # type: ignore[return-value]  # same keys


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return value
