"""A provider that does what a script says: answers, chunks, delays and errors, on a clock of its own."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from routekit.errors import ProviderTimeoutError
from routekit.plugin import Embeddings, Provider, ProviderCall
from routekit.testing.clock import VirtualClock
from routekit.types import Answer, Chunk, Clock, Deployment, Message, Usage, count_tokens, text_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One scripted reaction. Times are seconds on the provider's clock.

    `error` is raised after `delay_s`; with `after_chunks` only after so many chunks of a stream were
    handed out. `text` is cut into `chunks` pieces for streams. A `finish_reason` of None makes a
    stream that ends without one.
    """

    text: str | None = field(default="ok", kw_only=False)
    tool_calls: Sequence[Mapping[str, Any]] = ()
    finish_reason: str | None = "stop"
    usage: Usage | None = None
    error: BaseException | None = None
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    chunks: int = 3
    after_chunks: int | None = None
    model: str | None = None
    logprobs: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


Script = Reply | str | BaseException | Callable[[ProviderCall], "Reply | str | BaseException"]


class ScriptedProvider(Provider):
    """Plays its script call by call; the last entry repeats. `calls` are the calls it saw.

    An entry is a `Reply`, a text, an error to raise, or a function of the call. A reply that would
    take longer than the call's time limit raises `ProviderTimeoutError` when the limit is over, as a
    real provider does.

    >>> from routekit import Router
    >>> router = Router.from_dict(
    ...     {"deployments": [{"name": "a", "provider": "scripted", "model": "m"}]},
    ...     plugins=[plugin_module(ScriptedProvider("hello"))],
    ... )
    >>> router.complete("hi").text
    'hello'
    """

    def __init__(self, *script: Script, clock: Clock | None = None) -> None:
        self._script = list(script) or [Reply()]
        self._lock = threading.RLock()  # a forgotten stream may be closed by the garbage collector
        self.clock = clock or VirtualClock()
        self.calls: list[ProviderCall] = []
        self.open_streams = 0
        self.closed = False

    def complete(self, call: ProviderCall) -> Answer:
        reply = self._next(call)
        if (wait_s := self._bounded(reply.delay_s, call.timeout_s, call)) > 0:
            self.clock.sleep(wait_s)
        return _answer(reply, call)

    async def acomplete(self, call: ProviderCall) -> Answer:
        reply = self._next(call)
        if (wait_s := self._bounded(reply.delay_s, call.timeout_s, call)) > 0:
            await self.clock.asleep(wait_s)
        return _answer(reply, call)

    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        return self._stream(call)

    def _stream(self, call: ProviderCall) -> Iterator[Chunk]:
        self._opened(1)
        try:
            for item in self._steps(call):
                if isinstance(item, (int, float)):
                    self.clock.sleep(item)
                else:
                    yield item
        finally:
            self._opened(-1)

    async def astream(self, call: ProviderCall) -> AsyncIterator[Chunk]:
        self._opened(1)
        try:
            for item in self._steps(call):
                if isinstance(item, (int, float)):
                    await self.clock.asleep(item)
                else:
                    yield item
        finally:
            self._opened(-1)

    def _opened(self, change: int) -> None:
        with self._lock:
            self.open_streams += change

    def embed(self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        """Counts of letters: crude, but alike for texts that are alike."""
        vectors = tuple(tuple(float(text.lower().count(letter)) for letter in "etaoinshr") for text in texts)
        return Embeddings(vectors=vectors, input_tokens=sum(text_tokens(text) for text in texts))

    def close(self) -> None:
        self.closed = True

    def _next(self, call: ProviderCall) -> Reply:
        with self._lock:
            entry = self._script[min(len(self.calls), len(self._script) - 1)]
            self.calls.append(call)
        if not isinstance(entry, (Reply, str, BaseException)):
            entry = entry(call)
        if isinstance(entry, str):
            return Reply(text=entry)
        return Reply(error=entry) if isinstance(entry, BaseException) else entry

    def _steps(self, call: ProviderCall) -> Iterator[Chunk | float]:
        """Chunks to hand out and seconds to wait, in order."""
        reply = self._next(call)
        limits = [limit for limit in (call.timeout_s, call.first_token_timeout_s) if limit is not None]
        if (wait_s := self._bounded(reply.delay_s, min(limits, default=None), call)) > 0:
            yield wait_s
        if reply.delay_s > wait_s:
            raise _timeout(call)
        if reply.error is not None and not reply.after_chunks:
            raise reply.error
        for place, chunk in enumerate(_pieces(reply, call)):
            if reply.after_chunks is not None and place >= reply.after_chunks:
                if reply.error is not None:
                    raise reply.error
                return
            if place and reply.chunk_delay_s:
                limit_s = None if place == 1 else call.idle_timeout_s  # the first piece only names the role
                yield float(wait_s := self._bounded(reply.chunk_delay_s, limit_s, call))
                if reply.chunk_delay_s > wait_s:
                    raise _timeout(call)
            yield chunk

    def _bounded(self, delay_s: float, limit_s: float | None, call: ProviderCall) -> float:
        if limit_s is None or delay_s <= limit_s:
            return delay_s
        return limit_s


def plugin_module(provider: Provider, name: str = "scripted") -> Any:
    """An object with hooks that registers `provider` under `name`: for ``Router(plugins=[...])``."""
    from routekit.plugin import ProviderPlugin, hookimpl

    class Module:
        __name__ = f"scripted provider {name}"

        @hookimpl
        def routekit_providers(self) -> Iterable[ProviderPlugin]:
            return [ProviderPlugin(name=name, factory=lambda options, context: provider, summary="scripted, for tests")]

    return Module()


def _answer(reply: Reply, call: ProviderCall) -> Answer:
    if call.timeout_s is not None and reply.delay_s > call.timeout_s:
        raise _timeout(call)
    if reply.error is not None:
        raise reply.error
    return Answer(
        message=_message(reply),
        finish_reason=reply.finish_reason,
        usage=reply.usage or _usage(reply, call),
        model=reply.model or call.deployment.model.id,
        logprobs=reply.logprobs,
    )


def _message(reply: Reply) -> Message:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, **reply.extra}
    if reply.tool_calls:
        message["tool_calls"] = [dict(call) for call in reply.tool_calls]
    return message  # type: ignore[return-value]  # built as one


def _usage(reply: Reply, call: ProviderCall) -> Usage:
    written = text_tokens(reply.text) if reply.text else 0
    return Usage(input_tokens=count_tokens(call.messages, call.tools)[0], output_tokens=written)


def _pieces(reply: Reply, call: ProviderCall) -> Iterator[Chunk]:
    model = reply.model or call.deployment.model.id
    yield Chunk({"role": "assistant", "content": ""}, None, None, model)
    text = reply.text or ""
    size = max(1, -(-len(text) // max(1, reply.chunks)))
    for start in range(0, len(text), size):
        yield Chunk({"content": text[start : start + size]}, None, None, model)
    if reply.tool_calls:
        yield Chunk({"tool_calls": [{"index": i, **c} for i, c in enumerate(reply.tool_calls)]}, None, None, model)
    if reply.finish_reason is not None:
        yield Chunk({}, reply.finish_reason, None, model)
        yield Chunk({}, None, reply.usage or _usage(reply, call), model)


def _timeout(call: ProviderCall) -> ProviderTimeoutError:
    return ProviderTimeoutError(
        f"{call.deployment.name} did not answer within its {call.timeout_s} s", deployment=call.deployment.name
    )
