"""Built-in providers keep the contract that third parties' providers keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.openai_server import OpenAIServer

from routekit.builtin.providers.litellm import provider as litellm
from routekit.builtin.providers.local import provider as local
from routekit.builtin.providers.local.grammar import UnsupportedRequestError
from routekit.builtin.providers.openai_compatible import provider as openai_compatible
from routekit.errors import (
    AuthenticationError,
    InvalidRequestError,
    InvalidResponseError,
    ModelNotFoundError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.plugin import PluginContext, Provider, ProviderCall
from routekit.testing import Reply, ScriptedProvider
from routekit.testing.contracts import ProviderContract
from routekit.testing.contracts.provider import call_for
from routekit.types import Deployment, Model

STATUSES: dict[int, type[ProviderError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: ModelNotFoundError,
    429: RateLimitError,
    500: ProviderUnavailableError,
    503: ProviderUnavailableError,
}


def deployment_of(model: str, provider: str) -> Deployment:
    return Deployment(name=f"{model}-here", provider=provider, model=Model(id=model))


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.behave(model="slow", delay_s=0.5)
        server.behave(model="dead", fault="reset")
        server.behave(model="empty", body={"choices": []})
        for status in STATUSES:
            server.behave(model=f"status-{status}", status=status)
        yield server


class TestOpenAICompatible(ProviderContract):
    @pytest.fixture
    def provider(self, server: OpenAIServer) -> Iterator[Provider]:
        options = openai_compatible.PLUGIN.options.checked({"base_url": server.url}, where="test")
        provider = openai_compatible.PLUGIN.factory(options, PluginContext(home=Path("/nowhere"), env={}))
        yield provider
        provider.close()

    @pytest.fixture
    def deployment(self) -> Deployment:
        return deployment_of("m", "openai-compatible")

    @pytest.fixture
    def slow_call(self) -> ProviderCall:
        return replace(call_for(deployment_of("slow", "openai-compatible")), timeout_s=0.05)

    @pytest.fixture
    def failing_calls(self) -> Sequence[tuple[ProviderCall, type[ProviderError]]]:
        kinds = {**{f"status-{status}": kind for status, kind in STATUSES.items()},
                 "dead": ProviderUnavailableError, "empty": InvalidResponseError}  # fmt: skip
        return [(call_for(deployment_of(model, "openai-compatible")), kind) for model, kind in kinds.items()]


class TestScripted(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        def play(call: ProviderCall) -> Reply | BaseException:
            model = call.deployment.model.id
            if model == "busy":
                return RateLimitError("busy", retry_after_s=1.0)
            return Reply(text="Hello there.", delay_s=5.0 if model == "slow" else 0.0)

        return ScriptedProvider(play)

    @pytest.fixture
    def deployment(self) -> Deployment:
        return deployment_of("m", "scripted")

    @pytest.fixture
    def slow_call(self) -> ProviderCall:
        return replace(call_for(deployment_of("slow", "scripted")), timeout_s=1.0)

    @pytest.fixture
    def failing_calls(self) -> Sequence[tuple[ProviderCall, type[ProviderError]]]:
        return [(call_for(deployment_of("busy", "scripted")), RateLimitError)]


@pytest.mark.filterwarnings("ignore:Accessing the 'model_.*' attribute on the instance:DeprecationWarning")
class TestLitellm(ProviderContract):
    @pytest.fixture
    def provider(self, server: OpenAIServer) -> Iterator[Provider]:
        env = {"SOME_KEY": "not-a-key"}
        options = litellm.PLUGIN.options.checked({"base_url": server.url, "api_key_env": "SOME_KEY"}, where="test")
        provider = litellm.PLUGIN.factory(options, PluginContext(home=Path("/nowhere"), env=env))
        yield provider
        provider.close()

    @pytest.fixture
    def deployment(self) -> Deployment:
        return self.served("m")

    @pytest.fixture
    def slow_call(self) -> ProviderCall:
        return replace(call_for(self.served("slow")), timeout_s=0.05)

    @pytest.fixture
    def failing_calls(self) -> Sequence[tuple[ProviderCall, type[ProviderError]]]:
        return [(call_for(self.served(f"status-{status}")), kind) for status, kind in STATUSES.items()]

    def served(self, model: str) -> Deployment:
        """litellm wants to be told who speaks; the server knows the model without that."""
        return Deployment(name=f"{model}-here", provider="litellm", model=Model(id=f"openai/{model}"))


@pytest.mark.local_model
class TestLocal(ProviderContract):
    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        options = local.PLUGIN.options.checked({}, where="test")
        provider = local.PLUGIN.factory(options, PluginContext(home=Path("/nowhere"), env={}))
        yield provider
        provider.close()

    @pytest.fixture
    def deployment(self) -> Deployment:
        # So short that every answer ends at its limit, however it is drawn.
        return Deployment(name="here", provider="local", model=Model(id="smollm2", max_output=3))

    @pytest.fixture
    def slow_call(self, deployment: Deployment) -> ProviderCall:
        return replace(call_for(deployment), timeout_s=0.01)

    @pytest.fixture
    def failing_calls(self, deployment: Deployment) -> Sequence[tuple[ProviderCall, type[ProviderError]]]:
        return [(replace(call_for(deployment), params={"n": 2}), UnsupportedRequestError)]
