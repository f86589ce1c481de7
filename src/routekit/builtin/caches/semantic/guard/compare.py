"""Whether two questions that look alike may have one answer. Similarity of vectors does not know.

"How do I enable it?" and "How do I disable it?" lie closer together than most paraphrases. So what determines an
answer is compared word by word: figures with their units, dates, negation, names, identifiers, opposites, who does
what to whom, and every other word that says something must have its counterpart in the other question. Whatever is
not understood counts as different: the guard may cost hits, and should never cost an answer its truth.

Works on English. Text in another script, or code, has to be the same but for case and white space.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from routekit.builtin.caches.semantic.guard import words as lexicon
from routekit.builtin.caches.semantic.guard.modality import other_stance

Alike = Callable[[str, str], float]
"""How similar two words are, from -1 to 1."""

WORD_BOUND = 0.8
"""Words that are no known synonyms have to be so similar. Of co-hyponyms (aspirin, ibuprofen) few are."""

MAX_WORDS = 60
"""Longer texts have to have the same words: there is too much in them that a word can change."""

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


_KIND = "kind"
_DETERMINERS = frozenset({"the", "a", "an", "this", "that", "of", "my", "your", "which", "what", "any", "these"})
_RELATING = {
    **lexicon.DIRECTIONS,
    **{word: word for word in ("about", "off", "up", "down", "out", "near", "through", "across")},
    "on": "in",
    "at": "in",
}
"""What relates two words, by what it says; "in", "on" and "at" are mixed up too often to tell anything."""

_LOOSE = frozenset({None, "and"})
"""Roles that two words may swap."""


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


def difference(a: str, b: str, alike: Alike | None = None) -> str | None:
    """Why two questions may not have one answer, in a few words; None: nothing was found that tells them apart.

    `alike` compares single words that are not known; without it unknown words have to be the same.

    >>> difference("Can I eat it raw?", "Can I not eat it raw?")
    'negation'
    >>> difference("How do I buy a car?", "how can one purchase a car")
    """
    plain_a, plain_b = _plain(a), _plain(b)
    if plain_a == plain_b:
        return None
    if not (_readable(plain_a) and _readable(plain_b)):
        return "text that cannot be compared"
    if (turned := other_stance(plain_a, plain_b)) is not None:
        return turned
    names = _names(a) | _names(b)
    one, other = _read(plain_a, names), _read(plain_b, names)
    if sorted(set(one.exact)) != sorted(set(other.exact)):
        return f"figures, dates or identifiers ({_told(set(one.exact) ^ set(other.exact))})"
    if one.negations != other.negations:
        return "negation"
    mine = {word.stem: word for word in one.words}
    theirs = {word.stem: word for word in other.words}
    if max(len(mine), len(theirs)) > MAX_WORDS and mine.keys() != theirs.keys():
        return "a long text with other words"
    left = [word for stem, word in mine.items() if stem not in theirs]
    right = [word for stem, word in theirs.items() if stem not in mine]
    for word in left:
        for candidate in right:
            if _opposite(word, candidate) and not _synonyms(word, candidate):
                return f"opposites ({word.text}, {candidate.text})"
    named = [word.text for word in (*left, *right) if word.named]
    if named:
        return f"names ({_told(named)})"
    shared = [word for stem, word in mine.items() if stem in theirs]
    unmatched = _unmatched(left, [*right, *shared], alike), _unmatched(right, [*left, *shared], alike)
    if (unmatched[0] or unmatched[1]) and not _light(*unmatched):
        return f"words without a counterpart ({_told([*unmatched[0], *unmatched[1]])})"
    return _related(one.skeleton, other.skeleton) or _swapped(one, other) or _turned(one.order, other.order)


def _light(left: list[str], right: list[str]) -> bool:
    """Whether only one of them has more words, and those say next to nothing."""
    return not (left and right) and all(word in _light_words() for word in (*left, *right))


@functools.cache
def _light_words() -> frozenset[str]:
    return frozenset(lexicon.LIGHT) | {_stem(word) for word in lexicon.LIGHT}


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


@functools.cache
def _groups() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for place, group in enumerate(lexicon.SYNONYMS):
        for word in group:
            found.setdefault(_stem(word), set()).add(place)
    return {word: frozenset(places) for word, places in found.items()}


@functools.cache
def _opposites() -> frozenset[tuple[str, str]]:
    return frozenset((_stem(a), _stem(b)) for a, b in lexicon.OPPOSITE_PAIRS)


def _opposite(a: _Word, b: _Word) -> bool:
    if (a.text, b.text) in lexicon.OPPOSITE_PAIRS or (a.stem, b.stem) in _opposites():
        return True
    short, long = sorted((a.text, b.text), key=len)
    return len(short) > 2 and any(
        long == prefix + short for prefix in ("un", "in", "im", "il", "ir", "dis", "non", "de", "mis")
    )


def _unmatched(words: list[_Word], others: list[_Word], alike: Alike | None) -> list[str]:
    """Those that say something which the other question does not."""
    return [word.text for word in words if not any(_same(word, other, alike) for other in others)]


def _same(a: _Word, b: _Word, alike: Alike | None) -> bool:
    if _synonyms(a, b):
        return True
    if alike is None or b.named or a.text.startswith(_KIND) or b.text.startswith(_KIND):
        return False
    return alike(a.text, b.text) >= WORD_BOUND


def _synonyms(a: _Word, b: _Word) -> bool:
    groups = _groups()
    return not groups.get(a.stem, frozenset()).isdisjoint(groups.get(b.stem, frozenset()))


def _related(mine: tuple[str, ...], theirs: tuple[str, ...]) -> str | None:
    """Whether the same sentence relates its words in another way: books by her, books about her."""
    if len(mine) != len(theirs) or any((a == "_") != (b == "_") for a, b in zip(mine, theirs, strict=True)):
        return None
    for a, b in zip(mine, theirs, strict=True):
        if a in _RELATING and b in _RELATING and _RELATING[a] != _RELATING[b]:
            return f"relation ({a}, {b})"
    return None


def _swapped(one: _Read, other: _Read) -> str | None:
    """Whether they say the same words in the same sentence, but two of them have changed places."""
    mine, theirs = [word.stem for word in one.order], [word.stem for word in other.order]
    if one.skeleton != other.skeleton or one.skeleton == ("_",) or mine == theirs or sorted(mine) != sorted(theirs):
        return None
    moved = [place for place, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b]
    between = one.skeleton[one.slots[moved[0]] : one.slots[moved[-1]]]
    if any(word in _JOINING for word in between) and all(word == "_" or word in _JOINING for word in between):
        return None  # the members of a list
    return f"order ({', '.join(one.order[place].text for place in moved[:2])})"


def _turned(mine: tuple[_Word, ...], theirs: tuple[_Word, ...]) -> str | None:
    """Whether two words have changed places: who beat whom, from where to where."""
    once = _once(mine) & _once(theirs)
    here = [word for word in mine if word.stem in once]
    there = {word.stem: word for word in theirs if word.stem in once}
    roles = {word.stem: word.role for word in here}
    for word in here:
        a, b = word.role, there[word.stem].role
        if a == b:
            continue
        if a in lexicon.TURNING and b in lexicon.TURNING:
            return f"order ({word.text})"
        # The part that this word plays here is another word's there.
        if a not in _LOOSE and any(w.role == a and roles[w.stem] != a for w in there.values()):
            return f"order ({word.text})"
        if b not in _LOOSE and any(w.role == b and there[w.stem].role != b for w in here):
            return f"order ({word.text})"
    places = {stem: place for place, stem in enumerate(there)}
    if any(word.role == "by" for word in here) != any(word.role == "by" for word in there.values()):
        return None  # passive: that word order is turned means nothing
    for i, first in enumerate(here):
        for j in range(i + 1, len(here)):
            second = here[j]
            if places[first.stem] < places[second.stem]:
                continue
            others = there[first.stem].role, there[second.stem].role
            if "and" in (second.role, others[0]) or any(
                r is not None and r in (first.role, second.role) for r in others
            ):
                continue  # two of a list; or a phrase ("in Berlin") that may stand anywhere
            if first.named and second.named:
                return f"order ({first.text}, {second.text})"
            between = {word.stem for word in here[i + 1 : j]}
            other = {w.stem for w in list(there.values())[places[second.stem] + 1 : places[first.stem]]}
            if between & other and first.role is second.role is others[0] is others[1] is None:
                return f"order ({first.text}, {second.text})"
    return None


def _once(words: tuple[_Word, ...]) -> set[str]:
    counts = Counter(word.stem for word in words)
    return {stem for stem, count in counts.items() if count == 1 and not stem.startswith(_KIND)}


def _told(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)[:4])
