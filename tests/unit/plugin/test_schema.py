from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routekit.plugin.schema import MAX_PATTERN_TEXT, parsed, problem

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^[A-Z]"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "unit": {"const": "kg"},
        "home": {"$ref": "#/$defs/place"},
        "share": {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "required": ["city"]}},
}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"name": "Ada"}, None),
        ({"name": "Ada", "age": 36.0, "tags": ["a"], "next": {"name": "Bo"}, "unit": "kg", "share": 0.5}, None),
        ([], "$ is not of type object"),
        ({}, "$.name is missing"),
        ({"name": 5}, "$.name is not of type string"),
        ({"name": ""}, "$.name is shorter than 1 characters"),
        ({"name": "A" * 11}, "$.name is longer than 10 characters"),
        ({"name": "ada"}, "$.name does not match its pattern"),
        ({"name": "Ada", "age": True}, "$.age is not of type integer"),
        ({"name": "Ada", "age": 1.5}, "$.age is not of type integer"),
        ({"name": "Ada", "age": -1}, "$.age is less than 0"),
        ({"name": "Ada", "age": 151}, "$.age is more than 150"),
        ({"name": "Ada", "tags": []}, "$.tags has fewer than 1 items"),
        ({"name": "Ada", "tags": ["a", "b", "a"]}, "$.tags has more than 2 items"),
        ({"name": "Ada", "tags": ["a", "c"]}, "$.tags[1] is none of the 2 values allowed"),
        ({"name": "Ada", "next": {"name": ""}}, "$.next fits none of the 2 forms allowed"),
        ({"name": "Ada", "unit": "lb"}, "$.unit is not the one value allowed"),
        ({"name": "Ada", "home": {}}, "$.home.city is missing"),
        ({"name": "Ada", "share": 0}, "$.share is not more than 0"),
        ({"name": "Ada", "share": 1}, "$.share is not less than 1"),
        ({"name": "Ada", "x": 1}, "$ has 1 key that the schema does not allow"),
        ({"name": "Ada", "x": 1, "y": 1}, "$ has 2 keys that the schema does not allow"),
    ],
)
def test_it_finds_the_first_thing_that_is_wrong(value, found):
    assert problem(value, PERSON) == found


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        (1, {"const": True}, False),
        (True, {"enum": [1]}, False),
        ([1, {"a": True}], {"const": [1.0, {"a": True}]}, True),
        ([1, {"a": True}], {"const": [1, {"a": 1}]}, False),
        ("x", {"type": ["string", "null"]}, True),
        (None, {"type": ["string", "null"]}, True),
        (1, {"type": ["string", "null"]}, False),
        (1, False, False),
        (1, True, True),
        (None, None, True),
        ({"a": 1, "b": "x"}, {"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, True),
        ({"a": 1, "b": 2}, {"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, False),
        (3, {"allOf": [{"minimum": 1}, {"maximum": 2}]}, False),
        (3, {"oneOf": [{"type": "integer"}, {"type": "number"}]}, False),
        (3, {"oneOf": [{"type": "string"}, {"type": "number"}]}, True),
        (3, {"oneOf": [{"type": "string"}, {"type": "null"}]}, False),
        ({"a~b/c": 1}, {"$ref": "#/$defs/a~0b~1c", "$defs": {"a~b/c": {"type": "object"}}}, True),
        (1, {"$ref": "#/$defs/list/1", "$defs": {"list": [{}, {"type": "string"}]}}, False),
    ],
)
def test_details(value, schema, fits):
    assert (problem(value, schema) is None) is fits


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (5, {"multipleOf": 2, "format": "email", "not": {}, "$comment": "unknown keywords"}),
        (5, {"$ref": "https://example.com/schema"}),
        (5, {"$ref": "#/$defs/lost"}),
        (5, {"type": "decimal"}),
        ("x", {"pattern": "(?<broken"}),
        ("a" * 60 + "!", {"pattern": "^(a+)+$"}),
        ("x" * (MAX_PATTERN_TEXT + 1), {"pattern": "y"}),
        (5, {"minimum": 5, "exclusiveMinimum": True}),
        # By a keyword that is passed over, only one of the two would fit.
        (6, {"oneOf": [{"multipleOf": 2}, {"multipleOf": 5}]}),
        ([1, "x"], {"prefixItems": [{"type": "string"}], "items": {"type": "string"}}),
        ({"ax": 1}, {"patternProperties": {"^a": {}}, "additionalProperties": False}),
    ],
)
def test_what_is_not_understood_is_passed_over(value, schema):
    assert problem(value, schema) is None


def test_references_may_turn_in_circles():
    assert problem(5, {"$ref": "#"}) is None
    assert problem({"a": {"a": {"b": 1}}}, {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}) == (
        "$.a.a has 1 key that the schema does not allow"
    )
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    assert problem(5, schema) == "the answer is nested too deeply to be checked"


def test_problems_do_not_repeat_what_was_found():
    value = {"name": "Secret-4711", "Secret-key": 1}
    for schema in (PERSON, {**PERSON, "required": ["other"]}, {"const": 1}, {"enum": [1]}, {"maxLength": 1}):
        assert "Secret" not in (problem(value, schema) or "")


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a": Infinity}', "```json\n{}\n```", "{} {}", "[" * 100_000])
def test_what_is_no_strict_json_is_not_parsed(text):
    assert parsed(text) == (None, "the answer is not JSON")


def test_json_is_parsed():
    assert parsed(' {"a": [1, null]}\n') == ({"a": [1, None]}, None)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0, "", "a", "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_types = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
_small = st.integers(0, 3)
_leaves = st.fixed_dictionaries(
    {},
    optional={
        "type": _types | st.lists(_types, min_size=1, max_size=2, unique=True),
        "enum": st.lists(values, min_size=1, max_size=3),
        "const": values,
        "minimum": st.integers(-3, 3),
        "maximum": st.integers(-3, 3),
        "minLength": _small,
        "maxLength": _small,
        "minItems": _small,
        "maxItems": _small,
        "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
    },
)
schemas = st.recursive(
    _leaves | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "allOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(_leaves, min_size=1, max_size=3),
            "exclusiveMinimum": st.integers(-3, 3),
            "pattern": st.sampled_from(["^a", "c$"]),
        },
    ),
    max_leaves=6,
)


@given(value=values, schema=schemas)
@settings(max_examples=150, deadline=None)
def test_it_agrees_with_a_complete_validator(value, schema):
    jsonschema = pytest.importorskip("jsonschema")
    assert (problem(value, schema) is None) is jsonschema.Draft202012Validator(schema).is_valid(value)
