"""Pure: private data that is made of letters, too: mail addresses, IBANs, ids, machines, wallets, dates of birth."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from routekit.builtin.guards import checksums
from routekit.builtin.guards.pii.context import Around
from routekit.builtin.guards.presets import ibans
from routekit.builtin.guards.spans import Span

_LOCAL = re.compile(r"[\w.%+\-'&]{1,64}")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,63}(?![^\W_])")
_FILES = re.compile(r"(?i)\dx\.(?:png|jpe?g|gif|webp|svg|avif|ico)$")

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![\w.]){_OCTET}(?:\.{_OCTET}){{3}}(?![\w]|\.[0-9])")
_IPV6 = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?![\w:])"
)
_MAC = re.compile(
    r"(?<![\w:.-])[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])"
    r"|(?<![\w.])[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}(?![\w.])"
)

_MIXED = re.compile(r"[A-Za-z0-9](?<![A-Za-z0-9].)[A-Za-z0-9]{8,100}+(?![A-Za-z0-9])")
_SHAPES = {
    "IN_PAN": re.compile(r"[A-Z]{3}[ABCFGHLJPT][A-Z][0-9]{4}[A-Z]"),
    "IT_CF": re.compile(r"[A-Z]{6}[0-9L-NP-V]{2}[ABCDEHLMPRST][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z]"),
    "ES_NIF": re.compile(r"[0-9]{8}[A-HJ-NP-TV-Z]"),
    "ES_NIE": re.compile(r"[XYZ][0-9]{7}[A-HJ-NP-TV-Z]"),
}
_SPANISH = re.compile(
    r"[0-9XYZxyz](?<![A-Za-z0-9.].)(?:[0-9]{0,1}\.?[0-9]{3}\.?[0-9]{3}[ -]?"
    r"|[ -]?[0-9]{7}[ -]?)[A-HJ-NP-TV-Za-hj-np-tv-z](?![A-Za-z0-9])"
)
_NINO = re.compile(r"[0-9]{2}(?:(?<=[A-Za-z]..)|(?<=[A-Za-z] ..))[ -]?[0-9]{2}[ -]?[0-9]{2} ?[A-Da-d](?![A-Za-z0-9])")
_NINO_LETTERS = re.compile(r"(?:^|[^a-z0-9])((?!bg|gb|nk|kn|tn|nt|zz)[a-ceghj-prstw-z][a-ceghj-nprstw-z] ?)$")
_HETU = re.compile(r"[0-3](?<![0-9A-Za-z].)[0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-Y](?![0-9A-Za-z])")
_PASSPORT_WORD = re.compile(
    r"passport|passeport|pasaporte|passaport[eo]|paspoort|paszport|reisepass|pass(?:nummer|nr)"
    r"|\bpass(?=[ :.-]{0,2}(?:no|nr|num|n°|#))|\bpass(?=[: ]{1,2}[a-z0-9]{0,3}[0-9])"
)
_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Z0-9]{0,8}[0-9])(?:[A-Z]{1,3} ?[0-9]{5,9}[A-Z]?|[0-9]{7,9}|[A-Z0-9]{8,10}"
    r"|[0-9]{2}[A-Z]{2}[0-9]{5})(?![A-Za-z0-9])"
)

_MONTHS = (
    "jan|feb|mar|mär|apr|may|mai|maj|mag|mei|jun|jui|giu|jul|lug|lip|aug|ago|aoû|sep|set|wrz|oct|okt|ott|out|paź|nov|lis|dec|dez|dic|déc|gru|"
    "ene|gen|sty|lut|fév|kwi|cze|sie|maart|marz|abr|avr|fev|kol"
)
_DATE = re.compile(
    rf"(?i)(?<![0-9])(?:[0-9]{{1,2}}[./-] ?[0-9]{{1,2}}[./-] ?(?:[0-9]{{4}}|[0-9]{{2}})|(?:19"
    rf"|20)[0-9]{{2}}[./-][0-9]{{1,2}}[./-][0-9]{{1,2}}|"
    rf"[0-9]{{1,2}}(?:st|nd|rd|th|er|º|°|\.)? (?:de |of )?(?:{_MONTHS})[^\W\d_]{{0,8}}\.?,? (?:de |del )?(?:19"
    rf"|20)[0-9]{{2}}|"
    rf"(?:{_MONTHS})[^\W\d_]{{0,8}}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)[0-9]{{2}})(?![0-9])"
)
_BIRTH = re.compile(
    r"\bborn\b|birth|\bdob\b|d\.o\.b|geboren|geburt|\bgeb\b|\bnée?\b|naissance|nacid|nacimiento|\bnat[oa]\b|nascita"
    r"|geboorte|urodz|\bur\.|"
    r"nascid|nascimento|född|födelse|syntyn|født|fødsel"
)

_MAYBE_BIRTH = re.compile("bor|birt|dob|d\\.o|geb|né|nais|nac|nat|nas|uro|ur\\.|föd|synt|fød")

_ETHER = re.compile(r"0x[0-9a-fA-F]{40}")


def emails_in(text: str) -> Iterator[Span]:
    """Mail addresses in letters of every script. From each "@", both ways, by at most a name's length."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.match(text[max(0, at - 64) : at][::-1])
        domain = _DOMAIN.match(text, at + 1)
        if local is not None and domain is not None:
            name = local.group()[::-1]
            kept = name.lstrip(".-&'%+")
            start, end = at - len(kept), domain.end()
            before = text[max(0, start - 80) : start]
            if (
                kept
                and not _FILES.search(text[at:end])
                and not _in_url(before)
                and not (kept == "git" and text[end : end + 1] == ":")
            ):
                yield Span(start, end, "EMAIL")
        at = text.find("@", at + 1)
    if "%40" in text:
        for match in _QUOTED_AT.finditer(text):
            yield Span(*match.span(), "EMAIL")


