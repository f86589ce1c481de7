"""The limits of one deployment, and who waits for it."""

from __future__ import annotations

import math
from collections import deque

from routekit.engine.health.breaker import Breaker
from routekit.engine.health.credentials import slot_of
from routekit.types import NO_LIMITS, Deployment

MINUTE_S = 60.0


class _Place:
    """A deployment with its breaker and the last minute's calls.

    `slot` names its probe among all programs of a home: the same name may mean other places elsewhere.
    `queue` has the tickets of the requests that wait for it, with their tokens.
    """

    __slots__ = ("breaker", "deployment", "limited", "minute", "minute_tokens", "queue", "slot")

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.breaker = Breaker(deployment.name)
        self.limited = deployment.limits != NO_LIMITS
        self.slot = slot_of(deployment)
        self.minute: deque[tuple[float, int]] = deque()
        self.minute_tokens = 0
        self.queue: dict[int, int] = {}

    def over_limit(self, tokens: int, now: float, ticket: int | None = None) -> str | None:
        """Why a call cannot begin; None: there is room, also for those who wait and came first (before `ticket`)."""
        limits = self.deployment.limits
        ahead, tokens_ahead = self.ahead(ticket) if self.queue else (0, 0)
        if limits.concurrency is not None and self.breaker.in_flight + ahead >= limits.concurrency:
            if self.breaker.in_flight < limits.concurrency:
                return f"{ahead} requests that came before wait for it"
            return f"{limits.concurrency} calls are under way, its limit"
        if limits.rpm is None and limits.tpm is None:
            return None
        if not self.can_ever_take(tokens):
            return f"about {tokens} tokens are more than its limit of {limits.tpm} tokens per minute"
        minute = self.minute
        while minute and now - minute[0][0] >= MINUTE_S:
            self.minute_tokens -= minute.popleft()[1]
        if limits.rpm is not None and len(minute) + ahead >= limits.rpm:
            return f"its limit of {limits.rpm} requests per minute is used up"
        if limits.tpm is not None and self.minute_tokens + tokens_ahead + tokens > limits.tpm:
            return f"its limit of {limits.tpm} tokens per minute is used up"
        return None

    def ahead(self, ticket: int | None) -> tuple[int, int]:
        """How many wait for it with an earlier ticket, and their tokens. None: who comes now, behind all of them."""
        earlier = [tokens for other, tokens in self.queue.items() if ticket is None or other < ticket]
        return len(earlier), sum(earlier)

    def can_ever_take(self, tokens: int) -> bool:
        """Whether a call of that size fits into an empty minute."""
        most = self.deployment.limits.tpm
        return most is None or tokens <= most

    def frees_in_s(self, tokens: int, now: float, ticket: int | None = None) -> float | None:
        """Seconds until its minute has room again, also for those who wait with an earlier ticket.

        None: a call must end first.
        """
        limits = self.deployment.limits
        ahead, tokens_ahead = self.ahead(ticket) if self.queue else (0, 0)
        if limits.concurrency is not None and self.breaker.in_flight + ahead >= limits.concurrency:
            return None
        until, minute = now, self.minute
        if limits.rpm is not None and len(minute) + ahead >= limits.rpm:
            place = len(minute) + ahead - limits.rpm
            if place < len(minute):
                until = minute[place][0] + MINUTE_S
            else:  # those ahead fill whole minutes that have not begun
                until = now + MINUTE_S * (1 + (place - len(minute)) // limits.rpm)
        if limits.tpm is not None:
            over = self.minute_tokens + tokens_ahead + tokens - limits.tpm
            for at, spent in minute:
                if over <= 0:
                    break
                over -= spent
                until = max(until, at + MINUTE_S)
            if over > 0:
                until = max(until, now + MINUTE_S * math.ceil(over / limits.tpm))
        return until - now

    def count(self, tokens: int, now: float) -> None:
        if self.deployment.limits.rpm or self.deployment.limits.tpm:
            self.minute.append((now, tokens))
            self.minute_tokens += tokens
