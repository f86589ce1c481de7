"""What is known about models before anybody configures anything: prices, windows, capabilities.

Three sources, the later ones fill what the earlier leave open: the configuration, the table of local
models in ``data/local_models.json``, and the price map inside the installed litellm wheel, a JSON file
that is read without importing litellm (which would take two seconds of CPU). `Model.sources` says
for every figure which of them it came from.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache, cached_property
from importlib import metadata, resources, util
from pathlib import Path
from typing import Any

from routekit.errors import InvalidInputError
from routekit.types import CAPABILITIES, Model, Price, Tier
from routekit.types.money import nanos_from_usd

ASSUMED_CAPABILITIES = frozenset({"chat", "streaming", "tools", "json_schema", "json_object"})
"""What a chat endpoint nobody described is taken to do: a wrong guess costs one refused call."""

_MAP_FILE = "model_prices_and_context_window_backup.json"
_MODES = frozenset({"chat", "responses", "completion", "embedding"})
_FLAGS = {
    "supports_function_calling": ("tools",),
    "supports_response_schema": ("json_schema", "json_object"),
    "supports_vision": ("vision",),
    "supports_audio_input": ("audio",),
    "supports_pdf_input": ("pdf",),
    "supports_reasoning": ("reasoning",),
    "supports_assistant_prefill": ("prefill",),
    "supports_prompt_caching": ("prompt_cache",),
}

_GIVES_LOGPROBS = frozenset({"openai", "azure", "deepseek", "xai", "together_ai", "fireworks_ai", "hosted_vllm"})
"""Vendors whose models that do not reason give log-probabilities, of which the map says nothing (litellm's
`get_supported_openai_params`; platform.openai.com/docs/guides/reasoning)."""

_DATED = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|[-@]\d{8})$")
"""How snapshots are named: ``gpt-5-mini-2025-08-07``, ``claude-opus-4-6-20260205``, ``...@20260205``."""

_ABOVE = re.compile(r"input_cost_per_token_above_(\d+)k_tokens(|_batches|_flex|_priority)")
_FAMILIES = {"bedrock": ("bedrock", "bedrock_converse"), "cohere": ("cohere", "cohere_chat")}
_OWN_MACHINE = frozenset({"ollama", "ollama_chat", "lemonade", "llamafile", "lm_studio", "hosted_vllm"})
_NOT_VENDORS = frozenset({"litellm", "openai-compatible"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A vendor that a key in the environment unlocks.

    `env` are the variables that may hold its key, in order; `address_env` those that may hold another address;
    `vendor` its prefix in the price map; `models` a small, a medium and a large one. `resells` means that model ids
    name the vendor ("openai/gpt-5-mini") and are charged at that vendor's list price.
    """

    env: tuple[str, ...]
    vendor: str
    models: tuple[str, ...]
    provider: str = "openai-compatible"
    base_url: str | None = None
    address_env: tuple[str, ...] = ()
    resells: bool = False


