"""Everything that is not an OpenAI-compatible endpoint, through litellm: Anthropic, Gemini, Bedrock and the rest.

litellm takes two to six seconds to import, so what first needs it imports it, in `prepare`, while the clock of the
request's deadline stands still. Its retries, redirects, price map
download, help texts on standard output and log handler on standard error are off; messages and
parameters are copied, because it changes what it is given.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from pydantic import Field, field_validator

from routekit.builtin.providers.litellm.errors import classify
from routekit.builtin.providers.litellm.quiet import quiet
from routekit.builtin.providers.litellm.redirects import refuse_redirects
from routekit.builtin.providers.litellm.request import copied, parameters
from routekit.errors import InvalidResponseError, ProviderError, ProviderSetupError, ProviderTimeoutError
from routekit.plugin import (
    Embeddings,
    Once,
    Options,
    PluginContext,
    Provider,
    ProviderCall,
    ProviderPlugin,
    offload,
    refuse_secrets_in_url,
)
from routekit.plugin.finishreason import finish_reason_of
from routekit.types import Answer, Choice, Chunk, Deployment, Message, Usage
from routekit.types.reported import read_usage
from routekit.types.sending import changed_params

_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_KEPT_HEADERS = ("ratelimit", "retry-after", "request-id", "trace-id")
_BUILT_LATE = ("Message", "Delta", "Choices", "StreamingChoices", "ModelResponse", "ModelResponseStream", "Usage")
_OF_THE_ANSWER = ("citations", "search_results", "related_questions", "images", "videos")
_MCP_SWITCH = "_skip_mcp_handler"


_EMBEDDING_LIMITS = {
    "cohere": (96, 300_000), "gemini": (100, 300_000), "vertex_ai": (100, 300_000), "voyage": (1000, 120_000),
    "bedrock": (96, 300_000),
}  # fmt: skip
"""Texts and tokens that one call for vectors takes, as these vendors publish it."""


class LitellmOptions(Options):
    """Defaults for every deployment; a deployment's own `options` of the same names win.

    `api_key_env` names the variable that holds the key (litellm's own variables serve where it is
    absent), `base_url` (or `api_base`) another address, `api_version` is for Azure, `extra` goes to
    litellm as it stands (`aws_region_name`, `vertex_project`, `extra_headers`, ...), `drop_params`
    lets litellm leave out parameters that a model does not take instead of refusing the call.
    """

    api_key_env: str | None = None
    base_url: str | None = None
    api_base: str | None = None
    api_version: str | None = None
    drop_params: bool = False
    extra: dict[str, Any] = Field(default_factory=dict)

    @field_validator("base_url", "api_base")
    @classmethod
    def _holds_no_secret(cls, value: str | None) -> str | None:
        if value is None or value.startswith("$"):
            return value
        return refuse_secrets_in_url(value, "name the key's variable in api_key_env")


class LitellmProvider(Provider):
    """Calls litellm as a library. The deployment's model id is litellm's: "anthropic/claude-haiku-4-5"."""

    def __init__(self, options: LitellmOptions, context: PluginContext) -> None:
        self._options, self._context = options, context

    def missing_setup(self, deployment: Deployment) -> str | None:
        try:
            self._settings(deployment)
        except ProviderSetupError as error:
            return str(error)
        return None

    @property
    def is_ready(self) -> bool:
        return _module is not None

    def prepare(self) -> None:
        _litellm()

    def complete(self, call: ProviderCall) -> Answer:
        try:
            return _answer(_litellm().completion(**self._request(call)))
        except Exception as error:
            failure = self._failure(error, call.deployment, call)
        raise failure  # outside of the handler: what litellm raised may hold the key, and is let go of

    async def acomplete(self, call: ProviderCall) -> Answer:
        try:
            request = self._request(call)
            litellm = await self._ready()
            async with asyncio.timeout(call.timeout_s):
                return _answer(await litellm.acompletion(**request))
        except Exception as error:
            failure = self._failure(error, call.deployment, call)
        raise failure

    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        """In a thread that waits on a socket, silence as long as the first-token limit ends the stream."""
        source: Any = None
        failure: ProviderError | None = None
        try:
            clock = _StreamClock(call)
            request = self._request(call, stream=True, timeout_s=clock.left())
            source = _litellm().completion(**request)
            reader = _ChunkReader(source)
            for raw in iter(source):
                for chunk in reader.read(raw):
                    clock.saw(chunk)
                    yield chunk
                clock.check()
            reader.end()
        except Exception as error:
            failure = self._failure(error, call.deployment, call)
        finally:
            _close(source)
        if failure is not None:
            raise failure

    def astream(self, call: ProviderCall) -> AsyncIterator[Chunk]:
        return _AsyncStream(self, call)

    def embed(self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        try:
            return _embeddings(_litellm().embedding(**self._embedding_request(deployment, texts, timeout_s)))
        except Exception as error:
            failure = self._failure(error, deployment)
        raise failure

    async def aembed(
        self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None
    ) -> Embeddings:
        try:
            request = self._embedding_request(deployment, texts, timeout_s)
            litellm = await self._ready()
            async with asyncio.timeout(timeout_s):
                return _embeddings(await litellm.aembedding(**request))
        except Exception as error:
            failure = self._failure(error, deployment)
        raise failure

    def embedding_limits(self, deployment: Deployment) -> tuple[int, int]:
        vendor = deployment.model.id.partition("/")[0]
        return _EMBEDDING_LIMITS.get(vendor, (2048, 300_000))

    def default_params(self, deployment: Deployment) -> Mapping[str, Any]:
        return {**self._options.extra, **(deployment.options.get("extra") or {})}

    async def aclose(self) -> None:
        """Closes litellm's clients of the running event loop, if no other provider still uses them there."""
        loop = asyncio.get_running_loop()
        with _lock:
            users = _users.get(loop)
            if users is None or self not in users:
                return
            users.discard(self)
            clients = [] if users else _take_clients(loop)
            if not users:
                del _users[loop]
        for client in clients:
            await _aclose_client(client)

    async def _ready(self) -> Any:
        """litellm, imported in a thread if this is the first call, with clean books for this event loop."""
        litellm = _module if _module is not None else await offload(_litellm)
        loop = asyncio.get_running_loop()
        with _lock:
            users = _users.get(loop)
            if users is None:
                # litellm files its clients under id(loop), and a closed loop's id is soon another's.
                _take_clients(loop)
                users = _users[loop] = WeakSet()
            users.add(self)
        return litellm

    def _request(self, call: ProviderCall, *, stream: bool = False, timeout_s: float | None = None) -> dict[str, Any]:
        quiet()
        request = self._settings(call.deployment)
        request.update(parameters(call, request))
        request["messages"] = [copied(message) for message in call.messages]
        if call.tools:
            request["tools"] = [copied(tool) for tool in call.tools]
        if request.get("tools") and _knows_mcp_switch() and not any(t.get("type") == "mcp" for t in request["tools"]):
            # Without it litellm imports its proxy, and `mcp` with it, to look for tools that are not there.
            request[_MCP_SWITCH] = True
        if stream:
            request["stream"] = True
            request["stream_options"] = {"include_usage": True, **(request.get("stream_options") or {})}
        if call.omit or call.rename:
            request = dict(changed_params(request, call.omit, call.rename))
        limit = timeout_s if timeout_s is not None else call.timeout_s
        if limit is not None:
            request["timeout"] = limit
        return request

    def _embedding_request(
        self, deployment: Deployment, texts: Sequence[str], timeout_s: float | None
    ) -> dict[str, Any]:
        quiet()
        request = {**self._settings(deployment), "input": list(texts)}
        if timeout_s is not None:
            request["timeout"] = timeout_s
        return request

    def _address(self, base: str, deployment: Deployment) -> str:
        """The address, read from the environment where "$NAME" stands for it."""
        if not base.startswith("$"):
            return base
        value = self._context.env.get(base[1:], "").strip()
        if not value:
            raise ProviderSetupError(
                f"the environment variable {base[1:]} is not set; deployment {deployment.name!r} takes its address "
                f"from it (`base_url`)",
                deployment=deployment.name,
            )
        return value

    def _settings(self, deployment: Deployment) -> dict[str, Any]:
        """What every call of a deployment has in common. Raises ProviderSetupError where the key is missing."""
        settings: dict[str, Any] = {
            **self._options.extra,
            **copied(deployment.options.get("extra") or {}),
            "model": deployment.model.id,
            "max_retries": 0,  # one without the other still retries
            "num_retries": 0,
        }
        variable = self._option(deployment, "api_key_env")
        if variable:
            key = self._context.env.get(variable)
            if not key:
                raise ProviderSetupError(
                    f"the environment variable {variable} is not set; deployment {deployment.name!r} takes its key "
                    f"from it (`api_key_env`)",
                    deployment=deployment.name,
                )
            settings["api_key"] = key
        if base := self._option(deployment, "base_url") or self._option(deployment, "api_base"):
            settings["api_base"] = self._address(base, deployment)
        if version := self._option(deployment, "api_version"):
            settings["api_version"] = version
        if self._option(deployment, "drop_params"):
            settings["drop_params"] = True
        return settings

    def _option(self, deployment: Deployment, name: str) -> Any:
        value = deployment.options.get(name)
        return getattr(self._options, name) if value is None else value

    def _failure(self, error: Exception, deployment: Deployment, call: ProviderCall | None = None) -> ProviderError:
        secrets = []
        if variable := self._option(deployment, "api_key_env"):
            secrets.append(self._context.env.get(variable, ""))
        secrets += [value for name, value in self._context.env.items() if name.endswith(("_KEY", "_TOKEN", "_SECRET"))]
        failure = classify(
            error, deployment=deployment.name, secrets=secrets, now=self._context.clock.time(), sent=call
        )
        failure.deployment = failure.deployment or deployment.name
        return failure


