"""What LangChain knows about a call: where in an agent it happens, and the strategy that its config asks for.

`config["configurable"]` never reaches a model's `_generate`; keyword arguments do. So whatever starts a
call (`invoke`, `stream`, ...) lifts the keys that begin with ``routekit_`` into keyword arguments first.

The kind of a step follows from the messages since the last human one, by these rules, first match wins:

1. ``summarise``: LangChain's summarisation asks (``metadata["lc_source"]``), or a graph node whose name has
   "summari" in it.
2. ``recover``: the newest messages are tool results and one of them is an error.
3. ``answer``: no tools may be called: none are bound, ``tool_choice`` is "none", or it forces one tool
   (structured output), so there is nothing to choose.
4. ``observe``: the newest messages are tool results.
5. ``plan``: the model did not speak yet since the last human message: the first call of a run.
6. ``act``: everything else: tools are there, and the run is under way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, HumanMessage, ToolMessage
from langchain_core.runnables.config import RunnableConfig, var_child_runnable_config

from routekit.errors import InvalidInputError
from routekit.types import Step, StepKind
from routekit.types.headers import CallHeaders
from routekit.types.suggest import closest

PREFIX = "routekit_"
LIFTED = (
    "strategy", "model", "group", "scopes", "session", "deadline_s", "max_cost_usd", "cache", "cache_ttl_s",
    "cache_namespace",
)  # fmt: skip
"""What ``config["configurable"]`` may set, each with `PREFIX` before it."""

SITE = "routekit_site"
"""The keyword argument that carries a `CallSite` to `_generate` and `_stream`."""

KINDS: tuple[str, ...] = get_args(StepKind)

_NOISE = ("seq:step:", "graph:step:", "map:key:", "langsmith:", "condition:", "branch:")
_PLAN, _ANSWER = Step(kind="plan"), Step(kind="answer")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CallSite:
    """Where a call comes from. `None`: not known; then it is read off the messages, or left open.

    It is part of LangChain's cache key by its `repr`, which therefore has what can change the routing
    and leaves out what differs from run to run.
    """

    kind: str | None = None
    node: str | None = None
    run_id: str | None = None
    index: int | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"CallSite(kind={self.kind!r}, node={self.node!r}, tags={self.tags!r})"


def lift(config: RunnableConfig | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a call with what its config says. Arguments that are there win.

    The config given at the call comes first, then the one it runs under: a graph node that passes a
    `configurable` of its own does not undo the strategy of the graph's caller.

    Raises:
        InvalidInputError: a ``routekit_`` key that nobody knows.
    """
    kwargs = with_hidden_headers(kwargs)
    if kwargs.get("strategy", "") is None:  # `strategy=None` means: not given
        kwargs = {key: value for key, value in kwargs.items() if key != "strategy"}
    under = var_child_runnable_config.get()
    if not config and under is None:
        return kwargs
    lifted: dict[str, Any] = {}
    site: dict[str, Any] = {}
    for source in (config, under):
        if source:
            _read(source, lifted, site)
    if not lifted and not site:
        return kwargs
    given = kwargs.get(SITE)
    if site:
        known = CallSite(**site)
        if given is not None:
            known = replace(known, **{key: v for key in CallSite.__slots__ if (v := getattr(given, key))})
        lifted[SITE] = known
        kwargs = {key: value for key, value in kwargs.items() if key != SITE}
    return {**lifted, **kwargs}


