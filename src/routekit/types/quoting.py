"""Pure: what a text repeats of other texts, taken out of it.

What an upstream says about a failure may quote the request, or the key that it was sent with. Nobody who reads
an error, a record or a report is to read either there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MIN_RUN = 12
"""So many characters in a row that stand in the request, too, are a quotation and no accident."""

MIN_SECRET_RUN = 8
"""As many of a secret: half a key is a lead to the other half."""

CUT = "[...]"
_TEXT_LIMIT = 16_384
_STEP = 5
_GRAM = MIN_RUN - _STEP + 1
"""Every run of MIN_RUN characters holds a piece of this length that begins at a multiple of _STEP."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\"'\\/bfnrt]))")
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SPACE = re.compile(r"\s+")
_STRUCTURE = frozenset({"role", "type", "name", "id", "tool_call_id", "model", "detail", "format", "object"})
_IDENTIFIER = re.compile(r"[\w.:/\-]{1,64}\Z")


def unescaped(text: str) -> str:
    r"""The text without the escapes of JSON and HTML, however often it was wrapped in them.

    >>> unescaped(r"ab\\/cd &#x2b; \\u002b"), unescaped("plain")
    ('ab/cd + +', 'plain')
    """
    for _ in range(4):
        found = html.unescape(text) if "&" in text else text
        if "\\" in found:
            found = _ESCAPE.sub(_letter, found)
        if found == text:
            break
        text = found
    return text


def texts_in(value: Any) -> list[str]:
    """The texts in a request's messages, tools or parameters; names and kinds are structure, and left out."""
    found: list[str] = []
    _collect(value, "", found, 0)
    return found


def unquoted(text: str, texts: Sequence[str], *, run: int = MIN_RUN, whole: bool = True) -> str:
    """`text` without what stands in one of `texts` as well: runs of at least `run` (12 or more) characters, and
    with `whole` each of them that stands there whole, from 3 characters on.

    Upper and lower case, white space and escapes make no difference. The very same text where nothing is quoted.

    >>> unquoted("Invalid prompt: my ssn is 123-45-6789", ["Hello, my ssn is 123-45-6789."])
    'Invalid prompt: [...]'
    """
    if not text or not texts:
        return text
    plain = _SPACE.sub(" ", unescaped(text[:_TEXT_LIMIT]))
    low = _lower(plain)
    marks = bytearray(len(plain))
    grams: dict[str, list[int]] = {}
    for place in range(len(low) - _GRAM + 1):
        grams.setdefault(low[place : place + _GRAM], []).append(place)
    for other in texts:
        given = _lower(_SPACE.sub(" ", unescaped(other))).strip()
        if whole and 3 <= len(given) < run:
            for found in re.finditer(rf"(?<!\w){re.escape(given)}(?!\w)", low):
                marks[found.start() : found.end()] = b"\1" * len(found[0])
        for start in range(0, len(given) - _GRAM + 1, _STEP):
            for place in grams.get(given[start : start + _GRAM], ()):
                if not (marks[place] and marks[place + _GRAM - 1]):
                    _mark(low, given, place, start, run, marks)
    if not any(marks):
        return text
    return re.sub("\0+", CUT, "".join("\0" if mark else letter for letter, mark in zip(plain, marks, strict=True)))


def withheld(value: Any, texts: Sequence[str]) -> Any:
    """A value as JSON has them, every text in it `unquoted`."""
    return _each(value, lambda text: unquoted(text, texts), 0)


def hidden(text: str, secrets: Iterable[str], mark: str = "[redacted]") -> str:
    """`text` without the secrets, and without pieces of them of at least 8 characters or a half that ends it."""
    plain = text
    for secret in secrets:
        for place in range(len(secret) - MIN_SECRET_RUN + 1):
            while (at := plain.find(secret[place : place + MIN_SECRET_RUN])) >= 0:
                end = at + MIN_SECRET_RUN
                until = place + MIN_SECRET_RUN
                while end < len(plain) and until < len(secret) and plain[end] == secret[until]:
                    end, until = end + 1, until + 1
                plain = plain[:at] + mark + plain[end:]
    return plain


def each_text(value: Any, change: Any) -> Any:
    """A value as JSON has them, with `change` made to every text in it, keys too."""
    return _each(value, change, 0)


def _each(value: Any, change: Any, depth: int) -> Any:
    if isinstance(value, str):
        return change(value)
    if depth > 40:
        return CUT if isinstance(value, Mapping | list | tuple) else value
    if isinstance(value, Mapping):
        return {
            change(key) if isinstance(key, str) else key: _each(inner, change, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_each(inner, change, depth + 1) for inner in value]
    return value


def _mark(low: str, given: str, place: int, start: int, run: int, marks: bytearray) -> None:
    """Marks the longest run around a piece that both have in common, where it is long enough."""
    begin, end, until = place, place + _GRAM, start + _GRAM
    while begin and start and low[begin - 1] == given[start - 1]:
        begin, start = begin - 1, start - 1
    while end < len(low) and until < len(given) and low[end] == given[until]:
        end, until = end + 1, until + 1
    if end - begin >= run or (start == 0 and until == len(given)):
        marks[begin:end] = b"\1" * (end - begin)


def _collect(value: Any, key: str, found: list[str], depth: int) -> None:
    if isinstance(value, str):
        if value and not (key in _STRUCTURE and _IDENTIFIER.match(value)):
            found.append(value)
    elif depth > 40:
        return
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _collect(inner, name if isinstance(name, str) else "", found, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _collect(inner, key, found, depth + 1)


def _lower(text: str) -> str:
    """In lower case and of the same length, which `str.lower` does not promise."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _letter(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code:
        number = int(code, 16)
        return found[0] if 0xD800 <= number < 0xE000 else chr(number)
    return _LETTERS.get(found[3], found[3])
