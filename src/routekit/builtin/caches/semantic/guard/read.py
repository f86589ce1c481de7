"""A question, read into words that can be compared."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any, NamedTuple

from routekit.builtin.caches.semantic.guard import words as lexicon

_DETERMINERS = frozenset({"the", "a", "an", "this", "that", "of", "my", "your", "which", "what", "any", "these"})


_QUOTED = re.compile(r"`[^`]+`|\"[^\"]+\"")


_TOKEN = re.compile(
    r"[$€£¥₹]?\d[\d,]*(?:\.\d+)*(?:[a-z]{1,3}\b)?%?|[A-Za-z]\w*(?:['’]\w+)?|[^\W\d_]+|[%€$£¥₹+*/=<>^&|~]"
)


_REWRITES = tuple(
    (re.compile(pattern, re.IGNORECASE), by)
    for pattern, by in (
        (r"won['’]t\b", "will not"),
        (r"can['’]t\b|cannot\b", "can not"),
        (r"n['’]t\b", " not"),
        (r"\bw/o\b", "without"),
        (r"\b(\w+)['’](?:s|re|ve|ll|d|m)\b", r"\1"),
        (r"\bhow (?:old)\b", " kindage "),
        (r"\bhow far(?: away)?\b", " kinddistance "),
        (r"\bhow (?:big|large)\b", " kindsize "),
        (r"\bhow tall\b", " kindheight "),
        (r"\bhow heavy\b", " kindweight "),
        (r"\bhow fast\b", " kindspeed "),
        (r"\bhow long\b", " kindduration "),
        (r"\bhow often\b", " kindfrequency "),
        (r"\bhow much (?=(?:\w+ ){0,6}(?:cost|costs|pay)\b)", " kindprice "),
        (r"\bhow (?:many|much)\b", " kindcount "),
        (r"\bwhat (?:is|are) the (?:total )?number of\b", " kindcount "),
        (r"\b(?:in |on |at )?(?:what|which) (?:time|date|day|year)\b", " kindwhen "),
        (r"\bwhen\b(?! i\b| you\b| we\b| it\b| the\b(?=.*\?.*\w))", " kindwhen "),
        (r"\bwhere\b", " kindwhere "),
        (r"\bwhy\b", " kindwhy "),
        (r"\bhow much (?:is|are|does) (?=[$€£\d])", " "),
        (r"^(?:please )?list (?=the|all)", " "),
        (r"\bis it true that\b", " "),
        (r"\bis it better to\b", " "),
        (r"\b(?:best|right|correct|proper) (?=ways?\b|method|approach|practice)", " "),
        (r"\bhow come\b", " kindwhy "),
        (r"\bwho(?:m|se)?\b", " kindwho "),
        (r"\bmost recent\b", " last "),
        (r"\bturn(?:ing|ed)? (?:it )?on\b", " enable "),
        (r"\bswitch(?:ing|ed)? on\b", " enable "),
        (r"\bturn(?:ing|ed)? off\b", " disable "),
        (r"\bswitch(?:ing|ed)? off\b", " disable "),
        (r"\b(?:get|getting) rid of\b", " remove "),
        (r"\bset(?:ting)? up\b", " setup "),
        (r"\blog(?:ging)? in\b", " login "),
        (r"\bsign(?:ing)? in\b", " login "),
        (r"\blog(?:ging)? out\b", " logout "),
        (r"\bsign(?:ing)? up\b", " register "),
        (r"\b(?:is it|am i|are we|is one) (?:possible|allowed|okay|ok|permitted) to\b", " can "),
        (r"\bof all\b", " "),
        (r"\bout of\b", " from "),
        (r"\bper cent\b", " percent "),
        (r"\bgive (?:it )?back\b", " return "),
        (r"\bsend (?:it )?back\b", " return "),
        (r"\bdifference between (\w+) and (\w+)\b", r" difference \1 and \2 "),
        (r"\bwork(?:s|ing)? out\b", " calculate "),
        (r"\bdo not have\b|\bno longer have\b|\bdoes not have\b", " without "),
        (r"\bno longer\b", " not "),
        (r"\bin (?:one|a single) (?:file|go|step)\b", " "),
        (r"\binto (?:one|a single)(?: file)?\b", " "),
    )
)
"""What is said in several words, or shortly, as one word that can be compared."""


_CODE = re.compile(
    r"[_`{}\[\]=<>|\\@#*^~]|\w\(|::|->|\w\.\w|^-{1,2}\w|^\.\w|[a-z][A-Z]|\+\+|&&|%[A-Za-z]|\$[^\d\s]|/\w|^[$&!+/]+$"
)
"""In a word: it is no word, but a name, a path, an operator or a pattern, in which every character counts."""


_NAMED_AFTER = re.compile(r"operators?|keywords?|statements?|tags?|flags?|options?")


_JOINING = frozenset({"and", "or", "vs", "versus"})


_NUMBER = re.compile(r"([$€£¥₹]?)(\d[\d,]*(?:\.\d+)*)([a-z%]*)")


class _Word(NamedTuple):
    """A word as it is compared: its stem, how it was written, its role, and whether it is a name or a figure."""

    stem: str
    text: str
    role: str | None
    named: bool


class _Read(NamedTuple):
    """What a question says: figures and identifiers, how often it says no, its words, and all of these in order.

    `skeleton` has the words between, with "_" for each run of words that say something; `slots` the run of each.
    """

    exact: tuple[str, ...]
    negations: int
    words: tuple[_Word, ...]
    order: tuple[_Word, ...]
    skeleton: tuple[str, ...]
    slots: tuple[int, ...]


@functools.cache
def _silent() -> frozenset[str]:
    return lexicon.SILENT | {_stem(word) for word in ("steps", "tips", "ways", "methods", "procedures", "instructions")}


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("“", '"').replace("”", '"')
    return " ".join(text.split()).rstrip(" ?!.")


def _readable(text: str) -> bool:
    """Latin letters in the main, and no block of code."""
    letters = [char for char in text if char.isalpha()]
    return bool(letters) and sum(char.isascii() for char in letters) >= 0.9 * len(letters) and "```" not in text


def _names(text: str) -> frozenset[str]:
    """Words with a capital that no sentence begins with, in lower case; and acronyms."""
    found = set()
    begins = True
    for token in _TOKEN.findall(text):
        word = token.removesuffix("'s").removesuffix("’s")
        if (word[:1].isupper() and not begins and word != "I") or (len(word) > 1 and word.isupper() and word.isalpha()):
            found.add(word.lower())
        begins = False
    for sentence in re.findall(r"[.!?]\s+([A-Z]\w*)", text):
        found.discard(sentence.lower())
    return frozenset(found) - lexicon.SILENT


def _tokens(text: str) -> list[str]:
    """Quotations and pieces of code whole, and the words of the rest."""
    found: list[str] = []
    rest = 0
    for quoted in _QUOTED.finditer(text):
        found.extend(_pieces(text[rest : quoted.start()]))
        found.append(quoted[0])
        rest = quoted.end()
    found.extend(_pieces(text[rest:]))
    return found


def _pieces(text: str) -> list[str]:
    found: list[str] = []
    for chunk in text.split():
        core = chunk.strip(".,;:!?\"'()") if any(map(str.isalnum, chunk)) and not chunk.endswith("()") else chunk
        core = chunk.rstrip(".,;:!?") if "(" in core and not core.endswith(")") else core
        if not _NUMBER.fullmatch(core.lower()) and _CODE.search(core):
            found.append(core)
        else:
            found.extend(_TOKEN.findall(chunk))
    return found


def _read(text: str, names: frozenset[str]) -> _Read:
    """What a text says. Words are compared in lower case, code as it is written."""
    for pattern, by in _REWRITES:
        text = pattern.sub(by, text)
    exact: list[str] = []
    words: list[_Word] = []
    order: list[_Word] = []
    skeleton: list[str] = []
    slots: list[int] = []
    negations = since = 0
    role: str | None = None
    tokens = _tokens(text)
    for place, token in enumerate(tokens):
        word = token.lower()
        since += 1
        after = tokens[place + 1].lower() if place + 1 < len(tokens) else ""
        plain = word in lexicon.SILENT or word in lexicon.DIRECTIONS or word in lexicon.NEGATORS
        found = [word] if plain and _NAMED_AFTER.fullmatch(after) and word not in _DETERMINERS else None
        if found is None and word in lexicon.DIRECTIONS:
            role, since = lexicon.DIRECTIONS[word], 0
        here = role if since <= 3 else None
        said = len(order)
        if found is None and word in lexicon.NEGATORS:
            negations += 1
        elif found is not None or (found := _exact(token, word)) is not None:
            exact.extend(found)
            order.extend(_Word(each, word, here, True) for each in found)
        elif word in names:  # names have no plurals: Alien and Aliens are two films
            words.append(_Word(word, word, here, True))
            order.append(words[-1])
        elif word not in lexicon.SILENT and _stem(word) not in _silent():
            words.append(_Word(_stem(word), word, here, False))
            order.append(words[-1])
        if len(order) == said:
            if since and skeleton[-1:] == ["_"]:
                role = None  # the phrase that the preposition began is over
            skeleton.append(word)
            continue
        if skeleton[-1:] != ["_"]:
            skeleton.append("_")
        slots.extend([len(skeleton) - 1] * (len(order) - said))
    return _Read(tuple(exact), negations, tuple(words), tuple(order), tuple(skeleton), tuple(slots))


def _exact(token: str, word: str) -> list[str] | None:
    """What has to be the same in both: figures, units, dates, quotations, identifiers. None: it is a word."""
    if token[:1] in '`"':
        return [token.strip('`"')]
    if (number := _NUMBER.fullmatch(word)) is not None:
        return _figures(number)
    if word in lexicon.COUNTED:
        return [lexicon.COUNTED[word]]
    if word in lexicon.EXACT:
        return [lexicon.EXACT[word]]
    if _CODE.search(token):
        return [token]
    return None if word[:1].isalnum() else [word]


def _figures(number: re.Match[str]) -> list[str]:
    currency, digits, unit = number[1], number[2].replace(",", ""), number[3]
    if "." in digits and digits.count(".") == 1:
        digits = digits.rstrip("0").rstrip(".")
    ordinal = lexicon.COUNTED.get(number[0])
    if ordinal is not None or unit in ("st", "nd", "rd", "th"):
        return [ordinal or f"#{digits}"]
    found = [digits.lstrip("0") or "0"]
    if currency:
        found.append(lexicon.EXACT[currency])
    if unit:
        found.append(lexicon.EXACT.get(unit, unit))
    return found


@functools.lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(lexicon.IRREGULAR.get(word, word)))


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")
