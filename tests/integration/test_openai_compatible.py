"""The OpenAI-compatible provider over real HTTP: every promise for threads and for event loops alike."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import socketserver
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.openai_server import OpenAIServer

from routekit.builtin.providers.openai_compatible.provider import PLUGIN, OpenAICompatible
from routekit.errors import (
    AuthenticationError,
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.plugin import Answer, Chunk, Embeddings, PluginContext, ProviderCall, reaper
from routekit.types import Deployment, Model

KEY = "sk-test-0123456789abcdef"
HELLO = ({"role": "user", "content": "hello"},)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def deployment(model: str = "m") -> Deployment:
    return Deployment(name=f"{model}-here", provider="openai-compatible", model=Model(id=model))


def call(model: str = "m", messages: Any = HELLO, **more: Any) -> ProviderCall:
    return ProviderCall(deployment=deployment(model), messages=messages, **{"timeout_s": 5.0, **more})


def provider_for(url: str, *, env: dict[str, str] | None = None, **options: Any) -> OpenAICompatible:
    checked = PLUGIN.options.checked({"base_url": url, **options}, where="test")
    made = PLUGIN.factory(checked, PluginContext(home=Path("/nowhere"), env=env or {}))
    assert isinstance(made, OpenAICompatible)
    return made


class Driver:
    """One provider, called from this thread or from an event loop of its own."""

    def __init__(self, provider: OpenAICompatible, mode: str) -> None:
        self.provider, self.mode = provider, mode
        self.runner = asyncio.Runner()

    def complete(self, call: ProviderCall) -> Answer:
        if self.mode == "sync":
            return self.provider.complete(call)
        return self.runner.run(self.provider.acomplete(call))

    def embed(self, texts: list[str]) -> Embeddings:
        if self.mode == "sync":
            return self.provider.embed(deployment(), texts, timeout_s=5)
        return self.runner.run(self.provider.aembed(deployment(), texts, timeout_s=5))

    def stream(self, call: ProviderCall, stop_after: int | None = None) -> list[Chunk]:
        """All chunks, or the first few and then `close`."""
        self.seen: list[Chunk] = []
        if self.mode == "sync":
            stream = self.provider.stream(call)
            for chunk in stream:
                self.seen.append(chunk)
                if len(self.seen) == stop_after:
                    stream.close()
            return self.seen

        async def consume() -> list[Chunk]:
            stream = self.provider.astream(call)
            async for chunk in stream:
                self.seen.append(chunk)
                if len(self.seen) == stop_after:
                    stream.close()
            return self.seen

        return self.runner.run(consume())

    def close(self) -> None:
        if self.mode == "sync":
            self.provider.close()
        else:
            self.runner.run(self.provider.aclose())
        self.runner.close()
        gc.collect()  # whatever was left open would warn here
        assert reaper.flush(20)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def drive(server: OpenAIServer, mode: str) -> Iterator[Driver]:
    driver = Driver(provider_for(server.url, env={"KEY": KEY}, api_key_env="KEY"), mode)
    yield driver
    driver.close()


class TestAnswers:
    def test_sends_the_request_and_reads_the_answer(self, server: OpenAIServer, drive: Driver) -> None:
        server.reply("Paris.", cached_tokens=2, headers={"x-ratelimit-remaining-requests": "7", "set-cookie": "no=1"})
        answer = drive.complete(call(params={"temperature": 0.5, "seed": None, "stop": ["X"]}))
        sent = server.requests[0]
        assert sent.body == {"model": "m", "messages": list(HELLO), "temperature": 0.5, "stop": ["X"]}
        assert sent.headers["authorization"] == f"Bearer {KEY}"
        assert sent.headers["content-type"] == "application/json"
        assert (answer.text, answer.finish_reason, answer.model) == ("Paris.", "stop", "m")
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.cache_read_tokens) == (4, 2)
        assert dict(answer.headers) == {"x-ratelimit-remaining-requests": "7", "x-request-id": "req-1"}

    def test_carries_tools_and_tool_calls(self, server: OpenAIServer, drive: Driver) -> None:
        asked = ({"role": "user", "content": "What is the weather in 'Oslo'?"},)
        answer = drive.complete(call(messages=asked, tools=(WEATHER,)))
        assert server.requests[0].body["tools"] == [WEATHER]
        [tool_call] = answer.message["tool_calls"]
        assert json.loads(tool_call["function"]["arguments"]) == {"city": "Oslo"}
        assert (answer.finish_reason, answer.message["content"]) == ("tool_calls", None)

    def test_merges_extra_body_and_headers_and_organization(self, server: OpenAIServer, mode: str) -> None:
        driver = Driver(
            provider_for(
                server.url + "/",
                env={"OTHER": "other-secret"},
                headers={"X-Team": "search", "api-key": "$OTHER"},
                organization="org-1",
                extra_body={"top_k": 4, "temperature": 1},
            ),
            mode,
        )
        driver.complete(call(params={"temperature": 0}))
        driver.close()
        sent = server.requests[0]
        assert (sent.body["top_k"], sent.body["temperature"]) == (4, 0)
        assert sent.headers["x-team"] == "search"
        assert sent.headers["api-key"] == "other-secret"
        assert sent.headers["openai-organization"] == "org-1"
        assert "authorization" not in sent.headers

    def test_leaves_a_content_filter_as_a_finish_reason(self, server: OpenAIServer, drive: Driver) -> None:
        server.reply("", finish_reason="content_filter")
        assert drive.complete(call()).finish_reason == "content_filter"

    def test_reads_logprobs(self, drive: Driver) -> None:
        answer = drive.complete(call(params={"logprobs": True}))
        assert answer.logprobs is not None
        assert [token["token"] for token in answer.logprobs["content"]] == ["You ", "said: ", "hello"]

    def test_embeds_in_the_order_of_the_texts(self, drive: Driver) -> None:
        both, second = drive.embed(["one", "two words"]), drive.embed(["two words"])
        assert len(both.vectors) == 2
        assert both.vectors[1] == second.vectors[0]
        assert both.input_tokens == 3

    def test_takes_large_requests_and_answers(self, server: OpenAIServer, drive: Driver) -> None:
        text = "é" * 1_500_000
        assert drive.complete(call(messages=({"role": "user", "content": text},))).text == f"You said: {text}"
        assert drive.complete(call()).text == "You said: hello"


class TestStreams:
    def test_hands_over_text_finish_reason_and_usage(self, server: OpenAIServer, drive: Driver) -> None:
        chunks = drive.stream(call(params={"logprobs": True}))
        assert "".join(chunk.text for chunk in chunks) == "You said: hello"
        assert server.requests[0].body["stream_options"] == {"include_usage": True}
        assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.input_tokens == 4
        assert next(chunk.logprobs["content"][0]["token"] for chunk in chunks if chunk.logprobs) == "You "

    def test_hands_over_tool_calls_piece_by_piece(self, drive: Driver) -> None:
        asked = ({"role": "user", "content": "What is the weather in 'Tromsø'?"},)
        chunks = drive.stream(call(messages=asked, tools=(WEATHER,)))
        pieces = [part["function"] for chunk in chunks for part in chunk.delta.get("tool_calls", ())]
        assert pieces[0]["name"] == "get_weather"
        assert json.loads("".join(piece["arguments"] for piece in pieces)) == {"city": "Tromsø"}

    def test_asks_for_no_usage_where_told_so(self, server: OpenAIServer, mode: str) -> None:
        driver = Driver(provider_for(server.url, stream_usage=False), mode)
        chunks = driver.stream(call())
        driver.close()
        assert "stream_options" not in server.requests[0].body
        assert all(chunk.usage is None for chunk in chunks)

    def test_ends_at_the_finish_reason_even_if_the_connection_stays_open(
        self, server: OpenAIServer, drive: Driver
    ) -> None:
        event = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
        server.reply(events=[event], fault="stall")
        assert [chunk.text for chunk in drive.stream(call())] == ["hi"]

    def test_done_is_a_finish_reason_where_there_is_no_other(self, server: OpenAIServer, drive: Driver) -> None:
        server.reply(events=[{"choices": [{"index": 0, "delta": {"content": "hi"}}]}, "[DONE]"])
        assert [(chunk.text, chunk.finish_reason) for chunk in drive.stream(call())] == [("hi", None), ("", "stop")]
        server.reply(events=["[DONE]"])
        with pytest.raises(ProviderUnavailableError, match="stream ended without a finish reason"):
            drive.stream(call())

    def test_an_end_without_finish_reason_is_a_failure(self, server: OpenAIServer, drive: Driver) -> None:
        server.reply(events=[{"choices": [{"index": 0, "delta": {"content": "hi"}}]}])
        with pytest.raises(ProviderUnavailableError, match="stream ended without a finish reason"):
            drive.stream(call())
        assert [chunk.text for chunk in drive.seen] == ["hi"]

    def test_a_cut_connection_is_a_failure_after_what_came(self, server: OpenAIServer, drive: Driver) -> None:
        server.reply("one two three four", fault="cut", after=3)
        with pytest.raises(ProviderUnavailableError):
            drive.stream(call())
        assert "".join(chunk.text for chunk in drive.seen) == "one two "

    def test_a_malformed_event_is_never_skipped(self, server: OpenAIServer, drive: Driver) -> None:
        good = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
        server.reply(events=['{"choices": [', good, "[DONE]"])
        with pytest.raises(InvalidResponseError, match="not JSON"):
            drive.stream(call())

    @pytest.mark.parametrize(
        "event",
        [
            {"error": {"message": "slow down", "code": "rate_limit_exceeded"}},
            b'event: error\ndata: {"message": "slow down", "code": "rate_limit_exceeded"}\n\n',
        ],
    )
    def test_an_error_event_is_raised_even_before_done(self, server: OpenAIServer, drive: Driver, event: Any) -> None:
        server.reply(events=[event, "[DONE]"])
        with pytest.raises(RateLimitError, match="slow down"):
            drive.stream(call())

    def test_an_error_status_is_classified(self, server: OpenAIServer, drive: Driver) -> None:
        server.reply(status=429, headers={"retry-after": "3"})
        with pytest.raises(RateLimitError) as caught:
            drive.stream(call())
        assert caught.value.retry_after_s == 3

    def test_an_endpoint_that_does_not_stream_gives_one_chunk(self, server: OpenAIServer, drive: Driver) -> None:
        body = {"choices": [{"message": {"content": "all"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
        server.reply(body=body)
        [chunk] = drive.stream(call())
        assert (chunk.text, chunk.finish_reason) == ("all", "stop")
        assert chunk.usage is not None

    def test_closing_early_frees_the_connection(self, server: OpenAIServer, drive: Driver) -> None:
        server.reply("a " * 50, chunk_delay_s=0.02)
        assert len(drive.stream(call(), stop_after=2)) == 2
        if drive.mode == "async":
            drive.runner.run(asyncio.sleep(0.01))
        server.wait_until(lambda: server.aborted == 1)
        server.wait_until(lambda: server.open_connections == 0)

    def test_a_forgotten_stream_frees_the_connection(self, server: OpenAIServer, drive: Driver) -> None:
        server.behave(chunk_delay_s=0.02, text="a " * 50)

        async def forget() -> None:
            stream = drive.provider.astream(call())
            await anext(stream)
            del stream
            await asyncio.sleep(0.01)

        if drive.mode == "sync":
            next(drive.provider.stream(call()))
        else:
            drive.runner.run(forget())
        server.wait_until(lambda: server.open_connections == 0)

    def test_the_first_token_has_a_limit_of_its_own(self, server: OpenAIServer, drive: Driver) -> None:
        keep_alive = b": still here\n\n"
        server.reply(events=[keep_alive] * 200, chunk_delay_s=0.02)
        with pytest.raises(ProviderTimeoutError):
            drive.stream(call(first_token_timeout_s=0.2))


class TestFailures:
    def test_reads_error_body_and_headers(self, server: OpenAIServer, drive: Driver) -> None:
        error = {"message": "This model's maximum context length is 10 tokens", "code": "context_length_exceeded"}
        server.reply(status=400, body={"error": error})
        with pytest.raises(ContextLengthExceededError) as caught:
            drive.complete(call())
        assert (caught.value.status, caught.value.deployment) == (400, "m-here")
        assert caught.value.body == {"error": error}

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            ({"error": {"message": "overloaded", "code": 503}}, ProviderUnavailableError),
            ({"error": {"message": "who knows"}}, InvalidResponseError),
            ({"choices": []}, InvalidResponseError),
            ({"choices": [{"message": {"role": "assistant", "content": None}}]}, InvalidResponseError),
            (b"<html>", InvalidResponseError),
            (b"null", InvalidResponseError),
            (b"", InvalidResponseError),
            (b"[" * 100_000, InvalidResponseError),
        ],
        ids=["error", "unknown-error", "no-choices", "empty-message", "html", "null", "nothing", "deep"],
    )
    def test_a_200_that_is_no_answer_is_refused(
        self, server: OpenAIServer, drive: Driver, body: Any, kind: type[ProviderError]
    ) -> None:
        server.reply(body=body)
        with pytest.raises(kind) as caught:
            drive.complete(call())
        assert type(caught.value) is kind
        assert caught.value.status == 200

    def test_a_redirect_is_not_followed(self, server: OpenAIServer, drive: Driver) -> None:
        server.reply(status=307, body=b"", headers={"location": server.url})
        with pytest.raises(ProviderSetupError, match="base_url"):
            drive.complete(call())
        assert len(server.requests) == 1

    def test_nobody_listening_is_unavailable(self, mode: str) -> None:
        driver = Driver(provider_for("http://127.0.0.1:9/v1"), mode)
        with pytest.raises(ProviderUnavailableError):
            driver.complete(call())
        with pytest.raises(ProviderUnavailableError):
            driver.stream(call())
        driver.close()

    @pytest.mark.parametrize(
        ("fault", "kind"), [("reset", ProviderUnavailableError), ("cut", ProviderUnavailableError)]
    )
    def test_a_lost_connection_is_unavailable_and_sent_once(
        self, server: OpenAIServer, drive: Driver, fault: str, kind: type[ProviderError]
    ) -> None:
        drive.complete(call())
        server.reply(fault=fault)
        with pytest.raises(kind):
            drive.complete(call())
        assert len(server.requests) == 2

    @pytest.mark.parametrize("fault", ["hang", "stall", "drip"])
    def test_the_deadline_holds(self, server: OpenAIServer, drive: Driver, fault: str) -> None:
        server.behave(fault=fault, chunk_delay_s=0.02, after=2)
        for attempt in (lambda c: drive.complete(c), lambda c: drive.stream(c)):
            with pytest.raises(ProviderTimeoutError):
                attempt(call(timeout_s=0.3, messages=({"role": "user", "content": "x" * 400},)))

    def test_dripping_headers_do_not_outlast_the_deadline(self, mode: str) -> None:
        with DrippingServer() as url:
            driver = Driver(provider_for(url), mode)
            with pytest.raises(ProviderTimeoutError):
                driver.complete(call(timeout_s=0.3))
            driver.close()

    def test_an_oversize_answer_is_refused(self, server: OpenAIServer, mode: str) -> None:
        driver = Driver(provider_for(server.url, max_response_bytes=10_000), mode)
        server.behave(text="x" * 20_000)
        with pytest.raises(InvalidResponseError, match="max_response_bytes"):
            driver.complete(call())
        with pytest.raises(InvalidResponseError, match="max_response_bytes"):
            driver.stream(call())
        driver.close()

    def test_a_gzip_bomb_is_refused(self, server: OpenAIServer, mode: str) -> None:
        driver = Driver(provider_for(server.url, max_response_bytes=100_000), mode)
        bomb = gzip.compress(b"0" * 50_000_000)
        server.reply(body=bomb, headers={"content-encoding": "gzip"})
        with pytest.raises(InvalidResponseError, match="max_response_bytes"):
            driver.complete(call())
        server.reply(events=[bomb], headers={"content-encoding": "gzip"})
        with pytest.raises(InvalidResponseError):
            driver.stream(call())
        driver.close()

    def test_reads_a_body_that_a_proxy_compressed(self, server: OpenAIServer, drive: Driver) -> None:
        body = {"choices": [{"message": {"content": "small"}, "finish_reason": "stop"}]}
        server.reply(body=gzip.compress(json.dumps(body).encode()), headers={"content-encoding": "gzip"})
        assert drive.complete(call()).text == "small"

    def test_a_missing_key_names_the_variable(self, server: OpenAIServer, mode: str) -> None:
        driver = Driver(provider_for(server.url, api_key_env="NOT_THERE"), mode)
        with pytest.raises(ProviderSetupError, match="NOT_THERE"):
            driver.complete(call())
        driver.close()
        assert server.requests == []

    def test_a_request_that_is_no_json_is_refused_unsent(self, server: OpenAIServer, drive: Driver) -> None:
        with pytest.raises(InvalidRequestError, match="JSON"):
            drive.complete(call(params={"temperature": float("nan")}))
        assert server.requests == []

    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize("status", [200, 401])
    def test_the_key_never_reaches_an_error(
        self, server: OpenAIServer, drive: Driver, streaming: bool, status: int
    ) -> None:
        echo = {"error": {"message": f"bad key {KEY} (Bearer {KEY}, Bearer other)", "code": "invalid_api_key"}}
        server.reply(status=status, body=echo)
        with pytest.raises(AuthenticationError) as caught:
            drive.stream(call()) if streaming else drive.complete(call())
        error = caught.value
        told = [str(error), repr(error), repr(error.body), "".join(traceback.format_exception(error))]
        assert not any(KEY in text or "Bearer other" in text for text in told)
        assert "[redacted]" in str(error)
        assert (error.__cause__, error.__context__) == (None, None)

    def test_a_transport_failure_has_no_chain_that_holds_the_headers(self, server: OpenAIServer, drive: Driver) -> None:
        server.behave(fault="reset")
        for attempt in (lambda: drive.complete(call()), lambda: drive.stream(call())):
            with pytest.raises(ProviderUnavailableError) as caught:
                attempt()
            assert (caught.value.__cause__, caught.value.__context__) == (None, None)


class TestConnections:
    def test_are_used_again(self, server: OpenAIServer, drive: Driver) -> None:
        for _ in range(3):
            drive.complete(call())
            drive.stream(call())
            drive.embed(["x"])
        assert server.connections == 1

    def test_that_the_server_closed_are_not(self, server: OpenAIServer, drive: Driver) -> None:
        drive.complete(call())
        for _ in range(3):
            server.drop_connections()
            time.sleep(0.06)
            assert drive.complete(call()).text == "You said: hello"
        assert len(server.requests) == server.connections == 4

    def test_are_reused_after_an_error_status(self, server: OpenAIServer, drive: Driver) -> None:
        drive.complete(call())
        server.reply(status=429)
        with pytest.raises(RateLimitError):
            drive.complete(call())
        assert drive.complete(call()).finish_reason == "stop"

    def test_are_shared_by_threads(self, server: OpenAIServer, mode: str) -> None:
        provider = provider_for(server.url)
        texts: list[str] = []

        def work(number: int) -> None:
            driver = Driver(provider, mode)
            for turn in range(5):
                said = f"{number}-{turn}"
                text = driver.complete(call(messages=({"role": "user", "content": said},))).text
                texts.append(text.removeprefix("You said: "))
            driver.runner.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        provider.close()
        gc.collect()
        assert sorted(texts) == sorted(f"{number}-{turn}" for number in range(8) for turn in range(5))

    def test_one_provider_serves_loops_one_after_the_other(self, server: OpenAIServer) -> None:
        provider = provider_for(server.url)
        for _ in range(3):
            assert asyncio.run(provider.acomplete(call())).text == "You said: hello"
            gc.collect()
        assert server.connections == 3
        provider.close()

    def test_survive_a_loop_that_was_closed_bare(self, server: OpenAIServer) -> None:
        provider = provider_for(server.url)
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(provider.acomplete(call())).text == "You said: hello"
            loop.close()
        provider.close()
        gc.collect()
        server.wait_until(lambda: server.open_connections == 0)

    def test_a_cancelled_call_frees_its_connection(self, server: OpenAIServer) -> None:
        provider = provider_for(server.url)
        server.behave(fault="hang")

        async def cancel() -> None:
            for make in (lambda: provider.acomplete(call()), lambda: anext(provider.astream(call()))):
                task = asyncio.ensure_future(make())
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await asyncio.sleep(0.01)
            server.wait_until(lambda: server.aborted == 2)
            await provider.aclose()

        asyncio.run(cancel())

    async def test_serve_many_tasks_at_once(self, server: OpenAIServer) -> None:
        provider = provider_for(server.url)
        server.behave(delay_s=0.05)
        answers = await asyncio.gather(*(provider.acomplete(call()) for _ in range(20)))
        assert {answer.text for answer in answers} == {"You said: hello"}
        assert server.connections == 20
        await provider.aclose()

    def test_closing_from_another_thread_ends_a_running_loops_session(self, server: OpenAIServer) -> None:
        provider = provider_for(server.url)

        async def work() -> None:
            await provider.acomplete(call())
            await asyncio.to_thread(provider.close)
            await asyncio.sleep(0.05)
            server.wait_until(lambda: server.open_connections == 0)
            assert (await provider.acomplete(call())).finish_reason == "stop"

        asyncio.run(work())


class DrippingServer:
    """Accepts one connection and sends a status line byte by byte, for ever."""

    def __enter__(self) -> str:
        import socket

        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"

    def run(self) -> None:
        connection, _ = self.socket.accept()
        with connection:
            try:
                for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: " + b"y" * 2000:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.02)
            except OSError:
                return

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.socket.close()


class _ClosesInSilence(socketserver.StreamRequestHandler):
    """Says keep-alive, and closes nevertheless."""

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        if not length:
            return
        self.rfile.read(length)
        body = json.dumps(
            {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
        ).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def test_a_server_that_closes_after_keep_alive_fails_nobody_who_is_there_a_moment_later() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _ClosesInSilence) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
        provider = provider_for(url)
        for _ in range(5):
            assert (await provider.acomplete(call())).text == "ok"
            time.sleep(0.03)  # the loop itself sees nothing meanwhile
        await provider.aclose()
        listening.shutdown()
