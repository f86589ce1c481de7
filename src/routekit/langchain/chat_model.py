"""A LangChain chat model that routes: every call goes to the deployment that its strategy picks."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Self, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr
from pydantic.fields import FieldInfo

from routekit.call_options import TIMEOUTS
from routekit.errors import InvalidInputError, RoutekitError
from routekit.langchain.binding import RoutedBinding
from routekit.langchain.errors import model_error
from routekit.langchain.messages import (
    to_dicts,
)
from routekit.langchain.profile import profile_of
from routekit.langchain.results import _chat_result, _generation_chunk, _last_chunk
from routekit.langchain.step import SITE, CallSite, lift, step_of, with_hidden_headers
from routekit.langchain.structured import structured
from routekit.langchain.tools import _tool, _tool_choice
from routekit.plugin.once import KeptProperty
from routekit.router import Router
from routekit.types import Deployment, count_tokens, text_tokens
from routekit.types.parameters import KNOWN, MEANT
from routekit.types.suggest import closest

_PARAMS = ("temperature", "max_tokens", "top_p", "seed", "stop")
_NOT_SENT = (SITE, "stream", "stream_usage", "ls_structured_output_format", "structured_output_format")
"""What LangChain hands to a model for itself; usage stands at the end of every stream."""


class RoutedChatModel(BaseChatModel):
    """A chat model for chains and agents whose answers come from a `Router`.

    Give it a `router`, or a `config` (a path or a dictionary), or nothing: then the router finds its
    configuration as `Router()` does. `strategy`, `group`, `model` and `scopes` apply to every call that
    does not say otherwise; so do `temperature`, `max_tokens`, `top_p`, `seed`, `stop` and
    `model_kwargs`, which are sent to the provider. `timeout` is the deadline of a whole call, in seconds, with
    all of its attempts. `max_retries` and `api_key` are accepted because other models have them, and not used:
    retries are the router's (``[router] max_attempts``), keys its deployments' (``api_key_env``).

    A call takes the routing arguments of `Router.complete` as keyword arguments (`strategy`, `model`,
    `group`, `scopes`, `session`, `deadline_s`, `max_cost_usd`, `requirements`, `step`, `metadata`, `cache`,
    `extra_headers`, `extra_body`) and the parameters that it knows; others are refused.
    The strategy of a call is the first of: its argument (or a binding's),
    ``config["configurable"]["routekit_strategy"]``, `with_strategy`, the router's step rules, its group's, its default.

    The answer's ``response_metadata["routekit"]`` is the whole story as plain data: deployment,
    strategy, reason, attempts, cost.

    Raises (at construction and at calls):
        ConfigError, PluginNotFoundError: a configuration or a strategy that cannot be used.
        RoutingError, ProviderError: as `Router.complete` does; they are LangChain's `ModelError` kinds, too.
    """

    router: Router = Field(exclude=True, repr=False)
    strategy: Any = None
    group: str | None = None
    model: str | None = None
    scopes: dict[str, Any] = Field(default_factory=dict)
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | str | None = None
    timeout: float | None = None
    max_retries: int | None = None
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    streaming: bool = False
    model_kwargs: dict[str, Any] = Field(default_factory=dict)

    _deployments_digest: str = PrivateAttr(default="")

    # An argument that is misspelt here would be lost in silence.
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, ignored_types=(KeptProperty,))

    def __init__(
        self,
        *,
        router: Router | None = None,
        config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Before pydantic sees anything: it would turn our typed errors into its own.
        if router is not None and config is not None:
            raise InvalidInputError("both router and config are given; pass one of them")
        kwargs.pop("stream_usage", None)  # usage is asked for at the end of every stream
        _refuse_unknown(kwargs, type(self).model_fields)
        if router is None:
            router = Router(config)
        if kwargs.get("model_kwargs"):
            kwargs["model_kwargs"] = with_hidden_headers(kwargs["model_kwargs"])
        if (strategy := kwargs.get("strategy")) is not None:
            router.resolve_strategy(strategy)
        super().__init__(router=router, **kwargs)  # type: ignore[call-arg]  # pydantic's, which mypy does not see
        self._deployments_digest = _digest(router)

    # Routing

    @KeptProperty
    def _serialized(self) -> dict[str, Any]:
        """As langchain-core has it, without its lock."""
        made: dict[str, Any] = dumpd(self)
        return made

    def with_strategy(self, strategy: Any) -> Self:
        """A copy that shares the router and uses `strategy`: a name, an instance, or a table with `use`.

        Raises:
            PluginNotFoundError: no strategy has that name.
        """
        self.router.resolve_strategy(strategy)
        return self.model_copy(update={"strategy": strategy})

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"] = {**state["__dict__"], "api_key": None}  # keys do not travel
        state["__dict__"].pop("_serialized", None)
        return state

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; the router is shared even by a deep one."""
        copy = super().model_copy(update=update)
        if deep:
            copy.scopes, copy.model_kwargs = dict(copy.scopes), dict(copy.model_kwargs)
        copy.__dict__.pop("_serialized", None)  # langchain-core caches it; it speaks of the original
        return copy

    def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The arguments of `Router.complete`."""
        own = self.__dict__
        call = {name: value for name in _PARAMS if (value := own[name]) is not None}
        if own["model_kwargs"]:
            call.update(own["model_kwargs"])
        for name in ("strategy", "group", "model"):
            if own[name] is not None:
                call[name] = own[name]
        if own["timeout"] is not None:
            call["deadline_s"] = own["timeout"]
        site: CallSite | None = kwargs.get(SITE)
        if kwargs:
            call.update({name: v for name, v in kwargs.items() if v is not None and name not in _NOT_SENT})
        if stop is not None:
            call["stop"] = stop
        if not call.get("stop", True):
            del call["stop"]
        for name in TIMEOUTS:
            if name in call:  # of the call, and so it counts before the model's own
                call.pop("deadline_s", None)
                call["timeout"] = call.pop(name)
        if call.get("n", 1) != 1:
            raise InvalidInputError(f"n={call['n']!r}: a routed call gives one answer; use batch() for several")
        tools = call.get("tools")
        if tools and not all(isinstance(tool, dict) for tool in tools):
            call["tools"] = tools = [convert_to_openai_tool(tool) for tool in tools]
        if own["scopes"]:
            call["scopes"] = {**own["scopes"], **(call.get("scopes") or {})}
        if site is not None:
            if site.session is not None:
                call.setdefault("session", site.session)
            if site.tags:
                call["scopes"] = _with_tags(call.get("scopes") or {}, site.tags)
        if "step" not in call:
            call["step"] = step_of(messages, tools, call.get("tool_choice"), site)
        return to_dicts(messages), call

    # What langchain-core calls

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            dicts, call = self._request(messages, stop, kwargs)
            return _chat_result(self.router.complete(dicts, **call))
        except RoutekitError as error:
            raise model_error(error) from error.__cause__

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            dicts, call = self._request(messages, stop, kwargs)
            return _chat_result(await self.router.acomplete(dicts, **call))
        except RoutekitError as error:
            raise model_error(error) from error.__cause__

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        try:
            dicts, call = self._request(messages, stop, kwargs)
            with self.router.stream(dicts, **self._unreplaced(call)) as stream:
                for chunk in stream:
                    if (piece := _generation_chunk(chunk)) is not None:
                        yield piece
                yield _last_chunk(stream.result)
        except RoutekitError as error:
            raise model_error(error) from error.__cause__

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            dicts, call = self._request(messages, stop, kwargs)
            async with self.router.astream(dicts, **self._unreplaced(call)) as stream:
                async for chunk in stream:
                    if (piece := _generation_chunk(chunk)) is not None:
                        yield piece
                yield _last_chunk(stream.result)
        except RoutekitError as error:
            raise model_error(error) from error.__cause__

    def _unreplaced(self, call: dict[str, Any]) -> dict[str, Any]:
        """No restarts: chunks here are added up, and none of them can take back what came before."""
        if (call.get("on_interrupt") or self.router.config.reliability.on_interrupt) == "restart":
            call["on_interrupt"] = "error"
        return call

    # Entrances: each lifts what the config says into keyword arguments, where it survives

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        return super().invoke(input, config, **lift(config, kwargs))

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        return await super().ainvoke(input, config, **lift(config, kwargs))

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        return super().stream(input, config, **lift(config, kwargs))

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        return super().astream(input, config, **lift(config, kwargs))

    def stream_events(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return super().stream_events(input, config, **lift(config, kwargs))

    def astream_events(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return super().astream_events(input, config, **lift(config, kwargs))

    def generate(self, messages: Any, stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any) -> LLMResult:
        return super().generate(messages, stop, callbacks, **_lifted_once(kwargs))

    async def agenerate(
        self, messages: Any, stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        return await super().agenerate(messages, stop, callbacks, **_lifted_once(kwargs))

    # Bindings

    def bind(self, **kwargs: Any) -> RoutedBinding:  # type: ignore[override]  # langchain-core's is private
        """Arguments for every call; they survive `bind_tools` and `with_structured_output`."""
        return RoutedBinding(bound=self, kwargs=with_hidden_headers(kwargs))

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> RoutedBinding:
        return RoutedBinding(bound=self).with_config(config, **kwargs)

    def with_listeners(self, **kwargs: Any) -> RoutedBinding:
        return cast(RoutedBinding, RoutedBinding(bound=self).with_listeners(**kwargs))

    def with_types(self, **kwargs: Any) -> RoutedBinding:
        return cast(RoutedBinding, RoutedBinding(bound=self).with_types(**kwargs))

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> RoutedBinding:
        """The model with tools.

        `tool_choice`: "auto", "none", "any" or "required" (also True), a tool's name, or the
        dictionary of OpenAI or Anthropic. Other keyword arguments are bound as well.

        Raises:
            InvalidInputError: `tool_choice` names no tool.
        """
        made = [_tool(tool, strict) for tool in tools]
        if made:
            kwargs["tools"] = made
            if tool_choice is not None:
                kwargs["tool_choice"] = _tool_choice(tool_choice, made)
            if parallel_tool_calls is not None:
                kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(**kwargs)

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers as objects of `schema`: a pydantic class, a TypedDict, a JSON schema or a tool.

        `method` is "json_schema", "function_calling" or "json_mode"; without it, what the deployments can
        do decides, in this order. `strict` and, with "json_schema", `tools` are OpenAI's. With
        `include_raw` the result is a dictionary of `raw`, `parsed` and `parsing_error`. Other
        keyword arguments (a `strategy`) are bound.
        """
        return structured(self, schema, include_raw=include_raw, **kwargs)

    @property
    def structured_output_method(self) -> str:
        """What `with_structured_output` uses where the caller does not say."""
        abilities = [deployment.model.capabilities for deployment in self._reachable]
        if any("json_schema" in able for able in abilities) or not any("tools" in able for able in abilities):
            return "json_schema"
        return "function_calling"

    # What LangChain asks about the model

    @property
    def model_name(self) -> str:
        """The pinned model, the group, or "routekit"; which model answered stands in `response_metadata`."""
        return self.model or self.group or "routekit"

    @property
    def _llm_type(self) -> str:
        return "routekit"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """What answers depend on. It is LangChain's cache key: another strategy is another model."""
        own = self.__dict__
        params = {name: value for name in _PARAMS if (value := own[name]) is not None}
        strategy = own["strategy"]
        return {
            "model": own["model"],
            "strategy": strategy if isinstance(strategy, str) else repr(strategy) if strategy is not None else None,
            "group": own["group"],
            "scopes": own["scopes"],
            "deployments": self._deployments_digest,
            **params,
            **own["model_kwargs"],
        }

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        """For traces: plain data only. Written out, because langchain-core's takes a tenth of a call."""
        site: CallSite | None = kwargs.pop(SITE, None)
        params = {**self._identifying_params, "_type": self._llm_type, "stop": stop, **kwargs}
        if site is not None and site.kind is not None:
            params["step"] = site.kind
        strategy = params.get("strategy")
        if strategy is not None and not isinstance(strategy, str):
            params["strategy"] = repr(strategy)
        return params

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        model = kwargs.get("model")
        params = LangSmithParams(
            ls_provider="routekit",
            ls_model_name=model if isinstance(model, str) else self.model_name,
            ls_model_type="chat",
        )
        temperature = kwargs.get("temperature", self.temperature)
        if isinstance(temperature, (int, float)):
            params["ls_temperature"] = temperature
        max_tokens = kwargs.get("max_tokens", self.max_tokens)
        if isinstance(max_tokens, int):
            params["ls_max_tokens"] = max_tokens
        if stops := stop or self.stop:
            params["ls_stop"] = [stops] if isinstance(stops, str) else list(stops)
        return params

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        outputs = [output for output in llm_outputs if output]
        if not outputs:
            return {}
        counts = [output["token_usage"] for output in outputs]
        total = {key: sum(count[key] for count in counts) for key in counts[0]}
        return {"token_usage": total, "model_name": outputs[0]["model_name"]}

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self._reachable)

    @property
    def _reachable(self) -> list[Deployment]:
        """The deployments that a call may go to, by the model's own `model` and `group`."""
        everyone = self.router.deployments
        if self.model is not None:
            return [d for d in everyone if self.model in (d.name, d.model.id, d.group)] or list(everyone)
        group = self.group or "default"
        return [d for d in everyone if d.group == group] or list(everyone)

    def get_num_tokens(self, text: str) -> int:
        """A likely count that holds within a few per cent for the common tokenizers."""
        return text_tokens(text)

    def get_token_ids(self, text: str) -> list[int]:
        raise NotImplementedError("a routed model has no tokenizer of its own; use get_num_tokens()")

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """A likely count for messages and tools, with what their template adds."""
        return count_tokens(to_dicts(messages), [_tool(tool, None) for tool in tools or ()])[0]


