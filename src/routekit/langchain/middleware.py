"""Another strategy for each kind of step of a `create_agent` agent."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NotRequired
from weakref import WeakSet

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
    from langchain.agents.middleware.types import PrivateStateAttr
except ImportError as error:
    raise ImportError(
        "RoutingMiddleware needs the package `langchain`; install it with: pip install 'routekit-llm[agents]'"
    ) from error
from langchain_core.messages import AIMessage

from routekit.errors import BudgetExceededError, InvalidInputError, RoutekitError
from routekit.langchain.binding import RoutedBinding
from routekit.langchain.chat_model import RoutedChatModel
from routekit.langchain.on_budget import ended, last_messages, left_of, room_for
from routekit.langchain.step import KINDS, SITE, CallSite, configured_strategy, step_of
from routekit.plugin import Strategy
from routekit.router import Router

FINISH = "finish"
OnBudget = str | Callable[[BudgetExceededError], str | AIMessage]

_INSTEAD = {"recover": ("observe", "act"), "observe": ("act",)}
"""Whose strategy serves a kind that has none of its own, before `default` does."""


class RoutingState(AgentState[Any]):
    """The agent's state, with an identity for the run: budgets per run and traces go by it."""

    routekit_run_id: NotRequired[Annotated[str, PrivateStateAttr]]


