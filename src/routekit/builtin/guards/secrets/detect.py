"""Pure: where in a text a secret stands. Linear in the text: long words are looked at once, the rest by fixed steps."""

from __future__ import annotations

import bisect
import math
import re
from collections import Counter
from collections.abc import Iterator

from routekit.builtin.guards.folding import fold
from routekit.builtin.guards.secrets.formats import FIRST_TWO, FORMATS, LENGTHS, SHAPES
from routekit.builtin.guards.spans import Span, apart

_LONG = re.compile(r"[A-Za-z0-9_.~+/=$:%-]{16,}+")
_PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(
    r"(?:[\s\\]++[A-Za-z0-9+/=]{16,}+|[\s\\]++(?:Version|Comment|Proc-Type|DEK-Info): [^\r\n]{0,100}+)*+"
)
_PUTTY = re.compile(r"Private-Lines: [0-9]{1,3}[\r\n]++(?:[A-Za-z0-9+/=]++[\r\n]*+)++")

_NAMES = (
    r"api[ _-]?keys?|apikey|secrets?|tokens?|pass[ _-]?phrase|passw(?:or)?d|passwort|kennwort|mot de passe|contraseña|"
    r"hasło|senha|wachtwoord|lösenord|pwd|pass|credentials?|access[ _-]?key|account[ _-]?key|shared[ _-]?key|"
    r"private[ _-]?key|signing[ _-]?key|encryption[ _-]?key|client[ _-]?key|master[ _-]?key|license[ _-]?key|"
    r"auth[ _-]?key|bearer|authorization|(?<![A-Za-z])(?:key|auth|pin|psk|sas)(?![A-Za-z])|webhook"
)
_NAME = re.compile(_NAMES)
_HINT = re.compile("key|secret|token|pass|pwd|cred|bearer|auth|pin|psk|sas|hook|wort|contra|has|senha|lösen|mot")
_SIGN = re.compile(r"[:=|>]")
_IS = re.compile(r" (?:is|ist|es|est|lautet|är|jest|é|è|to) ")
_BEHIND = re.compile(r"[=>]{0,2}[ \t]{0,4}(?:(?i:basic|bearer|token)[ \t]{1,2}|[frb](?=[\"']))?(?P<quote>\\?[\"'`]?)")
_IDENTIFIER = re.compile(r"[\w.\-/]{1,48}(?:[ ][\w.-]{1,24}){0,2}")
_VALUE = re.compile(r"[^\s\"'`,;<>]{6,200}+")
_QUOTED = {quote: re.compile(rf"[^\r\n{quote}]{{6,200}}+(?={quote})") for quote in "\"'`"}
_NEAR = re.compile(rf"(?i)(?:{_NAMES})\W{{0,6}}(?:\w{{1,12}}\W{{1,3}}){{0,2}}$|x-[a-z-]{{0,20}}(?:key|token)\W{{0,4}}$")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,64}:(?P<password>[^\s/\"'<>@]{1,128})@[^\s/@]")

_UNREAL = re.compile(
    r"(?i)example|your[-_. ]|[-_]your|placeholder|change[-_]?me|replace|dummy|redacted|insert[-_]|x{4,}|\*{3,}|\.{3}"
    r"|…|0{8,}|"
    r"\[[A-Z_]{2,20}[_ :]|\$\{|\{\{|<[a-z]|%\(|process\.env|environ|getenv|secrets?\.|vault[.:]|my[-_](?:api|secret"
    r"|token)"
)
_CODE = re.compile(r"(?:[A-Za-z_][\w.]*[(\[]|\$[A-Za-z_{(]|@[\w.]+[({]|&?\w+(?:->|::)\w)|[A-Za-z]+(?:[._-][A-Za-z]+)*$")
_WORDS = re.compile(r"(?:[A-Za-z]{2,}[-_./ ]?)++[0-9]{0,4}$")
_PUBLIC = re.compile(
    r"(?i)(?:pk|pub|publishable|chatcmpl|cmpl|msg|req|resp|run|thread|toolu|call|asst|file|org|proj|user|cus|pi|evt"
    r"|sub|"
    r"price|prod|acct|ch|in|txn|job|batch|vs|item|gen|trace|span|session|event|order|inv|invoice|img|image|doc|page|id|"
    r"uuid|sha\d*|md5|commit|rev|etag|hash|digest|build|release|bucket|cache|chunk|bundle|main|index|style|app|vendor|"
    r"node|pod|i|ami|vol|snap|subnet|vpc|sg|eni|rtb|igw|arn|res|ws|conv|fp|bafy|did|tx|block|si|seti|pm|src|card|"
    r"blob|layer|rs|deployment|replicaset|task|worker|group|team|channel|sb_publishable)$"
)
_HASHES = re.compile(r"(?i)(?:sha-?\d{1,3}|md5|commit|digest|integrity|checksum|etag|hash|base64|AAAA[A-Z]\w*)\W{0,4}$")
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9_./+=-])(?P<prefix>[A-Za-z][A-Za-z0-9]{1,11}(?:[_.-][A-Za-z0-9]{1,8}){0,2})[_.-](?P<body>[A-Za-z0-9]{20,})"
    r"(?P<rest>(?:[_-][A-Za-z0-9_-]*+)?)"
)
_EDGE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def secrets_in(text: str, label: str = "") -> list[Span]:
    """The secrets of a text, in order. `label` is the name of the field that it stands in."""
    shown = f"{label}: {text}" if label else text
    before = len(shown) - len(text)
    folded = fold(shown)
    spans = []
    for span in apart(_found(folded.text)):
        start, end = folded.span(span.start, span.end)
        if start >= before:
            spans.append(Span(start - before, end - before, span.kind, span.score))
    return spans