class _AsyncStream:
    """An asynchronous stream that can be left at any time, from code that may not wait, too."""

    def __init__(self, provider: LitellmProvider, call: ProviderCall) -> None:
        self._provider, self._call = provider, call
        self._clock = _StreamClock(call)
        self._source: Any = None
        self._reader: _ChunkReader | None = None
        self._pending: list[Chunk] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Task[None] | None = None
        self._done = False

    def __aiter__(self) -> _AsyncStream:
        return self

    async def __anext__(self) -> Chunk:
        while not self._pending:
            if self._done:
                raise StopAsyncIteration
            try:
                async with asyncio.timeout(self._clock.left()):
                    await self._read_on()
            except Exception as error:
                failure = self._provider._failure(error, self._call.deployment, self._call)
            except BaseException:  # cancelled
                self.close()
                raise
            else:
                continue
            await self.aclose()
            raise failure
        chunk = self._pending.pop(0)
        self._clock.saw(chunk)
        return chunk

    async def _read_on(self) -> None:
        if self._reader is None:
            self._loop = asyncio.get_running_loop()
            request = self._provider._request(self._call, stream=True)
            litellm = await self._provider._ready()
            self._source = await litellm.acompletion(**request)
            self._reader = _ChunkReader(self._source)
        try:
            raw = await anext(self._source)
        except StopAsyncIteration:
            self._reader.end()
            self._done = True
            await _aclose(self._source)
            return
        self._pending.extend(self._reader.read(raw))

    async def aclose(self) -> None:
        """Frees the connection. May be called at any time and again."""
        self._done = True
        self._pending.clear()
        source, self._source = self._source, None
        await _aclose(source)

    def close(self) -> None:
        """Like `aclose`, as a task of the stream's event loop: it does not wait."""
        self._done = True
        loop = self._loop
        if self._source is None or loop is None or loop.is_closed():
            return

        def start() -> None:
            self._closing = loop.create_task(self.aclose())

        loop.call_soon_threadsafe(start)


