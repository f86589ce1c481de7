"""Whether two questions that look alike may have one answer. Similarity of vectors does not know.

"How do I enable it?" and "How do I disable it?" lie closer together than most paraphrases. So what determines an
answer is compared word by word: figures with their units, dates, negation, names, identifiers, opposites, who does
what to whom, and every other word that says something must have its counterpart in the other question. Whatever is
not understood counts as different: the guard may cost hits, and should never cost an answer its truth.

Works on English. Text in another script, or code, has to be the same but for case and white space.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable

from routekit.builtin.caches.semantic.guard import words as lexicon
from routekit.builtin.caches.semantic.guard.modality import other_stance
from routekit.builtin.caches.semantic.guard.read import _JOINING, _names, _plain, _Read, _read, _readable, _stem, _Word

Alike = Callable[[str, str], float]
"""How similar two words are, from -1 to 1."""

WORD_BOUND = 0.8
"""Words that are no known synonyms have to be so similar. Of co-hyponyms (aspirin, ibuprofen) few are."""

MAX_WORDS = 60
"""Longer texts have to have the same words: there is too much in them that a word can change."""


_KIND = "kind"
_RELATING = {
    **lexicon.DIRECTIONS,
    **{word: word for word in ("about", "off", "up", "down", "out", "near", "through", "across")},
    "on": "in",
    "at": "in",
}
"""What relates two words, by what it says; "in", "on" and "at" are mixed up too often to tell anything."""

_LOOSE = frozenset({None, "and"})
"""Roles that two words may swap."""


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
