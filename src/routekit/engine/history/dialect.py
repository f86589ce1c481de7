"""Pure: what the reader of a message history understands, beyond what OpenAI's Chat Completions say.

One table, by who answers at the other end: the vendor that a model id names behind litellm, the host
of an OpenAI-compatible address, or the provider's own name. Where the table says nothing, the reader
is taken to be lenient. Sources, as of 2026:

- Mistral: ids are nine letters or digits (its error "must be a-z, A-Z, 0-9, with a length of 9"), no
  `user` straight after `tool` (error 3230), an answer to go on with is marked ``prefix: true``, unknown
  keys are refused. The order and the ids hold wherever mistral-common serves its models (vLLM, NIM).
- Anthropic, and Bedrock's Converse: ids are ``^[a-zA-Z0-9_-]+$`` (Converse: at most 64), texts are not
  blank, an answer to go on with does not end in white space, newer Claude takes none at all ("does not
  support assistant message prefill"). Only Anthropic's own thinking signatures are valid there, and
  they are on each of its platforms. Converse wants `tools` wherever tool calls are in the history.
- OpenAI: `tool_call_id` has at most 40 characters; unknown keys on a message are refused, and pictures
  in a tool's result ("only allowed for messages with role 'user'").
- Gemini: needs the thought signatures of its tool calls back; litellm keeps them in
  `provider_specific_fields` and behind ``__thought__`` in the id, Google's OpenAI-compatible address in
  ``extra_content.google``, where ``skip_thought_signature_validator`` stands for one that is not there
  (ai.google.dev/gemini-api/docs/thought-signatures).
- DeepSeek and Kimi, thinking: `reasoning_content` on each assistant message, not empty
  (api-docs.deepseek.com/guides/thinking_mode, platform.kimi.ai). They go on with ``prefix: true`` (at the
  beta address) and ``partial: true``.
- Perplexity: user and assistant alternate after the system messages, and the user speaks last.
- Groq and Cerebras refuse unknown keys; OpenRouter takes `reasoning_details` and `cache_control` and
  hands them on to the vendors that read them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

from routekit.types import Deployment

_WIRE = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a message history has to look for one kind of endpoint.

    `ids` is what a whole tool-call id matches. `keys` are the only keys a message may have (None: any
    that is not known to belong to another vendor), `reasoning` those of its earlier reasoning that the
    model reads. `last` says what a closing assistant message needs: "any" nothing, "prefill" a model
    that goes on with one, else a user message behind it; `mark` is the key that asks to go on.
    `native` is OpenAI itself: functions from before there were tools, refusals, sounds of its own.
    `blank`: empty texts are taken. `bridged`: an assistant speaks between a result and the user.
    `wants_objects`: arguments of tool calls are JSON objects. `text_results`: results hold only texts.
    """

    ids: re.Pattern[str] = re.compile(r".+", re.DOTALL)
    keys: frozenset[str] | None = None
    reasoning: frozenset[str] = frozenset()
    cache_control: bool = False
    developer: bool = False
    native: bool = False
    blank: bool = True
    opens_with_user: bool = False
    alternates: bool = False
    bridged: bool = False
    wants_tools: bool = False
    wants_reasoning: bool = False
    wants_objects: bool = False
    text_results: bool = False
    last: Literal["any", "prefill"] = "any"
    mark: str | None = None


_TEXT_REASONING = frozenset({"reasoning_content", "reasoning"})
_TOKEN = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_LENIENT = Dialect(reasoning=_TEXT_REASONING)
_OPENAI = Dialect(
    ids=re.compile(r".{1,40}", re.DOTALL),
    keys=_WIRE | {"refusal", "audio", "function_call"},
    developer=True,
    native=True,
    text_results=True,
)
_ANTHROPIC = Dialect(
    ids=_TOKEN,
    reasoning=frozenset({"thinking_blocks", "provider_specific_fields"}),
    cache_control=True,
    blank=False,
    opens_with_user=True,
    wants_objects=True,
    last="prefill",
)
_BEDROCK = Dialect(
    ids=_TOKEN, cache_control=True, blank=False, opens_with_user=True, wants_tools=True, wants_objects=True,
    last="prefill",
)  # fmt: skip
_GEMINI = Dialect(
    reasoning=frozenset({"provider_specific_fields"}), cache_control=True, blank=False, wants_objects=True,
    last="prefill",
)  # fmt: skip
_MISTRAL = Dialect(
    ids=re.compile(r"[a-zA-Z0-9]{9}"), keys=_WIRE - {"name"}, blank=False, bridged=True, text_results=True,
    last="prefill", mark="prefix",
)  # fmt: skip
_DEEPSEEK = Dialect(
    reasoning=frozenset({"reasoning_content"}), wants_reasoning=True, text_results=True, last="prefill", mark="prefix"
)  # fmt: skip
_STRICT = Dialect(keys=_WIRE, text_results=True)

