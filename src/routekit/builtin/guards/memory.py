"""What was found in texts that were looked at before, so that a conversation that is sent again costs its new part."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from routekit.builtin.guards.spans import Span
from routekit.plugin import reset_after_fork

_MOST = 10_000
_LEAST_TEXT = 200
"""Shorter texts are read faster than they are found."""


class Memory:
    """Remembers places and kinds, no text: keys are hashes under a secret that this process alone has."""

    def __init__(self, detect: Callable[[str, str], Sequence[Span]]) -> None:
        self._detect = detect
        self._secret = os.urandom(32)
        self._known: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def spans(self, text: str, label: str = "") -> Sequence[Span]:
        if len(text) < _LEAST_TEXT:
            return self._detect(text, label)
        written = f"{label}\0{text}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(written, digest_size=16, key=self._secret).digest()
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        found = tuple(self._detect(text, label))
        with self._lock:
            self._known[key] = found
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return found
