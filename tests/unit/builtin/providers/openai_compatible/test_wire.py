"""What is sent and what is understood, without a network: bodies, usage, events, errors, options."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.providers.errors import classify, error_inside, redactor, retry_after_s
from routekit.builtin.providers.openai_compatible import wire
from routekit.builtin.providers.openai_compatible.options import OpenAICompatibleOptions, resolve
from routekit.builtin.providers.openai_compatible.sse import ChunkReader, EventDecoder
from routekit.errors import (
    AuthenticationError,
    ConfigError,
    ContentFilterError,
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ModelNotFoundError,
    ProviderError,
    ProviderSetupError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.plugin import ProviderCall
from routekit.types import Deployment, Model, Usage
from routekit.types.reported import read_usage

HERE = Deployment(name="here", provider="openai-compatible", model=Model(id="m"))
LIMIT = 1_000_000


def call(**more: Any) -> ProviderCall:
    return ProviderCall(deployment=HERE, messages=({"role": "user", "content": "hi"},), **more)


def plain(text: str) -> str:
    return text


def reader(**more: Any) -> ChunkReader:
    return ChunkReader(call(**more), LIMIT, plain)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places (modulo its length)."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


lines = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12)
events = st.lists(
    st.tuples(st.sampled_from(["", "error", "ping"]), st.lists(lines, min_size=1, max_size=3)), max_size=6
)


class TestEvents:
    @given(events, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.lists(st.integers(0, 10_000), max_size=8))
    def test_are_the_same_however_the_bytes_are_cut(
        self, sent: list[tuple[str, list[str]]], newline: str, comments: bool, places: list[int]
    ) -> None:
        text = "\ufeff" if comments else ""
        for name, data in sent:
            text += f": keep-alive{newline}{newline}" if comments else ""
            text += f"event: {name}{newline}" if name else ""
            text += f"id: 7{newline}retry: 5{newline}"
            text += "".join(f"data: {line}{newline}" for line in data) + newline
        decoder = EventDecoder(LIMIT)
        found = [event for piece in cut(text.encode(), places) for event in decoder.feed(piece)]
        whole = [(name.encode(), "\n".join(data).encode()) for name, data in sent]
        assert found == [(name, data) for name, data in whole if data.strip() or name == b"error"]

    def test_need_no_space_after_the_colon(self) -> None:
        assert EventDecoder(LIMIT).feed(b'data:{"a":1}\n\ndata\n\n') == [(b"", b'{"a":1}')]

    @pytest.mark.parametrize("pieces", [[b"data: 12345678\n\n"], [b"data: 1234", b"5678"], [b"data: 1234\ndata: 567"]])
    def test_that_are_too_large_are_noticed(self, pieces: list[bytes]) -> None:
        decoder = EventDecoder(6)
        assert [event for piece in pieces for event in decoder.feed(piece)] == []
        assert decoder.overflow


def chunk(content: str | None = None, reason: str | None = None, **more: Any) -> bytes:
    delta = {} if content is None else {"content": content}
    data = {"model": "served", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"


class TestChunks:
    @given(
        st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6), st.lists(st.integers(0, 9999), max_size=9)
    )
    def test_are_the_same_however_the_bytes_are_cut(self, texts: list[str], places: list[int]) -> None:
        texts = [text.encode("utf-8", "replace").decode() for text in texts]
        data = b"".join(map(chunk, texts)) + chunk(None, "stop") + USAGE + DONE
        read = reader()
        found = [one for piece in cut(data, places) for one in read.feed(piece)]
        assert [one.text for one in found] == [*texts, "", ""]
        assert (found[-2].finish_reason, found[-2].model) == ("stop", "served")
        assert found[-1].usage == Usage(input_tokens=3, output_tokens=2)
        assert (read.finished, read.done, read.error) == (True, True, None)

    def test_before_a_failure_are_handed_over(self) -> None:
        read = reader()
        assert [one.text for one in read.feed(chunk("a") + b"data: nonsense\n\n" + chunk("b"))] == ["a"]
        assert isinstance(read.error, InvalidResponseError)

    @pytest.mark.parametrize(
        "event",
        [
            b"[]",
            b"1",
            b"null",
            b'{"choices": 1}',
            b'{"choices": [1]}',
            b'{"choices": [{"delta": [1]}]}',
            b"\xff",
            b"{} {}",
        ],
    )
    def test_of_another_shape_are_refused(self, event: bytes) -> None:
        read = reader()
        assert read.feed(b"data: " + event + b"\n\n" + chunk("a", "stop")) == []
        assert isinstance(read.error, InvalidResponseError)

    def test_of_a_second_choice_are_left_out(self) -> None:
        second = b'data: {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}]}\n\n'
        read = reader()
        assert [one.text for one in read.feed(chunk("a") + second)] == ["a"]
        assert not read.finished

    @pytest.mark.parametrize("params", [{}, {"stop": ["x"]}])
    def test_without_any_content_are_no_answer(self, params: dict[str, Any]) -> None:
        read = reader(params=params)
        usage = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4000}}\n\n'
        read.feed(chunk("") + chunk(None, "stop") + usage + b"data: [DONE]\n\n")
        assert isinstance(read.error, InvalidResponseError) is not bool(params)  # a stop sequence can come first
        if read.error is not None:
            assert read.error.usage == Usage(input_tokens=9, output_tokens=4000), "it is owed all the same"

    def test_end_without_a_last_blank_line(self) -> None:
        read = reader()
        read.feed(chunk("a") + chunk(None, "stop").rstrip())
        [last] = read.end()
        assert (last.finish_reason, read.error) == ("stop", None)

    def test_end_in_the_middle_of_an_event_is_unavailable(self) -> None:
        read = reader()
        read.feed(chunk("a") + b'data: {"cho')
        assert read.end() == []
        assert isinstance(read.error, ProviderUnavailableError)

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            (b'data: {"error": {"message": "no", "type": "overloaded_error"}}\n\n', ProviderUnavailableError),
            (b'data: {"error": "plain"}\n\n', InvalidResponseError),
            (b"event: error\ndata: plain text\n\n", InvalidResponseError),
            (b'event: error\ndata: {"message": "no", "code": 429}\n\n', RateLimitError),
        ],
    )
    def test_give_way_to_errors(self, event: bytes, kind: type[ProviderError]) -> None:
        read = reader()
        read.feed(event + DONE)
        assert type(read.error) is kind


def coded(code: str | None, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, **more}}


TABLE: list[tuple[int, Any, type[ProviderError]]] = [
    (400, coded(None, "temperature must be at most 2"), InvalidRequestError),
    (400, coded("context_length_exceeded"), ContextLengthExceededError),
    (400, coded(None, "This model's maximum context length is 8192 tokens"), ContextLengthExceededError),
    (400, coded(None, "prompt is too long: 210000 tokens > 200000 maximum"), ContextLengthExceededError),
    (400, coded(None, "The input token count (2) exceeds the maximum"), ContextLengthExceededError),
    (400, {"object": "error", "message": "Please reduce the length of the messages", "code": 400},
     ContextLengthExceededError),
    (400, coded(None, "the request exceeds the available context size", type="exceed_context_size_error"),
     ContextLengthExceededError),
    (400, coded("content_filter"), ContentFilterError),
    (400, coded("content_policy_violation"), ContentFilterError),
    (400, coded(None, innererror={"code": "ResponsibleAIPolicyViolation"}), ContentFilterError),
    (400, coded(None, "triggering Azure OpenAI's content management policy"), ContentFilterError),
    (400, coded("model_decommissioned"), ModelNotFoundError),
    (400, coded(None, "The model `x` does not exist"), ModelNotFoundError),
    (400, b"<html>Bad Request</html>", InvalidRequestError),
    (401, coded("invalid_api_key"), AuthenticationError),
    (402, coded(None), AuthenticationError),
    (403, coded(None), AuthenticationError),
    (403, coded("content_filter"), ContentFilterError),
    (404, coded("model_not_found"), ModelNotFoundError),
    (404, {"error": "model 'x' not found, try pulling it first"}, ModelNotFoundError),
    (404, {"detail": "Not Found"}, ModelNotFoundError),
    (405, b"", InvalidRequestError),
    (408, b"", ProviderUnavailableError),
    (409, coded(None), ProviderUnavailableError),
    (410, b"", ModelNotFoundError),
    (413, b"too large", ContextLengthExceededError),
    (413, coded("rate_limit_exceeded", "tokens per minute"), RateLimitError),
    (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, InvalidRequestError),
    (429, coded("rate_limit_exceeded"), RateLimitError),
    (429, coded("insufficient_quota"), AuthenticationError),
    (429, [coded(None)], RateLimitError),
    (429, b"", RateLimitError),
    (500, coded(None), ProviderUnavailableError),
    (502, b"<html>", ProviderUnavailableError),
    (503, b"", ProviderUnavailableError),
    (504, b"", ProviderUnavailableError),
    (529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}, ProviderUnavailableError),
    (301, b"", ProviderSetupError),
    (204, b"", InvalidResponseError),
]  # fmt: skip


class TestErrors:
    @pytest.mark.parametrize(("status", "body", "kind"), TABLE)
    def test_status_and_body_say_which(self, status: int, body: Any, kind: type[ProviderError]) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        error = classify(status, {}, payload, deployment="here", redact=plain)
        assert type(error) is kind
        assert (error.status, error.deployment) == (status, "here")
        assert f"HTTP {status}" in str(error)

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ({"error": {"code": 429}}, RateLimitError),
            ({"error": {"code": "502"}}, ProviderUnavailableError),
            ({"error": {"status": 401}}, AuthenticationError),
            ({"error": {"status": "RESOURCE_EXHAUSTED"}}, RateLimitError),
            ({"error": {"type": "server_error"}}, ProviderUnavailableError),
            ({"error": {"type": "invalid_request_error", "message": "bad"}}, InvalidRequestError),
            ({"error": {"type": "invalid_request_error", "message": "prompt is too long"}}, ContextLengthExceededError),
            ({"error": {"code": "content_filter"}}, ContentFilterError),
            ({"error": True}, InvalidResponseError),
            ({"error": {"code": 7}}, InvalidResponseError),
        ],
    )
    def test_inside_a_200_are_known_by_their_code(self, value: Any, kind: type[ProviderError]) -> None:
        assert type(error_inside(value, deployment="here", redact=plain)) is kind

    @given(st.integers(100, 999), st.one_of(st.binary(max_size=60), st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail"]), inner, max_size=3),
    ).map(lambda value: json.dumps(value).encode())))  # fmt: skip
    def test_any_body_gives_some_provider_error(self, status: int, body: bytes) -> None:
        assert isinstance(classify(status, {}, body, deployment="here", redact=plain), ProviderError)

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry-after": "20"}, 20.0),
            ({"retry-after": "0.5"}, 0.5),
            ({"retry-after": "-3"}, 0.0),
            ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
            ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
            ({"retry-after": "7", "retry-after-ms": "1500"}, 1.5),
            ({"retry-after": "soon"}, None),
            ({"retry-after": "inf"}, None),
            ({}, None),
        ],
    )
    def test_retry_after(self, headers: dict[str, str], seconds: float | None) -> None:
        assert retry_after_s(headers, lambda: 10.0) == seconds
        assert classify(429, headers, b"", deployment="x", redact=plain, now=lambda: 10.0).retry_after_s == seconds

    @pytest.mark.parametrize(
        "text",
        [
            "k/ey+=1234",
            "k%2Fey%2B%3D1234",
            "Bearer k/ey+=1234",
            "BEARER  whatever",
            "Incorrect key: sk-abcdefgh****wxyz",
        ],
    )
    def test_secrets_are_taken_out(self, text: str) -> None:
        told = redactor(["k/ey+=1234"])(f'"{text}"')
        assert "[redacted]" in told
        assert not any(part in told for part in ("k/ey", "k%2F", "whatever", "wxyz"))

    def test_long_texts_are_cut(self) -> None:
        assert len(str(classify(500, {}, b"x" * 100_000, deployment="here", redact=plain))) < 700


class TestBodies:
    def test_drop_what_is_none_and_keep_the_rest(self) -> None:
        sent = call(params={"temperature": None, "top_p": 0.5, "stream": True}, tools=(MappingProxyType({"a": (1,)}),))
        body = json.loads(wire.chat_body(sent, {"seed": 1, "top_p": 1}, stream=False))
        assert body == {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"a": [1]}],
            "seed": 1,
            "top_p": 0.5,
        }

    def test_streams_ask_for_usage_unless_told_otherwise(self) -> None:
        on = json.loads(wire.chat_body(call(), {}, stream=True, stream_usage=True))
        off = json.loads(wire.chat_body(call(), {}, stream=True))
        mine = call(params={"stream_options": {"include_usage": False, "x": 1}})
        assert (on["stream"], on["stream_options"]) == (True, {"include_usage": True})
        assert (off["stream"], "stream_options" in off) == (True, False)
        assert json.loads(wire.chat_body(mine, {}, stream=True, stream_usage=True))["stream_options"] == {
            "include_usage": False,
            "x": 1,
        }

    @pytest.mark.parametrize("value", [float("inf"), object(), {1: object()}])
    def test_that_are_no_json_are_the_requests_fault(self, value: Any) -> None:
        with pytest.raises(InvalidRequestError):
            wire.chat_body(call(params={"x": value}), {}, stream=False)

    @pytest.mark.parametrize(
        ("usage", "expected"),
        [
            ({"prompt_tokens": 9, "completion_tokens": 4}, Usage(input_tokens=9, output_tokens=4)),
            (
                {"prompt_tokens": 9, "prompt_cache_hit_tokens": 6, "completion_tokens": 1},
                Usage(input_tokens=9, output_tokens=1, cache_read_tokens=6),
            ),
            (
                {"prompt_tokens": 9, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3},
                Usage(input_tokens=9, cache_read_tokens=5, cache_write_tokens=3),
            ),
            (
                {"prompt_tokens": 2, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 3},
                Usage(input_tokens=55, cache_read_tokens=50, cache_write_tokens=3),
            ),
            ({"prompt_tokens": -1}, None),
            ({"prompt_tokens": "many"}, None),
            ([1], None),
        ],
    )
    def test_usage_in_every_dialect(self, usage: Any, expected: Usage | None) -> None:
        assert read_usage(usage) == expected

    def test_embeddings_must_be_as_many_as_the_texts(self) -> None:
        rows = [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]
        payload = json.dumps({"data": rows}).encode()
        assert wire.read_embeddings(payload, HERE, 2, plain).vectors == ((1.0,), (2.0,))
        for bad in (payload, b'{"data": [{"embedding": []}]}', b'{"data": 3}', b"{}"):
            with pytest.raises(InvalidResponseError):
                wire.read_embeddings(bad, HERE, 1, plain)

    @pytest.mark.parametrize(
        ("message", "reason", "fine"),
        [
            ({"content": "x"}, "stop", True),
            ({"content": ""}, "stop", False),
            ({"content": ""}, "length", True),
            ({"content": None}, None, False),
            ({"content": None, "tool_calls": [1]}, "tool_calls", True),
            ({"refusal": "no"}, "stop", True),
            ({"content": "", "reasoning_content": "hm"}, "stop", True),
        ],
    )
    def test_an_answer_has_something_in_it(self, message: dict[str, Any], reason: str | None, fine: bool) -> None:
        assert wire.is_answer(message, reason, call()) is fine


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({}, "base_url"),
            ({"base_url": "ftp://x"}, "http"),
            ({"base_url": "api.openai.com/v1"}, "http"),
            ({"base_url": "http://user:hunter22@host/v1"}, "user or password"),
            ({"base_url": "http://x", "api_key_env": "sk-abc"}, "api_key_env"),
            ({"base_url": "http://x", "api_key_env": "has space"}, "environment variable"),
            ({"base_url": "http://x", "api_key_env": "gsk_hunter22"}, "environment variable"),
            ({"base_url": "http://x", "headers": {"Authorization": "Bearer hunter22"}}, "Authorization"),
            ({"base_url": "http://x", "headers": {"api-key": "hunter22"}}, "VARIABLE"),
            ({"base_url": "http://x", "headers": {"X-A": "a\r\nB: c"}}, "X-A"),
            ({"base_url": "http://x", "extra_body": {"model": "y"}}, "model"),
            ({"base_url": "http://x", "connect_timeout_s": 0}, "connect_timeout_s"),
            ({"base_url": "http://x", "basurl": 1}, "unknown key"),
        ],
    )
    def test_that_cannot_work_are_refused(self, options: dict[str, Any], told: str) -> None:
        with pytest.raises(ConfigError, match=told) as caught:
            OpenAICompatibleOptions.checked(options, where="deployments.0")
        assert not any(secret in str(caught.value) for secret in ("hunter22", "sk-abc"))

    @pytest.mark.parametrize("base", ["https://x.example/v1", "https://x.example/v1/"])
    def test_address_with_and_without_slash(self, base: str) -> None:
        endpoint = resolve(OpenAICompatibleOptions(base_url=base), {})
        assert endpoint.chat_url == "https://x.example/v1/chat/completions"

    def test_address_keeps_its_query(self) -> None:
        endpoint = resolve(OpenAICompatibleOptions(base_url="https://x.example/v1?api-version=2"), {})
        assert endpoint.embeddings_url == "https://x.example/v1/embeddings?api-version=2"

    @pytest.mark.parametrize("value", ["", "  ", "two words", "ключ"])
    def test_a_key_that_cannot_be_sent_is_named_not_shown(self, value: str) -> None:
        with pytest.raises(ProviderSetupError, match="MY_KEY") as caught:
            resolve(OpenAICompatibleOptions(base_url="http://x", api_key_env="MY_KEY"), {"MY_KEY": value})
        assert not value.strip() or value not in str(caught.value)

    def test_secrets_are_not_in_the_representation(self) -> None:
        endpoint = resolve(OpenAICompatibleOptions(base_url="http://x", api_key_env="MY_KEY"), {"MY_KEY": "hunter22"})
        assert endpoint.headers["Authorization"] == "Bearer hunter22"
        assert "hunter22" not in repr(endpoint)

    @pytest.mark.parametrize(
        ("env", "proxy"),
        [
            ({}, None),
            ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
            ({"http_proxy": "http://p:1"}, None),
            ({"all_proxy": "http://p:1"}, "http://p:1"),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, None),
        ],
    )
    def test_proxies_come_from_the_environment(self, env: dict[str, str], proxy: str | None) -> None:
        assert resolve(OpenAICompatibleOptions(base_url="https://x.example/v1"), env).proxy == proxy


def test_the_module_imports_no_http_library() -> None:
    code = (
        "import sys, routekit.builtin.providers.openai_compatible.provider;"
        "print([m for m in ('aiohttp', 'urllib3', 'litellm', 'langchain_core') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("base_url", "sent_as"),
    [("https://api.openai.com/v1", "max_completion_tokens"), ("http://127.0.0.1:1/v1", "max_tokens")],
)
def test_the_output_limit_is_sent_under_the_name_the_endpoint_takes(base_url: str, sent_as: str) -> None:
    name = OpenAICompatibleOptions(base_url=base_url).output_limit_name({})
    body = json.loads(wire.chat_body(call(params={"max_tokens": 7}), {}, stream=False, output_limit=name))
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {sent_as: 7}
