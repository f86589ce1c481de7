"""What callers pass to a router, checked and made one frozen request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

from routekit.config.tables.budgets import SCOPE_KINDS
from routekit.config.tables.router import RouterTable
from routekit.engine.settings import OnInterrupt
from routekit.errors import InvalidInputError
from routekit.types import NO_REQUIREMENTS, CacheMode, Money, Requirements, RouteRequest, Step, as_messages
from routekit.types.headers import NO_HEADERS, CallHeaders
from routekit.types.parameters import KNOWN, refuse_unknown, spread
from routekit.types.suggest import closest
from routekit.types.text import as_name, well_formed_json

Messages = str | Iterable[Mapping[str, Any]]
ScopeValues = Mapping[str, str | Sequence[str]]
ON_INTERRUPT = get_args(OnInterrupt)
CACHE_MODES = ("use", "bypass", "refresh", "only")
OPTIONS = (
    "strategy", "model", "group", "tools", "scopes", "deadline_s", "max_cost_usd", "requirements", "step", "session",
    "metadata", "cache", "cache_ttl_s", "cache_namespace", "on_interrupt", "extra_headers", "extra_body", "timeout",
    "system",
)  # fmt: skip
TIMEOUTS = ("timeout", "request_timeout")
KNOWN_OR_BODY = KNOWN | {"extra_body"}
COUNTS = ("max_tokens", "max_completion_tokens", "n")
_PLAIN = frozenset({bool, int, type(None)})


def request_of(
    messages: Messages, options: dict[str, Any], defaults: RouterTable, stream: bool
) -> tuple[Any, RouteRequest]:
    """The strategy that was named (or None), and the request; what is in `options` and no argument is a parameter.

    Raises:
        InvalidInputError: an argument cannot be used, or is neither an argument nor a parameter that is known.
    """
    take = options.pop
    spec, step = take("strategy", None), take("step", None)
    model, group = take("model", None), take("group", None)
    tools, scopes = take("tools", None), take("scopes", None)
    deadline_s, max_cost_usd = take("deadline_s", None), take("max_cost_usd", None)
    requirements = take("requirements", None) or NO_REQUIREMENTS
    if not isinstance(requirements, Requirements):
        raise InvalidInputError(f"requirements must be a routekit.Requirements; got {type(requirements).__name__}")
    session, metadata = take("session", None), take("metadata", None)
    cache: CacheMode | None = take("cache", None)
    if cache is None:
        cache = "use"
    if cache not in CACHE_MODES:
        raise InvalidInputError(f"cache must be one of {', '.join(CACHE_MODES)}; got {cache!r}")
    cache_ttl_s, cache_namespace = take("cache_ttl_s", None), take("cache_namespace", None)
    if cache_ttl_s is not None and not (_is_seconds(cache_ttl_s) and cache_ttl_s > 0):
        raise InvalidInputError(f"cache_ttl_s must be a number of seconds above 0; got {cache_ttl_s!r}")
    on_interrupt = take("on_interrupt", None)
    if on_interrupt is not None and on_interrupt not in ON_INTERRUPT:
        raise InvalidInputError(f"on_interrupt must be one of {', '.join(ON_INTERRUPT)}; got {on_interrupt!r}")
    for name in TIMEOUTS:
        if name in options:
            deadline_s = _timeout(name, take(name), deadline_s)
    if deadline_s is None:
        deadline_s = defaults.deadline_s
    elif not _is_seconds(deadline_s):
        raise InvalidInputError(f"deadline_s must be a number of seconds, 0 for none; got {deadline_s!r}")
    if max_cost_usd is None:
        max_cost_usd = defaults.max_cost_usd
    if max_cost_usd is not None:
        ceiling = Money.from_usd(_usd(max_cost_usd))
        requirements = requirements | Requirements(max_cost=ceiling)
    if options.get("stream", stream) in (stream, None):
        take("stream", None)
    headers = NO_HEADERS if (given := take("extra_headers", None)) is None else CallHeaders.checked(given)
    if "system" in options:
        messages = _with_system(messages, take("system"))
    if "extra_body" in options:
        spread(options)
    if not options.keys() <= KNOWN_OR_BODY:
        refuse_unknown((name for name in options if name != "extra_body"), OPTIONS)
    if step is not None and not isinstance(step, Step):
        raise InvalidInputError(f"step must be a routekit.Step; got {type(step).__name__}")
    texts = (("model", model), ("group", group), ("session", session), ("cache_namespace", cache_namespace))
    for name, value in texts:
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidInputError(f"{name} must be a text; got {type(value).__name__}")
        as_name(value, name)
    for name in COUNTS:
        if name in options:
            options[name] = _count(name, options[name])
    for name, value in options.items():
        if value.__class__ not in _PLAIN:
            options[name] = well_formed_json(value, name)
    request = RouteRequest(
        messages=as_messages(messages),
        tools=_tools(tools) if tools else (),
        params=options,
        group=group or defaults.group,
        model=model,
        requirements=requirements,
        step=step,
        session=session,
        scopes=_scopes(scopes, step),
        metadata=metadata or {},
        deadline_s=deadline_s or None,
        cache=cache,
        cache_ttl_s=cache_ttl_s,
        cache_namespace=cache_namespace,
        stream=stream,
        on_interrupt=on_interrupt,
        headers=headers,
    )
    return spec, request


def _usd(value: Any) -> Decimal | float | int | str:
    return value.usd if isinstance(value, Money) else value


def _is_seconds(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value) and value >= 0


def _count(name: str, value: Any) -> int | None:
    try:
        count = None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        count = 0
    if count is not None and count < 1:
        raise InvalidInputError(f"{name} must be a whole number, 1 or more; got {value!r}")
    return count


def _tools(given: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(given, Iterable) or isinstance(given, (str, Mapping)):
        raise InvalidInputError(f"tools must be a list of tool definitions; got {type(given).__name__}")
    tools = tuple(given)
    for place, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            raise InvalidInputError(
                f"tools[{place}] must be a dictionary such as {{'type': 'function', 'function': ...}}; "
                f"got {type(tool).__name__}"
            )
    return tuple(well_formed_json(tool, f"tools[{place}]") for place, tool in enumerate(tools))


def _timeout(name: str, value: Any, deadline_s: Any) -> Any:
    """A client's `timeout` is the deadline of the whole call."""
    if value is None:
        return deadline_s
    if deadline_s is not None:
        raise InvalidInputError(f"deadline_s and {name} are both given, and mean the same; pass one of them")
    if not _is_seconds(value) or value == 0:
        raise InvalidInputError(
            f"{name} must be a number of seconds above 0, as deadline_s; got {type(value).__name__}"
        )
    return value


