"""Which deployment's provider still holds the beginning of a conversation in its prompt cache."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from routekit.plugin import new_lock_after_fork
from routekit.types import Clock, RouteRequest, text_of

HELD_S = 300.0
"""Anthropic and OpenAI keep a prefix five minutes after its last use."""

MIN_TOKENS = 1024
"""Shorter prefixes are cached by nobody (OpenAI's and Anthropic's published minimum)."""

_KEPT = 10_000


class Holder(NamedTuple):
    """Who answered a conversation last, and the strategy that chose them."""

    deployment: str
    strategy: str
    at: float


class PrefixMemory:
    """Remembers, per conversation, who answered last and how many tokens its prefix had.

    Of short conversations without tools nothing: their prefix is cached by nobody.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[int, dict[str, tuple[float, int]]] = OrderedDict()
        self._last: OrderedDict[int, Holder] = OrderedDict()
        new_lock_after_fork(self)

    def cached(self, request: RouteRequest, input_tokens: int) -> dict[str, int]:
        """Tokens per deployment that would be charged at the cached price."""
        if input_tokens < MIN_TOKENS:
            return {}
        now = self._clock.monotonic()
        with self._lock:
            held = self._seen.get(conversation_of(request))
            if not held:
                return {}
            return {
                name: min(tokens, input_tokens)
                for name, (at, tokens) in held.items()
                if now - at <= HELD_S and tokens >= MIN_TOKENS
            }

    def holder(self, request: RouteRequest) -> Holder | None:
        """Who answered this conversation last, if that is no longer ago than a prefix is held."""
        if not self._last:
            return None
        found = self._last.get(conversation_of(request))
        return found if found is not None and self._clock.monotonic() - found.at <= HELD_S else None

    def remember(self, request: RouteRequest, deployment: str, input_tokens: int, strategy: str = "") -> None:
        """Notes that `deployment` has just read this conversation, chosen by `strategy`."""
        if input_tokens < MIN_TOKENS and not request.tools:
            return
        key = conversation_of(request)
        with self._lock:
            self._last[key] = Holder(deployment, strategy, self._clock.monotonic())
            self._last.move_to_end(key)
            if len(self._last) > _KEPT:
                self._last.popitem(last=False)
            if input_tokens < MIN_TOKENS:
                return
            self._seen.setdefault(key, {})[deployment] = (self._clock.monotonic(), input_tokens)
            self._seen.move_to_end(key)
            if len(self._seen) > _KEPT:
                self._seen.popitem(last=False)


def conversation_of(request: RouteRequest) -> int:
    """A conversation is its session, or else how it begins: all up to the first user turn."""
    if request.session is not None:
        return hash(request.session)
    opening: list[str] = []
    for message in request.messages:
        opening.append(text_of(message))
        if message.get("role") == "user":
            break
    return hash(tuple(opening))
