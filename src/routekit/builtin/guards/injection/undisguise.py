"""Pure: what a text says under its disguises.

Zero-width and tag characters, homoglyphs, full-width and mathematical letters, accents put on top, leet, spaced-out
letters, words written backwards, base64, hex, ROT13, percent and HTML escapes. Each reading is the whole text or a
part of it, in lower case; there are few, and all of them together are not longer than a few times the text.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator

from routekit.builtin.guards.folding import fold

_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһӏԛԝαοεινκρτυχηΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕКМНОРСТУХІЈЅɑɡıʟʀᴀʙᴄᴅᴇꜰɢʜɪᴊᴋᴍɴᴏᴘꜱᴛᴜᴠᴡʏᴢ",
    "aeopcyxijsdhlqwaoeivkptuxnabezhikmnoptyxabekmhopctyxijsagilrabcdefghijkmnopstuvwyz",
)
_LEET = str.maketrans("01345@$7!", "oieasasti")
_TAGS = re.compile("[\U000e0020-\U000e007e]{3,}")
_SPACED = re.compile(r"(?<![^\W_])[^\W\d_](?:[ ._\-*|/+]{1,2}[^\W\d_]){6,}(?![^\W_])")
_SPACED_WORD = re.compile(r"(?<![^\W_])[^\W\d_](?:[ ._\-*|/+][^\W\d_])+(?![^\W_])")
_WIDE = re.compile(r"[ \n]{2,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re.compile(r"(?:(?:\\x|0x|%)?[0-9a-fA-F]{2}[ ,:]?){10,}")
_CODES = re.compile(r"(?:\\u00[2-7][0-9a-fA-F]){4,}")
_LEETED = re.compile(r"[a-z][0134578@$!][a-z]|[0134578@$!][a-z]{2}")
_ROT13_MARKS = ("vtaber", "cerivbhf", "vafgehpgvba", "flfgrz cebzcg", "qvfertneq", "sbetrg")
_MOST = 20_000
"""Characters of a hidden text that are read."""


def readings(text: str) -> Iterator[str]:
    """The text in lower case as it is seen, then what it says otherwise, where it does."""
    seen = html.unescape(text) if "&" in text and ";" in text else text
    if not seen.isascii():
        for hidden in _TAGS.findall(seen)[:8]:
            yield "".join([chr(ord(letter) - 0xE0000) for letter in hidden]).lower()
        seen = fold(seen).text
        if not seen.isascii():
            seen = unicodedata.normalize("NFKC", seen)
            if any(map(unicodedata.combining, bare := unicodedata.normalize("NFD", seen))):
                stripped = "".join([letter for letter in bare if not unicodedata.combining(letter)])
                if len(bare) - len(stripped) > len(stripped) // 4:
                    seen = stripped
            plain = seen.translate(_LOOKALIKES)
            if plain != seen and _latin(seen):
                seen = plain
    lower = seen.lower()
    yield lower
    yield from _hidden(seen)
    if _SPACED.search(lower):
        words = _WIDE.split(lower)
        yield " ".join([_SPACED_WORD.sub(_joined, word) for word in words])
    if lower.count("\n") * 3 > lower.count(" ") + 3 or "\t" in lower:
        yield " ".join(lower.split())
    leeted = _LEETED.findall(lower)
    if len(leeted) >= 2:
        yield lower.translate(_LEET)
    if any(mark in lower for mark in _ROT13_MARKS):
        yield codecs.encode(lower, "rot13")
    if "snoitcurtsni" in lower or "suoiverp" in lower or "erongi" in lower or "tpmorp" in lower:
        yield lower[::-1]
        yield " ".join([word[::-1] for word in lower.split()])


def _joined(match: re.Match[str]) -> str:
    return "".join([letter for letter in match.group() if letter.isalpha()])


def _latin(text: str) -> bool:
    """Whether the text is in Latin letters but for some that look like them."""
    latin = sum(1 for letter in text if "a" <= letter.lower() <= "z")
    return latin * 2 > sum(map(str.isalpha, text))


def _hidden(text: str) -> Iterator[str]:
    """Decoded pieces that are words."""
    left = _MOST
    if "%" in text and text.count("%") >= 6:
        yield urllib.parse.unquote(text).lower()
    for match in _CODES.finditer(text):
        yield "".join([chr(int(code, 16)) for code in match.group().split("\\u")[1:]]).lower()
    for match in _HEX.finditer(text):
        found = _words(
            bytes.fromhex("".join(re.findall(r"(?:\\x|0x|%)?([0-9a-fA-F]{2})[ ,:]?", match.group()[:_MOST])))
        )
        if found:
            left -= len(found)
            yield found
    for match in _BASE64.finditer(text):
        if left <= 0:
            return
        code = match.group()[:_MOST].replace("-", "+").replace("_", "/").rstrip("=")
        if code.isalpha() and (code.islower() or code.isupper()):
            continue
        try:
            whole = code if len(code) % 4 != 1 else code[:-1]
            raw = base64.b64decode(whole + "=" * (-len(whole) % 4))
        except (binascii.Error, ValueError):
            continue
        found = _words(raw)
        if found:
            left -= len(found)
            yield found


def _words(raw: bytes) -> str:
    """The text of bytes that are words, "" where they are none."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    letters = sum(letter.isalpha() or letter == " " for letter in text)
    if len(text) < 8 or letters < 0.8 * len(text) or " " not in text:
        return ""
    return text.lower()
