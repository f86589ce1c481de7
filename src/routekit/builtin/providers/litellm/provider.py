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
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from pydantic import Field, field_validator

from routekit.builtin.providers.litellm.convert import _answer, _embeddings
from routekit.builtin.providers.litellm.errors import classify
from routekit.builtin.providers.litellm.quiet import quiet
from routekit.builtin.providers.litellm.redirects import refuse_redirects
from routekit.builtin.providers.litellm.request import copied, parameters
from routekit.builtin.providers.litellm.stream import _AsyncStream, _ChunkReader, _close, _StreamClock
from routekit.errors import ProviderError, ProviderSetupError
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
from routekit.types import Answer, Chunk, Deployment
from routekit.types.sending import changed_params

_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_BUILT_LATE = ("Message", "Delta", "Choices", "StreamingChoices", "ModelResponse", "ModelResponseStream", "Usage")
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


class _ClientOfThisLoop:
    """In place of litellm's one asynchronous client for the streams of many vendors (`module_level_aclient`).

    That one follows whoever calls last: a stream begun in a second event loop closes the session that
    a stream of the first is reading from. This one picks a client of the running loop at every use.
    """

    def __getattr__(self, name: str) -> Any:
        from litellm.llms.custom_httpx.http_handler import get_async_httpx_client

        client = get_async_httpx_client(llm_provider="routekit", params={"client_alias": "of this event loop"})
        return getattr(client, name)


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


PLUGIN = ProviderPlugin(
    name="litellm",
    factory=LitellmProvider,
    options=LitellmOptions,
    summary="Anthropic, Gemini, Bedrock and a hundred others, through litellm.",
)
