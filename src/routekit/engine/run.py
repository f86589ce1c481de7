"""The story of one request while it is being told: what was decided, tried and paid."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from routekit.engine.deadline import Deadline
from routekit.plugin import GuardSession
from routekit.types import (
    Attempt,
    CacheStatus,
    Clock,
    Deployment,
    Finding,
    RouteDecision,
    RouteRequest,
)

_ids = random.Random(os.urandom(32))  # one system call per process instead of one per request
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _ids.seed(os.urandom(32)))


class Own(NamedTuple):
    """What one deployment is sent that has compressors of its own, and the tokens saved."""

    request: RouteRequest
    saved_tokens: int


class Run:
    """Mutable, owned by one request. `used` counts the attempts that the limit of attempts counts.

    `holds` numbers the holds; `held_nanos` is what attempts under way could cost at most;
    `unbilled_nanos` is what an answer under review costs, not yet recorded.
    `removed_tokens` is what compressors took out; `baseline` finds the deployment that it is compared with.
    `vectors` are the question's, by embedder, None where it could not be embedded.
    `findings` are what guards noticed, `sessions` what reads its answers for them, by guard.
    `own` has what single deployments are sent instead of the request.
    `ticket` is its place in the queue, where it had to wait, `wait_until_s` when it stops waiting.
    """

    __slots__ = (
        "attempts",
        "baseline",
        "cache",
        "cost_known",
        "cost_nanos",
        "deadline",
        "decision",
        "findings",
        "held_nanos",
        "holds",
        "id",
        "notes",
        "own",
        "removed_tokens",
        "request",
        "sessions",
        "ticket",
        "unbilled_nanos",
        "used",
        "vectors",
        "wait_until_s",
    )

    def __init__(self, request: RouteRequest, clock: Clock) -> None:
        self.id = f"{_ids.getrandbits(64):016x}"
        self.request = request
        self.deadline = Deadline(clock, request.deadline_s)
        self.attempts: list[Attempt] = []
        self.decision: RouteDecision | None = None
        self.notes: list[str] = []
        self.findings: list[Finding] = []
        self.sessions: list[tuple[str, GuardSession]] = []
        self.cost_nanos = 0
        self.cost_known = True
        self.holds = 0
        self.held_nanos = 0
        self.unbilled_nanos = 0
        self.used = 0
        self.ticket: int | None = None
        self.wait_until_s = 0.0
        self.cache: CacheStatus = "bypass"
        self.removed_tokens = 0
        self.own: dict[str, Own] = {}
        self.vectors: dict[str | None, Any] = {}
        self.baseline: Callable[[Run], Deployment | None] | None = None

    def aside(self, request: RouteRequest, clock: Clock) -> Run:
        """The story of a question asked on the way: of the same request for everybody who looks on."""
        side = Run(request, clock)
        side.id, side.holds, side.cost_nanos = self.id, self.holds, self.cost_nanos
        return side

    def took(self, side: Run) -> None:
        """Adds what an `aside` has done and cost."""
        self.holds = side.holds
        for attempt in side.attempts:
            self.record(attempt)

    def record(self, attempt: Attempt) -> None:
        """Adds an attempt and its cost."""
        self.attempts.append(attempt)
        self.cost_nanos += attempt.cost.nanos
        self.cost_known = self.cost_known and attempt.cost_known
