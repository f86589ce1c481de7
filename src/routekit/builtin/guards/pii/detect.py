"""Pure: where in a text private data of a form stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

from routekit.builtin.guards.folding import fold
from routekit.builtin.guards.pii.context import Around
from routekit.builtin.guards.pii.digits import numbers_in
from routekit.builtin.guards.pii.phones import LANGUAGES, Plans
from routekit.builtin.guards.pii.words import emails_in, machines_in, papers_in, words_in
from routekit.builtin.guards.spans import Span, apart

ENTITIES = (
    "EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "IP", "MAC", "DOB", "PASSPORT", "CRYPTO", "US_SSN", "US_ITIN", "CA_SIN",
    "UK_NHS",
    "UK_NINO", "AU_TFN", "AU_MEDICARE", "IN_PAN", "IN_AADHAAR", "DE_TAX_ID", "CH_AHV", "FR_NIR", "BE_NN", "ES_NIF",
    "ES_NIE", "IT_CF",
    "NL_BSN", "PL_PESEL", "PT_NIF", "BR_CPF", "SE_PNR", "DK_CPR", "FI_HETU",
)  # fmt: skip

_DIGIT = re.compile("[0-9]")
_ALL_PLANS = Plans(LANGUAGES)


def private_in(text: str, label: str = "", *, plans: Plans = _ALL_PLANS) -> list[Span]:
    """The private data of a text, in order and apart. `label` is the name of the field that it stands in."""
    shown = f"{label}: {text}" if label else text
    before = len(shown) - len(text)
    folded = fold(shown)
    spans = []
    for span in apart(_found(folded.text, plans)):
        start, end = folded.span(span.start, span.end)
        if start >= before:
            spans.append(Span(start - before, end - before, span.kind, span.score))
    return spans


def _found(text: str, plans: Plans) -> Iterator[Span]:
    if "@" in text or "%40" in text:
        yield from emails_in(text)
    if _DIGIT.search(text) is None:
        return
    around = Around(text)
    yield from numbers_in(text, around, plans)
    yield from words_in(text, around)
    yield from machines_in(text, around)
    yield from papers_in(text, around)
