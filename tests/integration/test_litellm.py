"""The litellm provider against real loopback servers: Anthropic-shaped and OpenAI-shaped."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from tests.support.litellm_upstream import claude, claude_events, gpt, upstream

from routekit.builtin.providers.litellm.provider import PLUGIN, LitellmOptions
from routekit.errors import (
    AuthenticationError,
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ModelNotFoundError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.plugin import PluginContext, ProviderCall
from routekit.types import Deployment, Model, Usage

KEY = "sk-ant-THE-SECRET-KEY"
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}


@pytest.fixture
def server():
    with upstream() as state:
        yield state


@pytest.fixture
def provider(tmp_path):
    return make(tmp_path)


def make(home: Path, **options):
    return PLUGIN.factory(LitellmOptions(**options), PluginContext(home=home, env={"MY_KEY": KEY}, name="litellm"))


def deployment(server, model: str = "anthropic/claude-haiku-4-5", **options) -> Deployment:
    base = server.url if model.startswith("anthropic/") else f"{server.url}/v1"
    return Deployment(
        name="claude",
        provider="litellm",
        model=Model(id=model),
        options={"api_key_env": "MY_KEY", "base_url": base, **options},
    )


def call(where: Deployment, **fields) -> ProviderCall:
    fields.setdefault("messages", ({"role": "user", "content": "hi"},))
    fields.setdefault("timeout_s", 10.0)
    return ProviderCall(deployment=where, **fields)


def chunk(delta: dict, reason: str | None = None, **more) -> dict:
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-served",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        **more,
    }


async def drained(stream) -> list:
    return [piece async for piece in stream]


def test_an_anthropic_answer_arrives_whole(server, provider):
    server.reply(
        claude(
            {"type": "thinking", "thinking": "hmm", "signature": "sig"},
            {"type": "text", "text": "hi"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            stop="tool_use",
            cache_read_input_tokens=100,
            cache_creation_input_tokens=20,
        ),
        request_id="r1",
        anthropic_ratelimit_requests_remaining="3",
    )
    tools, messages = (TOOL,), ({"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"})
    answer = provider.complete(
        call(deployment(server), messages=messages, tools=tools, params={"max_tokens": 50, "temperature": None})
    )
    assert answer.text == "hi"
    assert answer.finish_reason == "tool_calls"
    assert answer.message["tool_calls"] == [
        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ]
    assert answer.message["thinking_blocks"] == [{"type": "thinking", "thinking": "hmm", "signature": "sig"}]
    assert answer.message["reasoning_content"] == "hmm"
    assert answer.model == "claude-served"
    assert answer.headers["request-id"] == "r1"
    assert answer.usage.input_tokens == 130  # 10 fresh, 100 read, 20 written: Anthropic counts them apart
    assert (answer.usage.cache_read_tokens, answer.usage.cache_write_tokens) == (100, 20)
    assert answer.usage.output_tokens == 5
    path, headers, body = server.requests[-1]
    assert (path, headers["x-api-key"]) == ("/v1/messages", KEY)
    assert body["max_tokens"] == 50
    assert body["tools"][0]["name"] == "f"
    assert "temperature" not in body
    assert messages[0] == {"role": "system", "content": "be brief"}, "the caller's messages were changed"
    assert TOOL["function"]["name"] == "f"


def test_a_history_with_thinking_and_tool_results_travels_back(server, provider):
    server.reply(claude())
    history = (
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "thinking_blocks": [{"type": "thinking", "thinking": "hmm", "signature": "sig"}],
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "2"},
    )
    provider.complete(call(deployment(server), messages=history, tools=(TOOL,)))
    blocks = server.asked["messages"][1]["content"]
    assert {"type": "thinking", "thinking": "hmm", "signature": "sig"} in blocks
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_stream_has_text_finish_reason_and_inclusive_usage(server, provider, way):
    server.reply(claude_events("a", "b", cache_read_input_tokens=100, cache_creation_input_tokens=20))
    asked = call(deployment(server))
    if way == "sync":
        chunks = await asyncio.to_thread(lambda: list(provider.stream(asked)))
    else:
        chunks = await drained(provider.astream(asked))
        await provider.aclose()
    assert [c.text for c in chunks if c.text] == ["a", "b"]
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["stop"]
    (usage,) = [c.usage for c in chunks if c.usage]
    assert usage == Usage(input_tokens=130, output_tokens=7, cache_read_tokens=100, cache_write_tokens=20)


def test_a_tool_call_is_streamed(server, provider):
    server.reply(
        [
            claude_events()[0],
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
            },
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": p}}
                for p in ('{"a"', ": 1}")
            ),
            *claude_events(stop="tool_use")[-3:],
        ]
    )
    chunks = list(provider.stream(call(deployment(server), tools=(TOOL,))))
    parts = [part["function"] for c in chunks for part in c.delta.get("tool_calls", ())]
    assert "".join(part.get("arguments") or "" for part in parts) == '{"a": 1}'
    assert [part["name"] for part in parts if part.get("name")] == ["f"]
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["tool_calls"]


async def test_two_event_loops_one_after_another(server, provider):
    def once(close: bool) -> str:
        async def main() -> str:
            server.reply(claude())
            answer = await provider.acomplete(call(deployment(server)))
            server.reply(gpt("from openai"))
            other = await provider.acomplete(call(deployment(server, "openai/gpt-5-mini")))
            if close:
                await provider.aclose()
            return answer.text + other.text

        return asyncio.run(main())

    for close in (True, True, True):
        assert await asyncio.to_thread(once, close) == "hellofrom openai"


@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4-5", "openai/gpt-5-mini"])
async def test_streams_of_two_event_loops_at_once_do_not_disturb_each_other(server, provider, model):
    text = {True: claude_events("a", "b"), False: [chunk({"content": "a"}), chunk({"content": "b"}, "stop"), "[DONE]"]}
    events = text[model.startswith("anthropic")]
    asked = call(deployment(server, model))

    async def elsewhere() -> str:
        got = "".join(c.text for c in await drained(provider.astream(asked)))
        await provider.aclose()
        return got

    split = next(i for i, event in enumerate(events) if "'b'" in str(event))
    server.reply([*events[:split], "wait", *events[split:]])
    stream = provider.astream(asked)
    assert (await anext(stream)).text == "a"
    server.reply(events)
    assert await asyncio.to_thread(asyncio.run, elsewhere()) == "ab"
    server.released.set()
    assert "".join(c.text for c in await drained(stream)) == "b"
    await provider.aclose()


async def test_closing_leaves_nothing_open_and_does_not_break_the_next_call(server, provider):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for model in ("anthropic/claude-haiku-4-5", "openai/gpt-5-mini"):
            for _ in range(2):
                server.reply(claude() if model.startswith("anthropic") else gpt())
                assert (await provider.acomplete(call(deployment(server, model)))).text == "hello"
                await provider.aclose()
        gc.collect()
        await asyncio.sleep(0)
    assert not [w for w in seen if issubclass(w.category, ResourceWarning) and "unclosed" in str(w.message)]


async def test_one_provider_closing_leaves_another_of_the_same_loop_alone(server, tmp_path):
    one, two = make(tmp_path), make(tmp_path)
    where = deployment(server, "openai/gpt-5-mini")
    server.reply(gpt())
    await one.acomplete(call(where))
    server.reply([chunk({"content": "a"}), "wait", chunk({"content": "b"}), chunk({}, "stop"), "[DONE]"])
    stream = two.astream(call(where))
    assert (await anext(stream)).text == "a"
    await one.aclose()
    server.released.set()
    assert [c.text for c in await drained(stream) if c.text] == ["b"]
    await two.aclose()


@pytest.mark.parametrize("how", ["sync", "aclose", "close"])
@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4-5", "openai/gpt-5-mini"])
async def test_leaving_a_stream_early_hangs_up(server, provider, how, model):
    if model.startswith("anthropic"):
        events = claude_events("a", "b")
        server.reply([*events[:3], "wait", *events[3:]])
    else:
        server.reply([chunk({"content": "a"}), "wait", chunk({}, "stop")])
    asked = call(deployment(server, model))
    if how == "sync":
        stream = provider.stream(asked)
        assert (await asyncio.to_thread(next, stream)).text == "a"
        await asyncio.to_thread(stream.close)
    else:
        stream = provider.astream(asked)
        assert (await anext(stream)).text == "a"
        if how == "close":
            stream.close()
        else:
            await stream.aclose()
    assert await asyncio.to_thread(server.gone.wait, 10), "the server still has a listener"
    if how != "sync":
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await provider.aclose()


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("ending", ["silent", "cut"])
async def test_a_stream_that_breaks_off_raises(server, provider, way, ending):
    server.reply([*claude_events("a", "b", stop=None), *([None] if ending == "cut" else [])])
    asked = call(deployment(server))
    got = []
    expected = ProviderUnavailableError if ending == "cut" else InvalidResponseError

    async def read() -> None:
        if way == "sync":
            for piece in provider.stream(asked):
                got.append(piece.text)
        else:
            async for piece in provider.astream(asked):
                got.append(piece.text)

    with pytest.raises(expected) as caught:
        await read()
    assert "".join(got) == "ab"
    assert caught.value.deployment == "claude"
    assert caught.value.__context__ is None
    await provider.aclose()


def test_usage_that_litellm_counted_itself_is_marked(server, provider):
    server.reply([chunk({"role": "assistant", "content": "a"}), chunk({}, "stop"), "[DONE]"])
    chunks = list(provider.stream(call(deployment(server, "openai/gpt-5-mini"))))
    assert all(c.usage.estimated for c in chunks if c.usage)
    server.reply(
        [chunk({"content": "a"}), chunk({}, "stop"), {**chunk({}), "choices": [], "usage": gpt()["usage"]}, "[DONE]"]
    )
    chunks = list(provider.stream(call(deployment(server, "openai/gpt-5-mini"))))
    assert [c.usage for c in chunks if c.usage] == [Usage(input_tokens=10, output_tokens=5)]
    assert {c.model for c in chunks if c.text} == {"gpt-served"}
    assert server.asked["stream_options"] == {"include_usage": True}


FAILURES = [
    (429, {"error": {"type": "rate_limit_error", "message": "slow down"}}, RateLimitError),
    (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
        },
        ContextLengthExceededError,
    ),
    (404, {"error": {"type": "not_found_error", "message": "no such model"}}, ModelNotFoundError),
    (409, {"error": {"message": "conflict"}}, ProviderUnavailableError),
    (500, {"error": {"message": "oops"}}, ProviderUnavailableError),
    (503, {"error": {"message": "busy"}}, ProviderUnavailableError),
    (504, {"error": {"message": "late"}}, ProviderUnavailableError),
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, ProviderUnavailableError),
    (200, {}, InvalidResponseError),
]


@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4-5", "openai/gpt-5-mini"])
@pytest.mark.parametrize(
    ("status", "body", "expected"), FAILURES, ids=[f"{row[0]}-{row[2].__name__}" for row in FAILURES]
)
def test_a_failing_upstream_is_asked_once_and_classified(server, provider, model, status, body, expected):
    server.reply(body, status, retry_after="7")
    with pytest.raises(expected) as caught:
        provider.complete(call(deployment(server, model)))
    assert len(server.requests) == 1, "litellm retried"
    assert caught.value.deployment == "claude"
    if expected is RateLimitError:
        assert caught.value.retry_after_s == 7
        assert caught.value.status == 429


@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4-5", "openai/gpt-5-mini"])
async def test_an_echoed_key_reaches_nobody(server, provider, model, capfd):
    server.reply({"error": {"type": "authentication_error", "message": f"invalid key {KEY}, Bearer {KEY}"}}, 401)
    asked = call(deployment(server, model))
    for attempt in (
        lambda: asyncio.to_thread(provider.complete, asked),
        lambda: provider.acomplete(asked),
        lambda: drained(provider.astream(asked)),
        lambda: asyncio.to_thread(lambda: list(provider.stream(asked))),
    ):
        with pytest.raises(AuthenticationError) as caught:
            await attempt()
        link: BaseException | None = caught.value
        while link is not None:
            assert "SECRET" not in f"{link} {link!r} {vars(link)}"
            link = link.__cause__ or link.__context__
        assert "redacted" in str(caught.value).lower()
    await provider.aclose()
    shown = capfd.readouterr()
    assert shown.out == shown.err == "", "litellm printed"


async def test_a_refused_connection_is_unavailable(provider, server):
    for model in ("anthropic/claude-haiku-4-5", "openai/gpt-5-mini"):
        where = deployment(server, model, base_url="http://127.0.0.1:9/v1")
        with pytest.raises(ProviderUnavailableError) as caught:
            provider.complete(call(where))
        assert caught.value.status is None
        with pytest.raises(ProviderUnavailableError):
            await provider.acomplete(call(where))
    await provider.aclose()


async def test_silence_ends_at_the_limit(server, provider):
    where = deployment(server)
    server.reply(["wait"])
    with pytest.raises(ProviderTimeoutError):
        await drained(provider.astream(call(where, timeout_s=30.0, first_token_timeout_s=0.2)))
    with pytest.raises(ProviderTimeoutError):
        await drained(provider.astream(call(where, timeout_s=0.2)))
    await provider.aclose()


async def test_a_cancelled_stream_frees_its_connection(server, provider):
    events = claude_events("a")
    server.reply([*events[:3], "wait"])
    stream = provider.astream(call(deployment(server)))
    await anext(stream)
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.gone.wait, 10)
    await provider.aclose()


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_embeddings_keep_the_order(server, provider, way):
    server.reply(
        {
            "object": "list",
            "model": "e",
            "data": [
                {"object": "embedding", "index": 1, "embedding": [3.0, 4.0]},
                {"object": "embedding", "index": 0, "embedding": [1.0, 2.0]},
            ],
            "usage": {"prompt_tokens": 6, "total_tokens": 6},
        }
    )
    where = deployment(server, "openai/text-embedding-3-small")
    found = provider.embed(where, ["a", "b"]) if way == "sync" else await provider.aembed(where, ["a", "b"])
    await provider.aclose()
    assert found.vectors == ((1.0, 2.0), (3.0, 4.0))
    assert found.input_tokens == 6
    assert server.asked["input"] == ["a", "b"]


def test_a_missing_key_names_its_variable(server, provider):
    with pytest.raises(ProviderSetupError, match="OTHER_KEY is not set"):
        provider.complete(call(deployment(server, api_key_env="OTHER_KEY")))
    assert server.requests == []


def test_an_unknown_vendor_is_a_matter_of_setup(server, provider):
    with pytest.raises(ProviderSetupError, match="LLM Provider NOT provided"):
        provider.complete(call(deployment(server, "nobody/x")))


def test_options_of_the_provider_hold_where_the_deployment_has_none(server, tmp_path):
    server.reply(gpt())
    provider = make(tmp_path, api_key_env="MY_KEY", api_base=f"{server.url}/v1", extra={"extra_headers": {"x-a": "1"}})
    where = Deployment(name="d", provider="litellm", model=Model(id="openai/gpt-5-mini"))
    assert provider.complete(call(where)).text == "hello"
    headers = server.requests[-1][1]
    assert (headers["authorization"], headers["x-a"]) == (f"Bearer {KEY}", "1")


def test_threads_share_one_provider(server, provider):
    server.reply(claude())
    found = []
    where = deployment(server)
    threads = [threading.Thread(target=lambda: found.append(provider.complete(call(where)).text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["hello"] * 8


LAZY = """
import logging, socket, sys
class Refused(socket.socket):
    def connect(self, address):
        assert address[0] == "127.0.0.1", f"the network was tried: {address}"
        return super().connect(address)
