"""``python -m benchmarks.compression [--quick]``: what compressors save, what they keep, and what they take.

Conversations come from seeds (`benchmarks.transcripts`); the facts in them were planted before anything was
compressed. Times are CPU of this process; to be compared within a run.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.transcripts import Transcript, transcript
from routekit.builtin.compressors.dedupe import Dedupe
from routekit.builtin.compressors.json_minify import JsonMinify
from routekit.builtin.compressors.json_table import JsonTable
from routekit.builtin.compressors.middle_out import MiddleOut
from routekit.builtin.compressors.tool_output import ToolOutput
from routekit.types import RouteRequest, as_messages, count_tokens

console = Console(width=150)
Shorten = Callable[[Transcript, int], list[Any]]


def tokens(messages: Any) -> int:
    return count_tokens(messages)[0]


def ours(made: Transcript, target: int) -> list[Any]:
    request = RouteRequest(messages=as_messages(made.messages))
    for compressor in (JsonMinify(), JsonTable(), Dedupe(), ToolOutput()):
        request = compressor.compress(request, target).request
    return list(request.messages)


def lossless(made: Transcript, target: int) -> list[Any]:
    request = RouteRequest(messages=as_messages(made.messages))
    for compressor in (JsonMinify(), JsonTable(), Dedupe()):
        request = compressor.compress(request, target).request
    return list(request.messages)


def middle_out(made: Transcript, target: int) -> list[Any]:
    return list(MiddleOut().compress(RouteRequest(messages=as_messages(made.messages)), target).request.messages)


def truncation(made: Transcript, target: int) -> list[Any]:
    """Each tool result cut off behind the same share of it."""
    results = [m for m in made.messages if m["role"] == "tool"]
    inside = sum(len(m["content"]) for m in results)
    share = max(0.0, 1 - (tokens(made.messages) - target) * 3.8 / inside)
    return [
        {**m, "content": m["content"][: int(len(m["content"]) * share)]} if m["role"] == "tool" else m
        for m in made.messages
    ]


def trim_messages(made: Transcript, target: int) -> list[Any]:
    from langchain_core.messages import convert_to_messages, convert_to_openai_messages
    from langchain_core.messages import trim_messages as trim

    def counter(messages: Any) -> int:
        return tokens(convert_to_openai_messages(messages))

    found = trim(
        convert_to_messages(made.messages), max_tokens=target, token_counter=counter, strategy="last",
        include_system=True, start_on="human", allow_partial=False,
    )  # fmt: skip
    messages = convert_to_openai_messages(found)
    return messages if isinstance(messages, list) else [messages]


LOSSLESS, LOSSY = "routekit: minify, table, dedupe", "routekit: and tool-output"
SUBJECTS: dict[str, Shorten] = {
    LOSSLESS: lossless,
    LOSSY: ours,
    "routekit: middle-out": middle_out,
    "LangChain trim_messages": trim_messages,
    "truncation of results": truncation,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten conversations instead of a hundred")
    count = 10 if parser.parse_args().quick else 100
    met: list[tuple[str, bool]] = []
    for title, share, json_share in (
        ("JSON-heavy conversations, to half of the tokens", 0.5, 1.0),
        ("JSON-heavy conversations, to 30 %", 0.3, 1.0),
        ("mixed conversations (JSON, logs, pages), to 40 %", 0.4, 0.5),
    ):
        made = [transcript(seed, json_share=json_share) for seed in range(5000, 5000 + count)]
        rows = report(title, made, share)
        for name, (saved, kept, per_10k) in rows.items():
            if name == LOSSLESS and share == 0.5:
                text = f"half of the tokens saved ({saved:.1%}) and every fact kept ({kept:.2%})"
                met.append((text, saved >= 0.5 and kept == 1.0))
            if name in (LOSSLESS, LOSSY):
                met.append((f"{name}: under 20 ms per 10,000 tokens ({per_10k:.1f})", per_10k < 20))
    table = Table("goal", "met")
    for text, found in met:
        table.add_row(text, "yes" if found else "NO")
    console.print(table)


def report(title: str, made: list[Transcript], share: float) -> dict[str, tuple[float, float, float]]:
    kinds = sorted({kind for one in made for kind, _ in one.facts})
    table = Table(
        "subject", "saved", "facts kept", "ms / 10k", *(kind for kind in kinds), title=title, title_justify="left"
    )
    rows: dict[str, tuple[float, float, float]] = {}
    for name, shorten in SUBJECTS.items():
        kept: Counter[str] = Counter()
        total: Counter[str] = Counter()
        before = after = 0
        seconds = 0.0
        for one in made:
            size = tokens(one.messages)
            began = time.process_time()
            messages = shorten(one, int(size * share))
            seconds += time.process_time() - began
            before += size
            after += tokens(messages)
            text = "\n".join(str(message.get("content")) for message in messages)
            for kind, needle in one.facts:
                total[kind] += 1
                kept[kind] += needle in text
        rows[name] = (1 - after / before, sum(kept.values()) / sum(total.values()), seconds / before * 1e7)
        table.add_row(
            name, f"{rows[name][0]:.1%}", f"{rows[name][1]:.1%}", f"{rows[name][2]:.1f}",
            *(f"{kept[kind] / total[kind]:.0%}" for kind in kinds),
        )  # fmt: skip
    console.print(table)
    return rows


if __name__ == "__main__":
    main()
