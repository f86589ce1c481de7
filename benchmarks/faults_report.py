"""The tables of `benchmarks.faults`: what was measured, with the goal beside it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from benchmarks.breaking import FAULTS
from benchmarks.faults import KINDS, SUBJECTS, _why, measured, phases, say

AVAILABLE = 0.9999
BACK_S = 10.0
MOST_ATTEMPTS = 3
OPEN_MS = 50.0


def p99_goal_ms(kind: str, healthy_p95_ms: float) -> float:
    """Twice the healthy p95 + 50 ms for errors, 3.5 times + 100 ms for hangs."""
    return 3.5 * healthy_p95_ms + 100 if kind == "hang" else 2 * healthy_p95_ms + 50


def missed(kind: str, row: dict[str, Any]) -> list[str]:
    """Which goals an outage missed."""
    fault, found = row["fault"], []
    if availability(row) < AVAILABLE:
        found.append("availability")
    if fault["p99"] * 1e3 > p99_goal_ms(kind, row["before"]["p95"] * 1e3):
        found.append("p99")
    if fault["most_attempts"] > MOST_ATTEMPTS:
        found.append("attempts")
    if row["back"] is None or row["back"] > BACK_S:
        found.append("back")
    return found


def availability(row: dict[str, Any]) -> float:
    """The share that was answered, over all three phases."""
    parts = [row[phase] for phase in ("before", "fault", "after")]
    return float(sum(part["ok"] for part in parts) / sum(part["requests"] for part in parts))


def table(*columns: str) -> None:
    say("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")


def line(*cells: object) -> None:
    say("| " + " | ".join(str(cell) for cell in cells) + " |")


def _back(row: dict[str, Any]) -> str:
    return "not within the run" if row["back"] is None else f"{row['back']:.1f} s"


def print_outage(name: str, kind: str, row: dict[str, Any]) -> None:
    fault, parts = row["fault"], [row[phase] for phase in ("before", "fault", "after")]
    healthy = row["before"]["p95"] * 1e3
    errors = sum((Counter(part["errors"]) for part in parts), Counter[str]())
    line(
        kind,
        name,
        f"{availability(row):.2%} of {sum(part['requests'] for part in parts)}",
        f"{fault['ok'] / fault['requests']:.2%}",
        f"{healthy:.0f}",
        " / ".join(f"{fault[figure] * 1e3:.0f}" for figure in ("p50", "p99", "max")),
        f"{p99_goal_ms(kind, healthy):.0f}",
        f"{fault['attempts'] / fault['requests']:.2f} (most {fault['most_attempts']})",
        _back(row),
        _why(errors),
        ", ".join(missed(kind, row)) or "none",
    )


def print_total(name: str, row: dict[str, Any]) -> None:
    fault, late = row["fault"], row["late"]
    met = fault["most_attempts"] <= MOST_ATTEMPTS and late["max"] * 1e3 <= OPEN_MS
    line(
        name,
        f"{fault['attempts'] / fault['requests']:.2f} (most {fault['most_attempts']})",
        f"{late['p50'] * 1e3:.0f} / {late['max'] * 1e3:.0f}",
        _back(row),
        _why(fault["errors"]),
        "yes" if met else "no",
    )


def print_each(name: str, row: dict[str, str]) -> None:
    kept = [kind for kind in FAULTS if not row[f"{kind}, whole"] and not row[f"{kind}, streamed"]]
    broken = "; ".join(f"{case}: {why}" for case, why in row.items() if why)
    line(name, f"{len(kept)} of {len(FAULTS)}", broken or "none")


def print_deadlines(name: str, row: dict[str, Any]) -> None:
    line(
        name,
        row["requests"],
        f"{row['ok'] / row['requests']:.1%}",
        f"{row['p50']:.2f} / {row['p99']:.2f}",
        f"{row['max']:.3f}",
        row["late"],
        row["most_attempts"],
    )


def report(quick: bool, rate: float, as_json: bool) -> None:
    """Everything, printed as it is measured; with `as_json` one object per line: subject, kind, figures."""

    def run(kind: str, printed: Any) -> None:
        for name in SUBJECTS:
            row = measured(name, kind, quick, rate)
            if as_json:
                say(json.dumps({"subject": name, "kind": kind, "figures": row}))
            elif "failed" in row:
                line(name, kind, f"did not run: {row['failed']}")
            else:
                printed(name, row)

    def heading(text: str, *columns: str) -> None:
        if not as_json:
            say(f"\n{text}\n")
            table(*columns)

    if not as_json:
        for name, settings in SUBJECTS.items():
            say(f"{name}: {settings.format(limit=10)} (2 s in the first and the last table)")
    heading(
        f"Each fault at the first upstream. Goal: {len(FAULTS)} of {len(FAULTS)}.", "subject", "kept", "not kept"
    )  # fmt: skip
    run("each", print_each)
    seconds = phases(quick)
    heading(
        f"{rate:g} requests/s; healthy {seconds[0]:g} s, first one broken {seconds[1]:g} s, healthy {seconds[2]:g} s. "
        f"Goals: {AVAILABLE:.2%} answered, at most {MOST_ATTEMPTS} attempts, back within {BACK_S:g} s, p99 as stated.",
        "fault", "subject", "answered, all", "in the fault", "healthy p95 ms", "p50 / p99 / max ms", "p99 goal ms",
        "attempts per request", "back after", "errors", "goals missed",
    )  # fmt: skip
    for kind in KINDS:
        run(kind, lambda name, row, kind=kind: print_outage(name, kind, row))
    heading(
        f"Both answer 500. Goals: at most {MOST_ATTEMPTS} attempts, failing in {OPEN_MS:g} ms once open.",
        "subject", "attempts per request", "second half: p50 / max ms", "both answered again", "errors", "met",
    )  # fmt: skip
    run("total", print_total)
    heading(
        "2 s per request, half of the calls hang in one of four ways. Goal: every request ends by 2.05 s.",
        "subject", "requests", "answered", "p50 / p99 s", "slowest s", "later than 2.05 s", "most attempts",
    )  # fmt: skip
    run("deadlines", print_deadlines)
