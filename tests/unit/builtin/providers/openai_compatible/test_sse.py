"""Bytes to chunks: framing as WHATWG and JSON allow it, ends, and bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routekit.builtin.providers.openai_compatible.sse import STREAM_SIZE, ChunkReader, EventDecoder, read_reply
from routekit.errors import InvalidResponseError, ProviderError, ProviderUnavailableError, RateLimitError
from routekit.plugin import Chunk, ProviderCall
from routekit.types import Deployment, Model, Usage

HERE = Deployment(name="here", provider="openai-compatible", model=Model(id="m"))
LIMIT = 1_000_000
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
SPENT = Usage(input_tokens=3, output_tokens=2)


def call(*messages: dict[str, Any], **more: Any) -> ProviderCall:
    return ProviderCall(deployment=HERE, messages=messages or ({"role": "user", "content": "hi"},), **more)


def plain(text: str) -> str:
    return text


def data(content: Any = None, reason: Any = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"model": "served", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}


def events(*values: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


HELLO = events(data("Hello "), data("there.")) + events(data(None, "stop", usage=USAGE)) + DONE


def read(*pieces: bytes, limit: int = LIMIT, to: ProviderCall | None = None) -> list[Chunk]:
    """All chunks of a body in pieces; what is wrong with it is raised."""
    reader = ChunkReader(to or call(), limit, plain)
    chunks = [chunk for piece in pieces for chunk in reader.feed(piece)]
    chunks += reader.end()
    if reader.error is not None:
        raise reader.error
    return chunks


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def bytewise(payload: bytes) -> list[bytes]:
    return [payload[at : at + 1] for at in range(len(payload))]


class TestFraming:
    @pytest.mark.parametrize(
        "payload",
        [
            pytest.param(HELLO.replace(b"\n", b"\r\n"), id="CRLF"),
            pytest.param(HELLO.replace(b"\n", b"\r"), id="CR"),
            pytest.param(b"\xef\xbb\xbf" + HELLO, id="byte order mark"),
            pytest.param(HELLO.replace(b"data: ", b"data:"), id="no space"),
            pytest.param(HELLO.replace(b"data: ", b"data: \t "), id="more white space"),
            pytest.param(HELLO.replace(b"}\n\n", b"} \n\n"), id="white space behind"),
            pytest.param(HELLO.replace(b"data: {", b"data:\n\ndata: \n\n: ping\n\ndata: {"), id="heartbeats"),
            pytest.param(b"event: ping\ndata: alive\n\n" + HELLO, id="a named heartbeat that is no JSON"),
            pytest.param(b"event: ping\ndata: {}\n\n" + HELLO, id="an empty object"),
            pytest.param(b"\r\n\n  \n" + HELLO, id="blank lines first"),
            pytest.param(HELLO.replace(b"[DONE]", b" [DONE] "), id="done, with spaces"),
            pytest.param(HELLO.removesuffix(b"\n\n"), id="no last blank line"),
            pytest.param(json.dumps(data("Hello there.", "stop")).replace("delta", "message").encode(), id="JSON"),
            pytest.param(
                b"\xef\xbb\xbf\n " + json.dumps(data("Hello there.", "stop")).replace("delta", "message").encode(),
                id="JSON behind a mark and blanks",
            ),
            pytest.param(
                b"\n".join(json.dumps(one).encode() for one in (data("Hello "), data("there.", "stop"))), id="lines"
            ),
            pytest.param(json.dumps([data("Hello "), data("there.", "stop")]).encode(), id="a list"),
        ],
    )
    def test_all_of_it_is_the_same_answer(self, payload: bytes) -> None:
        for pieces in ([payload], bytewise(payload)):
            chunks = read(*pieces)
            assert text(chunks) == "Hello there."
            assert next(chunk.finish_reason for chunk in reversed(chunks) if chunk.finish_reason) == "stop"

    @pytest.mark.parametrize(
        "payload", [b"", b"<html></html>", b"hello", b'{"choices": [{"delta"', b"{}", b"[]", b"null", b'"x"']
    )
    def test_what_is_no_answer_is_a_failure(self, payload: bytes) -> None:
        for pieces in ([payload], bytewise(payload)):
            with pytest.raises(ProviderError):
                read(*pieces)

    @pytest.mark.parametrize("key", ["message", "text"])
    def test_a_piece_may_be_a_whole_message(self, key: str) -> None:
        said = "Hello." if key == "text" else {"role": "assistant", "content": "Hello."}
        assert text(read(events({"choices": [{"index": 0, key: said, "finish_reason": "stop"}]}))) == "Hello."


class TestReplies:
    @pytest.mark.parametrize(
        "mangle", [lambda p: p, lambda p: b"\xef\xbb\xbf" + p.replace(b"\n", b"\r"), lambda p: b": hi\n\n" + p]
    )
    def test_a_stream_nobody_asked_for_is_an_answer(self, mangle: Any) -> None:
        answer = read_reply(mangle(HELLO), call(), {}, plain)
        assert (answer.text, answer.finish_reason, answer.usage, answer.model) == (
            "Hello there.",
            "stop",
            SPENT,
            "served",
        )

    def test_its_tool_calls_come_together(self) -> None:
        calls = [
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": i, "function": {"name": "f", "arguments": a}}]}}]}
            for i, a in (("a", '{"x":'), ("a", "1}"), ("b", "{}"))
        ]
        answer = read_reply(events(*calls, data(None, "tool_calls")) + DONE, call(), {}, plain)
        assert [(c["id"], c["function"]["arguments"]) for c in answer.message["tool_calls"]] == [
            ("a", '{"x":1}'),
            ("b", "{}"),
        ]

    def test_an_error_in_it_is_raised(self) -> None:
        with pytest.raises(RateLimitError):
            read_reply(events({"error": {"code": "rate_limit_exceeded", "message": "slow"}}), call(), {}, plain)

    def test_every_choice_is_kept(self) -> None:
        body = {"choices": [{"message": {"content": str(n)}, "finish_reason": "stop", "index": n} for n in range(3)]}
        answer = read_reply(json.dumps(body).encode(), call(), {}, plain)
        assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "0"), (1, "1"), (2, "2")]

    def test_an_empty_one_was_paid_for(self) -> None:
        body = {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}], "usage": USAGE}
        with pytest.raises(InvalidResponseError) as caught:
            read_reply(json.dumps(body).encode(), call(), {}, plain)
        assert caught.value.usage == SPENT


class TestEnds:
    def test_done_is_one_where_nothing_else_says_so(self) -> None:
        said = events(data("Hello."))
        assert [chunk.finish_reason for chunk in read(said + DONE)] == [None, "stop"]
        called = {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}}]}
        assert read(events(called) + DONE)[-1].finish_reason == "tool_calls"
        for payload in (said, DONE, events(data("")) + DONE):
            with pytest.raises(ProviderUnavailableError, match="finish reason"):
                read(payload)

    def test_silence_after_tools_is_one(self) -> None:
        after = call({"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "c", "content": "done"})
        payload = events(data(""), data(None, "stop")) + DONE
        assert read(payload, to=after)[-1].finish_reason == "stop"
        with pytest.raises(InvalidResponseError, match="without content"):
            read(payload)

    def test_what_stands_beside_the_choices_is_handed_on(self) -> None:
        chunks = read(events(data("x", citations=["u"], mystery=1), data(None, "stop", citations=["u"])) + DONE)
        assert chunks[0].delta == {"content": "x", "citations": ["u"], "extras": {"mystery": 1}}

    @pytest.mark.parametrize("reason", [["stop"], {"type": "stop"}, True, 3])
    def test_reasons_that_are_no_text_end_it_all_the_same(self, reason: Any) -> None:
        assert text(read(events(data("x"), data(None, reason)) + DONE)) == "x"


class TestBounds:
    def test_a_stream_has_one(self) -> None:
        reader = ChunkReader(call(), 1000, plain)
        for _ in range(STREAM_SIZE * 1000 // 100 + 1):
            reader.feed(events(data("x")).ljust(100, b"\n"))
        assert isinstance(reader.error, InvalidResponseError)

    def test_so_has_a_body_of_json(self) -> None:
        reader = ChunkReader(call(), 1000, plain)
        reader.feed(b'{"x": "')
        reader.feed(b"x" * 1000)
        assert isinstance(reader.error, InvalidResponseError)
        assert reader.end() == []

    def test_lines_without_end_are_no_event(self) -> None:
        decoder = EventDecoder(100)
        for _ in range(101):
            decoder.feed(b"id:\n")
        assert decoder.overflow

    def test_heartbeats_are_no_event_either(self) -> None:
        decoder = EventDecoder(100)
        for _ in range(1000):
            assert not decoder.feed(b": ping\n\n")
        assert not decoder.overflow

    def test_an_event_that_grows_is_copied_once(self) -> None:
        decoder = EventDecoder(LIMIT)
        pieces = [b"data: ", *[b"x" * 100] * 1000]
        for piece in pieces:
            decoder.feed(piece)
        assert len(decoder._rest) == len(pieces), "kept in pieces until its line ends"
        [(_, payload)] = decoder.feed(b"\n\n")
        assert len(payload) == 100_000
