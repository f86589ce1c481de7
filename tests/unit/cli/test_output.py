from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.cli import output
from routekit.cli.output import Column, aligned, harmless, one_line, seconds, table, usd, working

COLUMNS = (Column("name"), Column("cost", "right"), Column("why", wrap=True))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, width: int, rows: list[list[str]], **env: str) -> str:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    table(COLUMNS, rows)
    return terminal.getvalue()


@given(st.lists(st.lists(st.text("abc ~$[]", max_size=12), min_size=3, max_size=3)))
def test_plain_tables_are_aligned(rows: list[list[str]]) -> None:
    lines = list(aligned(COLUMNS, rows))
    assert len(lines) == len(rows) + 1
    assert all(line == line.rstrip() for line in lines)
    start = lines[0].index("WHY")
    for line, row in zip(lines[1:], rows, strict=True):
        assert line[start:] == row[2].rstrip()


def test_a_pipe_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    table(COLUMNS, [["a", "1", "two\nlines"]])
    assert capsys.readouterr().out == "NAME  COST  WHY\na        1  two lines\n"


def test_a_terminal_gets_a_drawn_table(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, 60, [["a", "1", "because of [bold]this[/bold] and much more than fits into one line"]])
    assert "\x1b[" in text
    assert "[bold]" in text


def test_no_color_means_no_escape_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in drawn(monkeypatch, 60, [["a", "1", "because"]], NO_COLOR="1")
    assert "\x1b" not in drawn(monkeypatch, 60, [["a", "1", "because"]], TERM="dumb")


@pytest.mark.parametrize("width", [1, 8, 20, 30])
def test_narrow_terminals_lose_nothing(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    row = ["deployment-with-a-long-name", "$0.000123", "a-reason"]
    text = drawn(monkeypatch, width, [row])
    assert all(cell in text for cell in row)


def test_text_of_others_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b]0;" not in drawn(monkeypatch, 80, [["\x1b]0;owned\x07", "1", "x"]])
    assert harmless("a\x1b[31m\tb\nc") == "a\N{REPLACEMENT CHARACTER}[31m\tb\nc"
    assert one_line(" a\n\n b ") == "a b"


@pytest.mark.parametrize(
    ("nanos", "shown"), [(None, "?"), (0, "$0"), (1, "$0.000000001"), (250_000, "$0.00025"), (12_000_000_000, "$12")]
)
def test_money(nanos: int | None, shown: str) -> None:
    assert usd(nanos) == shown


def test_seconds() -> None:
    assert [seconds(value) for value in (None, 0.0, 0.25, 61.04)] == ["-", "0 ms", "250 ms", "61.0 s"]


def test_progress_speaks_only_of_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    shown = threading.Event()

    class Listening(io.StringIO):
        def flush(self) -> None:
            if self.getvalue():
                shown.set()

    stream = Listening()
    monkeypatch.setattr(sys, "stderr", stream)
    with working("quick"):
        pass
    assert stream.getvalue() == ""
    monkeypatch.setattr(output, "SLOW_S", 0.0)
    with working("loading the model"):
        assert shown.wait(10)
    assert stream.getvalue() == "loading the model ...\n"
