"""The page: figures and charts in one file of HTML that loads nothing, asks nobody and runs one script of its own."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from routekit.report.charts import bars, stacked
from routekit.report.figures import Figures, Sums, figures_of
from routekit.types import CallRecord

KINDS = ("routing", "caching", "compression", "overhead")
LATENCIES = ("first token p50", "first token p95", "total p50", "total p95")
NANOS = 1_000_000_000
_HEADS = (
    "calls", "tokens in", "tokens out", "spent", "saved", "cache hits", "fallbacks", "failures",
)  # fmt: skip


def written(records: Iterable[CallRecord], path: Path, *, decisions: int = 1000, left_out: int = 0) -> Figures:
    """Writes the page to `path`, whole or not at all; readable by its owner only. What is on it.

    `left_out` requests have no record, because it could not be written; the page says so.

    Raises:
        OSError: it cannot be written there.
    """
    figures = figures_of(records, decisions)
    figures.left_out = left_out
    html = page(figures)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(html)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return figures


def page(figures: Figures) -> str:
    """The whole document."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'"
    policy += "; base-uri 'none'; form-action 'none'"
    body = _body(figures) if figures.total.calls else _empty()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>routekit report</title><style>{style}</style></head>"
        f"<body>{body}<script>{script}</script></body></html>\n"
    )


def money(nanos: float) -> str:
    """US dollars, as many digits as matter.

    >>> money(1_234_567), money(-2_500_000_000), money(0), money(-0.0)
    ('$0.00123', '-$2.50', '$0', '$0')
    """
    dollars = abs(nanos) / NANOS
    if not dollars:
        return "$0"
    sign = "-" if nanos < 0 else ""
    if dollars >= 1:
        return f"{sign}${dollars:,.2f}"
    text = f"{dollars:.3g}" if dollars >= 1e-4 else f"{dollars:.9f}"
    return f"{sign}${text.rstrip('0').rstrip('.') if '.' in text else text}"


def _body(figures: Figures) -> str:
    total = figures.total
    span = f"{_when(figures.since)} to {_when(figures.until)}"
    sections = "".join(
        _section(group, f"By {group}", figures.by[group])
        for group in ("deployment", "strategy", "project", "user", "tag", "outcome")
        if figures.by[group] and not (group == "outcome" and set(figures.by[group]) == {"ok"})
    )
    return (
        "<header><h1>Spending, savings and decisions</h1>"
        f'<p class="when">{escape(span)}, {total.calls:,} requests{_missing(figures.left_out)}</p>'
        f"</header><main>{_tiles(total)}{_charts(figures)}{sections}{_decisions(figures)}</main>"
        "<footer>Savings compare each request with the baseline deployment: what the whole request would have cost "
        "there, neither compressed nor cached. Overhead is what failed attempts, hedges, escalations and judges cost "
        "on top. Days are those of UTC. Made by routekit from its own records; no message is in it.</footer>"
    )


def _missing(left_out: int) -> str:
    return f"; {left_out:,} more could not be recorded and are not in these figures" if left_out else ""


def _tiles(total: Sums) -> str:
    answered = total.calls - total.failures
    compared = total.cost + total.saved
    share = f"{total.saved / compared:.0%} of {money(compared)}" if compared > 0 else "no baseline"
    tiles = [
        ("", money(total.cost), "spent" + (f", {total.unpriced} calls of unknown price" if total.unpriced else "")),
        ("good" if total.saved >= 0 else "bad", money(total.saved), f"saved, {share}"),
        ("", money(total.routing), "by routing"),
        ("", money(total.caching), "by caching"),
        ("", money(total.compression), "by compression"),
        ("", money(-total.overhead), "overhead of retries, hedges, judges"),
        ("" if not total.failures else "bad", f"{answered / total.calls:.2%}", f"answered, {total.failures} failed"),
        ("", f"{total.hits / total.calls:.1%}", "from routekit's cache"),
        ("", f"{total.fallbacks / total.calls:.1%}", "needed more than one attempt"),
    ]
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile {kind}"><b>{escape(figure)}</b><span>{escape(what)}</span></div>'
            for kind, figure, what in tiles
        )
        + "</div>"
    )


def _charts(figures: Figures) -> str:
    latency = {
        name: {
            kind: value
            for kind, value in (
                ("first token p50", figures.ttft_s[name].percentile(0.5)),
                ("first token p95", figures.ttft_s[name].percentile(0.95)),
                ("total p50", sample.percentile(0.5)),
                ("total p95", sample.percentile(0.95)),
            )
            if value is not None
        }
        for name, sample in sorted(figures.total_s.items())
    }
    kinds = sorted(
        {kind for counts in figures.attempts.values() for kind in counts}, key=lambda kind: (kind != "ok", kind)
    )
    drawn = [
        stacked("Spent per day, by deployment", figures.days, money),
        stacked("Saved per day", figures.saved_days, money, KINDS) if any(figures.saved_days.values()) else "",
        bars("Seconds to the first token and in all", latency, LATENCIES, _seconds, stack=False) if latency else "",
        bars("Attempts, by how they ended", figures.attempts, kinds, lambda value: f"{value:g}", stack=True)
        if figures.attempts else "",
    ]  # fmt: skip
    return f'<h2>How it went</h2><div class="charts">{"".join(drawn)}</div>'


