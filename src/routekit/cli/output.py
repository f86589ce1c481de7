"""How commands speak: tables for people, JSON for programs, progress on stderr."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TextIO

import click

SLOW_S = 1.0
"""What takes longer says so on stderr."""

WRAPPED_WIDTH = 16
"""The least that a column of sentences is squeezed to, in characters."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class Column(NamedTuple):
    """A column of a table: its heading, where its cells are aligned, and whether they may take several lines."""

    title: str
    align: Literal["left", "right"] = "left"
    wrap: bool = False


def say(text: str = "", *, end: str = "\n") -> None:
    """Text on stdout, in its own encoding and as it is; click's echo would recode it and remove control characters."""
    sys.stdout.write(f"{text}{end}")
    sys.stdout.flush()


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: drawn with rich on a terminal, as aligned plain text elsewhere."""
    cells = [[harmless(cell).replace("\n", " ") for cell in row] for row in rows]
    if on_terminal(sys.stdout):
        _draw(columns, cells)
    else:
        say("\n".join(aligned(columns, cells)))


def aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a plain table: two spaces between columns, none at the end of a line.

    >>> list(aligned([Column("name"), Column("cost", "right")], [["a", "1"], ["long", "12"]]))
    ['NAME  COST', 'a        1', 'long    12']
    """
    lines = [[column.title.upper() for column in columns], *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        padded = [
            cell.rjust(width) if column.align == "right" else cell.ljust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def print_json(value: Any) -> None:
    """Prints a value as JSON; in ASCII where stdout can show nothing else."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    say(json.dumps(value, indent=2, default=str, ensure_ascii=not encoding.startswith("utf")))


def answer_text(text: str) -> str:
    """A model's text for stdout: untouched for a file or a pipe, without control characters for a terminal."""
    return harmless(text) if on_terminal(sys.stdout) else text


def harmless(text: str) -> str:
    """Text without the control characters that would steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text) if _CONTROL.search(text) else text


def note(text: str) -> None:
    """One line on stderr."""
    click.echo(one_line(text), err=True)


def one_line(text: object) -> str:
    """Text on a single line, harmless to a terminal."""
    return harmless(" ".join(str(text).split()))


def on_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


@contextmanager
def working(what: str) -> Iterator[Callable[[], None]]:
    """Says on stderr what is waited for, once it takes longer than a second; yields a function that silences it."""
    lock = threading.Lock()
    state = {"quiet": False, "shown": False}
    stream = sys.stderr
    live = on_terminal(stream) and os.environ.get("TERM") != "dumb"

    def show() -> None:
        with lock:
            if not state["quiet"]:
                state["shown"] = True
                stream.write(f"{what} ..." if live else f"{what} ...\n")
                stream.flush()

    def hush() -> None:
        with lock:
            if state["shown"] and live and not state["quiet"]:
                stream.write("\r" + " " * (len(what) + 4) + "\r")
                stream.flush()
            state["quiet"] = True

    timer = threading.Timer(SLOW_S, show)
    timer.daemon = True
    timer.start()
    try:
        yield hush
    finally:
        timer.cancel()
        hush()


def tolerant(*streams: Any) -> None:
    """Makes streams that cannot show a character show its number instead of failing."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def usd(nanos: int | None) -> str:
    """An amount in US dollars at most four significant decimals long, "?" where it is unknown.

    >>> usd(1_234_567), usd(0), usd(None), usd(2_500_000_000)
    ('$0.001235', '$0', '?', '$2.5')
    """
    if nanos is None:
        return "?"
    dollars = nanos / 1_000_000_000
    if dollars >= 1:
        return f"${dollars:.4f}".rstrip("0").rstrip(".")
    digits = f"{dollars:.9f}" if dollars < 1e-5 else f"{dollars:.6f}"
    return f"${digits.rstrip('0').rstrip('.')}"


def seconds(value: float | None) -> str:
    """A duration for people; "-" where there is none.

    >>> seconds(0.01234), seconds(2.345), seconds(None)
    ('12 ms', '2.3 s', '-')
    """
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    console = Console(file=sys.stdout, color_system=None if plain else "auto", highlight=False, emoji=False)
    widths = [
        max(cell_len(line[place]) for line in ([c.title for c in columns], *rows)) for place in range(len(columns))
    ]
    least = [min(width, WRAPPED_WIDTH) if column.wrap else width for column, width in zip(columns, widths, strict=True)]
    if sum(least) + 2 * len(columns) > console.width:
        _stack(columns, rows)
        return
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column, width in zip(columns, least, strict=True):
        drawn.add_column(column.title, justify=column.align, min_width=width, no_wrap=not column.wrap, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console.print(drawn)


def _stack(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """For terminals too narrow for the table: a paragraph per row."""
    for row in rows:
        say(row[0])
        for column, cell in zip(columns[1:], row[1:], strict=True):
            say(f"  {column.title}: {cell}")