KNOWN_ENDPOINTS = (
    Endpoint(
        env=("OPENAI_API_KEY",),
        address_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        vendor="openai",
        base_url="https://api.openai.com/v1",
        models=("gpt-5-nano", "gpt-5-mini", "gpt-5.4"),
    ),
    Endpoint(
        env=("ANTHROPIC_API_KEY",),
        vendor="anthropic",
        provider="litellm",
        models=("anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-6", "anthropic/claude-opus-4-6"),
    ),
    Endpoint(
        env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        vendor="gemini",
        provider="litellm",
        models=("gemini/gemini-2.5-flash-lite", "gemini/gemini-2.5-flash", "gemini/gemini-2.5-pro"),
    ),
    Endpoint(
        env=("MISTRAL_API_KEY",),
        vendor="mistral",
        base_url="https://api.mistral.ai/v1",
        models=("ministral-8b-latest", "mistral-small-latest", "mistral-medium-latest"),
    ),
    Endpoint(
        env=("GROQ_API_KEY",),
        vendor="groq",
        base_url="https://api.groq.com/openai/v1",
        models=("openai/gpt-oss-20b", "openai/gpt-oss-120b"),
    ),
    Endpoint(
        env=("DEEPSEEK_API_KEY",),
        vendor="deepseek",
        base_url="https://api.deepseek.com",
        models=("deepseek-v4-flash", "deepseek-v4-pro"),
    ),
    Endpoint(
        env=("XAI_API_KEY",),
        vendor="xai",
        base_url="https://api.x.ai/v1",
        models=("grok-4.3", "grok-4.7"),
    ),
    Endpoint(
        env=("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
        vendor="together_ai",
        base_url="https://api.together.xyz/v1",
        models=("openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V4.1-Flash", "zai-org/GLM-5.3"),
    ),
    Endpoint(
        env=("OPENROUTER_API_KEY",),
        vendor="openrouter",
        base_url="https://openrouter.ai/api/v1",
        models=("openai/gpt-5-nano", "openai/gpt-5-mini", "openai/gpt-5.4"),
        resells=True,
    ),
)
"""Which key unlocks whom, and the models offered where no configuration says otherwise."""


class Catalog:
    """Looks models up. Files are read at the first look-up, once.

    `prices` stands in for the file of the litellm wheel, for tests and for maps of one's own.
    """

    def __init__(self, prices: Mapping[str, Mapping[str, Any]] | None = None, *, source: str | None = None) -> None:
        self._given, self._given_source = prices, source

    @classmethod
    def load(cls) -> Catalog:
        """The catalogue of this installation, shared by the whole process."""
        return _installed()

    @cached_property
    def source(self) -> str:
        """How the price map is cited: "litellm 1.106.2 price map"."""
        if self._given is not None:
            return self._given_source or "given price map"
        try:
            return f"litellm {metadata.version('litellm')} price map"
        except metadata.PackageNotFoundError:
            return "litellm price map"

    @cached_property
    def as_of(self) -> str:
        """The day (YYYY-MM-DD) on which the price map came to this machine, for it has no date; "" where unknown."""
        if self._given is not None:
            return ""
        spec = util.find_spec("litellm")
        file = None if spec is None or spec.origin is None else Path(spec.origin).with_name(_MAP_FILE)
        if file is None or not file.is_file():
            return ""
        return dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC).date().isoformat()

    @cached_property
    def entries(self) -> Mapping[str, Mapping[str, Any]]:
        """The price map, text and embedding models only; empty where litellm is not installed."""
        entries = self._given if self._given is not None else _read_map()
        return {key: entry for key, entry in entries.items() if entry.get("mode", "chat") in _MODES}

    @cached_property
    def local_models(self) -> Mapping[str, Mapping[str, Any]]:
        """routekit's own table of local models, by name."""
        text = resources.files("routekit").joinpath("data/local_models.json").read_text(encoding="utf-8")
        found: dict[str, Mapping[str, Any]] = json.loads(text)
        return found

    def lookup(self, model_id: str, provider: str | None = None) -> Model | None:
        """The model, or None where nobody described it. Never a similar one.

        `provider` is "local", a vendor's prefix in the price map ("groq"), or anything else, which
        says nothing. In this order, the first that is there:

        1. ``provider/model_id``: the vendor's own entry of that name;
        2. `model_id` as it stands, unless it belongs to another vendor than `provider`;
        3. the id without its first segment, if that segment names the vendor of what is found
           ("openai/gpt-5-mini" is openai's gpt-5-mini; "groq/gpt-5-mini" is nothing);
        4. the same without the date of a snapshot ("gpt-5-mini-2025-08-07"), or without the owner
           of a fine-tune ("ft:gpt-4.1-mini-2025-04-14:me::x").

        An undated id is never resolved to a dated entry: which one it means is the vendor's affair.
        """
        if provider in (None, "local") and model_id in self.local_models:
            return self._local(model_id)
        if provider == "local":
            return None
        for name in _spellings(model_id):
            key = self._key(name, None if provider in _NOT_VENDORS else provider)
            if key is not None:
                return self._from_map(model_id, key)
        return None

    def model_for(
        self,
        model_id: str,
        *,
        provider: str | None = None,
        base_url: str | None = None,
        price: Price | None = None,
        context_window: int | None = None,
        max_output: int | None = None,
        capabilities: Iterable[str] | None = None,
        options: Mapping[str, Any] | None = None,
        like: str | None = None,
    ) -> Model:
        """The model with what the configuration says about it; always an answer.

        A known `base_url` says which vendor's price applies. What nobody described is assumed to
        chat, stream, call tools and answer in JSON, and has no price: unknown, never zero.
        `like` names a model of the catalogue that it is under another name: whose price, limits and abilities it has.
        ``options["best_of"]`` multiplies the notional output price of a local model.
        """
        endpoint = _endpoint_at(base_url)
        if endpoint is None:
            found = self.lookup(model_id, provider)
        else:
            found = self.lookup(model_id, endpoint.vendor)
            if found is None and endpoint.resells:
                found = self.lookup(model_id)
        if like is not None:
            known = self.lookup(like, endpoint.vendor if endpoint else provider) or self.lookup(like)
            if known is None:
                raise InvalidInputError(f"price_of names {like!r}, which no catalogue describes")
            found = replace(known, id=model_id)
        best_of = (options or {}).get("best_of") or 1
        if found is None:
            found = Model(id=model_id, capabilities=ASSUMED_CAPABILITIES, sources={"capabilities": "assumed"})
        elif provider == "local" and found.price is not None and best_of > 1:
            found = _times(found, found.price, best_of)
        given: dict[str, Any] = {
            "price": price,
            "context_window": context_window,
            "max_output": max_output,
            "capabilities": None if capabilities is None else frozenset(capabilities),
        }
        changes = {key: value for key, value in given.items() if value is not None}
        if not changes:
            return found
        return replace(found, **changes, sources={**found.sources, **dict.fromkeys(changes, "configuration")})

    def _key(self, name: str, provider: str | None) -> str | None:
        if provider and f"{provider}/{name}" in self.entries:
            return f"{provider}/{name}"
        # A provider that is no vendor of the map (a plugin of somebody's) narrows nothing down.
        vendor = provider if provider in self._vendors else None
        entry = self.entries.get(name)
        if entry is not None and (vendor is None or _sold_by(entry, vendor)):
            return name
        first, _, rest = name.partition("/")
        entry = self.entries.get(rest)
        if entry is not None and _sold_by(entry, first) and (vendor is None or vendor == first):
            return rest
        return None

    @cached_property
    def _vendors(self) -> frozenset[str]:
        return frozenset(str(entry.get("litellm_provider")) for entry in self.entries.values()) | {
            endpoint.vendor for endpoint in KNOWN_ENDPOINTS
        }

    def _from_map(self, model_id: str, key: str) -> Model:
        entry = self.entries[key]
        source = self.source if model_id == key else f"{self.source}, entry {key!r}"
        price, price_source = _price(entry, source, self.as_of)
        window, output = _count(entry.get("max_input_tokens")), _count(entry.get("max_output_tokens"))
        if window is None:
            window = _count(entry.get("max_tokens"))
        mode = entry.get("mode", "chat")
        capabilities = {"embeddings"} if mode == "embedding" else {"chat", "streaming"}
        for flag, names in _FLAGS.items():
            if entry.get(flag):
                capabilities.update(names)
        if mode == "embedding":
            output = None
        elif entry.get("litellm_provider") in _GIVES_LOGPROBS and not entry.get("supports_reasoning"):
            capabilities.add("logprobs")
        sources = {"price": price_source, "capabilities": source}
        if window is not None:
            sources["context_window"] = source
        if output is not None:
            sources["max_output"] = source
        return Model(
            id=model_id,
            context_window=window,
            max_output=output,
            capabilities=frozenset(capabilities & CAPABILITIES),
            price=price,
            sources=sources,
        )

    def _local(self, name: str) -> Model:
        entry = self.local_models[name]
        source = "routekit local models"
        return Model(
            id=name,
            context_window=entry["context_window"],
            max_output=entry["max_output"],
            capabilities=frozenset(entry["capabilities"]),
            price=Price.from_usd(source="notional energy price", **entry["notional_price"]),
            sources={
                "price": f"{source} (notional energy price)",
                "context_window": source,
                "capabilities": source,
            },
        )


