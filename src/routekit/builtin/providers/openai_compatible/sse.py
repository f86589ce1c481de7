"""Server-sent events and what Chat Completions streams put into them. Pure: bytes in, chunks out."""

from __future__ import annotations

import codecs
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from routekit.builtin.providers.errors import Redact, error_inside
from routekit.builtin.providers.openai_compatible.wire import beside, inflater, is_answer, message_in, read_answer
from routekit.errors import InvalidResponseError, ProviderError, ProviderUnavailableError
from routekit.plugin import Answer, Chunk, ProviderCall
from routekit.plugin.deltas import add_up
from routekit.plugin.toolcalls import ToolCalls
from routekit.types import Usage
from routekit.types.reported import read_usage

GRACE_S = 0.5
"""How long the end may come after the finish reason, on endpoints that then leave the connection open."""

USAGE_S = 10.0
"""How long the usage may come after the finish reason, where it was asked for and has not come. Peers wait until the
connection ends; the text is handed over meanwhile."""

TAIL_S = 0.05
"""How long the end of the body may come after [DONE], so that the connection can be used again."""

STREAM_SIZE = 8
"""A stream may be so many times as large as a single response: each of its pieces comes in an envelope."""

_EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_OF_ANSWERS = frozenset({b"message", b"data", b"chunk", b"completion", b"chat.completion.chunk"})
_EMPTY: Mapping[str, Any] = {}
_scan = json.JSONDecoder().raw_decode


class EventDecoder:
    """The data of server-sent events, however the bytes are cut (WHATWG HTML, section 9.2).

    Lines end in ``\\n``, ``\\r\\n`` or ``\\r``; a byte order mark may come first; comments, ids, unknown fields and
    events without data are passed over. An event is ``(name, data)``, the name empty where none was given.
    What is waited for is kept in pieces, so that an event that grows slowly costs no more than one that comes whole.

    >>> decoder = EventDecoder(limit=1000)
    >>> decoder.feed(b": hi\\n\\nda"), decoder.feed(b"ta: a\\r\\ndata: b\\r\\n\\r\\n")
    ([], [(b'', b'a\\nb')])
    """

    __slots__ = ("_begun", "_data", "_limit", "_name", "_rest", "_size", "_waiting", "_was_return", "overflow")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest: list[bytes] = []  # of a line whose end has not come
        self._waiting = 0  # its length
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0
        self._begun = self._was_return = False
        self.overflow = False

    def feed(self, received: bytes) -> list[tuple[bytes, bytes]]:
        """The events that these bytes complete. `overflow` is set at an event that is larger than the limit."""
        if self._was_return and received:
            self._was_return = False
            if received[:1] == b"\n":  # the second half of a line's end
                received = received[1:]
        if b"\r" in received:
            self._was_return = received[-1:] == b"\r"
            received = received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = received.split(b"\n")
        events: list[tuple[bytes, bytes]] = []
        data = self._data
        if len(lines) > 1:
            if self._rest:
                self._rest.append(lines[0])
                lines[0] = b"".join(self._rest)
                self._rest.clear()
                self._waiting = 0
            if not self._begun:
                self._begun = True
                lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
        if rest := lines.pop():
            self._rest.append(rest)
            self._waiting += len(rest)
        for line in lines:
            if not line:
                if self._size > self._limit:
                    self.overflow = True
                    return events
                self._size = 0
                if data:
                    whole = data[0] if len(data) == 1 else b"\n".join(data)
                    if whole.strip() or self._name == b"error":
                        events.append((self._name, whole))
                    data.clear()
                self._name = b""
                continue
            self._size += 1  # lines without end are no event either
            if line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                data.append(value)
                self._size += len(value)
            elif line.startswith(b"event:"):
                self._name = line[6:].strip()
            elif line == b"data":
                data.append(b"")
        if self._size + self._waiting > self._limit:
            self.overflow = True
        return events

    def end(self) -> list[tuple[bytes, bytes]]:
        """The event that the end of the connection completes, for endpoints that forget the last blank line."""
        return self.feed(b"\n\n")


