"""The contract of a provider, as tests.

Example::

    import pytest
    from routekit.testing.contracts import ProviderContract
    from routekit.types import Deployment, Model
    from routekit_mine import Mine

    class TestMine(ProviderContract):
        @pytest.fixture
        def provider(self):
            provider = Mine()
            yield provider
            provider.close()

        @pytest.fixture
        def deployment(self):
            return Deployment(name="mine", provider="mine", model=Model(id="some-model"))
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from routekit.errors import InvalidRequestError, ProviderError, ProviderSetupError, ProviderTimeoutError
from routekit.plugin import Answer, Chunk, Embeddings, Provider, ProviderCall
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import Deployment, Message, Usage

TIMEOUT_S = 60.0
"""How long an ordinary call of the suite may take."""

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class ProviderContract(ContractSuite):
    """Subclass it and give the fixtures `provider` and `deployment`. The suite makes a few dozen short calls.

    `slow_call` is a call that cannot be answered within its own time limit, and `failing_calls` pairs
    calls that must fail with the error each must raise: give them where you can bring that about.
    """

    @pytest.fixture
    def provider(self) -> Provider:
        """The provider under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `provider` that returns the provider")

    @pytest.fixture
    def deployment(self) -> Deployment:
        """A deployment that it can call."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `deployment` to call")

    @pytest.fixture
    def slow_call(self) -> ProviderCall | None:
        """A call whose time runs out. Without one, a limit of a microsecond is tried."""
        return None

    @pytest.fixture
    def failing_calls(self) -> Sequence[tuple[ProviderCall, type[ProviderError]]]:
        """Calls that fail, each with the error that it must raise."""
        return ()

    def test_an_answer_has_a_message_a_finish_reason_and_usage(
        self, provider: Provider, deployment: Deployment
    ) -> None:
        assert isinstance(provider, Provider)
        check_answer(provider.complete(call_for(deployment)))

    def test_the_call_is_left_as_it_was(self, provider: Provider, deployment: Deployment) -> None:
        call = call_for(deployment, tools=(TOOL,), params={"temperature": 0.0, "max_tokens": 16})
        before = copy.deepcopy((call.messages, call.tools, dict(call.params)))
        provider.complete(call)
        list(provider.stream(call))
        assert (call.messages, call.tools, dict(call.params)) == before, "copy what you change: callers share it"

    def test_a_stream_adds_up_to_an_answer(self, provider: Provider, deployment: Deployment) -> None:
        check_chunks(list(provider.stream(call_for(deployment))))

    def test_streams_and_answers_report_usage_alike(self, provider: Provider, deployment: Deployment) -> None:
        whole = provider.complete(call_for(deployment))
        chunks = list(provider.stream(call_for(deployment)))
        streamed = [chunk.usage for chunk in chunks if chunk.usage is not None]
        assert bool(streamed) == (whole.usage is not None), "usage is reported either way or neither way"

    def test_async_answers_have_the_same_shape(self, provider: Provider, deployment: Deployment) -> None:
        async def ask() -> Answer:
            return await provider.acomplete(call_for(deployment))

        answer, plain = asyncio.run(ask()), provider.complete(call_for(deployment))
        check_answer(answer)
        assert answer.finish_reason == plain.finish_reason
        assert set(_present(answer.message)) == set(_present(plain.message))
        assert (answer.usage is None) == (plain.usage is None)

    def test_async_streams_have_the_same_shape(self, provider: Provider, deployment: Deployment) -> None:
        async def read() -> list[Chunk]:
            return [chunk async for chunk in provider.astream(call_for(deployment))]

        chunks = asyncio.run(read())
        check_chunks(chunks)
        plain = list(provider.stream(call_for(deployment)))
        assert _finish_reasons(chunks) == _finish_reasons(plain)

    def test_a_stream_may_be_left_early(self, provider: Provider, deployment: Deployment) -> None:
        stream = provider.stream(call_for(deployment))
        next(stream)
        close = getattr(stream, "close", None)
        assert close is not None, "a stream is a generator, or has `close`: leaving it early frees its connection"
        close()
        close()
        check_answer(provider.complete(call_for(deployment)))

    def test_an_async_stream_may_be_left_early(self, provider: Provider, deployment: Deployment) -> None:
        async def leave() -> Answer:
            stream = provider.astream(call_for(deployment))
            await anext(stream)
            close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
            assert close is not None, "an asynchronous stream is a generator, or has `aclose` or `close`"
            if (waiting := close()) is not None:
                await waiting
            return await provider.acomplete(call_for(deployment))

        check_answer(asyncio.run(leave()))

    def test_a_conversation_with_tool_results_is_understood(self, provider: Provider, deployment: Deployment) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
        messages: tuple[Message, ...] = (
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "How is the weather in Rome?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        )
        if deployment.model.capabilities and "tools" not in deployment.model.capabilities:
            pytest.skip("the deployment has no tools")
        check_answer(provider.complete(call_for(deployment, messages=messages, tools=(TOOL,))))

    def test_parts_of_text_are_understood(self, provider: Provider, deployment: Deployment) -> None:
        parts: tuple[Message, ...] = ({"role": "user", "content": [{"type": "text", "text": "Say hello."}]},)
        check_answer(provider.complete(call_for(deployment, messages=parts)))

    def test_a_time_limit_is_kept(
        self, provider: Provider, deployment: Deployment, slow_call: ProviderCall | None
    ) -> None:
        self._runs_out(slow_call, lambda call: provider.complete(call), deployment)

    def test_a_stream_keeps_its_time_limit(
        self, provider: Provider, deployment: Deployment, slow_call: ProviderCall | None
    ) -> None:
        self._runs_out(slow_call, lambda call: list(provider.stream(call)), deployment)

    def test_async_calls_keep_their_time_limit(
        self, provider: Provider, deployment: Deployment, slow_call: ProviderCall | None
    ) -> None:
        async def read(call: ProviderCall) -> list[Chunk]:
            return [chunk async for chunk in provider.astream(call)]

        self._runs_out(slow_call, lambda call: asyncio.run(provider.acomplete(call)), deployment)
        self._runs_out(slow_call, lambda call: asyncio.run(read(call)), deployment)

    def test_failures_are_classified(
        self, provider: Provider, failing_calls: Sequence[tuple[ProviderCall, type[ProviderError]]]
    ) -> None:
        if not failing_calls:
            pytest.skip("give a fixture `failing_calls` to have this checked")

        async def read(call: ProviderCall) -> list[Chunk]:
            return [chunk async for chunk in provider.astream(call)]

        for call, kind in failing_calls:
            for ask in (
                provider.complete,
                lambda call: list(provider.stream(call)),
                lambda call: asyncio.run(provider.acomplete(call)),
                lambda call: asyncio.run(read(call)),
            ):
                with pytest.raises(ProviderError) as failed:
                    ask(call)
                assert type(failed.value) is kind, f"{type(failed.value).__name__} in place of {kind.__name__}"
                assert str(failed.value).strip(), "an error says what happened"

    def test_a_failure_leaves_the_provider_usable(
        self,
        provider: Provider,
        deployment: Deployment,
        failing_calls: Sequence[tuple[ProviderCall, type[ProviderError]]],
    ) -> None:
        for call, _ in failing_calls:
            with pytest.raises(ProviderError):
                provider.complete(call)
        check_answer(provider.complete(call_for(deployment)))

    def test_threads_may_use_it_at_once(self, provider: Provider, deployment: Deployment) -> None:
        with ThreadPoolExecutor(4) as pool:
            for answer in pool.map(provider.complete, [call_for(deployment)] * 8):
                check_answer(answer)
            for chunks in pool.map(lambda call: list(provider.stream(call)), [call_for(deployment)] * 8):
                check_chunks(chunks)

    def test_tasks_may_use_it_at_once(self, provider: Provider, deployment: Deployment) -> None:
        async def many() -> list[Answer]:
            return await asyncio.gather(*(provider.acomplete(call_for(deployment)) for _ in range(8)))

        for answer in asyncio.run(many()):
            check_answer(answer)

    def test_one_event_loop_after_another_may_use_it(self, provider: Provider, deployment: Deployment) -> None:
        for _ in range(3):
            check_answer(asyncio.run(provider.acomplete(call_for(deployment))))

    def test_embeddings_are_in_order_or_refused(self, provider: Provider, deployment: Deployment) -> None:
        try:
            found = provider.embed(deployment, ["one", "two", "one"], timeout_s=TIMEOUT_S)
        except (ProviderSetupError, InvalidRequestError):
            return
        assert isinstance(found, Embeddings)
        assert len(found.vectors) == 3
        assert len({len(vector) for vector in found.vectors}) == 1
        assert found.vectors[0] == pytest.approx(found.vectors[2])

    @staticmethod
    def _runs_out(slow_call: ProviderCall | None, ask: Any, deployment: Deployment) -> None:
        if slow_call is not None:
            with pytest.raises(ProviderTimeoutError):
                ask(slow_call)
            return
        try:
            ask(replace(call_for(deployment), timeout_s=1e-6))
        except ProviderTimeoutError:
            return
        pytest.skip("it answered at once; give a fixture `slow_call` to have its time limit checked")


def call_for(
    deployment: Deployment,
    *,
    messages: tuple[Message, ...] = ({"role": "user", "content": "Say hello."},),
    tools: tuple[Mapping[str, Any], ...] = (),
    params: Mapping[str, Any] | None = None,
) -> ProviderCall:
    """An ordinary, short call, at temperature 0: two of them are compared."""
    return ProviderCall(
        deployment=deployment,
        messages=messages,
        tools=tools,
        timeout_s=TIMEOUT_S,
        params=params or {"max_tokens": 32, "temperature": 0.0},
    )


def check_answer(answer: Answer) -> None:
    """An answer is an assistant's message with something in it, a finish reason, and usage that makes sense."""
    assert isinstance(answer, Answer)
    assert answer.message.get("role") == "assistant"
    assert answer.message.get("content") or answer.message.get("tool_calls"), "an empty answer is no answer"
    assert isinstance(answer.finish_reason, str)
    assert answer.finish_reason, "say why it ended"
    if answer.usage is not None:
        check_usage(answer.usage)


def check_chunks(chunks: Sequence[Chunk]) -> None:
    """Chunks have content, one finish reason and at most one usage, and nothing to read after the end."""
    assert all(isinstance(chunk, Chunk) for chunk in chunks)
    assert any(chunk.has_content for chunk in chunks), "a stream without content is no answer"
    assert len(_finish_reasons(chunks)) == 1, "exactly one chunk carries the finish reason"
    ended = next(place for place, chunk in enumerate(chunks) if chunk.finish_reason)
    assert not any(chunk.has_content for chunk in chunks[ended + 1 :]), "content came after the finish reason"
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(usages) <= 1, "usage is for the whole answer; report it once"
    for usage in usages:
        check_usage(usage)


def check_usage(usage: Usage) -> None:
    """The buckets are inclusive: cached and reasoning tokens are part of input and output tokens."""
    assert isinstance(usage, Usage)
    assert usage.input_tokens > 0
    assert usage.output_tokens >= 0
    assert 0 <= usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens


def _finish_reasons(chunks: Sequence[Chunk]) -> list[str]:
    return [chunk.finish_reason for chunk in chunks if chunk.finish_reason]


def _present(message: Mapping[str, Any]) -> list[str]:
    return [key for key, value in message.items() if value]