_TABLE = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    "anthropic": _ANTHROPIC,
    "bedrock": _BEDROCK,
    "bedrock-claude": replace(_ANTHROPIC, wants_tools=True),
    "gemini": _GEMINI,
    "google": replace(_GEMINI, reasoning=frozenset({"extra_content"}), cache_control=False),
    "mistral": _MISTRAL,
    "deepseek": _DEEPSEEK,
    "moonshot": replace(_DEEPSEEK, mark="partial"),
    "perplexity": Dialect(keys=_WIRE, blank=False, opens_with_user=True, alternates=True, last="prefill"),
    "groq": _STRICT,
    "cerebras": _STRICT,
    "openrouter": Dialect(
        reasoning=frozenset({"reasoning", "reasoning_details"}), cache_control=True, developer=True
    ),
    "dashscope": replace(_LENIENT, cache_control=True),
}  # fmt: skip
"""By vendor. "google" is Google's OpenAI-compatible address, "gemini" litellm's translation."""

_HOSTS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "googleapis.com": "google",
    "mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "moonshot.ai": "moonshot",
    "moonshot.cn": "moonshot",
    "api.perplexity.ai": "perplexity",
    "api.groq.com": "groq",
    "api.cerebras.ai": "cerebras",
    "openrouter.ai": "openrouter",
    "aliyuncs.com": "dashscope",
}

_ALIASES = {
    "codestral": "mistral",
    "vertex_ai": "gemini",
    "vertex_ai_beta": "gemini",
    "bedrock_converse": "bedrock",
    "azure_text": "azure",
    "text-completion-openai": "openai",
}
_ELSEWHERE = frozenset({"openai", "custom_openai", "hosted_vllm", ""})
"""Behind litellm these name a way of talking, and a given address says to whom."""

_MAKERS = (
    ("anthropic", re.compile(r"claude")),
    ("google", re.compile(r"gemini")),
    ("openai", re.compile(r"(?:^|/)(?:gpt-|chatgpt|o\d)")),
    ("mistral", re.compile(r"mistral|ministral|mixtral|magistral|devstral|codestral|pixtral")),
    ("deepseek", re.compile(r"deepseek")),
    ("moonshot", re.compile(r"kimi|moonshot")),
)
_HOSTED_CLAUDE = frozenset({"anthropic", "bedrock", "gemini", "azure_ai", "databricks"})
_NEEDS_SIGNATURE = re.compile(r"gemini-(?:[3-9]|\d\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One deployment as a reader: its dialect, who made its model, and what the model can do.

    `maker` is "" where the model id does not say. `signs_calls`: a tool call without a thought
    signature is refused.
    """

    dialect: Dialect
    maker: str
    tools: bool
    reasons: bool
    prefill: bool
    cache_control: bool
    left_out: frozenset[str]
    signs_calls: bool


def reader_of(deployment: Deployment) -> Reader:
    """Who reads what is sent to this deployment. Kept: what decides are a few texts."""
    model, options = deployment.model, deployment.options
    address = options.get("base_url") or options.get("api_base")
    return _reader(deployment.provider, model.id, address, model.capabilities, model.sources.get("capabilities"))


@lru_cache(maxsize=1024)
def _reader(
    provider: str, model_id: str, address: str | None, capabilities: frozenset[str], source: str | None
) -> Reader:
    name = model_id.lower()
    maker = next((maker for maker, pattern in _MAKERS if pattern.search(name)), "")
    vendor = _vendor(provider, name, address, maker)
    dialect = _TABLE.get(vendor, _LENIENT)
    if vendor not in _TABLE or vendor == "openrouter":
        if maker == "mistral":
            dialect = replace(dialect, ids=_MISTRAL.ids, bridged=True, last="prefill", mark="prefix")
        elif maker == "anthropic":
            dialect = replace(dialect, ids=_TOKEN, cache_control=True, blank=False, last="prefill")
    if vendor == "deepseek" and provider != "litellm" and "/beta" not in (address or ""):
        capabilities -= {"prefill"}  # the usual address does not take the mark
    # Of a model that nobody described nothing is taken away that somebody put in on purpose.
    described = bool(capabilities) and source != "assumed"

    def can(capability: str) -> bool:
        return not described or capability in capabilities

    reasons = can("reasoning")
    if not reasons:
        dialect = replace(dialect, reasoning=dialect.reasoning - _TEXT_REASONING, wants_reasoning=False)
    return Reader(
        dialect=dialect,
        maker=maker,
        tools=not capabilities or "tools" in capabilities,
        reasons=reasons,
        prefill="prefill" in capabilities,
        cache_control=dialect.cache_control and can("prompt_cache"),
        left_out=frozenset(name for name in ("vision", "audio", "pdf") if not can(name)),
        signs_calls=vendor == "google" and _NEEDS_SIGNATURE.search(name) is not None,
    )


def _vendor(provider: str, name: str, address: str | None, maker: str) -> str:
    first = name.split("/", 1)[0] if provider == "litellm" and "/" in name else ""
    first = _ALIASES.get(first, first)
    if provider == "litellm" and maker == "anthropic" and first in _HOSTED_CLAUDE:
        return "anthropic" if first != "bedrock" else "bedrock-claude"
    if address and (provider != "litellm" or first in _ELSEWHERE):
        host = urlsplit(address).hostname or ""
        return next((vendor for end, vendor in _HOSTS.items() if host == end or host.endswith("." + end)), "")
    if first or provider == "litellm":
        return first or {"google": "gemini"}.get(maker, maker)
    return provider
