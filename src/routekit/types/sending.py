"""Pure: the parameters that leave, for those who write them into a body and for those who reckon what they can cost.

Both ask here, so that what is held for is what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIMITS = ("max_completion_tokens", "max_tokens")
"""The names of the limit on output tokens; where both are given the first one's value counts."""

UNDROPPABLE = frozenset({*LIMITS, "service_tier", "n", "messages", "model", "tools", "stream"})
"""Parameters that no deployment leaves out: what is held for a call is reckoned from them, or they are the call."""

_OTHER_LIMITS = frozenset(
    {"max_output_tokens", "max_new_tokens", "n_predict", "num_predict", "maxOutputTokens", "max_length"}
)
"""What servers of one kind call it beside those; whoever listens to it writes that much."""

_ANSWERS = ("n", "best_of", "num_return_sequences", "candidate_count")


def one_limit(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters with a single limit on the output where both of its names were given: under the name that
    every endpoint knows, with the value that counts. The very same object where there is nothing to do."""
    if params.get("max_completion_tokens") is None or params.get("max_tokens") is None:
        return params
    found = dict(params)
    found["max_tokens"] = found.pop("max_completion_tokens")
    return found


def sent_params(defaults: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a call over a deployment's `defaults`: its own replace them, None drops one.

    A limit on the output replaces that of the defaults whatever its name, and one is left where both names
    were given. What stands in `extra_body` lies beside the others, and below them. The very same object
    where there is nothing to do.

    >>> sent_params({"max_completion_tokens": 9000, "n": 2}, {"max_tokens": 5})
    {'n': 2, 'max_tokens': 5}
    """
    if not params and not defaults:
        return params
    own = _spread(params)
    defaults = _without_limits(_spread(defaults), own)
    if defaults or None in own.values():
        own = {key: value for key, value in {**defaults, **own}.items() if value is not None}
    return one_limit(own)


def changed_params(params: Mapping[str, Any], omit: frozenset[str], rename: Mapping[str, str]) -> Mapping[str, Any]:
    """Parameters as a deployment takes them: without those it refuses, and under the names that it has for them.

    >>> changed_params({"max_tokens": 5, "seed": 1}, frozenset({"seed"}), {"max_tokens": "max_completion_tokens"})
    {'max_completion_tokens': 5}
    """
    extra = params.get("extra_body")
    if isinstance(extra, Mapping):
        params = {**params, "extra_body": changed_params(extra, omit, rename)}
    return {rename.get(key, key): value for key, value in params.items() if key not in omit}


def output_limit_of(params: Mapping[str, Any]) -> int | None:
    """The limit on output tokens that is sent, None where none is.

    >>> output_limit_of({"max_tokens": 100, "n_predict": 500}), output_limit_of({})
    (500, None)
    """
    limit = next((count for name in LIMITS if (count := _count(params.get(name))) is not None), None)
    if params.keys().isdisjoint(_OTHER_LIMITS):
        return limit
    others = [count for name in _OTHER_LIMITS if (count := _count(params.get(name))) is not None]
    return max((limit or 0, *others)) if others else limit


def answers_of(params: Mapping[str, Any]) -> int:
    """How many answers are written for one call: the largest of what asks for several.

    >>> answers_of({"n": 3, "best_of": 20}), answers_of({})
    (20, 1)
    """
    if params.keys().isdisjoint(_ANSWERS):
        return 1
    return max(1, *(_count(params.get(name)) or 1 for name in _ANSWERS))


def _spread(params: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = params.get("extra_body")
    if not isinstance(extra, Mapping):
        return params
    own = {key: value for key, value in params.items() if key != "extra_body"}
    return {**_without_limits(extra, own), **own}


def _without_limits(below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    """What lies below, without its limit where there is one above, whatever either is called."""
    if not below or not any(above.get(name) is not None for name in LIMITS):
        return below
    return {key: value for key, value in below.items() if key not in LIMITS}


def _count(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return int(value) if value is not None and int(value) >= 0 else None
    except (TypeError, ValueError, OverflowError):
        return None
