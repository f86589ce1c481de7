"""The candidates of one decision on their way to being asked."""

from __future__ import annotations

from collections.abc import Sequence

from routekit.engine.attempts.incoming import Incoming
from routekit.engine.attempts.policy import Failure
from routekit.engine.history.continuation import enlarged
from routekit.engine.history.dialect import reader_of
from routekit.engine.io.port import IO, Handle, Watch
from routekit.engine.permit import Permit
from routekit.errors import BudgetExceededError
from routekit.types import Candidate, Chunk, RejectionCode, RouteDecision, text_tokens


class Chain:
    """Whom to ask, who failed, who was passed over and why.

    `said` is the partial answer that the next one is to go on from, "" where it starts afresh.
    """

    def __init__(
        self,
        decision: RouteDecision,
        role: str = "answer",
        logprobs: bool = False,
        said: str = "",
        failures: Sequence[Failure] = (),
    ) -> None:
        self.decision = decision
        self.candidates: Sequence[Candidate] = decision.ranked.candidates
        self.role = role
        self.logprobs = logprobs
        self.said = said
        self.failures: list[Failure] = list(failures)
        self.skipped: set[int] = set()
        self.refusals: list[tuple[int, RejectionCode, str]] = []
        self.over_budget: BudgetExceededError | None = None

    def skip(self, place: int, code: RejectionCode, why: str) -> None:
        self.skipped.add(place)
        self.refusals.append((place, code, why))

    def afresh(self, failure: Failure) -> Chain:
        """The chain after one more failure, for an answer from the beginning."""
        return Chain(self.decision, self.role, self.logprobs, "", (*self.failures, failure))

    def going_on(self, failure: Failure, said: str) -> Chain:
        """The chain after one more failure, for those who can go on from `said`."""
        chain = Chain(self.decision, self.role, self.logprobs, said, (*self.failures, failure))
        tokens = text_tokens(said)
        chain.candidates = [enlarged(candidate, tokens) for candidate in self.candidates]
        for place, candidate in enumerate(chain.candidates):
            if not reader_of(candidate.deployment).prefill:
                chain.skip(place, "capability", "it cannot go on from a partial answer (no prefill)")
        return chain

    def others_behind(self, place: int) -> bool:
        """Whether somebody is left behind this place who was not asked yet."""
        behind = len(self.candidates) - place - 1
        if not self.failures and not self.skipped:
            return behind > 0
        gone = self.skipped.union(failure.place for failure in self.failures)
        return behind > sum(1 for other in gone if other > place)

    def next_behind(self, place: int) -> int | None:
        """The first place besides this one that was not asked yet."""
        gone = self.skipped.union(failure.place for failure in self.failures)
        return next((p for p in range(len(self.candidates)) if p != place and p not in gone), None)


class Opened:
    """A stream with its first content in hand: the place is taken, nothing is committed yet."""

    __slots__ = ("chain", "chunks", "handle", "idle_s", "incoming", "permit")

    def __init__(
        self,
        handle: Handle,
        chunks: list[Chunk],
        permit: Permit,
        chain: Chain,
        idle_s: float | None,
        incoming: Incoming,
    ) -> None:
        self.incoming = incoming
        self.handle = handle
        self.chunks = chunks
        self.permit = permit
        self.chain = chain
        self.idle_s = idle_s


async def first_chunk(
    io: IO, handle: Handle, incoming: Incoming, limit_s: float | None, watch: Watch | None = None
) -> Chunk | None:
    """The next chunk before anything is committed. Raises what `Incoming.read` says."""
    chunk = await io.next(handle, limit_s, watch)
    return None if chunk is None else incoming.read(chunk)
