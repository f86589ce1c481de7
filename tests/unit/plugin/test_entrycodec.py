from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.entries import entry

from routekit.plugin import decode_entry, encode_entry, entrycodec
from routekit.types import Money, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
COUNTS = st.integers(0, 2**40)


@given(
    message=OBJECTS,
    finish_reason=st.none() | st.text(max_size=8),
    usage=st.builds(Usage, input_tokens=COUNTS, output_tokens=COUNTS, reasoning_tokens=COUNTS, estimated=st.booleans()),
    cost=st.builds(Money, st.integers(0, 2**70)),
    model=st.none() | st.text(max_size=8),
    created_at=st.floats(0, 1e12),
    expires_at=st.none() | st.floats(0, 1e12),
    deltas=st.lists(OBJECTS, max_size=3).map(tuple),
)
def test_every_entry_survives(**fields: Any) -> None:
    stored = entry(**fields)
    assert decode_entry(encode_entry(stored)) == stored


@given(st.binary(max_size=200))
def test_any_other_bytes_are_a_value_error(data: bytes) -> None:
    for start in (b"", bytes((entrycodec.VERSION,))):
        with pytest.raises(ValueError, match=r"cache entry"):
            decode_entry(start + data)


@given(st.data())
def test_a_flipped_bit_never_makes_another_entry(data: st.DataObject) -> None:
    good = bytearray(encode_entry(entry("hello world")))
    good[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decoded = decode_entry(bytes(good))  # a few bits of the last block mean nothing
    except ValueError:
        return
    assert decoded == entry("hello world")


@pytest.mark.parametrize(
    "change",
    [{"cost": -1}, {"cost": 1.5}, {"usage": [1]}, {"usage": [-1, 0, 0, 0, 0]}, {"message": "x"}, {"deltas": [1]},
     {"model": 3}, {"created_at": None}, {"expires_at": "never"}, {"deployment": None}],
)  # fmt: skip
def test_json_of_another_shape_is_a_value_error(change: dict[str, Any]) -> None:
    fields = json.loads(zlib.decompress(encode_entry(entry())[1:]))
    with pytest.raises(ValueError):  # noqa: PT011 - Money has its own words
        decode_entry(bytes((entrycodec.VERSION,)) + zlib.compress(json.dumps({**fields, **change}).encode()))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = bytes((entrycodec.VERSION,)) + zlib.compress(b" " * (entrycodec.MAX_BYTES + 1))
    with pytest.raises(ValueError, match="too large"):
        decode_entry(bomb)
    with pytest.raises(ValueError, match="RecursionError"):
        decode_entry(bytes((entrycodec.VERSION,)) + zlib.compress(b"[" * 1_000_000))


def test_what_is_no_json_is_refused_when_it_is_stored() -> None:
    with pytest.raises(TypeError):
        encode_entry(entry(message={"role": "assistant", "content": object()}))
    with pytest.raises(ValueError, match="the most is"):
        encode_entry(entry("x" * (entrycodec.MAX_BYTES + 1)))