for _method in (RoutedChatModel._generate, RoutedChatModel._agenerate):
    # langchain-core inspects the signature at every call; a stored one saves it the larger part of that.
    setattr(_method, "__signature__", inspect.signature(_method))  # noqa: B010  # an attribute mypy does not know


def _lifted_once(kwargs: dict[str, Any]) -> dict[str, Any]:
    # `invoke` has lifted already; who calls `generate` himself has not.
    return with_hidden_headers(kwargs) if SITE in kwargs or "strategy" in kwargs else lift(None, kwargs)


def _with_tags(scopes: Mapping[str, Any], tags: tuple[str, ...]) -> dict[str, Any]:
    """Scopes with the config's tags: `[[steps]]` rules and budgets by tag see them."""
    given = scopes.get("tag") or ()
    return {**scopes, "tag": list(dict.fromkeys([*([given] if isinstance(given, str) else given), *tags]))}


def _digest(router: Router) -> str:
    """What of a router's configuration decides who may answer; in LangChain's cache key."""
    rows = [[d.name, d.provider, d.model.id, d.group, str(d.options.get("base_url", ""))] for d in router.deployments]
    rules = [repr(router.default_strategy), *(f"{n}={router.resolve_strategy(n)!r}" for n in router.config.strategies)]
    rules += [repr(rule) for rule in router.config.steps]
    return hashlib.sha256(json.dumps([rows, rules]).encode()).hexdigest()[:16]


def _refuse_unknown(given: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> None:
    """Refuses arguments of other chat models, and says what to write instead; never a value, which may be a key."""
    known = {*fields, *(field.alias for field in fields.values() if field.alias)}
    for name in given:
        if name in known:
            continue
        if name in KNOWN or name in ("extra_body", "extra_headers"):
            hint = f"pass it as model_kwargs={{{name!r}: ...}}, or to the call"
        elif name == "model_name":
            hint = "did you mean 'model'?"
        elif name == "request_timeout":
            hint = "did you mean 'timeout'?"
        elif name in MEANT:
            hint = MEANT[name]
        else:
            near = closest(name, [*known, *KNOWN], cutoff=0.7)
            hint = f"did you mean {near!r}?" if near else "what an endpoint takes goes into a call's extra_body"
        raise InvalidInputError(f"{name!r} is no argument of RoutedChatModel; {hint}")