def _found(text: str) -> Iterator[Span]:
    if "PRIVATE KEY" in text or "Private-Lines" in text:
        yield from _private_keys(text)
    if "://" in text:
        yield from _url_passwords(text)
    for sign in (*_SIGN.finditer(text), *_IS.finditer(text)):
        name = _IDENTIFIER.match(text[max(0, sign.start() - 48) : sign.start()].rstrip(" \t\"'`*]\\)")[::-1])
        if name is None or len(name.group()) < 3:
            continue
        written = name.group()[::-1].lower()
        if _HINT.search(written) and (known := _NAME.search(written)) is not None:
            behind = _BEHIND.match(text, sign.end())
            if behind is not None and (span := _assigned(text, known.group(), behind)) is not None:
                yield span
    for word in _LONG.finditer(text):
        yield from _in_word(text, *word.span())


def _private_keys(text: str) -> Iterator[Span]:
    done = 0
    ends = [match.end() for match in _PEM_END.finditer(text)]
    for start in _PEM.finditer(text):
        if start.start() < done:
            continue
        next_end = bisect.bisect_left(ends, start.end())
        body = _PEM_BODY.match(text, start.end())
        done = body.end() if body else start.end()
        if next_end < len(ends) and ends[next_end] - start.end() <= 20_000:
            done = max(done, ends[next_end])
        yield Span(start.start(), done, "PRIVATE_KEY")
    for match in _PUTTY.finditer(text):
        yield Span(*match.span(), "PRIVATE_KEY")


def _url_passwords(text: str) -> Iterator[Span]:
    for match in _URL.finditer(text):
        password = match["password"]
        if not _UNREAL.search(password) and not password.startswith(("$", "<", "{", "[", "*")):
            yield Span(*match.span("password"), "URL_PASSWORD")


def _assigned(text: str, name: str, behind: re.Match[str]) -> Span | None:
    """The value behind a name that says what it is, where it looks like one."""
    quote = behind["quote"].lstrip("\\")
    value = (_QUOTED[quote] if quote else _VALUE).match(text, behind.end())
    if value is None:
        return None
    end = value.end()
    shown = value.group()
    if not quote:
        shown = shown.rstrip(").!?:]}\\")
        end = value.start() + len(shown)
    if len(shown) < 8 or _UNREAL.search(shown) or _CODE.match(shown) or _WORDS.match(shown):
        return None
    classes = _classes(shown)
    if classes < 2 or (" " in shown and classes < 3) or "://" in shown or shown.startswith(("/", "./", "~/", "[")):
        return None
    if not any(letter.isdigit() for letter in shown) and (classes < 3 or len(shown) < 10):
        return None
    if _entropy(shown) < 2.5 or (_UUID.fullmatch(shown) and "key" not in name):
        return None
    return Span(value.start(), end, "PASSWORD" if name.startswith(("pass", "pwd")) else "SECRET", 0.8)