socket.socket = Refused
real = socket.getaddrinfo
def getaddrinfo(host, *rest, **more):
    assert host in ("127.0.0.1", b"127.0.0.1"), f"a name was looked up: {host}"
    return real(host, *rest, **more)
socket.getaddrinfo = getaddrinfo
for name in ("mcp", "boto3", "botocore"):
    sys.modules[name] = None                     # as if they were not installed

from pathlib import Path
from tests.support.litellm_upstream import claude, upstream
from routekit.builtin.providers.litellm.provider import PLUGIN
from routekit.errors import ProviderSetupError
from routekit.plugin import PluginContext, ProviderCall
from routekit.types import Deployment, Model

provider = PLUGIN.factory(PLUGIN.options(), PluginContext(home=Path("nowhere"), env={"K": "sk-secret"}))
assert "litellm" not in sys.modules, "building the provider imported litellm"

with upstream() as server:
    server.reply(claude())
    options = {"api_key_env": "K", "base_url": server.url}
    model = Model(id="anthropic/claude-haiku-4-5")
    where = Deployment(name="d", provider="litellm", model=model, options=options)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    message = {"role": "user", "content": "x"}
    assert provider.complete(ProviderCall(deployment=where, messages=(message,), tools=(tool,))).text == "hello"
    assert "litellm" in sys.modules
    assert not any("mcp_handler" in name for name in sys.modules), "the proxy was imported for a tool"
    assert server.asked["tools"][0]["name"] == "f" and "_skip_mcp_handler" not in server.asked

