"""The local provider with the real model: SmolLM2 through llama.cpp, and the static embedder."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from routekit.builtin.providers.local import runtime as local_runtime
from routekit.builtin.providers.local.grammar import UnsupportedRequestError
from routekit.builtin.providers.local.provider import LocalOptions, LocalProvider, find_weights
from routekit.errors import (
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ModelNotFoundError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from routekit.plugin import ProviderCall
from routekit.types import Deployment, Model

pytestmark = pytest.mark.local_model

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Computes an arithmetic expression",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}
LONG = "word " * 2500
SKY = "Why is the sky blue?"
"""A question with one clear beginning: close calls fall differently on other processors and beside other calls."""


@pytest.fixture(scope="module", autouse=True)
def weights() -> Path:
    path = find_weights("smollm2")
    assert path is not None, "the local model's weights are missing; run: routekit models pull smollm2"
    return path


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    made = LocalProvider(LocalOptions())
    yield made
    made.close()


def call(
    prompt: str | Sequence[Any],
    *,
    tools: Sequence[Any] = (),
    model: str = "smollm2",
    timeout_s: float | None = None,
    first_token_timeout_s: float | None = None,
    **params: Any,
) -> ProviderCall:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return ProviderCall(
        deployment=Deployment(name="local", provider="local", model=Model(id=model)),
        messages=tuple(messages),
        tools=tuple(tools),
        params={"temperature": 0, "max_tokens": 12, **params},
        timeout_s=timeout_s,
        first_token_timeout_s=first_token_timeout_s,
    )


def active() -> int:
    return sum(len(runtime._active) for runtime in local_runtime._RUNTIMES.values())


def assert_idle() -> None:
    """Whatever was stopped has left the runtime; a prompt step takes a second at most."""
    until = time.monotonic() + 20
    while active() and time.monotonic() < until:
        time.sleep(0.02)
    assert active() == 0


def test_complete_answers_and_counts_tokens(provider: LocalProvider) -> None:
    answer = provider.complete(call(SKY))
    assert "sky" in answer.text
    assert answer.finish_reason == "length"
    assert answer.model == "smollm2"
    assert answer.usage is not None
    assert 20 < answer.usage.input_tokens < 60
    assert 0 < answer.usage.output_tokens <= 12


def test_max_tokens_and_stop_sequences_end_the_answer(provider: LocalProvider) -> None:
    cut = provider.complete(call("Count: 1 2 3", max_tokens=3))
    assert cut.finish_reason == "length"
    assert cut.usage is not None
    assert cut.usage.output_tokens == 3
    stopped = provider.complete(call(SKY, stop=["sky"]))
    assert stopped.finish_reason == "stop"
    assert "sky" not in stopped.text


def test_stream_hands_over_pieces_as_they_come(provider: LocalProvider) -> None:
    stream = provider.stream(call(SKY, logprobs=True))
    first = next(stream)
    assert active() == 1  # the rest is still being written
    chunks = [first, *stream]
    assert len([chunk for chunk in chunks if chunk.text]) > 3
    assert "sky" in "".join(chunk.text for chunk in chunks)
    assert first.delta["role"] == "assistant"
    assert first.logprobs is not None
    assert first.logprobs["content"][0]["logprob"] <= 0
    assert chunks[-1].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_astream_and_acomplete_agree_with_complete(provider: LocalProvider) -> None:
    request = call(SKY)
    whole = await provider.acomplete(request)
    chunks = [chunk async for chunk in provider.astream(request)]
    assert "".join(chunk.text for chunk in chunks) == whole.text == provider.complete(request).text


def test_a_seed_repeats_an_answer(provider: LocalProvider) -> None:
    request = call("Name an animal.", temperature=1.5, seed=7, max_tokens=6)
    assert provider.complete(request).text == provider.complete(request).text


def test_a_json_schema_is_enforced(provider: LocalProvider) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}, "n": {"type": "integer", "maximum": 9}},
        "required": ["city", "n"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    value = json.loads(provider.complete(call("Hello there!", response_format=form, max_tokens=40)).text)
    assert value["city"] in ("Rome", "Oslo")
    assert value.keys() == {"city", "n"}
    assert isinstance(value["n"], int)


def test_json_object_begins_as_an_object(provider: LocalProvider) -> None:
    assert provider.complete(call("Hello!", response_format={"type": "json_object"})).text.startswith("{")


def test_a_schema_that_the_compiler_would_ignore_is_refused(provider: LocalProvider) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/nowhere"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(UnsupportedRequestError):
        provider.complete(call("Describe Paris in JSON", response_format=form))


def test_a_required_tool_is_called(provider: LocalProvider) -> None:
    answer = provider.complete(
        call("What's the weather in Paris?", tools=[CALCULATOR, WEATHER], tool_choice="required", max_tokens=40)
    )
    (made,) = answer.message["tool_calls"]
    assert answer.finish_reason == "tool_calls"
    assert made["function"]["name"] == "get_weather"
    assert json.loads(made["function"]["arguments"]) == {"city": "Paris"}
    assert made["id"].startswith("call_")


def test_a_named_tool_is_called_and_streamed_as_one_delta(provider: LocalProvider) -> None:
    choice = {"type": "function", "function": {"name": "calculator"}}
    request = call("What is 2 + 3?", tools=[CALCULATOR, WEATHER], tool_choice=choice, max_tokens=40)
    calls = [chunk.delta["tool_calls"] for chunk in provider.stream(request) if chunk.delta.get("tool_calls")]
    assert len(calls) == 1
    assert calls[0][0]["function"]["name"] == "calculator"
    assert "expression" in json.loads(calls[0][0]["function"]["arguments"])


def test_auto_calls_for_the_weather_and_chats_otherwise(provider: LocalProvider) -> None:
    tools = [CALCULATOR, WEATHER]
    asked = provider.complete(call("Is it raining in London now?", tools=tools, max_tokens=40))
    assert asked.message["tool_calls"][0]["function"]["name"] == "get_weather"
    assert provider.complete(call("Hello!", tools=tools)).message.get("tool_calls") is None


def test_a_conversation_with_a_tools_result_is_answered(provider: LocalProvider) -> None:
    made = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    history = [
        {"role": "user", "content": "What's the weather in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c1", "content": "snow, -3 C"},
    ]
    answer = provider.complete(call(history, tools=[WEATHER]))
    assert answer.message.get("tool_calls") is None
    assert answer.text


def test_a_model_file_of_ones_own_chooses_tools_itself(weights: Path) -> None:
    """The way of files that nobody here knows: the schema offers an answer and every tool."""
    own = LocalProvider(LocalOptions(path=str(weights)))
    try:
        answer = own.complete(call("Hi!", tools=[WEATHER], model="anything", max_tokens=60))
        assert answer.message.get("tool_calls") or answer.text
        assert answer.model == weights.stem
        chunks = list(own.stream(call("Hi!", tools=[WEATHER], model="anything", max_tokens=60)))
        assert any(chunk.has_content for chunk in chunks)
    finally:
        own.close()


def test_a_tool_call_that_is_cut_off_is_no_answer(provider: LocalProvider) -> None:
    request = call("What's the weather in Paris?", tools=[WEATHER], tool_choice="required", max_tokens=4)
    with pytest.raises(InvalidResponseError, match="max_tokens"):
        provider.complete(request)


def test_a_deadline_stops_the_generation(provider: LocalProvider) -> None:
    with pytest.raises(ProviderTimeoutError):
        provider.complete(call(LONG, timeout_s=0.2))
    assert_idle()


def test_a_first_token_limit_stops_the_generation(provider: LocalProvider) -> None:
    with pytest.raises(ProviderTimeoutError, match="wrote nothing"):
        list(provider.stream(call(LONG, first_token_timeout_s=0.2, timeout_s=60)))
    assert_idle()


async def test_a_deadline_stops_the_generation_async(provider: LocalProvider) -> None:
    with pytest.raises(ProviderTimeoutError):
        await provider.acomplete(call(LONG, timeout_s=0.2))
    await asyncio.to_thread(assert_idle)


async def test_a_cancelled_task_stops_the_generation(provider: LocalProvider) -> None:
    task = asyncio.create_task(provider.acomplete(call("Write a long story.", max_tokens=400)))
    await asyncio.sleep(0.3)
    assert active() == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(assert_idle)


def test_closing_a_stream_stops_the_generation(provider: LocalProvider) -> None:
    stream = provider.stream(call("Write a long story.", max_tokens=400))
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert_idle()


async def test_closing_an_async_stream_never_waits(provider: LocalProvider) -> None:
    stream = provider.astream(call("Write a long story.", max_tokens=400))
    await anext(stream)
    stream.close()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await asyncio.to_thread(assert_idle)
    forgotten = provider.astream(call("Write a long story.", max_tokens=400))
    await anext(forgotten)
    del forgotten
    gc.collect()
    await asyncio.to_thread(assert_idle)


def test_threads_share_one_model(provider: LocalProvider) -> None:
    other = LocalProvider(LocalOptions())
    prompts = [SKY, "How do plants grow?"] * 5
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda job: (provider, other)[job[0] % 2].complete(call(job[1])), enumerate(prompts)))
    assert all(("sky", "lant")[n % 2] in answer.text for n, answer in enumerate(answers))
    assert len(local_runtime._RUNTIMES) == 1
    other.close()
    assert provider.complete(call("Hi", max_tokens=2)).usage is not None  # the other user's end is not ours


def test_waiting_for_a_slot_ends_with_the_deadline(provider: LocalProvider) -> None:
    """The pool of context holds one answer of this size; the second waits behind it."""
    first = provider.stream(call("Write a long story.", max_tokens=8000))
    next(first)
    with pytest.raises(ProviderTimeoutError):
        provider.complete(call("Hi", max_tokens=400, timeout_s=0.2))
    first.close()  # type: ignore[attr-defined]  # a generator
    assert_idle()
    assert provider.complete(call("Hi", max_tokens=2)).finish_reason == "length"


@pytest.mark.parametrize("select", ["logprob", "majority"])
def test_best_of_draws_several_and_gives_one(select: Any) -> None:
    several = LocalProvider(LocalOptions(best_of=3, select=select))
    try:
        chunks = list(several.stream(call("Name a colour.", temperature=0.9, max_tokens=6, seed=3)))
        assert len([chunk for chunk in chunks if chunk.text]) == 1
        usage = chunks[-1].usage
        assert usage is not None
        assert 1 <= usage.output_tokens <= 6  # one answer's share: the tier's price counts all samples
        assert usage.input_tokens < 40  # the prompt was read once
        assert chunks[0].logprobs is None  # nobody asked for them
    finally:
        several.close()


def test_too_long_a_prompt_names_the_context(provider: LocalProvider) -> None:
    with pytest.raises(ContextLengthExceededError, match="8192"):
        provider.complete(call("word " * 9000))


def test_what_cannot_be_served_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    text = tmp_path / "notes.gguf"
    text.write_text("not a model")
    for path in (text, tmp_path / "absent.gguf", tmp_path):
        with pytest.raises(ProviderSetupError, match=path.name):
            LocalProvider(LocalOptions(path=str(path))).complete(call("Hi"))
    with pytest.raises(ModelNotFoundError, match="smollm2"):
        LocalProvider(LocalOptions()).complete(call("Hi", model="gpt"))
    with pytest.raises(InvalidRequestError, match="max_tokens"):
        LocalProvider(LocalOptions()).complete(call("Hi", max_tokens=0))
    with pytest.raises(UnsupportedRequestError, match="one answer"):
        LocalProvider(LocalOptions()).complete(call("Hi", n=2))


def test_a_broken_model_file_names_its_path(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    provider = LocalProvider(LocalOptions(path=str(broken)))
    with pytest.raises(ProviderSetupError, match=r"broken\.gguf"):
        provider.complete(call("Hi"))
    provider.close()


def test_closing_a_provider_ends_its_calls() -> None:
    own = LocalProvider(LocalOptions(threads=1))
    errors: list[Exception] = []
    started = threading.Event()

    def consume() -> None:
        try:
            for _ in own.stream(call("Write a long story.", max_tokens=400)):
                started.set()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    assert started.wait(30)
    own.close()
    thread.join(30)
    assert isinstance(errors[0], ProviderUnavailableError)
    with pytest.raises(ProviderUnavailableError):
        own.complete(call("Hi"))


def test_the_interpreter_ends_cleanly_in_the_middle_of_a_generation() -> None:
    code = """
