"""Pure: numbers that are made of digits and separators: cards, telephones, ids of states."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from routekit.builtin.guards import checksums
from routekit.builtin.guards.pii.context import Around
from routekit.builtin.guards.pii.phones import Plans, international
from routekit.builtin.guards.spans import Span

_RUN = re.compile(r"[0-9](?<!\w.)[0-9]*+(?:[ .()/+-]{1,3}[0-9]++)*+")
_GROUP = re.compile(r"[0-9]+")
_LONGEST = 19
_MOST_GROUPS = 8
"""A French social security number has seven; no other number has more."""

_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|095|[689]\d)\d{11,12}|"
    r"(?:6011|64[4-9]\d|65\d{2})\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}|(?:5[06-9]|6[0-9])\d{10,17}"
    r"|220[0-4]\d{12}"
)
"""The ranges of Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro and Mir."""


class Number(NamedTuple):
    """An id: how it is written, how its digits are checked, and whether only a word beside it makes it one."""

    kind: str
    written: re.Pattern[str]
    valid: Callable[[str], bool]
    free: re.Pattern[str] | None = None
    """Written like this, it needs no word beside it; None: it always does."""


def _number(kind: str, written: str, valid: Callable[[str], bool], free: str = "") -> Number:
    return Number(kind, re.compile(written), valid, re.compile(free) if free else None)


def _ssn(digits: str) -> bool:
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def _cpr(digits: str) -> bool:
    return 1 <= int(digits[:2]) <= 31 and 1 <= int(digits[2:4]) <= 12


def _itin(digits: str) -> bool:
    return digits[0] == "9" and digits[3] in "56789"


def _nir(digits: str) -> bool:
    return 1 <= int(digits[3:5]) <= 12 or 20 <= int(digits[3:5]) <= 99


NUMBERS: dict[int, tuple[Number, ...]] = {}
for _one in (
    (8, _number("AU_TFN", r"\d{8}|\d{2,3} \d{3} \d{2,3}", checksums.au_tfn)),
    (9, _number("US_SSN", r"\d{9}|\d{3}[- .]\d{2}[- .]\d{4}", _ssn, r"\d{3}-\d{2}-\d{4}")),
    (9, _number("US_ITIN", r"\d{9}|\d{3}[- ]\d{2}[- ]\d{4}", _itin, r"\d{3}-\d{2}-\d{4}")),
    (9, _number("CA_SIN", r"\d{9}|\d{3}[- ]\d{3}[- ]\d{3}", checksums.luhn)),
    (9, _number("AU_TFN", r"\d{9}|\d{3}[- ]\d{3}[- ]\d{3}", checksums.au_tfn)),
    (9, _number("NL_BSN", r"\d{9}|\d{4}[. ]\d{2}[. ]\d{3}|\d{3}[. ]\d{3}[. ]\d{3}", checksums.nl_bsn)),
    (9, _number("PT_NIF", r"\d{9}|\d{3} \d{3} \d{3}", checksums.pt_nif)),
    (10, _number("UK_NHS", r"\d{10}|\d{3}[ -]\d{3}[ -]\d{4}", checksums.uk_nhs)),
    (10, _number("AU_MEDICARE", r"\d{10}|\d{4}[ -]\d{5}[ -]\d", checksums.au_medicare)),
    (10, _number("SE_PNR", r"\d{10}|\d{6}[-+]\d{4}", checksums.se_pnr, r"\d{6}[-+]\d{4}")),
    (10, _number("DK_CPR", r"\d{10}|\d{6}-\d{4}", _cpr)),
    (11, _number("DE_TAX_ID", r"\d{11}|\d{2}[ ./]\d{3}[ ./]\d{3}[ ./]\d{3}",
    checksums.de_tax_id, r"\d{2} \d{3} \d{3} \d{3}")),
    (11, _number("PL_PESEL", r"\d{11}", checksums.pl_pesel)),
    (11, _number("BR_CPF", r"\d{11}|\d{3}\.\d{3}\.\d{3}-\d{2}", checksums.br_cpf, r"\d{3}\.\d{3}\.\d{3}-\d{2}")),
    (11, _number("BE_NN", r"\d{11}|\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}",
    checksums.be_nn, r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}")),
    (11, _number("AU_MEDICARE", r"\d{11}|\d{4}[ -]\d{5}[ -]\d[ /-]\d", checksums.au_medicare)),
    (12, _number("IN_AADHAAR", r"\d{12}|\d{4}[ -]\d{4}[ -]\d{4}",
    lambda d: d[0] not in "01" and checksums.verhoeff(d), r"\d{4}[ -]\d{4}[ -]\d{4}")),
    (12, _number("SE_PNR", r"\d{12}|\d{8}[-+]\d{4}", lambda d: d[:2] in ("19",
    "20") and checksums.se_pnr(d[2:]), r"\d{8}-\d{4}")),
    (13, _number("CH_AHV", r"\d{13}|\d{3}[. ]\d{4}[. ]\d{4}[. ]\d{2}",
    checksums.ch_ahv, r"\d{3}\.\d{4}\.\d{4}\.\d{2}")),
    (15, _number("FR_NIR", r"[\d ]+|[\d.]+|[\d-]+", lambda d: checksums.fr_nir(d) and _nir(d),
    r"[\d ]+|[\d.]+|[\d-]+")),
):  # fmt: skip
    NUMBERS[_one[0]] = (*NUMBERS.get(_one[0], ()), _one[1])


def numbers_in(text: str, around: Around, plans: Plans) -> Iterator[Span]:
    """Cards, telephone numbers and ids. Windows of whole groups are tried, at most 19 digits long: linear."""
    for run in _RUN.finditer(text):
        start, stop = run.span()
        if stop - start < 6:
            continue
        start = _opened(text, start)
        groups = [match.span() for match in _GROUP.finditer(text, start, stop)]
        if stop < len(text) and (text[stop].isalnum() or text[stop] == "_"):
            groups.pop()
        elif text[stop : stop + 2] and text[stop] in ",." and text[stop + 1 : stop + 2].isdigit() and len(groups) == 1:
            continue  # a decimal number
        if start and text[start - 1] in ".,:" and text[start - 2 : start - 1].isdigit() and groups:
            groups.pop(0)
        yield from _windows(text, start, groups, around, plans)


def _windows(text: str, start: int, groups: list[tuple[int, int]], around: Around, plans: Plans) -> Iterator[Span]:
    last = len(groups) - 1
    done = -1
    for first, (begin, _) in enumerate(groups):
        if first <= done or (first and not _gap(text, groups[first - 1][1], begin)):
            continue
        digits = ""
        best: Span | None = None
        for index in range(first, min(len(groups), first + _MOST_GROUPS)):
            digits += text[slice(*groups[index])]
            if len(digits) > _LONGEST:
                break
            end = groups[index][1]
            if len(digits) < 6 or (index < last and not _gap(text, end, groups[index + 1][0])):
                continue
            span = _best(text, start if first == 0 else _opened(text, begin), begin, end, digits, around, plans)
            if span is not None and (best is None or (span.score, span.end) >= (best.score, best.end)):
                best, found = span, index
        if best is not None:
            done = found
            yield best


def _gap(text: str, end: int, begin: int) -> bool:
    """Whether the two groups may belong to different numbers."""
    between = text[end:begin]
    return " " in between or "/" in between


def _opened(text: str, begin: int) -> int:
    """With the bracket or plus sign before it."""
    while begin and text[begin - 1] in "(+":
        begin -= 1
    return begin


def _best(text: str, start: int, begin: int, end: int, digits: str, around: Around, plans: Plans) -> Span | None:
    size = len(digits)
    written = text[begin:end]
    if size >= 12 and _CARD.fullmatch(digits) and checksums.luhn(digits) and not written.strip("0123456789 -."):
        if size >= 15 or around.says("CREDIT_CARD", begin, end):
            return Span(begin, end, "CREDIT_CARD", 1.0)
        if not around.ends_with("NOT_PRIVATE", begin):
            return Span(begin, end, "CREDIT_CARD", 0.85)
    for number in NUMBERS.get(size, ()):
        if not number.written.fullmatch(written) or not number.valid(digits):
            continue
        if around.says(number.kind, begin, end):
            return Span(begin, end, number.kind, 1.0)
        if number.free is not None and number.free.fullmatch(written) and not around.says("PHONE", begin, end):
            return Span(begin, end, number.kind, 0.9)
    return _phone(text, start, begin, end, digits, around, plans)


def _phone(text: str, start: int, begin: int, end: int, digits: str, around: Around, plans: Plans) -> Span | None:
    if "+" in text[start:begin]:
        found = international(digits.lstrip("0"))
        return Span(start, end, "PHONE", 0.95) if found else None
    if len(digits) > 15:
        return None
    if text[end : end + 1] == "%" or around.ends_with("NOT_PRIVATE", start):
        return None
    written = text[start:end]
    if _DATE.fullmatch(text[begin:end]) is not None:
        return None
    if digits.startswith("00") and international(digits[2:]):
        return Span(start, end, "PHONE", 0.9 if " " in written or around.says("PHONE", start, end) else 0.5)
    called = around.says("PHONE", start, end)
    if called and (plans.national(digits) or international(digits)):
        return Span(start, end, "PHONE", 0.9)
    if plans.national(digits) and plans.formatted(written):
        return Span(start, end, "PHONE", 0.6)
    return None


_DATE = re.compile(
    r"(?:19|20)\d{2}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d{2}(?: \d{1,2})?|(?:19"
    r"|20)\d{2}[-/ ](?:19|20)\d{2}"
)
