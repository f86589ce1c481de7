from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from routekit.builtin.compressors.schema_minify import SchemaMinify, minify_schema
from routekit.types import RouteRequest


class Address(BaseModel):
    street_name: str
    zip: str | None = None


class Order(BaseModel):
    """An order.

    With a text of its own.
    """

    order_id: int = Field(title="Number", description="Its number.")
    to: Address
    title: str


def test_takes_out_what_pydantic_says_twice_and_keeps_the_rest() -> None:
    small = minify_schema(Order.model_json_schema(), "Order")
    assert "title" not in small
    assert small["properties"]["order_id"] == {"title": "Number", "description": "Its number.", "type": "integer"}
    assert small["properties"]["title"] == {"type": "string"}  # a property called title is no title
    assert small["$defs"]["Address"]["properties"]["zip"] == {
        "anyOf": [{"type": "string"}, {"type": "null"}], "default": None,
    }  # fmt: skip
    assert small["required"] == ["order_id", "to", "title"]
    assert small["description"] == "An order.\n\nWith a text of its own."


def test_a_schema_allows_what_it_allowed() -> None:
    strict: Any = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert minify_schema(strict) == {"type": "object", "properties": {}, "additionalProperties": False}
    enum = {"enum": ["title", {"title": "x"}], "const": {"$schema": "y"}, "default": {"title": "Default"}}
    assert minify_schema(enum) == enum


def test_tools_without_anything_to_say_twice_are_handed_back_as_they_are() -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    request = RouteRequest(messages=({"role": "user", "content": "q"},), tools=(tool, {"type": "web_search"}))
    assert SchemaMinify().compress(request, None).request is request
