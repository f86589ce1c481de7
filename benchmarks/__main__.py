"""``python -m benchmarks [--quick]``: every figure is CPU time of one process, every verdict a ratio in this run."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import decisions

console = Console(width=110)


def measure(name: str, port: int, calls: int, concurrency: int, rounds: int) -> float | None:
    """The median over fresh processes, in microseconds of CPU; None where the subject cannot run here."""
    found = []
    for _ in range(rounds):
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.subjects", name, str(port), str(calls), str(concurrency)],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        lines = [line for line in run.stdout.splitlines() if line.startswith('{"us"')]
        if not lines:
            console.print(f"[dim]{name}: {(run.stderr.strip().splitlines() or ['no output'])[-1]}[/dim]")
            return None
        found.append(json.loads(lines[-1])["us"])
    return statistics.median(found)


def compare(title: str, names: Sequence[str], port: int, calls: int, concurrency: int, rounds: int) -> dict[str, float]:
    """One table: the first name is ours, the others are divided into it."""
    found = {name: us for name in names if (us := measure(name, port, calls, concurrency, rounds)) is not None}
    table = Table("subject", "CPU µs", "ours / this", title=title, title_justify="left")
    ours = found.get(names[0])
    for name, us in found.items():
        table.add_row(name, f"{us:,.0f}" if us >= 100 else f"{us:.1f}", f"{ours / us:.2f}" if ours else "")
    console.print(table)
    return found


def wall_ms(code: Sequence[str], rounds: int) -> float:
    """User and system time of a process, the median, in milliseconds."""
    import resource

    found = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *code], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls, one round: a look, not a measurement")
    quick = parser.parse_args().quick
    rounds, calls = (1, 200) if quick else (3, 600)
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.upstream", "1800"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        report(port, calls, rounds)
    finally:
        server.terminate()
        server.wait()


def report(port: int, calls: int, rounds: int) -> None:
    met: list[tuple[str, bool]] = []

    def goal(text: str, found: bool) -> None:
        met.append((text, found))

    sync = compare(
        "one synchronous call",
        ["Router.complete", "litellm.Router.completion", "openai SDK", "call with fallback", "memory cache hit"],
        port, calls, 0, rounds,
    )  # fmt: skip
    for concurrency in (1, 10, 100):
        found = compare(
            f"one asynchronous call, {concurrency} at once",
            ["Router.acomplete", "litellm.Router.acompletion", "TensorZero embedded"],
            port, calls, concurrency, rounds,
        )  # fmt: skip
        ours, peer = found.get("Router.acomplete"), found.get("litellm.Router.acompletion")
        if ours and peer:
            goal(
                f"acomplete at {concurrency}: at most a tenth of litellm.Router ({ours / peer:.3f})", ours <= peer / 10
            )
        if ours and (zero := found.get("TensorZero embedded")):
            goal(f"acomplete at {concurrency}: ahead of TensorZero embedded ({ours / zero:.2f})", ours < zero)
    for method, concurrency in (("invoke", 0), ("ainvoke", 10)):
        names = [f"{subject}.{method}" for subject in ("RoutedChatModel", "ChatOpenAI", "ChatLiteLLMRouter")]
        found = compare(f"LangChain {method}", names, port, calls, concurrency, rounds)
        ours = found.get(names[0])
        if ours and (peer := found.get(names[1])):
            goal(f"{method}: at most 0.35 of ChatOpenAI ({ours / peer:.2f})", ours <= 0.35 * peer)
        if ours and (peer := found.get(names[2])):
            goal(f"{method}: at most a tenth of ChatLiteLLMRouter ({ours / peer:.3f})", ours <= peer / 10)
    few = max(10, calls // 20)
    chunk = compare("one streamed chunk", ["Router.stream", "litellm.Router.stream"], port, few, 0, rounds)
    achunk = compare("one streamed chunk, async", ["Router.astream"], port, few, 1, rounds)
    names = ["RoutedChatModel.stream", "ChatOpenAI.stream", "ChatLiteLLMRouter.stream"]
    lchunk = compare("one streamed chunk through LangChain", names, port, few, 0, rounds)
    for found, name, most in ((chunk, "Router.stream", 20), (achunk, "Router.astream", 20), (lchunk, names[0], 40)):
        if name in found:
            goal(f"{name}: a chunk at most {most} µs ({found[name]:.1f})", found[name] <= most)

    decided = decisions.table()
    table = Table(
        "strategy", *(str(count) for count in decisions.COUNTS), title="one decision, µs of CPU, by deployments"
    )
    for strategy, by_count in decided.items():
        table.add_row(strategy, *(f"{us:.1f}" for us in by_count.values()))
    console.print(table)
    slow10 = max(decided, key=lambda s: decided[s][10])
    slow1000 = max(decided, key=lambda s: decided[s][1000])
    goal(f"a decision among 10 under 50 µs (slowest: {slow10}, {decided[slow10][10]:.0f})", decided[slow10][10] < 50)
    goal(
        f"a decision among 1,000 under 1 ms (slowest: {slow1000}, {decided[slow1000][1000]:.0f} µs)",
        decided[slow1000][1000] < 1000,
    )
    if "call with fallback" in sync:
        ratio = sync["call with fallback"] / sync["Router.complete"]
        goal(f"a failed call with fallback at most three good ones ({ratio:.2f})", ratio <= 3)
    if "memory cache hit" in sync:
        goal(f"a memory cache hit under 40 µs ({sync['memory cache hit']:.1f})", sync["memory cache hit"] < 40)
    nothing = wall_ms(["-c", "pass"], 5)
    loaded = wall_ms(["-c", "import routekit"], 5) - nothing
    goal(f"import routekit under 100 ms ({loaded:.0f})", loaded < 100)
    full = wall_ms(["-c", "from routekit import Router"], 5) - nothing
    console.print(f"from routekit import Router: {full:.0f} ms of CPU")
    helped = wall_ms(["-m", "routekit", "--help"], 5)
    goal(f"routekit --help under 250 ms ({helped:.0f})", helped < 250)

    table = Table("goal", "met", title="goals")
    for text, found in met:
        table.add_row(text, "yes" if found else "NO")
    console.print(table)


if __name__ == "__main__":
    main()
