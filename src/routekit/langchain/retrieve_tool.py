"""A tool for agents: the whole text of a tool result that the router shortened."""

from __future__ import annotations

from langchain_core.tools import BaseTool, StructuredTool

from routekit.plugin import RETRIEVE_ORIGINAL
from routekit.router import Router

GONE = "That text is no longer kept. Call the tool again that it came from."


def retrieve_original_tool(router: Router) -> BaseTool:
    """The tool `retrieve_original(handle)`, to be given to an agent beside its own tools.

    Use it with the compressor ``tool-output``, whose short results name the handle of the whole text.
    """
    definition = RETRIEVE_ORIGINAL["function"]

    def retrieve_original(handle: str) -> str:
        found = router.original(handle.strip().strip("\"'"))
        return GONE if found is None else found

    return StructuredTool.from_function(
        retrieve_original, name=definition["name"], description=definition["description"]
    )
