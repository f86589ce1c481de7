"""Pure: what of a call litellm is given. Its functions take parameters, keys, addresses and switches all as keywords.

So only parameters that are known pass as keywords; what a caller adds to the body travels in `extra_body`, whose
names litellm does not read. Where a call goes, with whose key, and whether it goes at all, is the deployment's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from routekit.errors import InvalidRequestError
from routekit.plugin import ProviderCall
from routekit.types.headers import RESERVED, CallHeaders
from routekit.types.parameters import KNOWN, MEANT

_TAKE_EXTRA_BODY = frozenset(
    {"openai", "azure", "azure_ai", "custom_openai", "hosted_vllm", "litellm_proxy", "openrouter"}
)
"""Vendors whose client spreads `extra_body` into the body."""

_SETTING = re.compile(
    r"^(aws|vertex|azure|api|litellm|openai|google|watsonx|ibm|oci|sagemaker|mock|default|custom|provider)_"
    r"|key|token$|secret|credential|base|url|host|endpoint|client|callback|proxy|region|project|organization|session$"
    r"|timeout|retries|fallback|cache$|logger|model_|metadata|headers$|hook",
    re.IGNORECASE,
)
"""Names that litellm reads as settings of its own, or may: where a call goes, with whose key, who is told."""


def parameters(call: ProviderCall, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of litellm for the caller's parameters, over the deployment's `settings`.

    Raises:
        InvalidRequestError: a name that is no parameter, or one in `extra_body` that litellm takes for a setting.
    """
    found: dict[str, Any] = {}
    for name, value in call.params.items():
        if name == "extra_body":
            extra = _extra_body(call, value, settings)
            if call.deployment.model.id.partition("/")[0] in _TAKE_EXTRA_BODY:
                found[name] = extra
            else:  # for all others litellm writes it into the body as it stands, or loses it; names it passes on
                found = {**extra, **found}
        elif name not in KNOWN:
            _refuse(call, name, "is no parameter")
        elif value is not None:
            found[name] = copied(value)
    if call.headers:
        found["extra_headers"] = _headers(settings.get("extra_headers"), call.headers)
    return found


def _extra_body(call: ProviderCall, given: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    own = settings.get("extra_body")
    merged = dict(own) if isinstance(own, Mapping) else {}
    for name, value in (given if isinstance(given, Mapping) else {}).items():
        if name in MEANT or _SETTING.search(name):
            _refuse(call, f"extra_body.{name}", "is a setting of litellm")
        merged[name] = copied(value)
    return merged


def _headers(own: Any, given: CallHeaders) -> dict[str, str]:
    named = {name.lower() for name in given}
    kept = {name: value for name, value in own.items() if name.lower() not in named} if isinstance(own, Mapping) else {}
    return {**kept, **{name: value for name, value in given.items() if name.lower() not in RESERVED}}


def _refuse(call: ProviderCall, name: str, what: str) -> None:
    raise InvalidRequestError(
        f"deployment {call.deployment.name!r}: {name!r} {what}, and a call must not set it; it belongs to the "
        "deployment's options",
        deployment=call.deployment.name,
    )


def copied(value: Any) -> Any:
    """Plain data of one's own: litellm changes messages and tools in place."""
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item) for item in value]
    return value
