from __future__ import annotations

import dataclasses
import re
import stat
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import invoke
from tests.support.sample_records import sample

from routekit.builtin.observers.records.store import FILE, RecordStore
from routekit.report import written
from routekit.report.charts import bars, stacked
from routekit.report.figures import SAMPLES, figures_of
from routekit.report.page import money, page
from routekit.types import CallRecord

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31m"


class Tags(HTMLParser):
    """What a browser would see."""

    VOID = frozenset({"meta", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags_of(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_figures_add_up() -> None:
    records = list(sample(500))
    figures = figures_of(records, decisions=50)
    total = figures.total
    assert total.calls == 500
    assert total.cost == sum(record.cost_nanos for record in records)
    assert total.saved == sum(record.savings.saved_nanos for record in records if record.savings)
    for group in ("deployment", "strategy", "project", "outcome"):
        assert sum(sums.cost for sums in figures.by[group].values()) == total.cost
    assert sum(sum(parts.values()) for parts in figures.days.values()) == total.cost
    assert list(figures.days) == sorted(figures.days)
    assert len(figures.decisions) == 50
    assert figures.decisions[0] == records[-1]
    assert figures.attempts["mini"]["error"] > 0


def test_many_records_are_added_up_in_bounded_memory() -> None:
    def endless() -> Any:
        for number in range(20_000):
            yield CallRecord(id=str(number), at=float(number), outcome="ok", strategy="s", deployment="a",
                             scopes={"user": (f"u{number}",)}, duration_s=number / 1000)  # fmt: skip

    figures = figures_of(endless(), decisions=10)
    assert figures.total.calls == 20_000
    assert len(figures.decisions) == 10
    assert len(figures.by["user"]) == 500
    assert len(figures.total_s["a"]._kept) == SAMPLES
    median = figures.total_s["a"].percentile(0.5)
    assert median is not None
    assert 8.5 < median < 11.5


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    html = page(figures_of(sample(300)))
    tags = tags_of(html)
    assert tags.seen.count("script") == 1
    assert tags.seen.count("svg") == 4
    assert not {"link", "iframe", "object", "img", "base"} & set(tags.seen)
    assert not [name for name, _ in tags.attributes if name in ("src", "href") or name.startswith("on")]
    assert not re.search(r"https?://", html)
    assert "default-src 'none'" in html


def test_names_from_outside_are_text() -> None:
    (record,) = sample(1)
    decision = {"reason": HOSTILE, "notes": [HOSTILE],
                "ranked": [{"deployment": HOSTILE, "model": HOSTILE, "score": 1}],
                "rejections": [{"deployment": HOSTILE, "code": HOSTILE, "reason": HOSTILE}]}  # fmt: skip
    hostile = dataclasses.replace(
        record, id=HOSTILE, deployment=HOSTILE, strategy=HOSTILE, model=HOSTILE, outcome=HOSTILE, decision=decision,
        scopes={"tag": (HOSTILE,), "user": (HOSTILE,), HOSTILE: (HOSTILE,)},
        attempts=({"deployment": HOSTILE, "outcome": HOSTILE, "detail": HOSTILE, "role": HOSTILE},),
    )  # fmt: skip
    tags = tags_of(page(figures_of([hostile, record])))
    assert tags.seen.count("script") == 1
    assert "img" not in tags.seen


def test_odd_records_are_drawn_too(tmp_path: Path) -> None:
    lone = CallRecord(id="a", at=0.0, outcome="NoCandidateError", strategy="-", cost_known=False)
    figures = written([lone, dataclasses.replace(lone, deployment="\ud800", at=5e8)], tmp_path / "r.html")
    assert figures.total.unpriced == 2
    assert len(figures.days) <= 367
    tags_of((tmp_path / "r.html").read_text())


def test_nothing_recorded_is_said(tmp_path: Path) -> None:
    written([], tmp_path / "r.html")
    assert "No requests are recorded" in (tmp_path / "r.html").read_text()


def test_charts_stand_negative_and_empty_values() -> None:
    drawn = stacked("x", {"2026-01-01": {"a": -5.0, "b": 3.0}, "2026-01-02": {}}, money)
    heights = [float(height) for height in re.findall(r'height="([\d.]+)"', drawn)]
    assert len(heights) == 2
    assert all(height > 0 for height in heights)
    tags_of(stacked("x", {}, money))
    tags_of(bars("x", {}, ["a"], str, stack=True))
    many = {f"2026-01-{day:02d}": {f"kind{n}": 1.0 for n in range(20)} for day in range(1, 30)}
    assert stacked("x", many, money).count("<li>") == 8


def test_the_command_writes_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with closing(RecordStore(tmp_path / "home" / FILE)) as store:
        store.add(sample(100))
    done = invoke("report")
    assert done.exit_code == 0, done.stderr
    assert "100 requests" in done.stdout
    file = tmp_path / "report.html"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert invoke("report", "-o", str(tmp_path / "none" / "r.html")).exit_code == 1
    assert invoke("report", "-o", str(tmp_path)).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "report.html"]
    fewer = tmp_path / "fewer.html"
    assert invoke("report", "-o", str(fewer), "--decisions", "0").exit_code == 0
    assert fewer.stat().st_size < file.stat().st_size
