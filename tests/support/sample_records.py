"""Records of a made-up fortnight, the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from routekit.types import CallRecord, Savings, Usage

START = 1_794_000_000.0
DEPLOYMENTS = {"mini": 0.15, "medium": 1.0, "large": 5.0, "local": 0.01}


def sample(count: int = 3000, days: int = 14) -> Iterator[CallRecord]:
    rng = random.Random(3)
    for number in range(count):
        name = rng.choices(list(DEPLOYMENTS), [60, 20, 8, 12])[0]
        usage = Usage(input_tokens=rng.randrange(200, 6000), output_tokens=rng.randrange(20, 900))
        cost = int((usage.input_tokens + 4 * usage.output_tokens) * DEPLOYMENTS[name] * 1000)
        best = int((usage.input_tokens + 4 * usage.output_tokens) * DEPLOYMENTS["large"] * 1000)
        hit, failed, fell = rng.random() < 0.12, rng.random() < 0.01, rng.random() < 0.05
        attempt = {
            "deployment": name, "model": f"{name}-1", "provider": "p", "outcome": "ok", "error": None, "detail": "",
            "cost_nanos": cost, "duration_s": rng.lognormvariate(0.3, 0.5), "ttft_s": 0.3, "role": "answer",
        }  # fmt: skip
        attempts = [] if hit else [attempt]
        if fell and not hit:
            attempts.insert(0, {**attempt, "deployment": "mini", "outcome": "error", "error": "RateLimitError",
                                "detail": "429", "cost_nanos": 0})  # fmt: skip
        savings = Savings(
            baseline="large", baseline_nanos=best, cost_nanos=0 if hit else cost, routing_nanos=best - cost,
            compression_nanos=0, caching_nanos=cost if hit else 0, overhead_nanos=0,
        )  # fmt: skip
        ranked = [
            {"deployment": other, "model": f"{other}-1", "score": 1 / (1 + place), "quality": 0.5 + place / 10,
             "cost_nanos": cost}
            for place, other in enumerate(DEPLOYMENTS)
        ]  # fmt: skip
        yield CallRecord(
            id=f"{number:016x}", at=START + number / count * days * 86_400,
            outcome="RateLimitError" if failed else "ok",
            strategy=rng.choice(["cheapest", "balanced", "best"]), deployment=None if failed else name,
            model=f"{name}-1", provider="p", cache="hit" if hit else "miss",
            scopes={"project": (rng.choice(["search", "support", "ops"]),), "user": (f"user-{rng.randrange(30)}",)},
            cost_nanos=0 if hit else cost, savings=None if failed else savings, usage=usage,
            duration_s=rng.lognormvariate(0.3, 0.5), ttft_s=rng.lognormvariate(-1.2, 0.4), fallbacks=int(fell),
            attempts=tuple(attempts),
            decision={"reason": f"the least expected cost, of {len(ranked)}", "ranked": ranked,
                      "rejections": [{"deployment": "old", "code": "health", "reason": "ejected"}], "notes": []},
        )  # fmt: skip
