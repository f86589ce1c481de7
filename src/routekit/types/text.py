"""Text from outside, made valid Unicode where it enters, so that nothing behind the edge can trip over it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from routekit.errors import InvalidInputError

NAME_MOST = 1024
"""Characters of a name from outside (a scope's value, a session, an id): longer ones are no names."""

DEPTH_MOST = 200
"""Levels of lists and dictionaries inside each other; JSON parsers of providers give up at a few hundred."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text, with each lone surrogate replaced by U+FFFD, as JavaScript's `toWellFormed` and WHATWG do.

    A surrogate is half of a character that somebody cut in two; no UTF-8 can carry it.

    >>> well_formed("cut \\ud83d")
    'cut \ufffd'
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def well_formed_json(value: Any, where: str, depth: int = 0) -> Any:
    """A value that is to become JSON, with every text in it well formed: the same object where nothing was wrong.

    Raises:
        InvalidInputError: a number that JSON has no word for (NaN, infinity), or lists and dictionaries that are
            nested too deeply or contain themselves.
    """
    kind = value.__class__
    if kind is str:
        return value if value.isascii() else well_formed(value)
    if kind is bool or kind is int or value is None:
        return value
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{where} holds {value!r}, which JSON cannot carry; pass a finite number")
        return value
    if depth >= DEPTH_MOST:
        raise InvalidInputError(f"{where} is nested more than {DEPTH_MOST} levels deep, or contains itself")
    if kind is dict or isinstance(value, Mapping):
        for key, inner in value.items():
            plain = key.__class__ is str and key.isascii() and inner.__class__ is str and inner.isascii()
            if not plain and (_name(key) is not key or well_formed_json(inner, where, depth + 1) is not inner):
                return {_name(key): well_formed_json(inner, where, depth + 1) for key, inner in value.items()}
        return value
    if isinstance(value, (list, tuple)):
        items = [well_formed_json(inner, where, depth + 1) for inner in value]
        return value if all(made is inner for made, inner in zip(items, value, strict=True)) else items
    return value


def _name(key: Any) -> Any:
    return well_formed(key) if isinstance(key, str) else key


def as_name(value: str, where: str) -> str:
    """A text that identifies somebody or something, as it is.

    Names are refused and not mended: two that differ only in what was replaced would share a budget, or answers.

    Raises:
        InvalidInputError: it is no valid Unicode, holds a NUL character, or is longer than `NAME_MOST`.
    """
    if len(value) > NAME_MOST:
        raise InvalidInputError(f"{where} is {len(value)} characters long; names have {NAME_MOST} at most")
    if "\0" in value:
        raise InvalidInputError(f"{where} contains a NUL character; pass a name without it")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"{where} is no valid Unicode (a lone surrogate at position {error.start}); decode it properly first"
            ) from None
    return value
