"""Words beside a number that say what it is, in the languages of the detectors."""

from __future__ import annotations

import re

BEFORE, AFTER = 56, 28
"""So many characters before and after a number are read."""

# Between spaces: a whole word; with a space before it: a beginning; without: a part.
_WORDS = {
    "PHONE": (
        " call ", " call me", " calls ", "phone", "telef", " tel ", "mobil", " cell", "whatsapp", " sms ",
        " text me", " fax", " dial", " reach",
        " ring", "hotline", " contact", " ruf", "anruf", "handy", "erreich", "appel", "portable", "joign", " llám",
        " llam", "móvil", " chiam",
        "cellulare", " bel ", "bellen", " gsm ", "zadzwo", "komórk", " ligue ", " ligar ", " ligo ", "celular",
        "telem", "contato", " nås ",
        "viber", "kontakt", "puhelin", " soita", " helpline", " pager", " msisdn", " landline", " festnetz",
        " durchwahl", " nummer ist ",
    ),
    "CREDIT_CARD": ("card", "karte", "carte", "tarjeta", "carta", "kaart", "kart", "cartão", "kort", " visa ",
    " amex ", " pan "),
    "US_SSN": (" ssn ", " social security", " sozialversicherung"),
    "US_ITIN": (" itin ", "taxpayer"),
    "CA_SIN": (" sin ", "social insurance", " nas ", "assurance sociale"),
    "UK_NHS": (" nhs ",),
    "AU_TFN": (" tfn ", "tax file", "taxfile"),
    "AU_MEDICARE": ("medicare",),
    "IN_AADHAAR": ("aadhaar", "aadhar", "adhaar", " uid "),
    "DE_TAX_ID": ("steuer", " tax id", " idnr", " tin ", "identifikationsnummer", " tax number", " taxid"),
    "NL_BSN": (" bsn ", "burgerservice", " sofi", "service number"),
    "PL_PESEL": ("pesel",),
    "BR_CPF": (" cpf ", "cadastro de pessoa"),
    "SE_PNR": ("personnummer", " pnr ", "personnr", "person nr", "samordningsnummer", "personal number",
    "personal identity"),
    "BE_NN": ("rijksregister", "registre national", " niss ", " insz ", "national register"),
    "PT_NIF": (" nif ", "contribuinte"),
    "CH_AHV": (" ahv", " avs ", "sozialversicherung"),
    "DK_CPR": (" cpr ",),
    "FR_NIR": ("sécurité sociale", "securite sociale", " nir ", " insee ", " sécu "),
}  # fmt: skip

_NUMBER = frozenset(
    {
        "no",
        "nr",
        "num",
        "number",
        "nummer",
        "numéro",
        "número",
        "numero",
        "n",
        "id",
        "ids",
        "is",
        "the",
        "was",
        "and",
        "of",
        "to",
    }
)
_OTHERS = {
    "VERSION": frozenset(
        {"version", "versions", "ver", "v", "release", "releases", "released", "build", "section", "chapter",
        "clause", "firmware", "patch",
         "upgrade", "upgraded", "abschnitt", "kapitel", "artikel", "article", "oid", "python", "driver", "kernel"}
    ),
    "NOT_PRIVATE": frozenset(
        {"order", "orders", "invoice", "ticket", "build", "commit", "isbn", "issn", "doi", "ref", "reference",
        "tracking", "version", "rfc", "section",
         "case", "sku", "serial", "bestellung", "bestellnummer", "rechnung", "rechnungsnummer", "auftrag",
         "auftragsnummer", "facture", "commande",
         "pedido", "factura", "fatura", "ordine", "fattura", "bestelling", "factuur", "zamówienie", "faktura",
         "page", "port", "pid", "line", "row",
         "batch", "item", "part", "model", "article", "artikel", "transaction", "shipment", "parcel", "claim",
         "policy", "uuid", "timestamp", "epoch",
         "size", "bytes", "count", "total", "sum", "amount", "price", "qty", "issue", "pr", "revision", "ean",
         "gtin", "barcode", "hash", "checksum",
         "seed", "iso", "din", "patent", "lot", "chapter", "ms", "index", "offset", "duration", "usd", "eur", "gbp",
         "sum_total", "population"}
    ),
}  # fmt: skip
_SIGNS = {"VERSION": ("==", ">=", "<=", "~=", "^", "§"), "NOT_PRIVATE": ("$", "€", "£", "¥", "==")}

_NOT_WORD = re.compile(r"[\W_]+")


class Around:
    """The text around places of one text, in lower case; what was asked once is known."""

    __slots__ = ("_last", "_near", "lower")

    def __init__(self, text: str) -> None:
        lower = text.lower()
        self.lower = (
            lower if len(lower) == len(text) else "".join([low if len(low := c.lower()) == 1 else c for c in text])
        )
        self._last = (-1, -1)
        self._near = ""

    def says(self, kind: str, start: int, end: int) -> bool:
        """Whether a word of this kind stands before the place, or right after it."""
        if self._last != (start, end):
            before = self.lower[max(0, start - BEFORE) : start]
            self._near = _NOT_WORD.sub(" ", f" {before} | {self.lower[end : end + AFTER]} ")
            self._last = (start, end)
        near = self._near
        for word in _WORDS[kind]:  # noqa: SIM110  # twice as fast as any() over a generator, and asked for each number
            if word in near:
                return True
        return False

    def ends_with(self, kind: str, start: int) -> bool:
        """Whether the words right before the place say this of it."""
        before = self.lower[max(0, start - 32) : start].rstrip()
        if before.endswith(_SIGNS[kind]):
            return True
        words = _NOT_WORD.sub(" ", before).split()[-3:]
        others = _OTHERS[kind]
        while words:
            if words[-1] in others:
                return True
            if words[-1] not in _NUMBER:
                return False
            words.pop()
        return False
