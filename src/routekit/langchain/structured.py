"""Structured output: a schema to a request, and an answer to an object of it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Literal

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from routekit.errors import InvalidInputError

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS: tuple[Method, ...] = ("json_schema", "function_calling", "json_mode")


def structured(
    model: Any,
    schema: Any,
    *,
    method: Method | None = None,
    include_raw: bool = False,
    strict: bool | None = None,
    tools: Sequence[Any] | None = None,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """`model` (a routed model or a binding of one) with its answers parsed into `schema`."""
    if schema is None and method != "json_mode":
        raise InvalidInputError("schema is None; pass a pydantic class, a TypedDict or a JSON schema")
    if method is None:
        method = model.structured_output_method
    if method not in METHODS:
        raise InvalidInputError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if method == "json_mode" and strict is not None:
        raise InvalidInputError("strict has no meaning with method='json_mode'; leave it out or use 'json_schema'")
    if tools and method == "function_calling":
        raise InvalidInputError("tools cannot be given with method='function_calling'; use 'json_schema'")
    traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    pydantic = isinstance(schema, type) and is_basemodel_subclass(schema)
    parser: Any
    if method == "function_calling":
        tool = convert_to_openai_tool(schema, strict=strict)
        name = tool["function"]["name"]
        asking = model.bind_tools([tool], tool_choice=name, ls_structured_output_format=traced, **kwargs)
        if pydantic:
            parser = PydanticToolsParser(tools=[schema], first_tool_only=True)
        else:
            parser = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    else:
        form = {"type": "json_object"} if method == "json_mode" else response_format(schema, strict)
        bound = {"response_format": form, "ls_structured_output_format": traced, **kwargs}
        asking = model.bind_tools(tools, strict=strict, **bound) if tools else model.bind(**bound)
        parser = _WholeObject(pydantic_object=schema) if pydantic else _WholeJson()
    if not include_raw:
        return asking | parser  # type: ignore[no-any-return]
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    # The model comes first: a sequence hands the arguments of a call to its first part, RunnableMap drops them.
    raw = RunnableMap(raw=RunnablePassthrough())
    return asking | raw | parsed.with_fallbacks([unparsed], exception_key="parsing_error")  # type: ignore[no-any-return]


def _check(result: list[Generation]) -> None:
    """langchain-core repairs JSON that was cut off, and would hand out half of an object.

    Raises:
        OutputParserException: the answer ended at its token limit, or is a refusal.
    """
    message = getattr(result[0], "message", None) if result else None
    if not isinstance(message, AIMessage):
        return
    if message.response_metadata.get("finish_reason") == "length":
        raise OutputParserException(
            "the answer was cut off at its token limit, so the object is incomplete; raise max_tokens",
            llm_output=message.text,
        )
    if (refusal := message.additional_kwargs.get("refusal")) and not message.content:
        raise OutputParserException(f"the model refused to answer: {refusal}", llm_output=str(refusal))


class _WholeJson(JsonOutputParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _check(result)
        return super().parse_result(result, partial=partial)


class _WholeObject(PydanticOutputParser[Any]):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _check(result)
        return super().parse_result(result, partial=partial)


def response_format(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """A schema as the `response_format` of Chat Completions."""
    if isinstance(schema, dict) and schema.get("type") == "json_schema" and "json_schema" in schema:
        return schema
    if isinstance(schema, dict) and "schema" in schema and "name" in schema:
        form = dict(schema)
    else:
        whole = convert_to_json_schema(schema, strict=strict)
        form = {"name": whole.get("title") or "answer", "schema": whole}
        if description := whole.get("description"):
            form["description"] = description
    if strict is not None:
        form["strict"] = strict
    return {"type": "json_schema", "json_schema": form}
