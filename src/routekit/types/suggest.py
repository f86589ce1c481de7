"""What somebody who misspelt a name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that looks most like it; None: none does. `cutoff` is between 0 and 1 (`difflib`'s ratio).

    >>> closest("cheapets", ["best", "cheapest"])
    'cheapest'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of an error's text: the closest name, or all that are known.

    >>> suggestion("cheapets", ["best", "cheapest"]), suggestion("x", ["best"]), suggestion("x", [])
    ("did you mean 'cheapest'?", 'known: best', 'known: none')
    """
    known = list(known)
    near = closest(name, known, cutoff)
    return f"did you mean {near!r}?" if near else f"known: {', '.join(known) or 'none'}"
