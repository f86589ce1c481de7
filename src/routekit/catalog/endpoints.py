"""Endpoints that are known by their address, and what the environment has keys for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


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


def _endpoint_at(base_url: str | None) -> Endpoint | None:
    if not base_url:
        return None
    host = base_url.partition("://")[2].partition("/")[0].lower()
    for endpoint in KNOWN_ENDPOINTS:
        if endpoint.base_url and endpoint.base_url.partition("://")[2].partition("/")[0] == host:
            return endpoint
    return None
