"""How a run ends whose budget is used up: with one last answer for what is left, or with what there is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from routekit.errors import BudgetExceededError, RoutekitError
from routekit.langchain.messages import to_dicts
from routekit.router import Router
from routekit.types import Candidate, Money, text_of

INSTRUCTION = (
    "The budget for this task is used up. Call no tool and ask for nothing more. Answer now, briefly, from what is "
    "known above, and say what is missing."
)
LEAST_TOKENS = 16
"""Nobody can answer in fewer."""

MOST_TOKENS = 4096
_log = logging.getLogger("routekit.langchain")


class Room(NamedTuple):
    """Who can still be asked, and for how many tokens of an answer."""

    deployment: str
    max_tokens: int


def last_messages(messages: Sequence[Any]) -> list[Any]:
    """The conversation, with the instruction to end it."""
    return [*messages, HumanMessage(INSTRUCTION)]


def room_for(
    router: Router, messages: Sequence[BaseMessage], tools: Sequence[Any], left: Money, **where: Any
) -> Room | None:
    """The deployment that can write the longest answer for what is left; None where nobody can write one.

    `where` narrows whom to ask (`model`, `group`), as in `Router.explain`.
    """
    offered = [tool if isinstance(tool, dict) else convert_to_openai_tool(tool) for tool in tools]
    try:
        wanted: dict[str, Any] = {"max_tokens": LEAST_TOKENS, "strategy": "cheapest", **where}
        decision = router.explain(to_dicts(messages), tools=offered, **wanted)
    except RoutekitError as error:
        _log.warning("nobody can be asked for a last answer: %s", error)
        return None
    rooms = [Room(found.deployment.name, affordable_tokens(found.candidate, left)) for found in decision.ranked]
    best = max(rooms, key=lambda room: room.max_tokens, default=None)
    return best if best is not None and best.max_tokens >= LEAST_TOKENS else None


def affordable_tokens(candidate: Candidate, left: Money) -> int:
    """The longest answer (tokens) whose worst case, prompt included, still fits; 0 for none."""
    model = candidate.deployment.model
    if model.price is None:
        return 0
    read = candidate.work.input_bound
    if model.context_window is not None:
        read = min(read, model.context_window)
    low, high = 0, min(MOST_TOKENS, model.max_output or MOST_TOKENS)
    while low < high:
        middle = (low + high + 1) // 2
        if model.price.worst_nanos(read, middle, candidate.work.service) <= left.nanos:
            low = middle
        else:
            high = middle - 1
    return low


def left_of(error: BudgetExceededError) -> Money:
    """What the budget that refused still has."""
    return error.limit.less(error.spent + error.reserved)


def ended(message: AIMessage | None, error: BudgetExceededError) -> AIMessage:
    """The last answer, or what the run had found out, with a note on the budget in ``response_metadata``."""
    note = {
        "scope": error.scope,
        "limit_usd": float(error.limit.usd),
        "spent_usd": float(error.spent.usd),
        "finished": message is not None,
    }
    _log.warning("%s; the run ends %s", error, "with a last answer" if message is not None else "with what there is")
    if message is None:
        message = AIMessage(_told(error))
    routed = message.response_metadata.get("routekit") or {}
    message.response_metadata["routekit"] = {**routed, "budget": note}
    return message


def _told(error: BudgetExceededError) -> str:
    """A refusal that keeps what was found out."""
    found = [text for message in error.partial if (text := text_of(message).strip())]
    said = f"The budget {error.scope} is used up ({error.spent} of {error.limit}), so this could not be finished."
    return f"{said}\n\nFound so far:\n\n" + "\n\n".join(found) if found else said
