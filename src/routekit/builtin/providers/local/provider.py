"""Models on this machine: llama.cpp in the process, no server, no key, nothing leaves it.

``provider = "local"`` with ``model = "smollm2"`` needs `routekit models pull smollm2` once; `path` names
any other GGUF file. `best_of` makes a dearer tier out of the same weights: it draws several answers
and keeps one (see `local_select`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import Field

from routekit.builtin.local_models.sentence import MODEL as SENTENCE_MODEL
from routekit.builtin.local_models.sentence import sentence_embedder
from routekit.builtin.local_models.static import MODEL as EMBEDDING_MODEL
from routekit.builtin.local_models.static import static_embedder
from routekit.builtin.local_models.weights import (
    LocalModel,
    find_weights,
    known_model,
    known_models,
    pull,
    weights_or_error,
)
from routekit.builtin.providers.local.best_of import Select
from routekit.builtin.providers.local.grammar import UnsupportedRequestError
from routekit.builtin.providers.local.runtime import (
    SLOTS,
    Runtime,
    RuntimeSettings,
    StopSignal,
    acquire,
    check_gguf,
    default_threads,
    release,
)
from routekit.builtin.providers.local.stream import AsyncReading, ChunkReader, Clock, Gathered, Work, read
from routekit.builtin.providers.local.tool_choice import narrowed
from routekit.builtin.providers.local.tools import Plan, plan
from routekit.errors import (
    InvalidInputError,
    InvalidRequestError,
    ModelNotFoundError,
    ProviderSetupError,
    ProviderUnavailableError,
)
from routekit.plugin import Embeddings, Options, PluginContext, Provider, ProviderCall, ProviderPlugin
from routekit.types import Answer, Chunk, Deployment

__all__ = ["PLUGIN", "LocalOptions", "LocalProvider", "find_weights", "known_models", "pull"]

DEFAULT_CONTEXT_WINDOW = 8192
DEFAULT_MAX_TOKENS = 512
"""Where neither the call nor the deployment limits the answer. Small models do not always find an end."""

BEST_OF_TEMPERATURE = 0.6
"""Where the call gives none: samples must differ, or there is nothing to choose from."""

_MESSAGE_BOUND = 16
_PASSED_ON = (
    "temperature", "top_p", "top_k", "min_p", "seed", "stop", "frequency_penalty", "presence_penalty",
    "repeat_penalty", "logit_bias", "logprobs", "top_logprobs",
)  # fmt: skip


class LocalOptions(Options):
    """`path` to a GGUF file instead of a known model; `best_of` answers are drawn and one is chosen by `select`.

    `threads` are compute threads (default: the cores this process may use, eight at most).
    """

    path: str | None = None
    best_of: int = Field(default=1, ge=1, le=SLOTS)
    select: Select = "logprob"
    threads: int | None = Field(default=None, ge=1)


class LocalProvider(Provider):
    """Serves GGUF models. Loads at the first call; providers with the same file share what is loaded."""

    def __init__(self, options: LocalOptions) -> None:
        self.options = options
        self._lock = Lock()
        self._runtimes: dict[RuntimeSettings, Runtime] = {}
        self._closed = False

    def complete(self, call: ProviderCall) -> Answer:
        gathered = Gathered()
        for chunk in self.stream(call):
            gathered.add(chunk)
        return gathered.answer()

    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        clock = Clock(call.timeout_s, call.first_token_timeout_s)
        work, reader = self._prepared(call)
        return read(work, reader, clock)

    async def acomplete(self, call: ProviderCall) -> Answer:
        gathered = Gathered()
        reading = self.astream(call)
        try:
            async for chunk in reading:
                gathered.add(chunk)
        finally:
            reading.close()
        return gathered.answer()

    def astream(self, call: ProviderCall) -> AsyncReading:
        clock = Clock(call.timeout_s, call.first_token_timeout_s)
        work, reader = self._prepared(call)
        return AsyncReading(work, reader, clock)

    def embed(self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        if deployment.model.id == SENTENCE_MODEL:
            vectors, tokens = sentence_embedder().embed(texts)
        else:
            vectors, tokens = static_embedder().embed(texts)
        model = SENTENCE_MODEL if deployment.model.id == SENTENCE_MODEL else EMBEDDING_MODEL
        return Embeddings(vectors=tuple(map(tuple, vectors.tolist())), input_tokens=tokens, model=model)

    def close(self) -> None:
        """Ends the calls under way; frees the model where no other provider uses it."""
        with self._lock:
            self._closed = True
            runtimes = list(self._runtimes.values())
            self._runtimes.clear()
        for runtime in runtimes:
            release(runtime)

    def _prepared(self, call: ProviderCall) -> tuple[Work, ChunkReader]:
        """All that can be said about a call before anything is loaded."""
        params = call.params
        if params.get("n") not in (None, 1):
            raise UnsupportedRequestError("local models give one answer per call; leave `n` at 1")
        known, path = self._weights(call.deployment)
        window = _window(known, call.deployment)
        asked = self._plan(call, known)
        limit = _output_limit(call)
        samples = self._samples(asked, params, limit, window)
        body = _body(asked, params, known, samples, limit)
        tokens = _prompt_bound(asked) + samples * limit
        settings = RuntimeSettings(path=path, context_window=window, threads=self.options.threads or default_threads())

        def work(stop: StopSignal, deliver: Any) -> None:
            runtime = self._runtime(settings)
            grammar = {} if asked.schema is None else {"grammar": runtime.grammar(asked.schema)}
            runtime.generate({**body, **grammar}, sequences=samples, tokens=tokens, stop=stop, deliver=deliver)

        name = known.name if known else path.stem
        wants_logprobs = bool(params.get("logprobs"))
        return work, ChunkReader(
            asked, model=name, samples=samples, select=self.options.select, logprobs=wants_logprobs
        )

    def _plan(self, call: ProviderCall, known: LocalModel | None) -> Plan:
        params, tools = dict(call.params), call.tools
        if tools and known is not None and not known.chooses_tools:
            try:
                similarities = static_embedder().similarities
            except ProviderSetupError:
                pass  # no embedder installed: then the model decides as well as it can
            else:
                tools, params["tool_choice"] = narrowed(call.messages, tools, params.get("tool_choice"), similarities)
        return plan(call.messages, tools, params, system=known.system if known else None)

    def _weights(self, deployment: Deployment) -> tuple[LocalModel | None, Path]:
        if self.options.path is not None:
            path = Path(self.options.path).expanduser().absolute()
            check_gguf(path)
            return None, path
        try:
            known = known_model(deployment.model.id)
            if known.embeds:
                raise ModelNotFoundError(f"{known.name} makes embeddings, no answers; use it as an `embedder`")
        except InvalidInputError as error:
            raise ModelNotFoundError(str(error)) from None
        return known, weights_or_error(known.name)

    def _samples(self, asked: Plan, params: Mapping[str, Any], limit: int, window: int) -> int:
        """How many answers are drawn: one where all would be equal, fewer where the context has no room."""
        if self.options.best_of == 1 or params.get("temperature") == 0:
            return 1
        room = (window - _prompt_bound(asked)) // limit
        return max(1, min(self.options.best_of, room))

    def _runtime(self, settings: RuntimeSettings) -> Runtime:
        with self._lock:
            if self._closed:
                raise ProviderUnavailableError("this local provider was closed")
            runtime = self._runtimes.get(settings)
            if runtime is None:
                runtime = self._runtimes[settings] = acquire(settings)
            return runtime


def _window(known: LocalModel | None, deployment: Deployment) -> int:
    wanted = deployment.model.context_window
    if known is not None:
        return min(wanted or known.context_window, known.context_window)
    return wanted or DEFAULT_CONTEXT_WINDOW


def _output_limit(call: ProviderCall) -> int:
    for value in (
        call.params.get("max_completion_tokens"),
        call.params.get("max_tokens"),
        call.deployment.model.max_output,
    ):
        if value is not None:
            if not isinstance(value, int) or value < 1:
                raise InvalidRequestError(f"max_tokens must be a whole number above 0, not {value!r}")
            return value
    return DEFAULT_MAX_TOKENS


def _prompt_bound(asked: Plan) -> int:
    """Tokens that the prompt cannot exceed: a token of these tokenizers is at least one byte."""
    return sum(len(message["content"].encode(errors="replace")) + _MESSAGE_BOUND for message in asked.messages)


def _body(asked: Plan, params: Mapping[str, Any], known: LocalModel | None, samples: int, limit: int) -> dict[str, Any]:
    """The request for llama.cpp's chat endpoint."""
    body = {key: params[key] for key in _PASSED_ON if params.get(key) is not None}
    if known is not None:
        if known.temperature is not None:
            body.setdefault("temperature", known.temperature if samples == 1 else BEST_OF_TEMPERATURE)
        if known.top_p is not None:
            body.setdefault("top_p", known.top_p)
    if samples > 1:
        body.update(n=samples, logprobs=True)
    return {
        **body,
        "messages": list(asked.messages),
        "max_tokens": limit,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,  # events while a long prompt is read: the places where it can be stopped
    }


def _make(options: LocalOptions, context: PluginContext) -> LocalProvider:
    return LocalProvider(options)


PLUGIN = ProviderPlugin(
    name="local",
    factory=_make,
    options=LocalOptions,
    summary="Models on this machine: llama.cpp in the process, and static embeddings",
)