class ChunkReader:
    """Turns the bytes of a stream into chunks, and knows when the answer is complete.

    The first bytes decide what they are: events, or JSON from an endpoint that answered in one piece or
    line by line; headers are often wrong about it. `finished`: the finish reason was seen. `done`: nothing
    more is to come. A failure waits in `error` until the chunks before it are handed over. `content` says
    that a reader got something already.
    """

    __slots__ = (
        "_call", "_called", "_decoder", "_head", "_index", "_inflate", "_left", "_limit", "_lines", "_redact",
        "_started", "_tier", "_usage", "content", "done", "error", "finished", "hollow",
    )  # fmt: skip

    def __init__(self, call: ProviderCall, limit: int, redact: Redact) -> None:
        self._call = call
        self._decoder = EventDecoder(limit)
        self._inflate: Callable[[bytes, int], bytes] | None = None
        self._limit = limit
        self._left = STREAM_SIZE * limit
        self._redact = redact
        self._started = self._called = False
        self._head = b""
        self._lines: list[bytes] | None = None  # of a body that is JSON
        self._index: Any = None
        self._tier: Any = None
        self._usage: Usage | None = None
        self.hollow = False
        self.content = self.done = self.finished = False
        self.error: ProviderError | None = None

    def expect(self, encoding: str | None) -> None:
        """The bytes to come have this Content-Encoding."""
        self._inflate = inflater(encoding, self._call.deployment.name)

    def feed(self, received: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        if self._inflate is not None:
            received = self._inflate(received, self._limit + 1)
            if len(received) > self._limit:  # what lies behind was not unpacked
                self.error = self._too_large()
                return []
        self._left -= len(received)
        if self._left < 0:
            self.error = self._invalid(f"the stream is larger than {STREAM_SIZE} x max_response_bytes = {self._limit}")
            return []
        if not self._started:
            received = self._begin(received)
        if self._lines is not None:
            self._lines.append(received)
            if STREAM_SIZE * self._limit - self._left > self._limit:
                self.error = self._too_large()
            return []
        chunks = self._read(self._decoder.feed(received))
        if self._decoder.overflow and self.error is None:
            self.error = self._too_large()
        return chunks

    def end(self) -> list[Chunk]:
        """The connection ended. Without a finish reason that is a failure, whatever came before."""
        if self._lines is not None:
            payload, self._lines = b"".join(self._lines), None
            return self.whole(payload) if self.error is None else []
        events = self._decoder.end()
        chunks = self._read([event for event in events if _is_json(event[1]) or event[1].strip() == b"[DONE]"])
        if not self.finished and self.error is None:
            self.error = self._cut_off()
        self._ended()
        return chunks

    def tail_s(self, asked: bool) -> float:
        """How long to wait for more behind the finish reason; `asked`: for the usage."""
        if self.done:
            return TAIL_S
        return USAGE_S if asked and self._usage is None else GRACE_S

    def _ended(self) -> None:
        """Nothing more is to come: an answer without anything in it is none, whatever its usage said meanwhile."""
        if self.hollow and self.error is None:
            self.error = self._invalid("the stream finished without content, tool calls or refusal")

    def whole(self, payload: bytes) -> list[Chunk]:
        """The chunks of an endpoint that streams no events but JSON: an answer, or chunks as lines or as a list."""
        pieces = _pieces(payload)
        if pieces is not None:
            chunks = self._read([(b"", piece) for piece in pieces])
            if not self.finished and self.error is None:
                self.error = self._cut_off()
            self._ended()
            return chunks
        try:
            answer = read_answer(payload, self._call, {}, self._redact)
        except ProviderError as error:
            self.error = error.with_traceback(None)
            return []
        self.finished = self.done = self.content = True
        delta = {key: value for key, value in answer.message.items() if value is not None}
        return [Chunk(delta, answer.finish_reason or "stop", answer.usage, answer.model, answer.logprobs)]

    def _begin(self, received: bytes) -> bytes:
        """What there is from the first byte that says something on; nothing while none came."""
        head = self._head + received
        if codecs.BOM_UTF8.startswith(head[:3]) and len(head) < 3:
            self._head = head
            return b""
        head = head.removeprefix(codecs.BOM_UTF8).lstrip()
        self._head = b""
        if head:
            self._started = True
            if head[:1] in (b"{", b"["):
                self._lines = []
        return head

    def _read(self, events: list[tuple[bytes, bytes]]) -> list[Chunk]:
        chunks: list[Chunk] = []
        if self.done or self.error is not None:
            return chunks
        for name, raw in events:
            text = ""
            try:
                text = raw.decode().strip()
                if text == "[DONE]":
                    self._end_is_said(chunks)
                    return chunks
                data, end = _scan(text)
                if end != len(text):
                    raise ValueError("two values in one event")
                if name == b"error" or data.get("error"):
                    self.error = self._failure(data)
                    return chunks
                chunk = self._chunk(data)
            except (ValueError, RecursionError):
                if name == b"error":
                    self.error = self._failure({"error": text or raw.decode("utf-8", "replace").strip()})
                elif name and name not in _OF_ANSWERS:
                    continue  # a heartbeat or the like
                else:
                    self.error = self._invalid("an event of the stream is not JSON")
                return chunks
            except (AttributeError, TypeError, KeyError, IndexError):
                self.error = (
                    self._failure({"error": text})
                    if name == b"error"
                    else self._invalid("an event of the stream is no chunk")
                )
                return chunks
            if chunk is not None:
                chunks.append(chunk)
                if self.error is not None:
                    chunks.pop()
                    return chunks
        return chunks

    def _end_is_said(self, chunks: list[Chunk]) -> None:
        """[DONE]. After an answer it is a finish reason, too: some endpoints give no other."""
        self.done = True
        if self.finished:
            self._ended()
            return
        if self.content:
            self.finished = True
            chunks.append(Chunk(_EMPTY, "tool_calls" if self._called else "stop"))
        else:
            self.error = self._cut_off()

    def _chunk(self, data: dict[str, Any]) -> Chunk | None:
        choices = data.get("choices")
        usage = data.get("usage")
        extra = beside(data)
        if (tier := data.get("service_tier")) is not None:
            self._tier = tier
        if not choices:
            counts = read_usage(usage, self._tier)
            self._usage = counts or self._usage
            return Chunk(extra, None, counts, data.get("model")) if counts is not None or extra else None
        choice = choices[0]
        index = choice.get("index") or 0
        if self._index is None:
            self._index = index
        elif index != self._index:  # a second choice, which nobody asked for: more than one is never streamed
            return None
        reason = choice.get("finish_reason")
        delta = choice.get("delta")
        if not delta and not self.content:
            delta = message_in(choice)  # a piece that is a whole message
        chunk = Chunk(
            {**(delta or _EMPTY), **extra} if extra else delta or _EMPTY,
            reason,
            read_usage(usage, self._tier) if usage else None,
            data.get("model"),
            choice.get("logprobs"),
        )
        self._usage = chunk.usage or self._usage
        if not self._called and delta and (delta.get("tool_calls") or delta.get("function_call")):
            self._called = True
        if not self.content and chunk.has_content:
            self.content = True
        if reason:
            self.finished = True
            # The usage may be still to come; then it is said.
            self.hollow = not self.content and not is_answer(_EMPTY, reason, self._call)
        return chunk

    def _failure(self, data: Any) -> ProviderError:
        error = error_inside(
            data, deployment=self._call.deployment.name, redact=self._redact, event=True, sent=self._call
        )
        said = data.get("usage") if isinstance(data, Mapping) else None
        error.usage = read_usage(said, self._tier) or self._usage
        return error

    def _cut_off(self) -> ProviderUnavailableError:
        name = self._call.deployment.name
        return ProviderUnavailableError(f"deployment {name!r}: stream ended without a finish reason", deployment=name)

    def _too_large(self) -> InvalidResponseError:
        return self._invalid(f"an event is larger than max_response_bytes = {self._limit}")

    def _invalid(self, why: str) -> InvalidResponseError:
        name = self._call.deployment.name
        return InvalidResponseError(f"deployment {name!r}: {why}", deployment=name, status=200, usage=self._usage)


def read_reply(payload: bytes, call: ProviderCall, headers: Mapping[str, str], redact: Redact) -> Answer:
    """The answer in a 200's body to a plain request, from endpoints that stream unasked as well.

    Raises:
        ProviderError: as `read_answer` and streams say.
    """
    start = payload[:256].removeprefix(codecs.BOM_UTF8).lstrip()
    if not start.startswith(_EVENT_STARTS) and _pieces(payload) is None:
        return read_answer(payload, call, headers, redact)
    reader = ChunkReader(call, len(payload) + 2, redact)
    chunks = [*reader.feed(payload), *reader.end()]
    if reader.error is not None:
        raise reader.error
    names = [function.get("name") for tool in call.tools if isinstance(function := tool.get("function"), Mapping)]
    calls = ToolCalls(name for name in names if isinstance(name, str))
    deltas: list[Mapping[str, Any]] = []
    for chunk in chunks:
        given = chunk.delta.get("tool_calls")
        deltas.append({**chunk.delta, "tool_calls": calls.read(given)} if given else chunk.delta)
    message = add_up([*deltas, {"tool_calls": calls.end()}])
    logprobs = [chunk.logprobs.get("content") for chunk in chunks if isinstance(chunk.logprobs, Mapping)]
    return Answer(
        message=message,  # type: ignore[arg-type]  # built as one
        finish_reason=next((chunk.finish_reason for chunk in reversed(chunks) if chunk.finish_reason), None),
        usage=next((chunk.usage for chunk in reversed(chunks) if chunk.usage is not None), None),
        model=next((chunk.model for chunk in chunks if chunk.model), None),
        logprobs={"content": [entry for part in logprobs if isinstance(part, list) for entry in part]},
        headers=headers,
    )


def _pieces(payload: bytes) -> list[bytes] | None:
    """The chunks in a body of JSON lines, or in a JSON list of them; None where it is something else."""
    if b'"delta"' not in payload:
        return None
    start = payload[:256].lstrip()[:1]
    if start == b"[":
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(payload)
            return [json.dumps(value).encode() for value in values] if isinstance(values, list) else None
        return None
    lines = [line for line in payload.splitlines() if line.strip()]
    return lines if start == b"{" and len(lines) > 1 and _is_json(lines[0]) else None


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True
