"""What a tool has said before is not sent again: a reference to the first time stands for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from routekit.builtin.compressors._turns import counted, reference_to
from routekit.plugin import Compression, Compressor, CompressorPlugin
from routekit.types import Message, RouteRequest

LEAST_CHARACTERS = 200
"""Shorter texts are not worth a reference."""

WINDOW_LINES = 8
"""So many equal lines on end are taken for a quotation of the earlier text."""

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


class Dedupe(Compressor):
    """Repeated tool results become references to the first one, and so do long runs of lines of it.

    A file that is read twice, or quoted in a fenced block, is sent once. The first text stays where it is, so
    that what a conversation began with never changes. The newest user turn's own message is left alone.
    """

    lossless = True
    stable = True

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        seen = _Seen()
        messages = list(request.messages)
        changed = 0
        newest = max((place for place, m in enumerate(messages) if m.get("role") == "user"), default=-1)
        for place, message in enumerate(messages):
            role, content = message.get("role"), message.get("content")
            if not isinstance(content, str):
                continue
            if role == "tool":
                small = seen.result(content, str(message.get("tool_call_id", "")))
            elif role == "user" and place != newest and "```" in content:
                small = seen.quoting(content)
            else:
                continue
            if len(small) < len(content):
                messages[place] = _with(message, small)
                changed += 1
        if not changed:
            return Compression(request=request, lossless=True)
        return Compression(
            request=replace(request, messages=tuple(messages)),
            lossless=True,
            removed=f"repetitions in {counted(changed, 'message')}",
        )


class _Seen:
    """The results so far: whole texts, and where each run of `WINDOW_LINES` lines stands."""

    def __init__(self) -> None:
        self._whole: dict[str, str] = {}
        self._windows: dict[int, tuple[str, int]] = {}
        self._lines: dict[str, list[str]] = {}

    def result(self, text: str, call_id: str) -> str:
        """What to send for a tool's result; remembers it."""
        if len(text) < LEAST_CHARACTERS or not call_id or "]" in call_id or call_id in self._lines:
            return text
        first = self._whole.get(text)
        if first is not None:
            return reference_to(first)
        small = text
        if not text.lstrip().startswith(("{", "[")):  # part of a JSON text is no JSON
            small = self._shortened(text)
        self._remember(text, call_id)
        return small

    def quoting(self, text: str) -> str:
        """A user's text whose fenced blocks repeat a result."""

        def block(found: re.Match[str]) -> str:
            body = found[1]
            whole = self._whole.get(body) or self._whole.get(body.removesuffix("\n"))
            if whole is None or len(body) < LEAST_CHARACTERS:
                return found[0]
            return reference_to(whole)

        return _FENCE.sub(block, text)

    def _remember(self, text: str, call_id: str) -> None:
        self._whole[text] = call_id
        lines = self._lines[call_id] = text.split("\n")
        for start in range(len(lines) - WINDOW_LINES + 1):
            window = hash(tuple(lines[start : start + WINDOW_LINES]))
            self._windows.setdefault(window, (call_id, start))

    def _shortened(self, text: str) -> str:
        """The text with each long run of lines that an earlier result has replaced by a reference."""
        lines = text.split("\n")
        if len(lines) < WINDOW_LINES or not self._windows:
            return text
        kept: list[str] = []
        place = 0
        while place < len(lines):
            found = self._windows.get(hash(tuple(lines[place : place + WINDOW_LINES])))
            run = 0
            if found is not None and len(lines) - place >= WINDOW_LINES:
                source, start = self._lines[found[0]], found[1]
                while (
                    place + run < len(lines) and start + run < len(source) and lines[place + run] == source[start + run]
                ):
                    run += 1
            said = sum(len(line) + 1 for line in lines[place : place + run])
            if found is not None and run >= WINDOW_LINES and said >= LEAST_CHARACTERS:
                kept.append(reference_to(found[0], run))
                place += run
            else:
                kept.append(lines[place])
                place += 1
        return "\n".join(kept)


def _with(message: Message, content: str) -> Message:
    changed: Mapping[str, Any] = {**message, "content": content}
    return changed  # type: ignore[return-value]  # the same keys


PLUGIN = CompressorPlugin(
    name="dedupe",
    factory=lambda options, context: Dedupe(),
    summary="Replaces tool results, and long parts of them, that were sent before by a reference; loses nothing.",
)