class RoutingMiddleware(AgentMiddleware[RoutingState, Any, Any]):
    """Recognises the kind of each model call of an agent and lets its strategy choose the model.

        create_agent(model, tools, middleware=[RoutingMiddleware(plan="best", act="cheapest", answer="balanced")])

    The kinds and their rules are those of `routekit.langchain.step`: ``plan`` is the first call of a run with
    tools at hand, ``observe`` one that follows tool results, ``recover`` one that follows a tool's
    error, ``answer`` one without tools to choose from, ``act`` any other, ``summarise`` a summary. A kind without a
    strategy takes the next one's: recover, observe, act, then `default`; plan, answer and summarise go straight to
    `default`. Where that is unset too, the model's own strategy and the router's step rules apply.

    `kind` overrules the recognition: a function of the `ModelRequest` that returns a kind, or None for the
    rules. Every call also carries where it stands (run, index in the run, kind), for ``[[steps]]`` rules
    and budgets per run.

    A strategy in the request's `model_settings`, or in ``config["configurable"]["routekit_strategy"]``, is
    more particular than this and wins. `SummarizationMiddleware` calls its model by itself, past every
    middleware: give it ``model.with_strategy(...)``, or write a step rule for "summarise".

    `on_budget` ends a run whose budget is used up with an answer and not with `BudgetExceededError`: a
    text, or a function of the error that returns one. "finish" asks once more, for a final answer without
    tools that fits into what is left, and where nothing fits ends with what was found out; in both cases
    ``response_metadata["routekit"]["budget"]`` says so.

    Raises (at the first call at the latest):
        InvalidInputError: the agent's model is no `RoutedChatModel`, or `kind` returned what is no kind.
        PluginNotFoundError, ConfigError: one of the strategies cannot be used, whichever step it is for.
    """

    state_schema = RoutingState

    def __init__(
        self,
        *,
        plan: Any = None,
        act: Any = None,
        observe: Any = None,
        answer: Any = None,
        recover: Any = None,
        summarise: Any = None,
        default: Any = None,
        kind: Callable[[ModelRequest[Any]], str | None] | None = None,
        on_budget: OnBudget | None = None,
    ) -> None:
        super().__init__()
        self.strategies: dict[str, Any] = {
            "plan": plan, "act": act, "observe": observe, "answer": answer, "recover": recover,
            "summarise": summarise, "default": default,
        }  # fmt: skip
        for name, strategy in self.strategies.items():
            if strategy is not None and not isinstance(strategy, (str, Strategy, Mapping)):
                raise InvalidInputError(
                    f"{name} must be a strategy's name, an instance, or a table with `use`; "
                    f"got {type(strategy).__name__}"
                )
        if kind is not None and not callable(kind):
            raise InvalidInputError(f"kind must be a function of the ModelRequest; got {type(kind).__name__}")
        self._kind = kind
        self._on_budget = on_budget
        self._checked: WeakSet[Router] = WeakSet()

    def strategy_for(self, kind: str) -> Any:
        """The strategy of a kind of step, or None where the model's own applies."""
        for name in (kind, *_INSTEAD.get(kind, ()), "default"):
            if self.strategies[name] is not None:
                return self.strategies[name]
        return None

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        return {"routekit_run_id": uuid.uuid4().hex}

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        return self.before_agent(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | AIMessage:
        routed = self.routed(request)
        try:
            return handler(routed)
        except BudgetExceededError as error:
            if self._on_budget != FINISH:
                return self._without_budget(error)
            last = self._last(routed, error)
            try:
                return ended(None, error) if last is None else _noted(handler(last), error)
            except RoutekitError:
                return ended(None, error)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | AIMessage:
        routed = self.routed(request)
        try:
            return await handler(routed)
        except BudgetExceededError as error:
            if self._on_budget != FINISH:
                return self._without_budget(error)
            last = self._last(routed, error)
            try:
                return ended(None, error) if last is None else _noted(await handler(last), error)
            except RoutekitError:
                return ended(None, error)

    def _last(self, routed: ModelRequest[Any], error: BudgetExceededError) -> ModelRequest[Any] | None:
        """The request for a last answer with what is left; None where nothing can be had for it."""
        model = _routed(routed.model)
        messages = last_messages(routed.messages)
        whole = messages if routed.system_message is None else [routed.system_message, *messages]
        where = {name: found for name in ("model", "group") if (found := getattr(model, name)) is not None}
        room = room_for(model.router, whole, routed.tools, left_of(error), **where)
        if room is None:
            return None
        settings = {
            **routed.model_settings, "strategy": "cheapest", "model": room.deployment, "max_tokens": room.max_tokens,
        }  # fmt: skip
        choice = "none" if routed.tools else None
        return routed.override(messages=messages, tool_choice=choice, response_format=None, model_settings=settings)

    def routed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request with its strategy and its place in the run in `model_settings`."""
        self._check(_router_of(request.model))
        run_id = request.state.get("routekit_run_id")
        # Structured output by tool forces a tool that is none of the agent's: `tools` has the agent's only.
        step = step_of(request.messages, request.tools, request.tool_choice, CallSite())
        kind = self._given_kind(request) or step.kind
        settings = dict(request.model_settings)
        settings[SITE] = CallSite(kind=kind, index=step.index, run_id=str(run_id) if run_id is not None else None)
        if settings.get("strategy") is None and configured_strategy() is None:
            settings.pop("strategy", None)
            if (strategy := self.strategy_for(kind)) is not None:
                settings["strategy"] = strategy
        return request.override(model_settings=settings)

    def _given_kind(self, request: ModelRequest[Any]) -> str | None:
        kind = self._kind(request) if self._kind is not None else None
        if kind is not None and kind not in KINDS:
            raise InvalidInputError(f"kind() returned {kind!r}; return one of {', '.join(KINDS)}, or None")
        return kind

    def _check(self, router: Router) -> None:
        """All names at once: an error in the strategy of a rare step must not wait for that step."""
        if router in self._checked:
            return
        for strategy in self.strategies.values():
            if strategy is not None:
                router.resolve_strategy(strategy)
        self._checked.add(router)

    def _without_budget(self, error: BudgetExceededError) -> AIMessage:
        if self._on_budget is None:
            raise error
        said = self._on_budget(error) if callable(self._on_budget) else self._on_budget
        return said if isinstance(said, AIMessage) else AIMessage(content=said)


def _noted(answer: Any, error: BudgetExceededError) -> Any:
    """The handler's answer, with the note on its message."""
    for message in getattr(answer, "result", [answer]):
        if isinstance(message, AIMessage):
            ended(message, error)
    return answer


def _router_of(model: Any) -> Router:
    return _routed(model).router


def _routed(model: Any) -> RoutedChatModel:
    routed = model.bound if isinstance(model, RoutedBinding) else model
    if not isinstance(routed, RoutedChatModel):
        raise InvalidInputError(
            f"RoutingMiddleware needs an agent whose model is a RoutedChatModel; this one's is a "
            f"{type(routed).__name__}. Pass create_agent(RoutedChatModel(...), ...)"
        )
    return routed