model = Model(id="bedrock/anthropic.claude-3-haiku-20240307-v1:0")
bedrock = Deployment(name="b", provider="litellm", model=model)
try:
    provider.complete(ProviderCall(deployment=bedrock, messages=(message,)))
except ProviderSetupError as error:
    assert "pip install boto3" in str(error), error
else:
    raise AssertionError("answered without boto3")
assert all(isinstance(h, logging.NullHandler) for h in logging.getLogger("LiteLLM").handlers)
assert not logging.getLogger().handlers
"""


def test_litellm_is_imported_by_the_first_call_quietly_without_network_and_without_mcp(tmp_path):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", LAZY],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=100,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(root),
            "HOME": str(tmp_path),
            "AWS_EC2_METADATA_DISABLED": "true",
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""


async def asked(provider, way, given):
    if way == "complete":
        provider.complete(given)
    elif way == "acomplete":
        await provider.acomplete(given)
    elif way == "stream":
        list(provider.stream(given))
    else:
        await drained(provider.astream(given))


@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4-5", "openai/gpt-4o"])
def test_known_parameters_extra_body_and_headers_arrive(server, provider, model):
    from routekit.types.headers import CallHeaders

    server.reply(claude() if model.startswith("anthropic/") else gpt())
    params = {"temperature": 0.5, "top_k": 3, "extra_body": {"odd": {"a": 1}}}
    headers = CallHeaders.checked({"X-Title": "a", "x-config": "of the call"})
    where = deployment(server, model, extra={"extra_headers": {"X-Config": "of the deployment", "X-More": "b"}})
    provider.complete(call(where, params=params, headers=headers))
    _, sent, body = server.requests[-1]
    assert (body["temperature"], body["top_k"], body["odd"]) == (0.5, 3, {"a": 1})
    assert "extra_body" not in body
    assert (sent["x-title"], sent["x-config"], sent["x-more"]) == ("a", "of the call", "b")
    assert KEY in (sent.get("x-api-key") or sent["authorization"])


@pytest.mark.parametrize(
    "name",
    ["api_key", "api_base", "base_url", "mock_response", "custom_llm_provider", "model_list", "fallbacks", "metadata",
     "litellm_metadata", "proxy_server_request", "headers", "client", "num_retries", "success_callback",
     "aws_bedrock_runtime_endpoint", "extra_headers", "azure_ad_token", "organization", "provider_specific_header",
     "litellm_credential_name"],
)  # fmt: skip
@pytest.mark.parametrize("way", ["complete", "acomplete", "stream", "astream"])
async def test_settings_are_the_deployments_alone(server, provider, name, way):
    server.reply(claude())
    given = call(deployment(server), params={name: "http://elsewhere.test"})
    with pytest.raises(InvalidRequestError, match=name):
        await asked(provider, way, given)
    assert server.requests == []


@pytest.mark.parametrize(
    "name",
    ["api_key", "api_base", "base_url", "mock_response", "azure_ad_token", "aws_bedrock_runtime_endpoint",
     "vertex_credentials", "litellm_credential_name", "proxy_server_request"],
)  # fmt: skip
def test_nor_do_they_come_in_by_extra_body(server, provider, name):
    with pytest.raises(InvalidRequestError, match=name):
        provider.complete(call(deployment(server), params={"extra_body": {name: "http://elsewhere.test"}}))
    assert server.requests == []


def test_no_parameter_is_a_setting_of_litellm():
    from litellm.types.utils import all_litellm_params

    from routekit.types.parameters import KNOWN

    assert not KNOWN & set(all_litellm_params)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4-5", "openai/gpt-4o", "gemini/gemini-2.5-flash"])
@pytest.mark.parametrize("way", ["complete", "acomplete", "stream", "astream"])
async def test_no_prompt_follows_a_redirect(server, provider, status, model, way):
    with upstream() as elsewhere:
        server.reply({}, status, location=f"{elsewhere.url}/v1/messages")
        given = call(deployment(server, model))
        with pytest.raises(ProviderSetupError, match="redirect"):
            await asked(provider, way, given)
        assert elsewhere.requests == []
        await provider.aclose()


def test_a_litellm_that_cannot_be_imported_is_a_matter_of_setup(tmp_path):
    program = """
