"""From llama.cpp's events to chunks, and from a thread that generates to whoever reads."""

from __future__ import annotations

import asyncio
import json
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from routekit.builtin.providers.local.best_of import Sample, Select, choose
from routekit.builtin.providers.local.grammar import UnsupportedRequestError
from routekit.builtin.providers.local.runtime import StopSignal
from routekit.builtin.providers.local.tools import AnswerText, Plan, parse
from routekit.errors import (
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from routekit.plugin import reaper
from routekit.types import Answer, Chunk, Message, Usage

Event = dict[str, Any] | BaseException | None
"""What the generating thread hands over: an event of llama.cpp, its failure, or None at the end."""

Work = Callable[[StopSignal, Callable[[dict[str, Any]], None]], None]
"""Generates until the end or until the signal is set; hands events to the second argument."""

_JSON_STARTS = frozenset('{["-0123456789tfn')


class Reader(Protocol):
    def feed(self, event: Mapping[str, Any]) -> Iterable[Chunk]: ...
    def end(self) -> Iterable[Chunk]: ...


class Generation:
    """Runs `work` in a thread of its own. A daemon: it must never keep a program from ending.

    (The runtime stops all generations when the interpreter ends, so none is cut in half.)
    """

    def __init__(self, work: Work, deliver: Callable[[Event], None]) -> None:
        self.stop = StopSignal()
        self._work, self._deliver = work, deliver

    def start(self) -> None:
        threading.Thread(target=self._run, name="routekit-local", daemon=True).start()

    def _run(self) -> None:
        try:
            self._work(self.stop, self._deliver)
        except BaseException as error:
            self._deliver(error)
        else:
            self._deliver(None)


class Clock:
    """The time limits of one call: for the whole, and for the first content."""

    def __init__(self, timeout_s: float | None, first_token_timeout_s: float | None) -> None:
        now = time.monotonic()
        self._whole = None if timeout_s is None else now + timeout_s
        self._first = None if first_token_timeout_s is None else now + first_token_timeout_s

    def saw_content(self) -> None:
        self._first = None

    def left_s(self) -> float | None:
        """Seconds until the nearer limit, None for no limit; never below zero."""
        limits = [limit for limit in (self._whole, self._first) if limit is not None]
        return max(0.0, min(limits) - time.monotonic()) if limits else None

    def error(self) -> ProviderTimeoutError:
        first = self._first is not None and (self._whole is None or self._first < self._whole)
        what = "wrote nothing" if first else "did not finish"
        return ProviderTimeoutError(f"the local model {what} in the time given; its generation was stopped")


def read(work: Work, reader: Reader, clock: Clock) -> Iterator[Chunk]:
    """The chunks of a generation. Leaving early, by `close` or by an error, stops it."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    generation = Generation(work, events.put)
    generation.start()
    try:
        while True:
            try:
                event = events.get(timeout=clock.left_s())
            except queue.Empty:
                raise clock.error() from None
            for chunk in _chunks(event, reader):
                if chunk.has_content:
                    clock.saw_content()
                yield chunk
            if event is None:
                return
    finally:
        generation.stop.set()


class AsyncReading(AsyncIterator[Chunk]):
    """The same for an event loop: a generating thread feeds a queue of the loop.

    `close` never waits and may be called from anywhere in the loop; a cancelled task, and a reading
    that nobody holds any more, stop the generation, too.
    """

    def __init__(self, work: Work, reader: Reader, clock: Clock) -> None:
        self._work, self._reader, self._clock = work, reader, clock
        self._ready: deque[Chunk] = deque()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._generation: Generation | None = None
        self._ended = False
        reaper.start()

    def __aiter__(self) -> AsyncReading:
        return self

    async def __anext__(self) -> Chunk:
        try:
            while not self._ready:
                if self._ended:
                    raise StopAsyncIteration
                event = await self._next_event()
                self._ready.extend(_chunks(event, self._reader))
                self._ended = event is None
        except BaseException:
            self.close()
            raise
        chunk = self._ready.popleft()
        if chunk.has_content:
            self._clock.saw_content()
        return chunk

    async def _next_event(self) -> Event:
        if self._generation is None:
            self._generation = Generation(self._work, _into(self._events, asyncio.get_running_loop()))
            self._generation.start()
        try:
            async with asyncio.timeout(self._clock.left_s()):
                return await self._events.get()
        except TimeoutError:
            raise self._clock.error() from None

    def close(self) -> None:
        """Stops the generation. Nothing is read after it."""
        self._ended = True
        self._ready.clear()
        if self._generation is not None:
            self._generation.stop.set()

    async def aclose(self) -> None:
        self.close()

    def __del__(self) -> None:
        if self._generation is not None and not self._ended:
            reaper.later(self._generation.stop.set)


def _into(events: asyncio.Queue[Event], loop: asyncio.AbstractEventLoop) -> Callable[[Event], None]:
    def deliver(event: Event) -> None:
        try:
            loop.call_soon_threadsafe(events.put_nowait, event)
        except RuntimeError:  # the loop was closed: nobody reads any more
            if not loop.is_closed():
                raise

    return deliver


def _chunks(event: Event, reader: Reader) -> Iterable[Chunk]:
    if event is None:
        return reader.end()
    if isinstance(event, BaseException):
        raise _classified(event)
    if "error" in event:
        raise _upstream(event["error"])
    return reader.feed(event)


def _classified(error: BaseException) -> BaseException:
    if isinstance(error, ValueError):
        return InvalidRequestError(f"llama.cpp refused the request: {error}")
    if isinstance(error, RuntimeError):
        return ProviderUnavailableError(f"llama.cpp failed: {error}")
    return error


def _upstream(error: Mapping[str, Any]) -> ProviderError:
    """llama.cpp's error object as one of ours."""
    message, status = str(error.get("message", "")), error.get("code")
    if error.get("type") == "exceed_context_size_error" or "context size" in message.lower():
        return ContextLengthExceededError(f"the local model's context is full: {message}", status=status)
    if "grammar" in message or "sampler" in message:
        return UnsupportedRequestError(f"this JSON schema cannot be enforced: {message}", status=status)
    if status in (400, 404, 422):
        return InvalidRequestError(f"llama.cpp refused the request: {message}", status=status)
    return ProviderUnavailableError(f"llama.cpp failed: {message}", status=status)


class ChunkReader:
    """Turns llama.cpp's events into the chunks of one answer.

    With one sample, text is handed on as it comes, beside tools too; the call of a tool comes as one
    delta. With several, the chosen one comes at the end: before, nobody knows which it is.
    """

    def __init__(
        self, plan: Plan, *, model: str, samples: int = 1, select: Select = "logprob", logprobs: bool = False
    ) -> None:
        self._plan, self._model, self._select, self._want_logprobs = plan, model, select, logprobs
        self._samples = [Sample() for _ in range(samples)]
        self._answer = AnswerText()
        self._input = self._output = self._cached = 0
        self._said_role = False

    def feed(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        if usage := event.get("usage"):
            counted = Usage.from_openai(usage)
            # Every sample reports the prompt, which is read once for all of them.
            self._input = max(self._input, counted.input_tokens)
            self._cached = max(self._cached, counted.cache_read_tokens)
            self._output += counted.output_tokens
        for choice in event.get("choices") or ():
            sample = self._samples[choice.get("index") or 0]
            delta = choice.get("delta") or {}
            text = delta.get("content") or ""
            entries = (choice.get("logprobs") or {}).get("content") or []
            sample.text += text
            sample.logprobs += entries
            sample.finish_reason = choice.get("finish_reason") or sample.finish_reason
            if self._plan.schema is not None and text:
                self._check_start(sample.text)
            if len(self._samples) > 1:
                continue
            if reasoning := delta.get("reasoning_content"):
                yield self._chunk({"reasoning_content": reasoning})
            if self._plan.tools:
                text = self._answer.feed(text) if not self._plan.structured else ""
            if text:
                yield self._chunk({"content": text}, logprobs=entries)

    def end(self) -> Iterator[Chunk]:
        unfinished = [sample for sample in self._samples if sample.finish_reason is None]
        if unfinished:
            raise ProviderUnavailableError("the local runtime was closed in the middle of an answer")
        sample = choose(self._samples, self._select) if len(self._samples) > 1 else self._samples[0]
        finish = sample.finish_reason
        streamed = self._answer.started and not self._plan.structured
        if self._plan.tools and not streamed:
            yield from self._tool_or_answer(sample)
            finish = self._finish(sample)
        elif len(self._samples) > 1 and sample.text:
            self._check_json(sample)
            yield self._chunk({"content": sample.text}, logprobs=sample.logprobs)
        else:
            self._check_json(sample)
        # One answer's share: the price of a best-of tier is that of all of its samples.
        output = -(-self._output // len(self._samples))
        usage = Usage(input_tokens=self._input, output_tokens=output, cache_read_tokens=self._cached)
        yield Chunk({} if self._said_role else {"role": "assistant", "content": ""}, finish, usage, self._model)

    def _tool_or_answer(self, sample: Sample) -> Iterator[Chunk]:
        try:
            reply = parse(sample.text, structured=self._plan.structured)
        except ValueError:
            partial = AnswerText()
            text = partial.feed(sample.text)
            if partial.started and not self._plan.structured:
                yield self._chunk({"content": text})
                return
            raise InvalidResponseError(
                "the local model's tool call or JSON was cut off; raise max_tokens or drop the stop sequences"
            ) from None
        if reply.tool is None:
            yield self._chunk({"content": reply.text or ""}, logprobs=sample.logprobs)
            return
        call = {
            "index": 0,
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": reply.tool, "arguments": reply.arguments},
        }
        yield self._chunk({"tool_calls": [call]}, logprobs=sample.logprobs)

    def _finish(self, sample: Sample) -> str | None:
        try:
            return "tool_calls" if parse(sample.text).tool is not None else sample.finish_reason
        except ValueError:
            return sample.finish_reason

    def _check_start(self, text: str) -> None:
        """The grammar compiler accepts some schemas without enforcing them; it shows at the first character."""
        start = text.lstrip()[:1]
        if start and (start != "{" if self._plan.tools else start not in _JSON_STARTS):
            raise UnsupportedRequestError("this JSON schema cannot be enforced by llama.cpp; simplify it")

    def _check_json(self, sample: Sample) -> None:
        if self._plan.schema is None or self._plan.tools or sample.finish_reason != "stop":
            return
        try:
            json.loads(sample.text)
        except ValueError:
            raise InvalidResponseError("the local model's answer is not the JSON that was asked for") from None

    def _chunk(self, delta: dict[str, Any], logprobs: list[dict[str, Any]] | None = None) -> Chunk:
        if not self._said_role:
            delta = {"role": "assistant", **delta}
            self._said_role = True
        shown = {"content": logprobs} if logprobs and self._want_logprobs else None
        return Chunk(delta, model=self._model, logprobs=shown)


class Gathered:
    """Chunks put together to an answer."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._logprobs: list[Any] = []
        self._last = Chunk()

    def add(self, chunk: Chunk) -> None:
        self._last = chunk
        self._text.append(chunk.text)
        self._reasoning.append(chunk.delta.get("reasoning_content") or "")
        for call in chunk.delta.get("tool_calls") or ():
            self._calls.append({key: value for key, value in call.items() if key != "index"})
        if chunk.logprobs:
            self._logprobs += chunk.logprobs["content"]

    def answer(self) -> Answer:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text)}
        if reasoning := "".join(self._reasoning):
            message["reasoning_content"] = reasoning
        if self._calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = self._calls
        typed: Message = message  # type: ignore[assignment]  # further keys travel along
        last = self._last
        return Answer(
            message=typed,
            finish_reason=last.finish_reason,
            usage=last.usage,
            model=last.model,
            logprobs={"content": self._logprobs} if self._logprobs else None,
        )