def _with_system(messages: Messages, system: Any) -> Messages:
    """The messages with a client's `system`, a text or parts of one, as their first."""
    if system is None:
        return messages
    if not isinstance(system, (str, list, tuple)):
        raise InvalidInputError(f"system must be a text or a list of parts; got {type(system).__name__}")
    rest = as_messages(messages)
    if rest[0]["role"] in ("system", "developer"):
        raise InvalidInputError("system is given, and messages begin with a system message; pass one of them")
    return ({"role": "system", "content": system}, *rest)


def _known_kind(kind: str) -> None:
    """Refuses a misspelt kind of scope, which would escape its budget. Kinds of one's own are fine."""
    if kind not in SCOPE_KINDS and (near := closest(kind, SCOPE_KINDS, cutoff=0.7)):
        raise InvalidInputError(f"scopes: {kind!r} is no kind of scope; did you mean {near!r}?")


def _scopes(given: ScopeValues | None, step: Step | None) -> dict[str, tuple[str, ...]]:
    if given is not None and not isinstance(given, Mapping):
        raise InvalidInputError(f"scopes must map kinds to values, as in {{'user': 'ada'}}; got {type(given).__name__}")
    scopes: dict[str, tuple[str, ...]] = {}
    for kind, value in (given or {}).items():
        if kind not in SCOPE_KINDS:
            if not isinstance(kind, str):
                raise InvalidInputError(f"scopes: a kind must be a text; got {type(kind).__name__}")
            _known_kind(kind)
            as_name(kind, "a kind of scope")
        if isinstance(value, str):
            scopes[kind] = (as_name(value, f"scopes[{kind!r}]"),)
        elif isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
            scopes[kind] = tuple(as_name(item, f"scopes[{kind!r}]") for item in value)
        else:
            raise InvalidInputError(f"scopes[{kind!r}] must be a text or a list of texts; got {value!r}")
    if step is not None:
        for name, text in (("run_id", step.run_id), ("kind", step.kind), ("node", step.node)):
            if text is not None:
                if not isinstance(text, str):
                    raise InvalidInputError(f"step.{name} must be a text; got {type(text).__name__}")
                as_name(text, f"step.{name}")
        if step.run_id is not None:
            scopes.setdefault("run", (step.run_id,))
        scopes.setdefault("step", (step.kind,))
    return scopes