def _in_word(text: str, start: int, end: int) -> Iterator[Span]:
    """The secrets in one long word of a text."""
    found = False
    done = start
    for place in _starts(text, start, end):
        if place < done or text[place : place + 2] not in FIRST_TWO:
            continue
        for length in LENGTHS:
            form = FORMATS.get(text[place : place + length])
            rest = None if form is None else form.rest.match(text, place + length, end)
            if form is not None and rest is not None:
                done = rest.end()
                if _real(rest.group()):
                    found = True
                    yield Span(place, _trimmed(text, rest.start(), done), form.kind)
                break
    whole = text[start:end]
    for kind, needle, shape in SHAPES:
        if needle not in whole:
            continue
        for match in shape.finditer(text, start, end):
            found = True
            yield Span(*match.span(), kind)
    if found:
        return
    for match in _PREFIXED.finditer(text, start, end):
        prefix, body = match["prefix"], match["body"]
        near = text[max(0, match.start() - 24) : match.start()]
        if _PUBLIC.match(prefix.split("_")[0].split("-")[0]) or _HASHES.search(near) or _UNREAL.search(match.group()):
            continue
        if _random(body) and not near.endswith(("/", "base64,", "@")):
            yield Span(match.start(), match.end(), "API_KEY", 0.7)
            return
    word = whole if whole.endswith("==") else whole.rstrip(".:=")
    named = word.rpartition("=")[2] if "=" in word[:-2] else word
    begin = start + word.rfind(named)
    if len(named) >= 20 and "://" not in named and _random(named) and not _UNREAL.search(named):
        near = text[max(0, begin - 40) : begin]
        if _NEAR.search(near) and not _HASHES.search(near) and not _UUID.fullmatch(named):
            yield Span(begin, begin + len(named), "SECRET", 0.7)


def _starts(text: str, start: int, end: int) -> Iterator[int]:
    """Where a key may begin in a long word: where it begins, behind an escape, behind what is no letter."""
    if start and text[start - 1] == "\\":
        yield start + (5 if text[start] == "u" else 1)
    for match in _EDGE.finditer(text, start, end):
        yield match.start() + (2 if text[match.start() - 1 : match.start()] == "%" else 0)


def _trimmed(text: str, start: int, end: int) -> int:
    """Without the full stop of the sentence."""
    while end > start and text[end - 1] in ".:/":
        end -= 1
    return end


def _real(rest: str) -> bool:
    """Whether it is no stand-in: a key looks drawn, and has no words that say what to put there."""
    if _UNREAL.search(rest):
        return False
    entropy = _entropy(rest[:64])
    if any(letter.isdigit() for letter in rest):
        return entropy > 2.2
    return entropy > 3.5 and any(letter.isupper() for letter in rest[1:])


def _random(word: str) -> bool:
    """Whether a word looks drawn: digits between letters, and few repeats."""
    digits = sum(map(str.isdigit, word))
    letters = sum(map(str.isalpha, word))
    if not digits or letters < 4 or (digits == 1 and len(word) < 24):
        return False
    mixed = any(letter.islower() for letter in word) and any(letter.isupper() for letter in word)
    return _entropy(word) >= (3.4 if mixed else 3.0) and (mixed or digits >= len(word) // 8)


def _classes(text: str) -> int:
    return (
        any(letter.islower() for letter in text)
        + any(letter.isupper() for letter in text)
        + any(letter.isdigit() for letter in text)
        + any(not letter.isalnum() for letter in text)
    )


def _entropy(word: str) -> float:
    """Bits per character (Shannon)."""
    size = len(word)
    counts = Counter(word).values()
    return (
        math.log2(size)
        - sum([count * _LOGS[count] if count < 512 else count * math.log2(count) for count in counts]) / size
    )


_LOGS = [0.0, *(math.log2(count) for count in range(1, 512))]