import sys; sys.path[:0] = ["src", "."]
from routekit.builtin.providers.local.provider import LocalOptions, LocalProvider
from routekit.plugin import ProviderCall
from routekit.types import Deployment, Model
call = ProviderCall(deployment=Deployment(name="d", provider="local", model=Model(id="smollm2")),
                    messages=({"role": "user", "content": "Write a long story."},))
stream = LocalProvider(LocalOptions()).stream(call)
next(stream)
print("left")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_process_is_told() -> None:
    code = """
import os, sys, warnings; sys.path[:0] = ["src", "."]; warnings.simplefilter("ignore")
from routekit.builtin.providers.local.provider import LocalOptions, LocalProvider
from routekit.errors import ProviderSetupError
from routekit.plugin import ProviderCall
from routekit.types import Deployment, Model
call = ProviderCall(deployment=Deployment(name="d", provider="local", model=Model(id="smollm2")),
                    messages=({"role": "user", "content": "Hi"},), params={"max_tokens": 2})
provider = LocalProvider(LocalOptions())
provider.complete(call)
child = os.fork()
if not child:
    try:
        provider.complete(call)
    except ProviderSetupError as error:
        os._exit(7 if "fork" in str(error) else 1)  # as multiprocessing ends its children
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert provider.complete(call).finish_reason
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_embeddings_put_like_beside_like(provider: LocalProvider) -> None:
    deployment = Deployment(name="local", provider="local", model=Model(id="smollm2"))
    found = provider.embed(deployment, ["a small cat", "a little kitten", "quarterly tax report", ""])
    cat, kitten, tax, empty = found.vectors
    assert len(cat) == 256
    assert sum(x * x for x in cat) == pytest.approx(1, abs=1e-4)
    assert sum(map(float.__mul__, cat, kitten)) > sum(map(float.__mul__, cat, tax))
    assert set(empty) == {0.0}
    assert found.input_tokens is not None
    assert found.input_tokens > 6


async def test_embeddings_async(provider: LocalProvider) -> None:
    deployment = Deployment(name="local", provider="local", model=Model(id="smollm2"))
    assert len((await provider.aembed(deployment, ["x"])).vectors) == 1
