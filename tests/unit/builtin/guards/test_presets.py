from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.guards.presets import PRESETS

# Written in pieces, so that scanners of repositories do not take them for real ones.
KEYS = [
    "sk-" + "proj-" + "a1B2" * 8, "sk_" + "live_" + "a1B2" * 6, "gh" + "p_" + "a1B2" * 9,
    "github_" + "pat_" + "a1" * 12, "glpat" + "-" + "a1B2" * 5, "xox" + "b-" + "1234567890-abc",
    "AK" + "IA" + "ABCD1234" * 2, "AI" + "za" + "a1B2c" * 7,
    "hf" + "_" + "a1B2" * 8, "gs" + "k_" + "a1B2" * 6, "ey" + "J" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 20,
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIB\nAAAA==\n-----END RSA " + "PRIVATE KEY-----",
]  # fmt: skip


def found(preset: str, text: str) -> list[str]:
    return [text[start:end] for start, end in PRESETS[preset](text)]


@pytest.mark.parametrize(
    ("preset", "value"),
    [
        ("email", "jane.doe+news@mail.example.co.uk"),
        ("email", "a@b.io"),
        ("credit-card", "4111111111111111"),
        ("credit-card", "4111 1111 1111 1111"),
        ("credit-card", "5500-0000-0000-0004"),
        ("credit-card", "378282246310005"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "GB29NWBK60161331926819"),
        ("iban", "no9386011117947"),
        ("us-ssn", "536-90-4399"),
        ("ipv4", "192.168.0.1"),
        *[("api-key", key) for key in KEYS],
    ],
)
@pytest.mark.parametrize("around", ["{}", "is {}.", "({}), then", "a: 1234 {} 77", '"{}"', "x={}\n", "Zoë,{},"])
def test_finds_exactly_the_value(preset: str, value: str, around: str) -> None:
    text = around.format(value)
    assert found(preset, text) == [value]


@pytest.mark.parametrize(
    ("preset", "text"),
    [
        ("email", "a @ b.com, @handle, user@localhost, 3@4"),
        ("credit-card", "4111111111111112"),
        ("credit-card", "41111111111111111111111"),
        ("credit-card", "1234 5678 9012 3456, 2026-11-23 10:15, +49 30 1234567"),
        ("credit-card", "9" * 16),
        ("iban", "DE89 3704 0044 0532 0130 01"),
        ("iban", "XX89 3704 0044 0532 0130 00"),
        ("iban", "DE89370400440532013000X"),
        ("us-ssn", "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000 1123-45-6789 123-45-67890"),
        ("ipv4", "256.1.1.1 1.2.3 1.2.3.4.5 version 10.20.30"),
        ("api-key", "risk-assessment-of-a-long-hyphenated-word task-force sk-short hf_ AKIA"),
    ],
)
def test_leaves_the_like_alone(preset: str, text: str) -> None:
    assert found(preset, text) == []


def test_several_in_one_text() -> None:
    text = "a@b.io, c@d.org; 4111 1111 1111 1111 5500 0000 0000 0004"
    assert found("email", text) == ["a@b.io", "c@d.org"]
    assert found("credit-card", text) == ["4111 1111 1111 1111", "5500 0000 0000 0004"]


@given(st.sampled_from(sorted(PRESETS)), st.text(alphabet="aZ09 -.@_:DE/\n", max_size=200))
def test_spans_are_in_order_and_apart(preset: str, text: str) -> None:
    end = 0
    for start, stop in PRESETS[preset](text):
        assert end <= start < stop <= len(text)
        end = stop


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize(
    "unit", ["a", "1", "a.", "1.", "1 ", "1-", "a@", "DE11 ", "sk-", "-----BEGIN ", "eyJa.", "@a."]
)
def test_a_long_hostile_text_is_read_in_a_breath(preset: str, unit: str) -> None:
    list(PRESETS[preset](unit * 50_000))  # the suite's time limit stops what is not linear
