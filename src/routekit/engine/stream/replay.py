"""An answer that is there already, read as a stream."""

from __future__ import annotations

from collections.abc import Iterable

from routekit.engine.history.assemble import chunks_of
from routekit.types import CacheEntry, Chunk, RouteResult


def _with_text(chunk: Chunk, text: str) -> Chunk:
    delta = {key: value for key, value in chunk.delta.items() if key != "content"}
    if text:
        delta["content"] = text
    return Chunk(delta, chunk.finish_reason, chunk.usage, chunk.model, chunk.logprobs)


class ReplayStream:
    """An answer that is already whole, handed out as a stream."""

    def __init__(self, chunks: Iterable[Chunk], result: RouteResult) -> None:
        self._chunks = iter(chunks)
        self._result = result
        self.result: RouteResult | None = None

    @classmethod
    def of_result(cls, result: RouteResult) -> ReplayStream:
        """From a result that was made whole before it was handed out."""
        entry = CacheEntry(
            message=result.message, finish_reason=result.finish_reason, usage=result.usage, cost=result.cost,
            model=result.model, deployment="", created_at=0.0,
        )  # fmt: skip
        return cls(chunks_of(entry), result)

    async def next(self) -> Chunk | None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self.result = self._result
        return chunk

    def abandon(self) -> None:
        self._chunks = iter(())
