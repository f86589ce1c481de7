"""Tools and the choice among them, as Chat Completions has them."""

from __future__ import annotations

from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from routekit.errors import InvalidInputError


def _tool(tool: Any, strict: bool | None) -> dict[str, Any]:
    made = convert_to_openai_tool(tool, strict=strict)
    if isinstance(tool, dict) and "cache_control" in tool and "cache_control" not in made:
        made = {**made, "cache_control": tool["cache_control"]}  # Anthropic's mark, also on its way elsewhere
    return made


def _tool_choice(choice: dict[str, Any] | str | bool, tools: list[dict[str, Any]]) -> dict[str, Any] | str:
    """Any of the usual forms as Chat Completions has it."""
    if isinstance(choice, bool):
        return "required" if choice else "none"
    name: Any = choice
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind in ("any", "auto", "none") and "name" not in choice:  # Anthropic
            return "required" if kind == "any" else kind
        name = (choice.get("function") or {}).get("name") or choice.get("name")
        if name is None:
            return choice
    elif choice in ("auto", "none", "required"):
        return choice
    elif choice == "any":
        return "required"
    known = [tool.get("function", {}).get("name") or tool.get("name") or tool.get("type") for tool in tools]
    if name not in known:
        raise InvalidInputError(
            f"tool_choice names {name!r}, which is not among the tools: {', '.join(map(str, known))}; "
            "use one of them, or 'auto', 'any', 'none'"
        )
    return {"type": "function", "function": {"name": name}}