def _section(name: str, title: str, sums: Mapping[str, Sums]) -> str:
    rows = []
    for key, found in sums.items():
        cells = (
            (found.calls, f"{found.calls:,}"), (found.input_tokens, f"{found.input_tokens:,}"),
            (found.output_tokens, f"{found.output_tokens:,}"), (found.cost, money(found.cost)),
            (found.saved, money(found.saved)), (found.hits, str(found.hits)), (found.fallbacks, str(found.fallbacks)),
            (found.failures, str(found.failures)),
        )  # fmt: skip
        rows.append(f'<tr><td class="text">{escape(key)}</td>{_cells(cells)}</tr>')
    return _table(f"by-{name}", title, (name, *_HEADS), ("text",), rows, len(sums))


def _decisions(figures: Figures) -> str:
    rows = []
    for record in figures.decisions:
        saved = record.savings.saved_nanos if record.savings else 0
        cells = (
            (record.cost_nanos, money(record.cost_nanos) if record.cost_known else "?"), (saved, money(saved)),
            (record.duration_s, _seconds(record.duration_s)), (len(record.attempts), str(len(record.attempts))),
        )  # fmt: skip
        reason = str(record.decision.get("reason", "")) if record.outcome == "ok" else record.outcome
        rows.append(
            f'<tr class="decision" tabindex="0" aria-expanded="false"><td class="text" data-v="{record.at:.3f}">'
            f'{escape(_when(record.at))}</td><td class="text">{escape(record.deployment or "-")}</td>'
            f'<td class="text">{escape(record.strategy)}</td>{_cells(cells)}'
            f'<td class="reason">{escape(reason)}</td></tr>'
            f'<tr class="why" hidden><td colspan="8">{_why(record)}</td></tr>'
        )
    heads = ("when", "deployment", "strategy", "cost", "saved", "took", "attempts", "why")
    return _table("decisions", "Decisions", heads, ("text", "text", "text", "", "", "", "", "text"), rows, len(rows))


def _why(record: CallRecord) -> str:
    decision = record.decision
    parts = [f"<p>{escape(str(decision.get('reason', 'nothing was decided')))}</p>"]
    scopes = ", ".join(f"{kind}: {', '.join(values)}" for kind, values in record.scopes.items() if values)
    parts.append(f"<p>request <code>{escape(record.id)}</code>, cache: {escape(record.cache)}. {escape(scopes)}</p>")
    ranked = [
        (row.get("deployment"), row.get("model"), f"{float(row.get('score') or 0):.4g}",
         f"{float(row.get('quality') or 0):.2f}", "?" if row.get("cost_nanos") is None else money(row["cost_nanos"]))
        for row in decision.get("ranked", ())[:20]
    ]  # fmt: skip
    parts.append(_small("Ranked", ("deployment", "model", "score", "quality", "expected cost"), ranked))
    rejected = [
        (row.get("deployment"), row.get("code"), row.get("reason")) for row in decision.get("rejections", ())[:20]
    ]
    parts.append(_small("Not asked", ("deployment", "code", "reason"), rejected))
    attempts = [
        (row.get("deployment"), row.get("role"), row.get("outcome"), row.get("error") or "", row.get("detail") or "",
         money(row.get("cost_nanos") or 0), _seconds(float(row.get("duration_s") or 0)))
        for row in record.attempts[:20]
    ]  # fmt: skip
    parts.append(_small("Attempts", ("deployment", "for", "outcome", "error", "detail", "cost", "took"), attempts))
    notes = "".join(f"<p>{escape(str(note))}</p>" for note in decision.get("notes", ()))
    return "".join(parts) + (f"<h3>Notes</h3>{notes}" if notes else "")


def _small(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th class="text">{escape(name)}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f'<td class="text">{escape(str(v))}</td>' for v in row) + "</tr>" for row in rows)
    return (
        f'<h3>{escape(title)}</h3><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


def _table(name: str, title: str, heads: Sequence[str], kinds: Sequence[str], rows: Sequence[str], count: int) -> str:
    head = "".join(
        f'<th class="{kinds[place] if place < len(kinds) else ""}"><button type="button">{escape(text)}</button></th>'
        for place, text in enumerate(heads)
    )
    return (
        f'<section><div class="bar"><h2>{escape(title)} <small>(<span id="{name}-count">{count}</span>)</small></h2>'
        f'<input type="search" data-for="{name}" placeholder="filter" aria-label="Filter {escape(title)}"></div>'
        f'<div class="scroll"><table id="{name}" data-sort><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div></section>"
    )


def _cells(cells: Iterable[tuple[float, str]]) -> str:
    return "".join(f'<td data-v="{value:g}">{escape(text)}</td>' for value, text in cells)


def _empty() -> str:
    return (
        '<header><h1>Spending, savings and decisions</h1></header><main><div class="empty">'
        "<p>No requests are recorded yet.</p><p>Programs that use a <code>Router</code> leave a record of each request "
        "under <code>ROUTEKIT_HOME</code>, unless <code>[records] enabled = false</code> is set. Run one, for example "
        "<code>routekit recipes run quickstart</code>, and make the report again.</p></div></main>"
    )


def _when(at: float | None) -> str:
    return "-" if at is None else dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"


def _asset(name: str) -> str:
    return resources.files("routekit.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
