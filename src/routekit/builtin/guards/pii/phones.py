"""Pure: whether digits are a telephone number, by the national plans and the country codes of ITU-T E.164."""

from __future__ import annotations

import re

_CODES = {
    1: (10, 10), 7: (10, 10), 20: (8, 10), 27: (9, 9), 30: (10, 10), 31: (9, 9), 32: (8, 9), 33: (9, 9), 34: (9, 9),
    36: (8, 9), 39: (6, 11),
    40: (9, 9), 41: (9, 9), 43: (4, 13), 44: (7, 10), 45: (8, 8), 46: (7, 10), 47: (8, 8), 48: (9, 9), 49: (5, 13),
    51: (8, 9), 52: (10, 10),
    53: (8, 8), 54: (10, 11), 55: (10, 11), 56: (9, 9), 57: (10, 10), 58: (10, 10), 60: (8, 10), 61: (5, 9), 62: (8,
    12), 63: (8, 10),
    64: (8, 10), 65: (8, 8), 66: (8, 9), 81: (9, 10), 82: (8, 11), 84: (9, 10), 86: (10, 11), 90: (10, 10), 91: (10,
    10), 92: (9, 10),
    93: (9, 9), 94: (9, 9), 95: (7, 10), 98: (10, 10),
}  # fmt: skip
"""Least and most digits behind the country code; codes of three digits have 7 to 12."""

_THREE = re.compile(r"(?:2[1-9]|3[578]|42|5[09]|6[789]|8[058]|9[679])\d")

_PLANS: dict[str, tuple[str, ...]] = {
    "en": (
        r"1?[2-9]\d{2}[2-9]\d{6}", r"0[1-9]\d{8,9}", r"0?[6-9]\d{9}", r"0\d{10}", r"0[2-478]\d{8}", r"1[38]00\d{6}",
        r"13\d{4}", r"0[1-9]\d{7,8}",
    ),
    "de": (r"0[1-9]\d{5,12}",),
    "fr": (r"0[1-9]\d{8}", r"0[1-9]\d{7}"),
    "es": (r"[6789]\d{8}",),
    "it": (r"0\d{5,10}", r"3\d{8,9}"),
    "nl": (r"0[1-9]\d{8}",),
    "pl": (r"[1-9]\d{8}",),
    "pt": (r"0?[1-9]{2}9?\d{8}", r"[29]\d{8}"),
    "sv": (r"0[1-9]\d{5,9}",),
    "da": (r"[2-9]\d{7}",),
    "fi": (r"0[1-9]\d{4,10}",),
}  # fmt: skip

LANGUAGES = tuple(_PLANS)
_NANP = re.compile(r"(?:\+?1[ .-]{1,2})?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4}")
_GROUPED = re.compile(
    r"\(?0\d{1,4}\)?[ /-]{1,3}\d{2,}(?:[ -]\d{2,})*|0[1-9](?:[ .-]\d{2}){4}|\(0?\d{2}\) ?9?\d{4}[- ]\d{4}"
)


class Plans:
    """The national plans of some languages' countries."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        self._national = re.compile("|".join(plan for language in languages for plan in _PLANS[language]))
        self._english = "en" in languages

    def national(self, digits: str) -> bool:
        return self._national.fullmatch(digits) is not None

    def formatted(self, written: str) -> bool:
        """Whether it is written as telephone numbers are and hardly anything else."""
        if self._english and _NANP.fullmatch(written):
            return True
        return _GROUPED.fullmatch(written) is not None


def international(digits: str) -> bool:
    """Whether these are a country code and a number of the right length, without the plus sign."""
    if not 7 <= len(digits) <= 15 or digits[0] == "0":
        return False
    for length in (1, 2):
        limits = _CODES.get(int(digits[:length]))
        if limits is not None:
            rest = digits[length:]
            national = len(rest) - (rest[0] == "0" and int(digits[:length]) != 39)  # "+44 (0)20 ..."
            return limits[0] <= national <= limits[1]
    return _THREE.match(digits) is not None and 6 <= len(digits) - 3 <= 12
