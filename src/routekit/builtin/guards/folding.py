"""Pure: a text as detectors read it, and the way back to the places of what was written.

Full-width letters, digits of other scripts, dashes and spaces of every kind become their ASCII form;
characters that are not shown are left out. A disguise hides nothing, and what is cut out is all that was written.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_UNSEEN = frozenset("\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2060\ufeff\ufffc\u3164") | frozenset(
    chr(code)
    for first, last in ((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F), (0xE0000, 0xE007F))
    for code in range(first, last + 1)
)
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


class _Folds(dict[int, str]):
    """The folded form of a character, found out when it is first met: one character for one."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        plain = letter
        if letter in _DASHES:
            plain = "-"
        elif letter in _SPACES:
            plain = " "
        else:
            digit = unicodedata.decimal(letter, None)
            if digit is not None:
                plain = str(digit)
            elif len(folded := unicodedata.normalize("NFKC", letter)) == 1:
                plain = folded
        if len(self) < 20_000:
            self[code] = plain
        return plain


_FOLDS = _Folds()


class Folded(NamedTuple):
    """`text` as it is read. `places` are the positions of its characters in the original, None: the same ones."""

    text: str
    places: Sequence[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the original the read span stands."""
        if self.places is None or start >= end:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def fold(text: str) -> Folded:
    """The text as it is read.

    >>> fold("4111\\u200b 1111").text
    '4111 1111'
    >>> fold("4111\\u200b 1111").span(0, 9)
    (0, 10)
    """
    if text.isascii():
        return Folded(text)
    plain = text.translate(_FOLDS)
    if _UNSEEN.isdisjoint(plain):
        return Folded(plain)
    places = [place for place, letter in enumerate(plain) if letter not in _UNSEEN]
    return Folded("".join([plain[place] for place in places]), places)
