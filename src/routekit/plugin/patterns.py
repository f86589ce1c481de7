"""Patterns that a hostile text can make take forever."""

from __future__ import annotations

import re

_REPEAT = re.compile(r"([*+]|\{\d*,\})([+?]?)|\{\d+(,\d+)?\}[+?]?|\?[+?]?")


def runs_away(pattern: str) -> bool:
    """Whether an unlimited repeat holds another one, the common shape of exponential patterns.

    Says nothing about overlapping alternatives such as ``(a|a)*``: whoever writes a rule is trusted
    to mean well, not to know this.

    >>> runs_away(r"(\\w+\\s?)+$"), runs_away(r"(?:\\w++\\s?)+$"), runs_away(r"invoice \\d+")
    (True, False, False)
    """
    holds = [False]  # per open group: whether an unlimited repeat stands in it
    atomic = [False]
    i, inside = 0, False  # `inside`: whether the atom just read holds an unlimited repeat
    while i < len(pattern):
        char = pattern[i]
        if char == "\\":
            i, inside = i + 2, False
        elif char == "[":
            i, inside = _class_end(pattern, i), False
        elif char == "(":
            holds.append(False)
            atomic.append(pattern.startswith("(?>", i))
            i, inside = i + 1, False
            if pattern.startswith("?", i):
                i += 1  # not a repeat: it opens a group's flags or kind
            continue
        elif char == ")":
            inner, closed = holds.pop() if len(holds) > 1 else False, atomic.pop() if len(atomic) > 1 else False
            i, inside = i + 1, inner and not closed
        else:
            i, inside = i + 1, False
        repeat = _REPEAT.match(pattern, i)
        if repeat:
            unlimited, possessive = repeat.group(1) is not None, repeat.group(2) == "+"
            if unlimited and inside and not possessive:
                return True
            inside = (inside or unlimited) and not possessive
            i = repeat.end()
        holds[-1] = holds[-1] or inside
    return False


def _class_end(pattern: str, start: int) -> int:
    """The index behind a character class."""
    i = start + 1
    if pattern.startswith("^", i):
        i += 1
    if pattern.startswith("]", i):
        i += 1  # a bracket in the first place stands for itself
    while i < len(pattern) and pattern[i] != "]":
        i += 2 if pattern[i] == "\\" else 1
    return i + 1
