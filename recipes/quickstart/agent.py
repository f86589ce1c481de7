"""A dozen prompts under three strategies, streamed, with a deployment that is really down."""

import socket

from rich.table import Table

from routekit import Money

PROMPTS = [
    "What is the capital of France?",
    "Name three colours.",
    "What is 7 + 5?",
    "Write one sentence about the sea.",
    "Translate to French: good morning.",
    "Is a whale a fish? Answer in one sentence.",
    "Give a synonym for happy.",
    "Who wrote Romeo and Juliet?",
    "What do bees make?",
    "Complete the sentence: The early bird",
    "Give one reason to drink water.",
    "What is the opposite of hot?",
]
STRATEGIES = ["cheapest", "best", "fastest"]
DOWN = "down"

_taken = []  # keeps the port below from being taken by somebody who listens


def configure(config):
    """Adds a deployment that refuses connections: a port that is taken, and that nobody listens on."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    _taken.append(taken)
    groups = [table.get("group", "default") for table in config["deployments"]]
    config["deployments"].append(
        {
            "name": DOWN,
            "provider": "openai-compatible",
            "model": "bargain-model",
            "base_url": f"http://127.0.0.1:{taken.getsockname()[1]}/v1",
            "group": "default" if "default" in groups else groups[0],
            "price": {"input": 0.0001, "output": 0.0001},  # so that `cheapest` tries it first
            "quality": 0.1,
        }
    )
    return config


def dearest(router, usage):
    """What the same tokens would cost at the dearest deployment."""
    return max((d.price.cost(usage) for d in router.deployments if d.price is not None), default=Money(0))


def ask(router, prompt, strategy, max_tokens):
    with router.stream(prompt, strategy=strategy, max_tokens=max_tokens) as stream:
        for _ in stream:
            pass  # a program would show each chunk.text here
    return stream.result


def run(context):
    router, console = context.router, context.console
    prompts = PROMPTS[:3] if context.args["short"] else PROMPTS
    strategies = [context.strategy] if context.strategy else STRATEGIES
    wide = console.width >= 140
    columns = ["prompt", "strategy", "answered by", "first token", "cost", "saved", "fell back from"]
    table = Table(*columns, *(["why"] if wide else []))
    rows = []
    for strategy in strategies:
        for prompt in prompts:
            result = ask(router, prompt, strategy, context.args["max-tokens"])
            first = result.decision.chosen.name  # the reason is about the first choice, who may have failed
            failed = [a for a in result.attempts if a.outcome == "error"]
            saved = dearest(router, result.usage).less(result.cost)
            rows.append(
                {
                    "prompt": prompt,
                    "strategy": strategy,
                    "deployment": result.deployment.name,
                    "first_choice": first,
                    "reason": result.decision.reason,
                    "ttft_s": result.ttft_s,
                    "cost_usd": float(result.cost.usd),
                    "saved_usd": float(saved.usd),
                    "fell_back_from": [a.deployment.name for a in failed],
                    "rejected": {r.deployment.name: r.reason for r in result.decision.rejections},
                    "text": result.text,
                    "cost": result.cost,
                    "saved": saved,
                }
            )
            cells = [
                prompt,
                strategy,
                result.deployment.name,
                "-" if result.ttft_s is None else f"{result.ttft_s:.2f} s",
                str(result.cost),
                str(saved),
                ", ".join(f"{a.deployment.name}: {type(a.error).__name__}" for a in failed) or "-",
            ]
            if wide:
                cells.append(f"{first}: {result.decision.reason}")
            table.add_row(*cells)
        table.add_section()
    console.print(table)
    if not wide:
        for strategy in strategies:
            row = next(row for row in rows if row["strategy"] == strategy)
            console.print(f"why, under {strategy}: {row['first_choice']} has {row['reason']}", markup=False)

    cost, saved = Money(sum(r["cost"].nanos for r in rows)), Money(sum(r["saved"].nanos for r in rows))
    fallbacks = [r for r in rows if r["fell_back_from"]]
    console.print(f"{len(rows)} answers for {cost}; {saved} saved against the dearest deployment.")
    console.print(f"{len(fallbacks)} of them had to fall back, and all were answered.")
    for row in router.health():
        if row.deployment == DOWN and row.reason:
            console.print(f"{DOWN} is now {row.state}: {row.reason}", markup=False)

    decision = router.explain(prompts[0], strategy=strategies[0])
    console.print(f"\nexplain({prompts[0]!r}, strategy={strategies[0]!r}) calls nobody and says:", markup=False)
    for place, ranked in enumerate(decision.ranked, start=1):
        console.print(f"  {place}. {ranked.deployment.name}, expected cost {ranked.estimate.cost}", markup=False)
    console.print(f"  because it has {decision.reason}", markup=False)
    for rejection in decision.rejections:
        console.print(f"  not {rejection.deployment.name}: {rejection.reason}", markup=False)

    return {
        "rows": [{k: v for k, v in row.items() if k not in ("cost", "saved")} for row in rows],
        "cost_usd": float(cost.usd),
        "saved_usd": float(saved.usd),
        "fallbacks": len(fallbacks),
        "explain": decision.to_dict(),
    }
