"""The loopback server and a routed model in front of it: two deployments, "cheap" (poor) and "dear" (good)."""

from __future__ import annotations

from typing import Any

from tests.support.openai_server import OpenAIServer

ABILITIES = ["chat", "streaming", "tools", "json_schema", "json_object", "vision", "audio", "pdf", "logprobs"]


def two_deployments(url: str, **more: Any) -> dict[str, Any]:
    """A configuration in which "cheapest" asks the model "cheap" and "best" asks "dear"."""

    def deployment(name: str, quality: float, price: float) -> dict[str, Any]:
        return {
            "name": name,
            "provider": "openai-compatible",
            "model": name,
            "base_url": url,
            "quality": quality,
            "capabilities": ABILITIES,
            "context_window": 100_000,
            "price": {"input": price, "output": price},
        }

    config: dict[str, Any] = {
        "router": {"strategy": "cheapest"},
        "deployments": [deployment("cheap", 0.2, 1.0), deployment("dear", 0.9, 20.0)],
        **more,
    }
    return config


def last_model(server: OpenAIServer) -> str:
    """Who was asked last: the truth about a routing decision."""
    return server.models_called[-1]
