"""Long tool results shortened to what matters for the question; the whole text can be asked for."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from routekit.builtin.compressors._extract import CHARACTERS_PER_TOKEN, Wanted, shortened_json, shortened_text
from routekit.builtin.compressors._json import as_tables, read_json, write_json
from routekit.builtin.compressors._turns import counted, size_of
from routekit.plugin import (
    Compression,
    Compressor,
    CompressorPlugin,
    Options,
    PluginContext,
    new_lock_after_fork,
    secret_at,
)
from routekit.types import Message, RouteRequest, text_of

_ROLES = frozenset({"tool", "function"})
_MARK = "retrieve_original"
_REMEMBERED = 2000
HEADROOM = 0.9
"""Shortened a little further than is needed, a result need not be shortened anew when a few messages follow."""


class ToolOutputOptions(Options):
    """Results above `over_tokens` are shortened, all by the same share, as far as the target needs it; never below
    the share `keep` of them, nor below `over_tokens`.

    `originals_mb` mebibytes of whole results are kept in memory for `retrieve_original`; 0: none is offered.
    """

    over_tokens: int = Field(default=400, ge=50)
    keep: float = Field(default=0.3, gt=0, lt=1)
    originals_mb: float = Field(default=64, ge=0)


class ToolOutput(Compressor):
    """Keeps, of each long tool result, errors first, then what the questions are about, then figures.

    Text is kept by whole lines or sentences, blocks of code whole; JSON stays JSON: lists of like objects become
    columns and rows, and only where that is not enough, elements are left out, with how many. Relevant is what
    shares rare words with the user's messages and the call's own arguments. Each shortened result names a handle:
    the whole text is what `original` returns for it, as long as it is kept.
    """

    lossless = False

    def __init__(self, *, secret: Callable[[], bytes] | None = None, **options: Any) -> None:
        self.options = ToolOutputOptions.checked(options, where="tool-output")
        self._secret = secret or (lambda: b"routekit tool-output")
        self._lock = threading.Lock()
        self._made: OrderedDict[int, str] = OrderedDict()
        self._originals: OrderedDict[str, str] = OrderedDict()
        self._characters = 0
        new_lock_after_fork(self)

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        size = size_of(request)
        if target_tokens is None or size <= target_tokens:
            return Compression(request=request, lossless=True)
        least = int(self.options.over_tokens * CHARACTERS_PER_TOKEN)
        long = {place: text for place, message in enumerate(request.messages) if (text := _result(message, least))}
        # First what loses nothing; then each by the same share, and by no more than is needed.
        whole = {place: found for place, text in long.items() if (found := _whole(text)) is not None}
        long = {place: long[place] for place in whole}
        if not long:
            return Compression(request=request, lossless=True)
        total = sum(len(text) for text, _ in whole.values())
        others = size * CHARACTERS_PER_TOKEN - sum(map(len, long.values()))
        share = min(1.0, max(self.options.keep, (target_tokens * CHARACTERS_PER_TOKEN - others) / total))
        wanted = _wanted(request.messages)
        messages = list(request.messages)
        lossy = changed = 0
        for place, text in long.items():
            name = str(messages[place].get("tool_call_id") or messages[place].get("name") or "")
            small, loses = whole[place][0], False
            if share < 1.0 and len(small) > least:
                limit = max(least, int(len(small) * share))
                small, loses = self._shortened(text, *whole[place], wanted(name), limit)
            if len(small) < len(text):
                result: Mapping[str, Any] = {**messages[place], "content": small}
                messages[place] = result  # type: ignore[call-overload]  # the same keys
                lossy += loses
                changed += 1
        if not changed:
            return Compression(request=request, lossless=True)
        what = "the less relevant parts of " if lossy else "keys that rows repeat, in "
        return Compression(
            request=replace(request, messages=tuple(messages)),
            lossless=not lossy,
            removed=f"{what}{counted(lossy or changed, 'tool result')}",
        )

    def original(self, handle: str) -> str | None:
        with self._lock:
            return self._originals.get(handle)

    def _shortened(self, text: str, whole: str, value: Any, wanted: Wanted, limit: int) -> tuple[str, bool]:
        """The text in at most about `limit` characters, and whether anything is gone from it.

        What was shortened once for the same questions stays as it was sent, as long as it is short enough: the
        provider's prompt cache holds it in that form.
        """
        key = hash((text, wanted.words))
        with self._lock:
            made = self._made.get(key)
        if made is not None and len(made) <= limit:
            return made, True
        limit = int(limit * HEADROOM)
        if value is None:
            short = shortened_text(text, limit - 60, wanted)
            if len(short) < len(text):
                short = self._marked(short, text)
        else:
            short = write_json(shortened_json(value, limit - 60, wanted))
            if len(short) < len(whole) and (handle := self._kept(text)) is not None:
                # Said inside of the JSON, which stays JSON.
                short = short[:-1] + (f',"{_MARK}":"{handle}"}}' if short.endswith("}") else f',"{_MARK}: {handle}"]')
        if len(short) >= len(whole):
            return whole, False
        with self._lock:
            self._made[key] = short
            self._made.move_to_end(key)
            if len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        return short, True

    def _marked(self, small: str, text: str) -> str:
        handle = self._kept(text)
        return small if handle is None else f'{small}\n[shortened; {_MARK}("{handle}") has all of it]'

    def _kept(self, text: str) -> str | None:
        """The handle of a text that is kept; the oldest ones make room. None where none is kept."""
        most = int(self.options.originals_mb * 1024 * 1024)
        if len(text) > most:
            return None
        # Nobody can guess the handle of a text that they do not have.
        handle = hmac.digest(self._secret(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:20]
        with self._lock:
            if handle in self._originals:
                self._originals.move_to_end(handle)
                return handle
            self._originals[handle] = text
            self._characters += len(text)
            while self._characters > most:
                _, dropped = self._originals.popitem(last=False)
                self._characters -= len(dropped)
        return handle


def _result(message: Message, least: int) -> str | None:
    """The text of a tool's result that is long enough, and not shortened yet."""
    content = message.get("content")
    if message.get("role") not in _ROLES or not isinstance(content, str):
        return None
    return content if len(content) > least and _MARK not in content else None


def _whole(text: str) -> tuple[str, Any] | None:
    """All of a text in its shortest form, and its JSON value, None where it is no JSON.

    None in all: it is JSON that cannot be shortened and stay what it is (a key stands twice, or it is too deep).
    """
    try:
        value = as_tables(read_json(text))
        return min(write_json(value), text, key=len), value
    except (ValueError, RecursionError):
        return None if _is_json(text) else (text, None)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _wanted(messages: Sequence[Message]) -> Callable[[str], Wanted]:
    """What to look for in the result of a call: what users asked, and what the call itself did."""
    asked = [text_of(message) for message in messages if message.get("role") == "user"]
    calls: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            calls[str(call.get("id", ""))] = f"{function.get('name', '')} {function.get('arguments', '')}"
    return lambda name: Wanted([*asked, calls.get(name, "")])


def _make(options: ToolOutputOptions, context: PluginContext) -> ToolOutput:
    made: list[bytes] = []

    def secret() -> bytes:
        if not made:
            made.append(secret_at(context.home / "originals"))
        return made[0]

    return ToolOutput(secret=secret, **options.model_dump())


PLUGIN = CompressorPlugin(
    name="tool-output",
    factory=_make,
    options=ToolOutputOptions,
    summary="Keeps of long tool results the errors, what the question is about, and the figures.",
)
