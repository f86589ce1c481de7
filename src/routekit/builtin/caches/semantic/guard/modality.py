"""Who asks about whom, in which tense, and whether about may, must or should: small words that turn an answer."""

from __future__ import annotations

import re
from typing import NamedTuple

_POLITE = re.compile(
    r"\b(?:can|could|would|will) (?:you|someone|anyone) (?:please )?(?:quickly )?"
    r"(?:tell|explain|show|help|give|describe|let|say|name|list|teach|remind|clarify)"
    r"(?: (?:to )?(?:me|us))?(?: know)?\b"
    r"|\bdo you (?:happen to )?know\b"
    r"|\b(?<!do )(?<!did )(?:i|we)(?: would|'d| do)? (?:like|want|need|wish|have)(?: to)?"
    r"(?: know| ask| understand| learn)?\b"
    r"|\b(?:tell|show|give|teach|help) (?:me|us)\b|\bplease\b|\bi (?:was )?wonder(?:ing)?(?: if| whether)?\b"
    r"|\bis it true that\b|\bhow (?:do|does|can|could|should|would) (?:i|you|we|one|people)\b"
    r"|\bwhat (?:is|are|was|were) (?:the )?(?:\w+ )?"
    r"(?:reasons?|causes?|year|date|name|age|number|amount|way|steps?|procedure|process)\b"
    r"|\bwhat (?:do|should|can|must) (?:i|you|we|one) (?:have to |need to )?do(?: to)?\b",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"^(?:why |when |where |so |and )?"
    r"(?:can|could|do|did|does|will|would|should|shall|may|might|must|are|am|were|was|have|has)"
    r"(?: not|n't)? (i|you|we|he|she|they|one)\b"
)
_MODES = (
    ("must", re.compile(r"\b(?:must|ha(?:ve|s|d) to|needs? to|required|mandatory|obliged|obligatory|compulsory)\b")),
    ("should", re.compile(r"\b(?:should|ought to|better to|recommended|advisable)\b")),
    ("may", re.compile(r"\b(?:can|could|may|might|allowed|permitted|okay|ok|possible|able to)\b")),
)
_TENSES = (
    ("past", re.compile(r"\b(?:was|were|did|had|used to)\b")),
    ("future", re.compile(r"\b(?:will|shall|going to|gonna)\b")),
    ("present", re.compile(r"\b(?:is|are|am|do|does)\b")),
)
_PERSONS = {"i": "i", "we": "i", "one": "i", "you": "you", "he": "he", "she": "she", "they": "they"}
_OTHERS = (
    ("he", re.compile(r"\b(?:he|him|his|himself)\b")),
    ("she", re.compile(r"\b(?:she|her|hers|herself)\b")),
    ("they", re.compile(r"\b(?:they|them|their|theirs|themselves)\b")),
)
_MINE, _YOURS = re.compile(r"\b(?:my|mine|our|ours)\b"), re.compile(r"\b(?:your|yours)\b")
_SELF = re.compile(r"\b(?:i|me|my|mine|we|us|our|ours)\b")


class _Stance(NamedTuple):
    person: str | None
    mode: str | None
    tense: str | None
    others: frozenset[str]
    whose: str | None
    selves: tuple[str, ...]


def other_stance(a: str, b: str) -> str | None:
    """What turns, in a word; None: nothing that was noticed.

    >>> other_stance("can you see my messages", "can i see your messages")
    'whose'
    >>> other_stance("who is the president of Chad", "who was the president of Chad")
    'tense'
    >>> other_stance("can I eat before surgery", "must I eat before surgery")
    'may, must or should'
    """
    one, other = _read(a), _read(b)
    if one.others != other.others or (one.others and one.selves != other.selves):
        return "person"
    if one.whose and other.whose and one.whose != other.whose:
        return "whose"
    if one.person and other.person and one.person != other.person:
        return "person"
    if one.mode and other.mode and one.mode != other.mode:
        return "may, must or should"
    if one.tense and other.tense and one.tense != other.tense:
        return "tense"
    return None


def _read(text: str) -> _Stance:
    text = _POLITE.sub(" ", text.lower().replace("won't", "will not").replace("n't", " not").replace("'s ", " is "))
    text = " ".join(text.split())
    asked = _ASKED.match(text)
    yes_no = asked is not None or re.match(r"(?:is|are|was|were) (?:it|there|this|that)\b", text) is not None
    mine, yours = bool(_MINE.search(text)), bool(_YOURS.search(text))
    return _Stance(
        person=_PERSONS[asked[1]] if asked is not None else None,
        mode=_first(_MODES, text) if yes_no else None,
        tense=_first(_TENSES, text),
        others=frozenset(name for name, pattern in _OTHERS if pattern.search(text)),
        whose=("mine" if mine else "yours") if mine != yours else None,
        selves=tuple(_SELF.findall(text)),
    )


def _first(classes: tuple[tuple[str, re.Pattern[str]], ...], text: str) -> str | None:
    return next((name for name, pattern in classes if pattern.search(text)), None)
