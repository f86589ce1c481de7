"""Pure: what a turn has done so far, for those who must stop in the middle of it."""

from __future__ import annotations

from collections.abc import Sequence

from routekit.types import Message


def partial_of(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The assistant's and the tools' messages behind the newest user turn.

    >>> partial_of([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    ({'role': 'assistant', 'content': 'b'},)
    """
    newest = max((place for place, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    return tuple(message for message in messages[newest + 1 :] if message.get("role") in ("assistant", "tool"))