def with_hidden_headers(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments whose `extra_headers` show no values: LangChain writes them into traces and keys of caches.

    Raises:
        InvalidInputError: they cannot be sent.
    """
    given = kwargs.get("extra_headers")
    if given is None or isinstance(given, CallHeaders):
        return kwargs
    return {**kwargs, "extra_headers": CallHeaders.checked(given)}


def configured_strategy() -> Any:
    """The strategy of the config that this code runs under, or None."""
    under = var_child_runnable_config.get()
    return ((under or {}).get("configurable") or {}).get(PREFIX + "strategy")


def step_of(
    messages: Sequence[BaseMessage],
    tools: Sequence[Any] | None = None,
    tool_choice: Any = None,
    site: CallSite | None = None,
) -> Step:
    """The step that a call is, from its messages, the tools it may use, and where it comes from."""
    free = bool(tools) and tool_choice != "none" and not isinstance(tool_choice, Mapping)
    if site is None and messages and messages[-1].__class__ is HumanMessage and not _results(messages[-1]):
        return _PLAN if free else _ANSWER
    failed, spoken = _read_run(messages)
    kind = site.kind if site is not None else None
    if kind is None:
        kind = _kind(failed, spoken, free)
    if site is None:
        return Step(kind=kind, index=spoken, after_tool_error=bool(failed))
    return Step(
        kind=kind,
        run_id=site.run_id,
        index=spoken if site.index is None else site.index,
        node=site.node,
        after_tool_error=bool(failed),
    )


def _kind(failed: bool | None, spoken: int, free: bool) -> str:
    if failed:
        return "recover"
    if not free:
        return "answer"
    if failed is not None:
        return "observe"
    return "act" if spoken else "plan"


def _read_run(messages: Sequence[BaseMessage]) -> tuple[bool | None, int]:
    """Whether the newest tool results have an error in them (None: the newest message is no tool result),
    and how often the model spoke since the last human message."""
    failed: bool | None = None
    trailing, spoken = True, 0
    for message in reversed(messages):
        results = _results(message)
        if results:
            if trailing:
                failed = bool(failed) or any(results)
            continue
        trailing = False
        if isinstance(message, AIMessage):
            spoken += 1
        elif isinstance(message, HumanMessage):
            break
    return failed, spoken


def _results(message: BaseMessage) -> list[bool]:
    """For each tool result in the message, whether it is an error. Anthropic puts them into human messages."""
    if isinstance(message, ToolMessage):
        return [message.status == "error"]
    if isinstance(message, FunctionMessage):
        return [False]
    if isinstance(message, HumanMessage) and not isinstance(message.content, str):
        blocks = [b for b in message.content if isinstance(b, dict) and b.get("type") == "tool_result"]
        return [bool(block.get("is_error")) for block in blocks]
    return []


def _read(config: Mapping[str, Any], lifted: dict[str, Any], site: dict[str, Any]) -> None:
    """Adds what one config says to what was found before; the earlier one wins."""
    configurable = config.get("configurable")
    if configurable:
        for key, value in configurable.items():
            if key.__class__ is str and key.startswith(PREFIX) and value is not None:
                name = key[len(PREFIX) :]
                if name not in LIFTED:
                    near = closest(name, LIFTED)
                    hint = f"; did you mean {PREFIX + near!r}?" if near else ""
                    known = ", ".join(PREFIX + each for each in LIFTED)
                    raise InvalidInputError(f'config["configurable"] has an unknown key {key!r}{hint} Known: {known}')
                lifted.setdefault(name, value)
        if (thread := configurable.get("thread_id")) is not None:
            site.setdefault("session", str(thread))
        if (run := configurable.get("run_id")) is not None:
            site.setdefault("run_id", str(run))
    metadata = config.get("metadata")
    if metadata:
        if (node := metadata.get("langgraph_node")) is not None:
            site.setdefault("node", str(node))
            if "summari" in str(node).lower():
                site.setdefault("kind", "summarise")
        if (run := metadata.get("run_id")) is not None:
            site.setdefault("run_id", str(run))
        if metadata.get("lc_source") == "summarization":
            site["kind"] = "summarise"
    if tags := config.get("tags"):
        wanted = tuple(tag for tag in tags if not tag.startswith(_NOISE))
        if wanted:
            site["tags"] = tuple(dict.fromkeys((*site.get("tags", ()), *wanted)))