def deployments_from_env(env: Mapping[str, str]) -> list[dict[str, Any]]:
    """``[[deployments]]`` tables for the keys in the environment, or for the local models if there is none.

    Names of variables are in them, never a key.
    """
    tables = [
        table
        for endpoint in KNOWN_ENDPOINTS
        if (variable := next((name for name in endpoint.env if env.get(name, "").strip()), None))
        for table in _tables(endpoint, variable, env)
    ]
    return tables or local_deployments()


def local_deployments() -> list[dict[str, Any]]:
    """``[[deployments]]`` tables for the local models: one answer, or the best of five of the same weights.

    Neither has a quality of its own: nobody measured them on the same scale as hosted models.
    """
    once: dict[str, Any] = {"name": "smollm2", "provider": "local", "model": "smollm2", "tags": ["local"]}
    return [once, {**once, "name": "smollm2-best-of-5", "options": {"best_of": 5}}]


def _tables(endpoint: Endpoint, variable: str, env: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    named = (env.get(name, "").strip() for name in endpoint.address_env)
    address = next(filter(None, named), endpoint.base_url)
    for model in endpoint.models:
        short = model.rpartition("/")[2].lower()
        table: dict[str, Any] = {
            "name": short if endpoint.vendor in ("openai", "anthropic", "gemini") else f"{endpoint.vendor}-{short}",
            "provider": endpoint.provider,
            "model": model,
            "api_key_env": variable,
            "tags": ["external"],
        }
        if address:
            table["base_url"] = address
        yield table


@cache
def _installed() -> Catalog:
    return Catalog()


def _read_map() -> dict[str, dict[str, Any]]:
    spec = util.find_spec("litellm")  # of a top-level package: it is found, not imported
    if spec is None or spec.origin is None:
        return {}
    file = Path(spec.origin).with_name(_MAP_FILE)
    if not file.is_file():
        return {}
    entries: dict[str, dict[str, Any]] = json.loads(file.read_bytes())
    entries.pop("sample_spec", None)
    return entries


def _spellings(model_id: str) -> Iterable[str]:
    yield model_id
    if model_id.startswith(("ft:", "openai/ft:")):
        yield ":".join(model_id.split(":")[:2])
    elif (undated := _DATED.sub("", model_id)) != model_id:
        yield undated


def _sold_by(entry: Mapping[str, Any], vendor: str) -> bool:
    owner = str(entry.get("litellm_provider"))
    return owner in _FAMILIES.get(vendor, (vendor,)) or owner.startswith(f"{vendor}-")


def _endpoint_at(base_url: str | None) -> Endpoint | None:
    if not base_url:
        return None
    host = base_url.partition("://")[2].partition("/")[0].lower()
    for endpoint in KNOWN_ENDPOINTS:
        if endpoint.base_url and endpoint.base_url.partition("://")[2].partition("/")[0] == host:
            return endpoint
    return None


def _price(entry: Mapping[str, Any], source: str, as_of: str) -> tuple[Price | None, str]:
    """The price and where it came from, or why there is none.

    The map has dollars per token as floats. Prices per image, second or query are left out.
    """
    per_token_in, per_token_out = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if per_token_out is None and entry.get("mode") == "embedding":
        per_token_out = 0
    inward, outward = _nanos(per_token_in), _nanos(per_token_out)
    if inward is None or outward is None:
        return None, f"unknown ({source} has no price per token)"
    if not inward and not outward and entry.get("litellm_provider") not in _OWN_MACHINE:
        return None, f"unknown ({source} says 0 for a hosted model)"
    services = []
    for name, suffix in (("batch", "_batches"), ("flex", "_flex"), ("priority", "_priority")):
        own_in, own_out = (
            _nanos(entry.get(f"input_cost_per_token{suffix}")),
            _nanos(entry.get(f"output_cost_per_token{suffix}")),
        )
        if own_in is not None and own_out is not None:
            services.append((name, _of_service(entry, own_in, own_out, suffix)))
    price = replace(
        _of_service(entry, inward, outward, ""),
        per_request=_nanos(entry.get("input_cost_per_request"), tokens=1) or 0,
        audio_input=_nanos(entry.get("input_cost_per_audio_token")) or None,
        audio_output=_nanos(entry.get("output_cost_per_audio_token")) or None,
        image_input=_nanos(entry.get("input_cost_per_image_token")) or None,
        services=tuple(services),
        source=source,
        as_of=as_of,
    )
    return price, source


def _of_service(entry: Mapping[str, Any], inward: int, outward: int, suffix: str) -> Price:
    """The prices of one service tier, whose names in the map end in `suffix`; none for the usual one."""
    tiers = []
    for key in entry:
        if (found := _ABOVE.fullmatch(key)) is not None and found[2] == suffix and entry[key] is not None:
            above = f"_above_{found[1]}k_tokens{suffix}"
            tiers.append(
                Tier(
                    above_tokens=int(found[1]) * 1000,
                    input=_nanos(entry[key]),
                    output=_nanos(entry.get(f"output_cost_per_token{above}")),
                    cached_input=_nanos(entry.get(f"cache_read_input_token_cost{above}")),
                    cache_write=_nanos(entry.get(f"cache_creation_input_token_cost{above}")) or None,
                    cache_write_1h=_nanos(entry.get(f"cache_creation_input_token_cost_above_1hr{above}")) or None,
                )
            )
    return Price(
        input=inward,
        output=outward,
        cached_input=_nanos(entry.get(f"cache_read_input_token_cost{suffix}")),
        # Some entries say 0 where a provider charges cache writes like input and not on top of it.
        cache_write=_nanos(entry.get(f"cache_creation_input_token_cost{suffix}")) or None,
        reasoning=(_nanos(entry.get("output_cost_per_reasoning_token")) or None) if not suffix else None,
        cache_write_1h=_nanos(entry.get(f"cache_creation_input_token_cost_above_1hr{suffix}")) or None,
        tiers=tuple(tiers),
    )


def _nanos(dollars: Any, tokens: int = 1_000_000) -> int | None:
    """Dollars for one token as nano-dollars for a million, by way of the float's shortest decimal form."""
    if dollars is None or isinstance(dollars, bool):
        return None
    try:
        amount = Decimal(str(dollars))
    except InvalidOperation:
        return None
    return nanos_from_usd(amount * tokens) if amount.is_finite() and amount >= 0 else None


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _times(model: Model, price: Price, factor: int) -> Model:
    dearer = replace(price, output=price.output * factor)  # the prompt is read once for all samples
    source = f"{model.sources['price']}, {factor} answers written"
    return replace(model, price=dearer, sources={**model.sources, "price": source})
