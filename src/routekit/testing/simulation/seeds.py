"""Scenarios nobody would think of: drawn from a seed, to look for broken promises."""

from __future__ import annotations

import random
from typing import Any

from routekit.testing.simulation.report import Report
from routekit.testing.simulation.run import simulate
from routekit.testing.simulation.scenario import Scenario

STRATEGIES = ("ordered", "cheapest", "fastest", "weighted", "balanced", "least-busy")


def simulate_seed(seed: int) -> Report:
    """Plays the scenario of a seed; a failure in the nightly run is seen again with its number.

    Raises:
        PromiseBrokenError: the router broke a promise.
    """
    return simulate(random_scenario(seed), seed=seed)


def random_scenario(seed: int) -> Scenario:
    """A small scenario: some deployments, most of them troubled, and 20 to 40 requests."""
    rng = random.Random(f"scenario {seed}")
    requests = rng.randint(20, 40)
    rate_per_s = rng.choice((0.3, 1.0, 4.0, 20.0))
    span_s = requests / rate_per_s
    deployments = [_deployment(rng, name, span_s) for name in "abcd"[: rng.randint(1, 4)]]
    router: dict[str, Any] = {
        "strategy": rng.choice(STRATEGIES),
        "deadline_s": rng.choice((0, 0.5, 2, 5, 20, 60, 120)),
        "output_limit": 4096,
    }
    config: dict[str, Any] = {"router": router, "reliability": _reliability(rng)}
    if rng.random() < 0.6:
        config["cache"] = {"use": ["memory"]}
    if rng.random() < 0.7:
        config["budgets"] = _budgets(rng, requests)
    return Scenario.from_dict(
        {
            "name": f"seed {seed}",
            "deployments": deployments,
            "traffic": {
                "requests": requests,
                "rate_per_s": rate_per_s,
                "input_tokens": {"median": 100, "p95": 900},
                "output_tokens": {"median": 80, "p95": 400},
                "streamed": rng.choice((0.0, 0.5, 1.0)),
                "repeated": rng.choice((0.0, 0.3, 0.8)),
                "abandoned": rng.choice((0.0, 0.0, 0.3)),
                "tags": rng.choice(([], ["blue", "green"])),
            },
            "config": config,
        }
    )


def _deployment(rng: random.Random, name: str, span_s: float) -> dict[str, Any]:
    median_s = rng.choice((0.05, 0.3, 1.0))
    table: dict[str, Any] = {
        "name": name,
        "price": {"input": rng.choice((0.0, 0.25, 3.0)), "output": rng.choice((0.0, 2.0, 15.0))},
        "first_token_s": {"median": median_s, "p95": median_s * rng.choice((1.0, 2.0, 10.0))},
        "tokens_per_s": rng.choice((20.0, 80.0, 400.0)),
        "faults": [_fault(rng, span_s) for _ in range(rng.choice((0, 1, 1, 2, 3)))],
    }
    if rng.random() < 0.3:
        table["limits"] = _limits(rng)
    if rng.random() < 0.2:
        table["enforces"] = _limits(rng)
    return table


def _limits(rng: random.Random) -> dict[str, int]:
    kinds = {"rpm": rng.randint(1, 20), "tpm": rng.randint(500, 20_000), "concurrency": rng.randint(1, 4)}
    return {kind: kinds[kind] for kind in rng.sample(sorted(kinds), rng.randint(1, 2))}


def _fault(rng: random.Random, span_s: float) -> dict[str, Any]:
    from_s = rng.uniform(0, span_s * 0.7)
    fault: dict[str, Any] = {
        "kind": rng.choice(("error", "error", "hang", "reset", "cut", "stall", "slow", "empty")),
        "from_s": from_s,
        "until_s": from_s + rng.uniform(0.1, span_s),
        "share": rng.choice((0.05, 0.3, 1.0)),
        "status": rng.choice((500, 503, 529, 429, 429, 400, 401, 404)),
        "after_s": rng.choice((0.0, 0.05, 1.0)),
    }
    if rng.random() < 0.5:
        fault["retry_after_s"] = rng.choice((0.0, 0.5, 3.0, 30.0, 4000.0))
    return fault


def _reliability(rng: random.Random) -> dict[str, Any]:
    table: dict[str, Any] = {"on_interrupt": rng.choice(("error", "error", "continue", "restart"))}
    if rng.random() < 0.4:
        table["hedge"] = True
        table["hedge_share"] = 0.05
        if rng.random() < 0.5:
            table["hedge_after_s"] = rng.choice((0.0, 0.1, 0.5))
    for name, values in (
        ("first_token_s", (0.2, 2.0)),
        ("idle_s", (0.2, 2.0)),
        ("min_tokens_per_s", (10.0, 100.0)),
        ("warm_up_tokens", (5, 50)),
        ("wait_for_recovery_s", (0.0, 5.0)),
        ("queue", (0, 3)),
    ):
        if rng.random() < 0.3:
            table[name] = rng.choice(values)
    return table


def _budgets(rng: random.Random, requests: int) -> list[dict[str, Any]]:
    a_request = 0.003
    budgets: list[dict[str, Any]] = [
        {
            "scope": "global",
            "limit_usd": round(requests * a_request * rng.choice((0.1, 0.5, 2.0, 100.0)), 6),
            "window": rng.choice(("total", "hour")),
            "on_exceeded": rng.choice(("block", "downgrade", "warn")),
        }
    ]
    if rng.random() < 0.4:
        limit_usd = round(requests * a_request * rng.choice((0.1, 1.0)), 6)
        budgets.append({"scope": "tag:*", "limit_usd": limit_usd, "on_exceeded": rng.choice(("block", "downgrade"))})
    return budgets
