"""A mapping that is empty for ever: the default of fields that hold mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class _Empty(Mapping[str, Any]):
    """One object, shared by all; unlike `types.MappingProxyType` it can be pickled and copied."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, key: object) -> bool:
        return False

    def get(self, key: str, default: Any = None) -> Any:
        return default

    def __repr__(self) -> str:
        return "{}"

    def __hash__(self) -> int:  # as `MappingProxyType` of a constant: it never changes
        return 0

    def __reduce__(self) -> str:
        return "EMPTY"

    def __deepcopy__(self, memo: object) -> _Empty:
        return self


EMPTY: Mapping[str, Any] = _Empty()
