"""What a decision costs, by strategy and number of deployments: no upstream, CPU time only."""

from __future__ import annotations

import gc
import time

from routekit import Router
from routekit.testing import ScriptedProvider, plugin_module

STRATEGIES = (
    "cheapest", "fastest", "best", "balanced", "ordered", "weighted", "least-busy", "rules", "per-step", "cascade",
)  # fmt: skip
COUNTS = (1, 10, 100, 1000)


def router_with(count: int) -> Router:
    """A router on scripted deployments, each with a price, a quality and a little history."""
    tables = [
        {
            "name": f"d{i:04}", "provider": "scripted", "model": f"m{i}", "quality": (i * 37 % 100) / 100,
            "price": {"input": 1 + i % 17, "output": 2 + i % 29}, "context_window": 100_000,
        }
        for i in range(count)
    ]  # fmt: skip
    router = Router(
        {
            "deployments": tables,
            "strategies": {
                "rules": {"use": "rules", "rules": [{"when": {"tools": True}, "use": "best"}], "default": "cheapest"}
            },
        },
        plugins=[plugin_module(ScriptedProvider())],
        env={"ROUTEKIT_PLUGINS": ""},
    )
    for place, deployment in enumerate(router.deployments):
        router._engine.health.admit(deployment.name)
        router._engine.health.succeeded(deployment.name, total_s=1 + place % 7, ttft_s=0.2, output_tokens=20)
    return router


def decision_us(router: Router, strategy: str, repeats: int) -> float:
    """Microseconds of CPU per decision, the best of three rounds."""
    router.explain("Why is the sky blue?", strategy=strategy)
    best = float("inf")
    for _ in range(3):
        gc.collect()
        began = time.process_time()
        for _ in range(repeats):
            router.explain("Why is the sky blue?", strategy=strategy)
        best = min(best, (time.process_time() - began) / repeats * 1e6)
    return best


def table() -> dict[str, dict[int, float]]:
    """Strategy to number of deployments to microseconds."""
    found: dict[str, dict[int, float]] = {strategy: {} for strategy in STRATEGIES}
    for count in COUNTS:
        router = router_with(count)
        for strategy in STRATEGIES:
            found[strategy][count] = decision_us(router, strategy, max(10, 2000 // count))
    return found
