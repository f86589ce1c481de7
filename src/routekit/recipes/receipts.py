"""What the calls of a chain or a graph cost and where they went, gathered by a LangChain callback."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

from routekit.types import Money


class Receipts(BaseCallbackHandler):
    """Keeps ``response_metadata["routekit"]`` of every routed call, in order of their ends.

    `calls` has one dictionary per call; `node` in it is the LangGraph node that called, or None.

        receipts = Receipts()
        chain.invoke(question, config={"callbacks": [receipts]})
        receipts.cost
    """

    run_inline = True

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._nodes: dict[UUID, str | None] = {}

    @property
    def cost(self) -> Money:
        return Money(sum(call["cost_nanos"] for call in self.calls))

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[Any]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        self._nodes[run_id] = (kwargs.get("metadata") or {}).get("langgraph_node")

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        node = self._nodes.pop(run_id, None)
        for generations in response.generations:
            for generation in generations:
                message = getattr(generation, "message", None)
                routed = getattr(message, "response_metadata", {}).get("routekit")
                if routed:
                    self.calls.append({**routed, "node": node})

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._nodes.pop(run_id, None)
