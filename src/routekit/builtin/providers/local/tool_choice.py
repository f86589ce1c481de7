"""Which tool, if any, for models too small to decide it themselves.

Asked to choose between an answer and a tool, SmolLM2-135M is no better than a coin: over 24 prompts the
area under the curve of its own preference was between 0.2 and 0.45 with every prompt that was tried. The
similarity of the question to "name description" of each tool, under the static embedder, is right in 42
of 46 cases, and picks the right tool in 21 of 22. So the embedder chooses and the model fills in the
arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from routekit.types import last_user_text

THRESHOLD = 0.14
"""Cosine similarity from which a tool is used: 20 of 22 questions for a tool, 22 of 24 others (two sets of tools)."""

Similarities = Callable[[str, Sequence[str]], Sequence[float]]
"""The cosine similarities of one text to each of the others."""


def narrowed(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], choice: Any, similarities: Similarities
) -> tuple[tuple[Mapping[str, Any], ...], Any]:
    """The tools and the tool choice that are left for the model.

    "auto" becomes the most similar tool, or none. Once results of tools are in, it becomes
    none: a model of this size would repeat its call for ever. "required" becomes the most similar
    tool. A named tool stays. All tools stay listed in the prompt.
    """
    auto = choice in (None, "auto")
    if not tools or not (auto or choice in ("required", "any")):
        return tuple(tools), choice
    if auto and messages[-1]["role"] in ("tool", "function"):
        return (), None
    scores = similarities(last_user_text(messages), [_described(tool) for tool in tools])
    best = max(range(len(tools)), key=scores.__getitem__)
    if auto and scores[best] < THRESHOLD:
        return (), None
    name = (tools[best].get("function") or {}).get("name")
    return tuple(tools), {"type": "function", "function": {"name": name}}


def _described(tool: Mapping[str, Any]) -> str:
    function = tool.get("function") or {}
    return f"{str(function.get('name', '')).replace('_', ' ')}: {function.get('description') or ''}"