class _ChunkReader:
    """Turns litellm's chunks into ours, and notices what litellm covers up.

    Where a provider breaks off without a finish reason, litellm adds "stop"; where it reports no
    usage, litellm counts. The first becomes an error, the second is marked as estimated.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._finished = False

    def read(self, raw: Any) -> Iterator[Chunk]:
        usage = None
        if (reported := getattr(raw, "usage", None)) is not None:
            tier = getattr(raw, "service_tier", None)
            usage = usage_of(_plain(reported), tier, estimated=self._counted_by_litellm())
        choice: Any = next((choice for choice in raw.choices if not getattr(choice, "index", 0)), None)
        delta = _plain(choice.delta) if choice is not None and choice.delta is not None else {}
        reason = getattr(choice, "finish_reason", None)
        if reason and not self._ended_by_provider():
            raise InvalidResponseError("the stream broke off without a finish reason")
        self._finished = self._finished or bool(reason)
        logprobs = _plain(choice.logprobs) if getattr(choice, "logprobs", None) is not None else None
        delta.update(_beside(raw))
        if delta or reason or usage is not None:
            # Chunks repeat the requested model; the one that served stands in the hidden parameters.
            yield Chunk(delta, reason, usage, _hidden(raw).get("provider_response_model"), logprobs)

    def end(self) -> None:
        if not self._finished:
            raise InvalidResponseError("the stream ended without a finish reason")

    def _ended_by_provider(self) -> bool:
        source = self._source
        return bool(getattr(source, "received_finish_reason", True) or getattr(source, "intermittent_finish_reason", 0))

    def _counted_by_litellm(self) -> bool:
        seen: list[Any] = getattr(self._source, "chunks", None) or []
        return bool(seen) and not any(getattr(chunk, "usage", None) for chunk in seen)


class _ClientOfThisLoop:
    """In place of litellm's one asynchronous client for the streams of many vendors (`module_level_aclient`).

    That one follows whoever calls last: a stream begun in a second event loop closes the session that
    a stream of the first is reading from. This one picks a client of the running loop at every use.
    """

    def __getattr__(self, name: str) -> Any:
        from litellm.llms.custom_httpx.http_handler import get_async_httpx_client

        client = get_async_httpx_client(llm_provider="routekit", params={"client_alias": "of this event loop"})
        return getattr(client, name)


class _StreamClock:
    """How long a stream may still take: as a whole, and until its first content."""

    def __init__(self, call: ProviderCall) -> None:
        now = monotonic()
        self._whole = None if call.timeout_s is None else now + call.timeout_s
        self._first = None if call.first_token_timeout_s is None else now + call.first_token_timeout_s

    def saw(self, chunk: Chunk) -> None:
        if chunk.has_content:
            self._first = None

    def left(self) -> float | None:
        """Seconds until the nearer of the two limits, None without any."""
        limits = [limit for limit in (self._whole, self._first) if limit is not None]
        return max(0.001, min(limits) - monotonic()) if limits else None

    def check(self) -> None:
        now = monotonic()
        if self._first is not None and now > self._first:
            raise ProviderTimeoutError("no content arrived within the limit for the first token")
        if self._whole is not None and now > self._whole:
            raise ProviderTimeoutError("the stream took longer than its time limit")


_lock = threading.Lock()
_module: Any = None
_mcp_switch: bool | None = None
_users: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet[LitellmProvider]] = WeakKeyDictionary()


def _litellm() -> Any:
    """The module, imported and made quiet at the first call; two threads import it once."""
    global _module
    if _module is None:
        _module = _import_once()
    return _module


def _imported() -> Any:
    failure = ""
    try:
        return _import()
    except ImportError as error:
        failure = f"litellm cannot be imported ({error})"
    except Exception as error:  # it runs code of a hundred vendors
        failure = f"importing litellm failed ({type(error).__name__}: {error})"
    raise ProviderSetupError(f"{failure}; install it anew (`pip install -U litellm`)")


def _import() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it downloads its price map
    first = "litellm" not in sys.modules
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litellm
        from litellm.types import utils as models

        # They are built at their first use, and warn about their own annotations then.
        for name in _BUILT_LATE:
            if (model := getattr(models, name, None)) is not None:
                model.model_rebuild()

        refuse_redirects()

    litellm.module_level_aclient = cast("Any", _ClientOfThisLoop())
    litellm.suppress_debug_info = True  # it prints where to get help whenever a call fails
    if first:
        # Only its own handlers go, and only if nobody had the chance to want them.
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            for handler in [h for h in logger.handlers if type(h).__module__.startswith("litellm")]:
                logger.removeHandler(handler)
            logger.addHandler(logging.NullHandler())
    return litellm


_import_once = Once(_imported)
_inherited: list[Any] = []
"""HTTP clients of the process that this one was forked from: not used, and not taken apart either."""


def _after_fork() -> None:
    """litellm's HTTP clients are the parent's: a child begins with none, and makes its own."""
    global _lock
    _lock = threading.Lock()
    _users.clear()
    if _module is None:
        return
    held = getattr(getattr(_module, "in_memory_llm_clients_cache", None), "cache_dict", {})
    _inherited.extend(held.values())
    held.clear()
    if (client := _module.__dict__.pop("module_level_client", None)) is not None:  # made anew when asked for
        _inherited.append(client)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _knows_mcp_switch() -> bool:
    """Whether this litellm can be told not to look for MCP tools; an unknown argument would be sent upstream."""
    global _mcp_switch
    if _mcp_switch is None:
        main = Path(_litellm().__file__).with_name("main.py")
        _mcp_switch = main.is_file() and f'"{_MCP_SWITCH}"' in main.read_text(encoding="utf-8")
    return _mcp_switch


def _take_clients(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """Removes the HTTP clients of an event loop from litellm's pool. A closed one left there fails every later call."""
    pool = getattr(_module, "in_memory_llm_clients_cache", None)
    held: dict[str, Any] = getattr(pool, "cache_dict", {})
    return [held.pop(key) for key in list(held) if key.endswith(f"-{id(loop)}")]


