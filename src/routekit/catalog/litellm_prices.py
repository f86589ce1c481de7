"""litellm's table of prices, read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from importlib import util
from pathlib import Path
from typing import Any

from routekit.types import Price, Tier
from routekit.types.money import nanos_from_usd

_MAP_FILE = "model_prices_and_context_window_backup.json"

_ABOVE = re.compile(r"input_cost_per_token_above_(\d+)k_tokens(|_batches|_flex|_priority)")

_OWN_MACHINE = frozenset({"ollama", "ollama_chat", "lemonade", "llamafile", "lm_studio", "hosted_vllm"})


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
