"""litellm and the models that it builds warn about themselves, at its import and at the first call of each vendor.

Nobody who calls a router can do anything about that. Filters hold for the whole process, so they name whom they
mean; and as others (pytest, `warnings.catch_warnings`) put filters back, they are looked after before each call.
"""

from __future__ import annotations

import warnings
from typing import Any

_FILTERS: tuple[dict[str, Any], ...] = (
    {"module": r"litellm(\.|$)"},
    {"message": r".*`?ReadOnly`? qualifier", "category": UserWarning, "module": r"pydantic\."},
    {"message": r"Pydantic serializer warnings", "category": UserWarning, "module": r"pydantic\."},
    {"message": r"Support for class-based `config`", "category": DeprecationWarning, "module": r"pydantic\."},
)
_set: list[Any] = []


def quiet() -> None:
    """Sets the filters where they are not set."""
    if _set and all(entry in warnings.filters for entry in _set):
        return
    _set.clear()
    for fields in _FILTERS:
        warnings.filterwarnings("ignore", **fields)
        _set.append(warnings.filters[0])