import sys
sys.modules["litellm"] = None
from routekit import Router
from routekit.errors import AllAttemptsFailedError, ProviderSetupError
table = {"name": "a", "provider": "litellm", "model": "anthropic/x", "price": {"input": 1, "output": 1}}
with Router({"deployments": [table], "records": {"enabled": False}}) as router:
    for ask in (router.complete, lambda text: list(router.stream(text))):
        try:
            ask("hi")
        except AllAttemptsFailedError as error:
            assert "ProviderSetupError" in str(error) and "litellm cannot be imported" in str(error), error
        else:
            raise AssertionError("answered")
"""
    assert _run(program, tmp_path) == ""


@pytest.mark.parametrize("flag", ["default", "error::DeprecationWarning"])
def test_its_warnings_reach_nobody(tmp_path, flag):
    program = """
import asyncio
from tests.support.litellm_upstream import claude, upstream
from routekit import Router
from routekit.errors import RoutekitError
models = ("anthropic/claude-haiku-4-5", "openai/gpt-4o", "gemini/gemini-2.5-flash", "cohere_chat/command-r",
          "mistral/m")
with upstream() as server:
    for model in models:
        server.reply(claude())
        table = {"name": "a", "provider": "litellm", "model": model, "base_url": server.url, "api_key_env": "K",
                 "price": {"input": 1, "output": 1}}
        with Router({"deployments": [table], "records": {"enabled": False}}, env={"K": "sk-1234567890"}) as router:
            async def once():
                try:
                    return await router.acomplete("hi")
                finally:
                    await router.aclose()
            for ask in (lambda: router.complete("hi"), lambda: list(router.stream("hi")), lambda: asyncio.run(once())):
                try:
                    ask()
                except RoutekitError:
                    assert model != models[0] or ask.__code__.co_firstlineno and "stream" in ask.__code__.co_names
"""
    assert _run(program, tmp_path, "-W", flag) == ""


def _run(program, home, *flags):
    """What a program of its own says on both of its outputs."""
    root = Path(__file__).parents[2]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "HOME": str(home), "ROUTEKIT_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, *flags, "-c", program], cwd=root, capture_output=True, text=True, timeout=100, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
