"""The other side of the wire: one provider that plays every deployment of a scenario."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping

from routekit.errors import (
    AuthenticationError,
    InvalidRequestError,
    ModelNotFoundError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.plugin import Provider, ProviderCall
from routekit.testing.simulation.scenario import DeploymentTable, FaultTable, Scenario
from routekit.testing.simulation.traffic import Ask
from routekit.types import Answer, Chunk, Clock, Usage, count_tokens, text_of

DEAD_S = 900.0
"""A connection that says nothing for so long is given up by the network itself."""

MINUTE_S = 60.0


class SimulatedProvider(Provider):
    """Answers as the scenario says, on the clock of a virtual loop; only for event loops.

    Times and faults of a call depend on the seed, the deployment, the prompt and how often it was asked
    there, not on who else is asked: strategies are compared under the same luck. `calls` counts what
    reached the wire, by deployment.
    """

    def __init__(self, scenario: Scenario, asks: Mapping[str, Ask], clock: Clock, seed: int) -> None:
        self._tables = {table.name: table for table in scenario.deployments}
        self._asks = asks
        self._clock = clock
        self._seed = seed
        self._start_s = clock.monotonic()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._minutes: dict[str, deque[tuple[float, int]]] = {name: deque() for name in self._tables}
        self.calls: Counter[str] = Counter()
        self.active: Counter[str] = Counter()

    def complete(self, call: ProviderCall) -> Answer:
        raise NotImplementedError("a simulated deployment is asked from its virtual event loop")

    async def acomplete(self, call: ProviderCall) -> Answer:
        pieces = [chunk async for chunk in self._play(call, None)]
        text = "".join(chunk.text for chunk in pieces)
        return Answer(
            message={"role": "assistant", "content": text},
            finish_reason=pieces[-1].finish_reason,
            usage=pieces[-1].usage,
            model=call.deployment.model.id,
        )

    async def astream(self, call: ProviderCall) -> AsyncIterator[Chunk]:
        async for chunk in self._play(call, call.first_token_timeout_s):
            yield chunk

    async def _play(self, call: ProviderCall, first_token_timeout_s: float | None) -> AsyncIterator[Chunk]:
        name = call.deployment.name
        self.calls[name] += 1
        self.active[name] += 1
        try:
            async for chunk in self._told(call, first_token_timeout_s):
                yield chunk
        finally:
            self.active[name] -= 1

    async def _told(self, call: ProviderCall, first_token_timeout_s: float | None) -> AsyncIterator[Chunk]:
        table = self._tables[call.deployment.name]
        waiting = _Waiting(call, self._clock)
        ask, said = self._ask_of(call)
        rng = self._luck(table.name, ask.prompt)
        first_token_s = table.first_token_s.draw(rng)
        fault = self._fault(table, rng)
        if (refused := self._beyond_limits(table, count_tokens(call.messages)[0])) is not None:
            await waiting.sleep(table.first_token_s.median / 10, first_token_timeout_s)
            raise refused
        if fault is not None and fault.kind in ("error", "reset"):
            await waiting.sleep(fault.after_s, first_token_timeout_s)
            raise _error(fault, call)
        if fault is not None and fault.kind == "hang":
            await waiting.sleep(DEAD_S, first_token_timeout_s)
            raise ProviderUnavailableError("the connection died", deployment=table.name)
        pace = fault.factor if fault is not None and fault.kind == "slow" else 1.0
        pieces = _rest(ask.pieces, said)
        breaks_at = max(1, len(pieces) // 2) if fault is not None and fault.kind in ("cut", "stall") else None
        allowed = call.params.get("max_tokens") or call.params.get("max_completion_tokens")
        tokens = ask.output_tokens * len(pieces) // len(ask.pieces)
        written = tokens if allowed is None else min(tokens, allowed)
        count = max(1, len(pieces) * written // max(1, tokens)) if pieces else 0
        model = call.deployment.model.id
        if fault is not None and fault.kind == "empty":
            count = written = 0
        wait_s, limit_s = first_token_s * pace, first_token_timeout_s
        for place, piece in enumerate(pieces[:count]):
            if breaks_at is not None and place >= breaks_at:
                if fault is not None and fault.kind == "stall":
                    await waiting.sleep(DEAD_S, call.idle_timeout_s)
                raise ProviderUnavailableError("the connection broke", deployment=table.name)
            await waiting.sleep(wait_s, limit_s)
            yield Chunk({"content": piece}, None, None, model)
            wait_s, limit_s = pace * written / count / table.tokens_per_s, call.idle_timeout_s
        await waiting.sleep(wait_s, limit_s)
        if breaks_at is not None:  # too short to be broken in the middle
            raise ProviderUnavailableError("the connection broke", deployment=table.name)
        usage = Usage(input_tokens=count_tokens(call.messages)[0], output_tokens=written)
        yield Chunk({}, "stop" if count == len(pieces) or not count else "length", usage, model)

    def _ask_of(self, call: ProviderCall) -> tuple[Ask, str]:
        """Which request it is, and what of its answer was said before (a partial answer sent along)."""
        last = call.messages[-1]
        said = text_of(last) if last["role"] == "assistant" else ""
        text = text_of(next(message for message in call.messages if message["role"] == "user"))
        return self._asks[text[text.index("<") + 1 : text.index(">")]], said

    def _luck(self, name: str, prompt: str) -> random.Random:
        turn = self._asked[name, prompt]
        self._asked[name, prompt] += 1
        return random.Random(f"{self._seed} {name} {prompt} {turn}")

    def _fault(self, table: DeploymentTable, rng: random.Random) -> FaultTable | None:
        at_s = self._clock.monotonic() - self._start_s
        hit = [fault for fault in table.faults if (rng.random() < fault.share) and fault.covers(at_s)]
        return hit[0] if hit else None

    def _beyond_limits(self, table: DeploymentTable, tokens: int) -> ProviderError | None:
        """The deployment's own refusal, as it would answer with 429."""
        limits, now = table.enforces, self._clock.monotonic()
        if limits.concurrency is not None and self.active[table.name] > limits.concurrency:
            return RateLimitError("too many calls at once", deployment=table.name, status=429, retry_after_s=1.0)
        minute = self._minutes[table.name]
        while minute and now - minute[0][0] >= MINUTE_S:
            minute.popleft()
        spent = sum(each for _, each in minute)
        over = limits.rpm is not None and len(minute) >= limits.rpm
        if over or (limits.tpm is not None and spent + tokens > limits.tpm):
            wait_s = MINUTE_S - (now - minute[0][0]) if minute else MINUTE_S
            return RateLimitError("over its rate", deployment=table.name, status=429, retry_after_s=wait_s)
        minute.append((now, tokens))
        return None


