"""Staying with whom a conversation is: what leaving costs, and when nobody leaves. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from routekit.builtin.strategies._ranking import money_text
from routekit.types import Candidate, Signals
from routekit.types.price import TOKENS_PER_PRICE


def with_switching(costs: list[int | None], candidates: Sequence[Candidate]) -> list[int | None]:
    """The costs, each with what leaving the holder of the conversation's prefix would lose."""
    return [
        cost if cost is None or not candidate.switching_nanos else cost + candidate.switching_nanos
        for cost, candidate in zip(costs, candidates, strict=True)
    ]


def stays_in_loop(chain: Sequence[Candidate], signals: Signals, strategy: str) -> int | None:
    """The place of whom the last step of this tool loop was asked by the same strategy; None: nobody has to stay.

    Tool calls and their results belong together: another model reads the other's plan, and a provider
    that returns thoughts wants its own back. Another strategy for this step is a wish to change.
    """
    if not signals.in_tool_loop or signals.holder is None or signals.holder_strategy != strategy:
        return None
    return next((place for place, candidate in enumerate(chain) if candidate.name == signals.holder), None)


def moved_first(chain: list[Candidate], place: int) -> list[Candidate]:
    """The chain with one of its places in front."""
    return [chain[place], *chain[:place], *chain[place + 1 :]]


def told(reason: str, first: Candidate, signals: Signals, *, in_loop: bool) -> str:
    """The reason, and before it why the conversation stays where it is or leaves."""
    holder = signals.holder
    if in_loop:
        return f"stays with {first.name} inside a tool loop"
    held = signals.cached_prefix.get(holder or "")
    if holder is None or not held:
        return reason
    if first.name == holder:
        price = first.deployment.price
        saved = 0 if price is None or price.cached_input is None else (price.input - price.cached_input) * held
        worth = f", which saves {money_text(saved // TOKENS_PER_PRICE)}" if saved > 0 else ""
        return f"stays with {holder}: it holds {held:,} tokens of this conversation{worth}; {reason}"
    if first.switching_nanos:
        lost = money_text(first.switching_nanos)
        return f"leaves {holder}, although it holds {held:,} tokens of this conversation (a loss of {lost}): {reason}"
    return reason
