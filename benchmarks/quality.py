"""Learned quality against what needs no model, on public rows that everybody can fetch.

    python -m benchmarks.quality ROWS.jsonl[.gz] ...

Rows are those of `routekit quality fit`, with costs. Each file is split three ways: by a hash of the question's stem
(30 % are held out; duplicates and shared passages stay on one side), by the number of labels, and by leaving a task
out. All figures are of rows that were not fitted.
"""

from __future__ import annotations

import hashlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LABELS = (50, 200, 1_000)
TASKS_LEFT_OUT = 4
CHECKED = 1_500

PUBLISHED = (
    "published: RouteLLM (2406.18665) APGR .603 on all 14,037 rows of MMLU; absolute APGR compares on one set only"
)


def held_out(prompt: str) -> bool:
    """Whether a row is in the 30 % that decide: by the words of the question without its options."""
    stem = re.sub(r"\W+", " ", re.split(r"\n\(?A[.):] ", prompt)[0].casefold()).strip()
    return hashlib.blake2b(stem.encode("utf-8", "surrogatepass"), digest_size=2).digest()[0] < 77


def figures(fit: Sequence[dict[str, Any]], check: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One fit, checked."""
    from routekit.quality import QualityModel
    from routekit.quality.evaluation import evaluate_rows

    start = time.process_time()
    model = QualityModel.fit(fit)
    took = time.process_time() - start
    found = evaluate_rows(model, check)
    return {**found, "fit_s": took, "gate": model.report["gate"], "model": model}


def line(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    aiq, gain = found["aiq"], found["aiq_gain"]
    recovered = "" if found["apgr"] is None else f"{found['apgr']:.3f}"
    return (
        f"{name:34} {aiq['zero']:.4f} {aiq['static']:.4f} {aiq['learned']:.4f} {gain[0]:+.4f}..{gain[2]:+.4f} "
        f"{aiq['oracle']:.4f} "
        f"{recovered:>6} {found['ece']:.3f} {found['brier_gain']:+.3f} {found['gate']:4.2f} {found['fit_s']:6.1f}"
    )


def predict_us(model: Any, prompts: Sequence[str]) -> float:
    """Median CPU time of one prediction, in microseconds."""
    times = []
    for prompt in prompts:
        start = time.process_time()
        model.predict([prompt])
        times.append(time.process_time() - start)
    return statistics.median(times) * 1e6


def main(arguments: Sequence[str]) -> None:
    """Prints the table for each file."""
    import random

    from routekit.quality.rows import read_rows

    if not arguments:
        raise SystemExit(__doc__)
    print(f"{'rows':34}   zero static learned 95 % of the gain  oracle   APGR   ECE  Brier gate  fit s")
    for path in map(Path, arguments):
        rows = read_rows(path)
        check = [row for row in rows if held_out(row["prompt"])]
        rest = [row for row in rows if not held_out(row["prompt"])]
        random.Random(0).shuffle(rest)
        random.Random(1).shuffle(check)
        check = check[:CHECKED]
        found: dict[str, Any] = {}
        for count in LABELS:
            found = figures(rest[:count], check)
            print(line(f"{path.name.split('.')[0]}, {count} labels", found), flush=True)
        model = found["model"]
        prompts = [row["prompt"] for row in check[:300]]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "q.rkq"
            model.save(file)
            size = file.stat().st_size
        print(f"  one prediction: {predict_us(model, prompts):.0f} us CPU (p50); file {size / 1e6:.1f} MB", flush=True)
        tasks = sorted({row["task"] for row in rows if row.get("task")})
        for task in random.Random(2).sample(tasks, min(TASKS_LEFT_OUT, len(tasks))):
            stranger = [row for row in rows if row.get("task") == task][:CHECKED]
            if len(stranger) >= 50:
                known = [row for row in rest if row.get("task") != task][:1_000]
                print(line(f"  without {task}"[:34], figures(known, stranger)), flush=True)
    print(PUBLISHED)


if __name__ == "__main__":
    main(sys.argv[1:])
