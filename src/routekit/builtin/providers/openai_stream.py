"""Server-sent events and what Chat Completions streams put into them. Pure: bytes in, chunks out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from routekit.builtin.providers.openai_errors import Redact, error_inside
from routekit.builtin.providers.openai_wire import inflater, is_answer, read_answer, read_usage
from routekit.errors import InvalidResponseError, ProviderError, ProviderUnavailableError
from routekit.plugin import Chunk, ProviderCall

GRACE_S = 0.5
"""How long the usage may come after the finish reason, on endpoints that then leave the connection open."""

TAIL_S = 0.05
"""How long the end of the body may come after [DONE], so that the connection can be used again."""

_EMPTY: Mapping[str, Any] = {}
_scan = json.JSONDecoder().raw_decode


class EventDecoder:
    """The data of server-sent events, however the bytes are cut (WHATWG HTML, section 9.2).

    Lines end in ``\\n`` or ``\\r\\n``; comments, ids and unknown fields are passed over. An event is
    ``(name, data)``, the name empty where none was given.

    >>> decoder = EventDecoder(limit=1000)
    >>> decoder.feed(b": hi\\n\\nda"), decoder.feed(b"ta: a\\r\\ndata: b\\r\\n\\r\\n")
    ([], [(b'', b'a\\nb')])
    """

    __slots__ = ("_data", "_limit", "_name", "_rest", "_size", "overflow")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0
        self.overflow = False

    def feed(self, received: bytes) -> list[tuple[bytes, bytes]]:
        """The events that these bytes complete. `overflow` is set at an event that is larger than the limit."""
        lines = (self._rest + received if self._rest else received).split(b"\n")
        self._rest = lines.pop()
        events: list[tuple[bytes, bytes]] = []
        data = self._data
        for line in lines:
            if line[-1:] == b"\r":
                line = line[:-1]
            if not line:
                if self._size > self._limit:
                    self.overflow = True
                    return events
                if data:
                    events.append((self._name, data[0] if len(data) == 1 else b"\n".join(data)))
                    data.clear()
                    self._size = 0
                self._name = b""
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                data.append(value)
                self._size += len(value)
            elif line.startswith(b"event:"):
                self._name = line[6:].strip()
            elif line == b"data":
                data.append(b"")
        if self._size + len(self._rest) > self._limit:
            self.overflow = True
        return events

    def end(self) -> list[tuple[bytes, bytes]]:
        """The event that the end of the connection completes, for endpoints that forget the last blank line."""
        return self.feed(b"\n\n")


class ChunkReader:
    """Turns the bytes of a stream into chunks, and knows when the answer is complete.

    `finished`: the finish reason was seen. `done`: nothing more is to come. A failure waits in `error`
    until the chunks before it are handed over. `content` says that a reader got something already.
    """

    __slots__ = ("_call", "_decoder", "_inflate", "_limit", "_redact", "content", "done", "error", "finished")

    def __init__(self, call: ProviderCall, limit: int, redact: Redact) -> None:
        self._call = call
        self._decoder = EventDecoder(limit)
        self._inflate: Callable[[bytes, int], bytes] | None = None
        self._limit = limit
        self._redact = redact
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
        chunks = self._read(self._decoder.feed(received))
        if self._decoder.overflow and self.error is None:
            self.error = self._too_large()
        return chunks

    def end(self) -> list[Chunk]:
        """The connection ended. Without a finish reason that is a failure, whatever came before."""
        events = self._decoder.end()
        chunks = self._read([event for event in events if _is_json(event[1]) or event[1] == b"[DONE]"])
        if not self.finished and self.error is None:
            self.error = ProviderUnavailableError(
                f"deployment {self._call.deployment.name!r}: stream ended without a finish reason",
                deployment=self._call.deployment.name,
            )
        return chunks

    def whole(self, payload: bytes) -> list[Chunk]:
        """One chunk from an endpoint that answered a stream request with a plain response."""
        try:
            answer = read_answer(payload, self._call, {}, self._redact)
        except ProviderError as error:
            self.error = error.with_traceback(None)
            return []
        self.finished = self.done = self.content = True
        delta = {key: value for key, value in answer.message.items() if value is not None}
        for index, call in enumerate(delta.get("tool_calls") or ()):  # type: ignore[var-annotated, arg-type]
            call.setdefault("index", index)
        return [Chunk(delta, answer.finish_reason or "stop", answer.usage, answer.model, answer.logprobs)]

    def _read(self, events: list[tuple[bytes, bytes]]) -> list[Chunk]:
        chunks: list[Chunk] = []
        if self.done or self.error is not None:
            return chunks
        for name, raw in events:
            if raw == b"[DONE]":
                self.done = True
                if not self.finished:
                    self.error = ProviderUnavailableError(
                        f"deployment {self._call.deployment.name!r}: stream ended without a finish reason",
                        deployment=self._call.deployment.name,
                    )
                return chunks
            try:
                text = raw.decode()
                data, end = _scan(text)
                if end != len(text) and text[end:].strip():
                    raise ValueError("two values in one event")
                if name == b"error" or data.get("error"):
                    self.error = self._failure(data)
                    return chunks
                chunk = self._chunk(data)
            except (ValueError, RecursionError):
                text = raw.decode("utf-8", "replace").strip()
                if name == b"error":
                    self.error = self._failure({"error": text})
                elif text == "[DONE]":
                    self.done = True
                    continue
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

    def _chunk(self, data: dict[str, Any]) -> Chunk | None:
        choices = data.get("choices")
        usage = data.get("usage")
        if not choices:
            return Chunk(_EMPTY, None, read_usage(usage), data.get("model")) if usage else None
        choice = choices[0]
        if choice.get("index"):  # a second choice of the same request: the first is the answer
            return None
        reason = choice.get("finish_reason")
        chunk = Chunk(
            choice.get("delta") or _EMPTY,
            reason,
            read_usage(usage) if usage else None,
            data.get("model"),
            choice.get("logprobs"),
        )
        if not self.content and chunk.has_content:
            self.content = True
        if reason:
            self.finished = True
            if not self.content and not is_answer(_EMPTY, reason, self._call.params):
                self.error = self._invalid("the stream finished without content, tool calls or refusal")
        return chunk

    def _failure(self, data: Any) -> ProviderError:
        return error_inside(data, deployment=self._call.deployment.name, redact=self._redact, event=True)

    def _too_large(self) -> InvalidResponseError:
        return self._invalid(f"an event is larger than max_response_bytes = {self._limit}")

    def _invalid(self, why: str) -> InvalidResponseError:
        name = self._call.deployment.name
        return InvalidResponseError(f"deployment {name!r}: {why}", deployment=name, status=200)


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True