async def _aclose_client(client: Any) -> None:
    close = getattr(client, "close", None) or getattr(client, "aclose", None)
    if close is None:
        return
    try:
        result = close()
        if hasattr(result, "__await__"):
            await result
    except Exception:
        logging.getLogger("routekit").debug("closing a client of litellm failed", exc_info=True)


def _streams(source: Any) -> Iterator[Any]:
    """What holds the connection: litellm's own `aclose` leaves the innermost open for some providers."""
    inner = getattr(source, "completion_stream", None)
    for stream in (getattr(inner, "streaming_response", None), inner, source):
        if stream is not None:
            yield stream


def _close(source: Any) -> None:
    for stream in _streams(source):
        if (close := getattr(stream, "close", None)) is not None:
            try:
                close()
            except Exception:
                logging.getLogger("routekit").debug("closing a stream failed", exc_info=True)


async def _aclose(source: Any) -> None:
    for stream in list(_streams(source)):
        if (close := getattr(stream, "aclose", None) or getattr(stream, "close", None)) is not None:
            try:
                result = close()
                if hasattr(result, "__await__"):
                    await result
            except Exception:
                logging.getLogger("routekit").debug("closing a stream failed", exc_info=True)


def _answer(response: Any) -> Answer:
    """An `Answer` whose message has all that the provider said: thinking blocks, signatures, citations."""
    if not getattr(response, "choices", None):
        raise InvalidResponseError("the provider answered without a choice")
    choice = response.choices[0]
    message = cast("Message", _plain(choice.message))
    message.setdefault("content", None)
    for call in message.get("tool_calls") or ():
        # It belongs into deltas; strict endpoints refuse it when it comes back.
        cast("dict[str, Any]", call).pop("index", None)
    message.update(_beside(response))  # type: ignore[typeddict-item]  # what a vendor adds
    reported = getattr(response, "usage", None)
    hidden = _hidden(response)
    logprobs = getattr(choice, "logprobs", None)
    return Answer(
        message=message,
        finish_reason=_reason(choice),
        usage=None if reported is None else usage_of(_plain(reported), getattr(response, "service_tier", None)),
        model=hidden.get("provider_response_model") or response.model,
        logprobs=_plain(logprobs) if logprobs is not None else None,
        headers=_headers(hidden.get("additional_headers") or {}),
        others=tuple(
            Choice(
                message=cast("Message", _plain(other.message)),
                finish_reason=_reason(other),
                logprobs=_plain(found) if (found := getattr(other, "logprobs", None)) is not None else None,
                index=place,
            )
            for place, other in enumerate(response.choices[1:], start=1)
        ),
    )


