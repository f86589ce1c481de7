"""LangChain's standard integration suite for chat models, over real HTTP on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.integration_tests import chat_models as suite
from tests.support.langchain_server import two_deployments
from tests.support.openai_server import OpenAIServer

from routekit.langchain import RoutedChatModel

Detail = Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 7},
}


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    """`test_stream_time` asks for recorded traffic; here it records the loopback anew each time."""
    return {"record_mode": "all"}


@pytest.fixture(scope="module")
def vcr_cassette_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cassettes"))


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.filterwarnings("ignore:LANGCHAIN_TESTS_USER_AGENT:UserWarning")
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")
class TestRoutedChatModel(ChatModelIntegrationTests):
    """No case is skipped."""

    server: OpenAIServer

    @pytest.fixture(autouse=True)
    def _around(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """A server of its own for each case; and the suite's pictures and sounds without the network."""
        monkeypatch.setattr(suite.httpx, "get", lambda *_, **__: SimpleNamespace(content=b"RIFF0000WAVE"))
        with OpenAIServer() as server:
            type(self).server = server
            yield

    @property
    def chat_model_class(self) -> type[RoutedChatModel]:
        return RoutedChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"config": two_deployments(self.server.url)}

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_video_inputs(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "dear"

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Detail]]:
        details: list[Detail] = ["reasoning_output", "cache_read_input", "cache_creation_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._invoke_with_usage(stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self._invoke_with_usage(stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self._invoke_with_usage(stream)

    def _invoke_with_usage(self, stream: bool) -> AIMessage:
        self.server.reply("fine", usage=USAGE)
        model: BaseChatModel = RoutedChatModel(**self.chat_model_params)
        if not stream:
            answer = model.invoke("hi")
        else:
            added: AIMessageChunk | None = None
            for chunk in model.stream("hi"):
                assert isinstance(chunk, AIMessageChunk)
                added = chunk if added is None else added + chunk
            assert added is not None
            answer = added
        assert answer.usage_metadata == {
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_token_details": {"cache_read": 40, "cache_creation": 10},
            "output_token_details": {"reasoning": 7},
        }
        return answer
