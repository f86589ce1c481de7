"""Pure: check digits of numbers that states and banks give out. Each takes what its docstring names and says whether
it is one; each is a few additions."""

from __future__ import annotations

import hashlib

_VERHOEFF_D = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_P = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
"""Verhoeff 1969: multiplication in the dihedral group D5, and its permutations."""

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1: payment cards, and many ids."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def verhoeff(digits: str) -> bool:
    """Aadhaar."""
    check = 0
    for index, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF_D[check][int(_VERHOEFF_P[index % 8][int(digit)])])
    return check == 0


def weighted(digits: str, weights: tuple[int, ...]) -> int:
    """The sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def mod_11_10(digits: str) -> bool:
    """ISO 7064 MOD 11,10: the German tax id."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def iban(letters: str) -> bool:
    """ISO 13616, without spaces."""
    return int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])) % 97 == 1


def de_tax_id(digits: str) -> bool:
    """11 digits: of the first ten, one is there twice or three times."""
    repeated = [count for count in (digits[:10].count(digit) for digit in set(digits[:10])) if count > 1]
    return digits[0] != "0" and len(repeated) == 1 and repeated[0] <= 3 and mod_11_10(digits)


def fr_nir(digits: str) -> bool:
    """15 digits: sex, year, month, place, order, key."""
    return digits[0] in "12" and int(digits[:13]) % 97 == 97 - int(digits[13:])


def it_cf(letters: str) -> bool:
    """The codice fiscale, 16 letters in upper case."""
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    total = 0
    for index, letter in enumerate(letters[:15]):
        value = int(letter) if letter.isdigit() else ord(letter) - 65
        total += value if index % 2 else odd[value]
    return chr(65 + total % 26) == letters[15]


def es_nif(letters: str) -> bool:
    """8 digits and a letter; for foreigners X, Y or Z stands for the first digit."""
    number = letters[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == letters[-1]


def nl_bsn(digits: str) -> bool:
    """9 digits."""
    return digits != "000000000" and (weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2)) - int(digits[8])) % 11 == 0


def pl_pesel(digits: str) -> bool:
    """11 digits that begin with a date of birth."""
    month, day = int(digits[2:4]) % 20, int(digits[4:6])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return False
    return (weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) + int(digits[10])) % 10 == 0


def br_cpf(digits: str) -> bool:
    """11 digits."""
    if len(set(digits)) == 1:
        return False
    first = weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    second = weighted(digits, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    return digits[9:] == f"{first}{second}"


def se_pnr(digits: str) -> bool:
    """10 digits that begin with a date of birth, days from 61 for coordination numbers."""
    return 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) % 60 <= 31 and luhn(digits)


def uk_nhs(digits: str) -> bool:
    """10 digits."""
    return (11 - weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11) % 11 == int(digits[9])


def au_tfn(digits: str) -> bool:
    """8 or 9 digits."""
    weights = (1, 4, 3, 7, 5, 8, 6, 9, 10) if len(digits) == 9 else (10, 7, 8, 4, 6, 3, 5, 1)
    return weighted(digits, weights) % 11 == 0


def au_medicare(digits: str) -> bool:
    """10 digits, or 11 with the person's number on the card."""
    return digits[0] in "23456" and weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(digits[8])


def be_nn(digits: str) -> bool:
    """11 digits that begin with a date of birth; for those born since 2000, a 2 is put before them."""
    key = int(digits[9:])
    return any(97 - int(century + digits[:9]) % 97 == key for century in ("", "2"))


def pt_nif(digits: str) -> bool:
    """9 digits."""
    check = 11 - weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return digits[0] in "123568" and (0 if check > 9 else check) == int(digits[8])


def ch_ahv(digits: str) -> bool:
    """13 digits: 756 and an EAN-13."""
    return digits.startswith("756") and (weighted(digits, (1, 3) * 6) + int(digits[12])) % 10 == 0


def fi_hetu(letters: str) -> bool:
    """DDMMYY, a sign for the century, three digits and a check character."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(letters[:6] + letters[7:10]) % 31] == letters[10]


def base58check(letters: str) -> bool:
    """An address of Bitcoin and its relatives."""
    number = 0
    for letter in letters:
        place = _BASE58.find(letter)
        if place < 0:
            return False
        number = number * 58 + place
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def bech32(letters: str) -> bool:
    """BIP 173 and 350: a human-readable part, "1", data with six characters of checksum; lower case."""
    prefix, separator, data = letters.rpartition("1")
    if not separator or len(data) < 6:
        return False
    values = [_BECH32.find(letter) for letter in data]
    if min(values) < 0:
        return False
    check = 1
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix] + values
    for value in expanded:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                check ^= generator
    return check in (1, 0x2BC830A3)