def _reason(choice: Any) -> Any:
    """The finish reason. Words that litellm does not know become "stop" there, also those for a failure."""
    native = (getattr(choice, "provider_specific_fields", None) or {}).get("native_finish_reason")
    return native if finish_reason_of(native) in ("error", "length", "content_filter") else choice.finish_reason


def _beside(response: Any) -> dict[str, Any]:
    """What a vendor puts beside the choices that belongs to the answer, such as Perplexity's citations."""
    found = ((key, getattr(response, key, None)) for key in _OF_THE_ANSWER)
    return {key: value for key, value in found if value}


def usage_of(reported: Mapping[str, Any], tier: Any = None, *, estimated: bool = False) -> Usage | None:
    """Inclusive buckets from litellm's usage; None where it is all zero, which litellm says for "not reported".

    A `cost` in it is litellm's own reckoning more often than the provider's word, and cannot be told from it.
    """
    usage = read_usage(reported, tier)
    return None if usage is None else replace(usage, estimated=estimated or usage.estimated, reported_nanos=None)


def _embeddings(response: Any) -> Embeddings:
    rows = sorted((_plain(row) for row in response.data), key=lambda row: int(row.get("index") or 0))
    usage = _plain(response.usage) if getattr(response, "usage", None) is not None else {}
    return Embeddings(
        vectors=tuple(tuple(float(x) for x in row["embedding"]) for row in rows),
        input_tokens=None if (read := read_usage(usage)) is None else read.total_tokens,
        model=getattr(response, "model", None),
    )


def _headers(found: Mapping[str, Any]) -> dict[str, str]:
    plain = {str(name).lower().removeprefix("llm_provider-"): str(value) for name, value in found.items()}
    return {name: value for name, value in plain.items() if any(part in name for part in _KEPT_HEADERS)}


def _hidden(response: Any) -> Mapping[str, Any]:
    return getattr(response, "_hidden_params", None) or {}


def _plain(value: Any) -> dict[str, Any]:
    """One of litellm's objects as a dictionary, without keys that say nothing."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items() if item is not None}
    found: dict[str, Any] = value.model_dump(exclude_none=True, warnings=False)
    return found


PLUGIN = ProviderPlugin(
    name="litellm",
    factory=LitellmProvider,
    options=LitellmOptions,
    summary="Anthropic, Gemini, Bedrock and a hundred others, through litellm.",
)