class _Waiting:
    """Sleeps that end with the call's own limits, as a real provider's reads do."""

    def __init__(self, call: ProviderCall, clock: Clock) -> None:
        self._call = call
        self._clock = clock
        self._ends_s = None if call.timeout_s is None else clock.monotonic() + call.timeout_s

    async def sleep(self, seconds: float, limit_s: float | None) -> None:
        now = self._clock.monotonic()
        limits = [] if limit_s is None else [limit_s]
        if self._ends_s is not None:
            limits.append(max(0.0, self._ends_s - now))
        bound_s = min(limits, default=None)
        if bound_s is not None and seconds > bound_s:
            await asyncio.sleep(bound_s)
            raise ProviderTimeoutError("it took too long", deployment=self._call.deployment.name)
        await asyncio.sleep(seconds)


def _error(fault: FaultTable, call: ProviderCall) -> ProviderError:
    name, status = call.deployment.name, fault.status
    if fault.kind == "reset":
        return ProviderUnavailableError("the connection was reset", deployment=name)
    kind: type[ProviderError] = ProviderUnavailableError
    if status == 429:
        kind = RateLimitError
    elif status in (401, 402, 403):
        kind = AuthenticationError
    elif status == 404:
        kind = ModelNotFoundError
    elif status in (400, 413, 422):
        kind = InvalidRequestError
    return kind(f"status {status}", deployment=name, status=status, retry_after_s=fault.retry_after_s)


def _rest(pieces: tuple[str, ...], said: str) -> tuple[str, ...]:
    """What is left of an answer whose beginning was said; white space at its end was not sent along."""
    left = len(said)
    for place, piece in enumerate(pieces):
        if left <= 0:
            return pieces[place:]
        if left < len(piece):
            return (piece[left:], *pieces[place + 1 :])
        left -= len(piece)
    return ()
