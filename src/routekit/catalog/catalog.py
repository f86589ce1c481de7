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
from dataclasses import replace
from functools import cache
from importlib import metadata, resources, util
from pathlib import Path
from typing import Any

from routekit.catalog.endpoints import KNOWN_ENDPOINTS, _endpoint_at
from routekit.catalog.litellm_prices import _MAP_FILE, _count, _price, _read_map
from routekit.errors import InvalidInputError
from routekit.plugin.once import KeptProperty
from routekit.types import CAPABILITIES, Model, Price

ASSUMED_CAPABILITIES = frozenset({"chat", "streaming", "tools", "json_schema", "json_object"})
"""What a chat endpoint nobody described is taken to do: a wrong guess costs one refused call."""

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

_FAMILIES = {"bedrock": ("bedrock", "bedrock_converse"), "cohere": ("cohere", "cohere_chat")}
_NOT_VENDORS = frozenset({"litellm", "openai-compatible"})


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

    @KeptProperty
    def source(self) -> str:
        """How the price map is cited: "litellm 1.106.2 price map"."""
        if self._given is not None:
            return self._given_source or "given price map"
        try:
            return f"litellm {metadata.version('litellm')} price map"
        except metadata.PackageNotFoundError:
            return "litellm price map"

    @KeptProperty
    def as_of(self) -> str:
        """The day (YYYY-MM-DD) on which the price map came to this machine, for it has no date; "" where unknown."""
        if self._given is not None:
            return ""
        spec = util.find_spec("litellm")
        file = None if spec is None or spec.origin is None else Path(spec.origin).with_name(_MAP_FILE)
        if file is None or not file.is_file():
            return ""
        return dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC).date().isoformat()

    @KeptProperty
    def entries(self) -> Mapping[str, Mapping[str, Any]]:
        """The price map, text and embedding models only; empty where litellm is not installed."""
        entries = self._given if self._given is not None else _read_map()
        return {key: entry for key, entry in entries.items() if entry.get("mode", "chat") in _MODES}

    @KeptProperty
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

    @KeptProperty
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


@cache
def _installed() -> Catalog:
    return Catalog()


def _spellings(model_id: str) -> Iterable[str]:
    yield model_id
    if model_id.startswith(("ft:", "openai/ft:")):
        yield ":".join(model_id.split(":")[:2])
    elif (undated := _DATED.sub("", model_id)) != model_id:
        yield undated


def _sold_by(entry: Mapping[str, Any], vendor: str) -> bool:
    owner = str(entry.get("litellm_provider"))
    return owner in _FAMILIES.get(vendor, (vendor,)) or owner.startswith(f"{vendor}-")


def _times(model: Model, price: Price, factor: int) -> Model:
    dearer = replace(price, output=price.output * factor)  # the prompt is read once for all samples
    source = f"{model.sources['price']}, {factor} answers written"
    return replace(model, price=dearer, sources={**model.sources, "price": source})