_QUOTED_AT = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+%40(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,63}")
_USERINFO = re.compile(r"//(?:[^\s/@]{0,64}:)?[^\s/@:]{0,8}$")


def _in_url(before: str) -> bool:
    """A user and password in an address are no mail address."""
    return before.endswith(("/", ":")) and _USERINFO.search(before) is not None


def machines_in(text: str, around: Around) -> Iterator[Span]:
    """IP addresses of either version but loopback and masks, and MAC addresses."""
    if text.count(".") >= 3:
        for match in _IPV4.finditer(text):
            if match.group().startswith(("127.", "0.", "255.")) or around.ends_with("VERSION", match.start()):
                continue
            yield Span(*match.span(), "IP", 0.9)
    if text.count(":") >= 5 or text.count("-") >= 5 or text.count(".") >= 2:
        for match in _MAC.finditer(text):
            yield Span(*match.span(), "MAC")
    if text.count(":") >= 2:
        for match in _IPV6.finditer(text):
            found = match.group()
            if found.count(":") >= 2 and any(map(str.isdigit, found)) and len(found) > 5 and _is_ipv6(found):
                yield Span(*match.span(), "IP")


def _is_ipv6(text: str) -> bool:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return not address.is_loopback


def words_in(text: str, around: Around) -> Iterator[Span]:
    """IBANs, ids and wallets."""
    for start, end in ibans(text):
        yield Span(start, end, "IBAN")
    for match in _MIXED.finditer(text):
        word, span = match.group(), match.span()
        if word.isalpha() or word.isdigit():
            continue
        upper = word.upper()
        size = len(word)
        if size == 10 and word.isupper() and _SHAPES["IN_PAN"].fullmatch(upper):
            yield Span(*span, "IN_PAN", 0.95)
        elif size == 16 and _SHAPES["IT_CF"].fullmatch(upper) and checksums.it_cf(upper):
            yield Span(*span, "IT_CF")
        elif (size == 42 and _ETHER.fullmatch(word)) or (25 <= size <= 95 and _is_wallet(word)):
            yield Span(*span, "CRYPTO")
    for match in _SPANISH.finditer(text):
        plain = re.sub("[ .-]", "", match.group()).upper()
        if _SHAPES["ES_NIE"].fullmatch(plain) and checksums.es_nif(plain):
            yield Span(*match.span(), "ES_NIE")
        elif (
            (len(plain) == 9 or around.says("PT_NIF", *match.span()))
            and plain[:-1].isdigit()
            and checksums.es_nif(plain)
        ):
            yield Span(*match.span(), "ES_NIF")
    for match in _NINO.finditer(text):
        letters = _NINO_LETTERS.search(around.lower[max(0, match.start() - 4) : match.start()])
        if letters is not None:
            yield Span(match.start() - len(letters[1]), match.end(), "UK_NINO", 0.9)
    for match in _HETU.finditer(text):
        if checksums.fi_hetu(match.group()):
            yield Span(*match.span(), "FI_HETU")


def _is_wallet(word: str) -> bool:
    if word[0] in "13LMDT" and len(word) <= 35:
        return checksums.base58check(word)
    lower = word.lower()
    if lower.startswith(("bc1", "tb1", "ltc1")) and word in (lower, word.upper()):
        return checksums.bech32(lower)
    return len(word) == 95 and word[0] in "48" and not set(word) & set("0OIl")


def papers_in(text: str, around: Around) -> Iterator[Span]:
    """Passports and dates of birth: what a word before them makes private."""
    lower = around.lower
    if "pas" in lower:
        for word in _PASSPORT_WORD.finditer(lower):
            found = _PASSPORT.search(text, word.end(), word.end() + 48)
            if found is not None:
                yield Span(*found.span(), "PASSPORT", 0.97)
    if _MAYBE_BIRTH.search(lower) is not None:
        for word in _BIRTH.finditer(lower):
            found = _DATE.search(text, word.end(), word.end() + 48)
            if found is not None:
                yield Span(*found.span(), "DOB", 0.97)
