"""Any endpoint that speaks Chat Completions: OpenAI, vLLM, Ollama, llama.cpp, LM Studio, Groq and the like.

A thin client of our own: no retries (the engine's work), no price map, nothing imported before the first
call. The parts: `openai_endpoint` (options, environment), `openai_wire` (bodies), `openai_stream` (events and chunks),
`openai_errors` (what a failure means), and one client each for threads and for event loops.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from routekit.builtin.providers.openai_compatible import wire
from routekit.builtin.providers.openai_compatible.clients import Lease
from routekit.builtin.providers.openai_compatible.options import Endpoint, OpenAICompatibleOptions, redaction, resolve
from routekit.builtin.providers.openai_compatible.sse import read_reply
from routekit.errors import InvalidRequestError, ProviderSetupError
from routekit.plugin import Answer, Embeddings, Provider, ProviderCall, ProviderPlugin, new_lock_after_fork
from routekit.plugin.registration import PluginContext
from routekit.types import Deployment
from routekit.types.sending import answers_of, sent_params

if TYPE_CHECKING:
    from routekit.builtin.providers.openai_compatible.async_client import AsyncClient
    from routekit.builtin.providers.openai_compatible.async_stream import AsyncStream
    from routekit.builtin.providers.openai_compatible.sync_client import SyncClient
    from routekit.builtin.providers.openai_compatible.sync_stream import SyncStream


_EMBEDDING_LIMITS = {"googleapis": (100, 300_000), "cohere": (96, 300_000), "voyage": (1000, 120_000)}
"""Texts and tokens that one call for vectors takes, as these vendors publish it; OpenAI's are the usual ones."""


class OpenAICompatible(Provider):
    """Calls one endpoint, for any number of deployments, threads and event loops.

    Streams are iterators with `close`, which frees the connection without waiting. The clients, and
    with them the HTTP libraries and the key, are made by the first call, and shared by all
    providers that speak to the same endpoint with the same key and limits.
    """

    def __init__(self, options: OpenAICompatibleOptions, context: PluginContext) -> None:
        self.options = options
        self._env = context.env
        self._output_limit = options.output_limit_name(context.env)
        self._lock = threading.Lock()
        self._endpoint: Endpoint | None = None
        self._sync: SyncClient | None = None
        self._async: AsyncClient | None = None
        self._sync_lease: Lease[SyncClient] | None = None
        self._async_lease: Lease[AsyncClient] | None = None
        new_lock_after_fork(self)

    def complete(self, call: ProviderCall) -> Answer:
        client = self._sync or self._sync_client()
        body = self._body(call, stream=False)
        headers, payload = client.post(body, call.deployment.name, call.timeout_s, headers=call.headers)
        return read_reply(payload, call, headers, redaction(client.endpoint, call.headers))

    async def acomplete(self, call: ProviderCall) -> Answer:
        client = self._async or self._async_client()
        body = self._body(call, stream=False)
        headers, payload = await client.post(body, call.deployment.name, call.timeout_s, headers=call.headers)
        return read_reply(payload, call, headers, redaction(client.endpoint, call.headers))

    def stream(self, call: ProviderCall) -> SyncStream:
        from routekit.builtin.providers.openai_compatible.sync_stream import SyncStream

        return SyncStream(self._sync or self._sync_client(), call, self._body(call, stream=True))

    def astream(self, call: ProviderCall) -> AsyncStream:
        from routekit.builtin.providers.openai_compatible.async_stream import AsyncStream

        return AsyncStream(self._async or self._async_client(), call, self._body(call, stream=True))

    def embed(self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        client = self._sync or self._sync_client()
        body = wire.embeddings_body(deployment, texts, self.options.extra_body)
        _, payload = client.post(body, deployment.name, timeout_s, embeddings=True)
        return wire.read_embeddings(payload, deployment, len(texts), client.endpoint.redact)

    async def aembed(
        self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None
    ) -> Embeddings:
        client = self._async or self._async_client()
        body = wire.embeddings_body(deployment, texts, self.options.extra_body)
        _, payload = await client.post(body, deployment.name, timeout_s, embeddings=True)
        return wire.read_embeddings(payload, deployment, len(texts), client.endpoint.redact)

    def embedding_limits(self, deployment: Deployment) -> tuple[int, int]:
        host = urlsplit(self.options.base_url).hostname or ""
        return next((limits for name, limits in _EMBEDDING_LIMITS.items() if name in host), (2048, 300_000))

    def missing_setup(self, deployment: Deployment) -> str | None:
        try:
            self._resolved()
        except ProviderSetupError as error:
            return str(error)
        return None

    def default_params(self, deployment: Deployment) -> Mapping[str, Any]:
        return self.options.extra_body

    def close(self) -> None:
        """Closes every connection that no other provider uses. A call after it opens new ones."""
        with self._lock:
            self._sync = self._async = None
            sync, self._sync_lease = self._sync_lease, None
            other, self._async_lease = self._async_lease, None
        if sync is not None:
            sync.release()
        if other is not None:
            other.release()

    async def aclose(self) -> None:
        with self._lock:
            self._async = None
            other, self._async_lease = self._async_lease, None
        if other is not None and other.end():
            await other.client.aclose()
        self.close()

    def __repr__(self) -> str:
        return f"OpenAICompatible({self.options.base_url!r})"

    def _body(self, call: ProviderCall, *, stream: bool) -> bytes:
        options = self.options
        count = answers_of(sent_params(options.extra_body, call.params)) if stream else 1
        if count > 1:
            raise InvalidRequestError(
                f"deployment {call.deployment.name!r}: n={count} answers cannot be streamed; ask for them without "
                "stream, or leave n out",
                deployment=call.deployment.name,
            )
        return wire.chat_body(
            call,
            options.extra_body,
            stream=stream,
            stream_usage=options.stream_usage,
            output_limit=self._output_limit,
        )

    def _sync_client(self) -> SyncClient:
        from routekit.builtin.providers.openai_compatible.sync_client import CLIENTS

        with self._lock:
            if self._sync is None:
                self._sync_lease = CLIENTS.lease(self._resolved(), self)
                self._sync = self._sync_lease.client
            return self._sync

    def _async_client(self) -> AsyncClient:
        from routekit.builtin.providers.openai_compatible.async_client import CLIENTS

        with self._lock:
            if self._async is None:
                self._async_lease = CLIENTS.lease(self._resolved(), self)
                self._async = self._async_lease.client
            return self._async

    def _resolved(self) -> Endpoint:
        if self._endpoint is None:
            self._endpoint = resolve(self.options, self._env)
        return self._endpoint


PLUGIN = ProviderPlugin(
    name="openai-compatible",
    factory=OpenAICompatible,
    options=OpenAICompatibleOptions,
    summary="Any endpoint that speaks Chat Completions: OpenAI, vLLM, Ollama, llama.cpp, LM Studio, Groq, ...",
)
