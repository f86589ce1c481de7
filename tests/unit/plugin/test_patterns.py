from __future__ import annotations

import re

import pytest

from routekit.plugin.patterns import runs_away


@pytest.mark.parametrize(
    "pattern",
    [r"(a+)+", r"(?:a*)*b", r"(\w+\s?)+$", r"((a+))*", r"(a{2,})+", r"(?:x(?:y+)?)*", r"([a-z]+,?)+", r"(?P<n>a+)+"],
)  # fmt: skip
def test_a_repeated_repeat_runs_away(pattern):
    assert runs_away(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"invoice \d+", r"(?:ab)+", r"(?:a++)+", r"(?>a+)+", r"(a+)?", r"(a+){1,3}", r"\(a+\)+", r"[(a+)]+", r"[]+*]+x",
     r"(a|b)*", r"a+b+c+", r"(?:a{1,20})+", r"(?i)a+", r"(?:\w++\s?)+"],
)  # fmt: skip
def test_an_ordinary_pattern_does_not(pattern):
    re.compile(pattern)
    assert not runs_away(pattern)
