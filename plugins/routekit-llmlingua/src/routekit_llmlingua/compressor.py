"""Token classification by LLMLingua-2: which words of a text may go."""

from __future__ import annotations

import importlib.util
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from routekit.errors import ConfigError
from routekit.plugin import Compression, Compressor, Options, new_lock_after_fork
from routekit.types import Message, RouteRequest, count_tokens, text_tokens

KNOWN = ("bert-base-multilingual-cased", "xlm-roberta-large")
"""What llmlingua tells tokenizers apart by: a part of the model's name, or of its path."""

REMEMBERED = 2000
_FENCE = re.compile(r"(^```.*?^```[ \t]*$)", re.MULTILINE | re.DOTALL)
Role = Literal["tool", "user", "assistant"]


class LLMLinguaOptions(Options):
    """`model` is a folder or a hub id such as "microsoft/llmlingua-2-xlm-roberta-large-meetingbank".

    Of each text the share `rate` is kept; texts of fewer than `min_tokens` are left alone, and so are messages of
    other roles than `roles`. `keep` are tokens that always stay, `keep_digits` keeps every figure.
    """

    model: str
    rate: float = Field(default=0.5, gt=0, lt=1)
    min_tokens: int = Field(default=200, ge=20)
    roles: tuple[Role, ...] = ("tool", "user")
    keep: tuple[str, ...] = ("\n", "?", "!", ".")
    keep_digits: bool = True
    device: str = "cpu"


class LLMLingua(Compressor):
    """The oldest texts first, as many as the target needs. Loads its model at the first one.

    The newest user message, system messages, tool calls, JSON and fenced blocks of code are left as they are. A text
    that was compressed once is sent in the same words ever after, and is not compressed again.
    """

    lossless = False
    slow = True

    def __init__(self, **options: Any) -> None:
        self.options = LLMLinguaOptions.checked(options, where="llmlingua")
        self._lock = threading.Lock()
        self._model: Any = None
        self._made: OrderedDict[str, str] = OrderedDict()
        self._results: set[str] = set()
        new_lock_after_fork(self)

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        size = count_tokens(request.messages, request.tools)[0]
        if target_tokens is None or size <= target_tokens:
            return Compression(request=request, lossless=True)
        messages: list[Message] = list(request.messages)
        newest = max((place for place, m in enumerate(messages) if m.get("role") == "user"), default=-1)
        changed = 0
        for place, message in enumerate(messages):
            if size <= target_tokens:
                break
            content = message.get("content")
            if place == newest or message.get("role") not in self.options.roles or not isinstance(content, str):
                continue
            short = self._shorter(content)
            if len(short) < len(content):
                size -= text_tokens(content) - text_tokens(short)
                messages[place] = {**message, "content": short}
                changed += 1
        if not changed:
            return Compression(request=request, lossless=True)
        return Compression(
            request=replace(request, messages=tuple(messages)),
            lossless=False,
            removed=f"words of {changed} message{'' if changed == 1 else 's'}",
        )

    def _shorter(self, text: str) -> str:
        if text_tokens(text) < self.options.min_tokens or text.lstrip().startswith(("{", "[")):
            return text
        with self._lock:  # the model is not safe in threads
            if text in self._results:
                return text
            found = self._made.get(text)
            if found is None:
                parts = _FENCE.split(text)
                found = "".join(part if place % 2 else self._words(part) for place, part in enumerate(parts))
                found = found if found.strip() and len(found) < len(text) else text
                self._made[text] = found
                self._results.add(found)
                if len(self._made) > REMEMBERED:
                    self._results.discard(self._made.popitem(last=False)[1])
            return found

    def _words(self, text: str) -> str:
        if text_tokens(text) < self.options.min_tokens // 2:
            return text
        if self._model is None:
            self._model = load(self.options.model, self.options.device)
        answer = self._model.compress_prompt(
            [text], rate=self.options.rate, force_tokens=list(self.options.keep),
            force_reserve_digit=self.options.keep_digits, drop_consecutive=True,
        )  # fmt: skip
        short = str(answer["compressed_prompt"])
        edges = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        return f"{edges[0]}{short.strip()}{edges[1]}"


def load(model: str, device: str) -> Any:
    """The model, on `device`.

    Raises:
        ConfigError: a package is missing, the model is not there, or it is none of LLMLingua-2's.
    """
    if not any(known in model for known in KNOWN):
        raise ConfigError(
            f"llmlingua knows a model by its name, which must contain {' or '.join(KNOWN)}; got {model!r}",
            key="model", fix="Rename the folder, or use microsoft/llmlingua-2-xlm-roberta-large-meetingbank.",
        )  # fmt: skip
    _find_encodings()
    try:
        from llmlingua import PromptCompressor
    except ImportError as error:
        raise ConfigError(
            f"the package {error.name!r} is missing", key="use", fix="Run pip install routekit-llmlingua."
        ) from error
    try:
        # Its own default would run code that comes with a model.
        return PromptCompressor(
            model_name=model, device_map=device, use_llmlingua2=True, model_config={"trust_remote_code": False}
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the model {model!r} cannot be loaded ({type(error).__name__})", key="model",
            fix="Name a folder with a model, or a hub id that this machine can reach.",
        ) from error  # fmt: skip


def _find_encodings() -> None:
    """llmlingua counts with tiktoken, which would fetch its tables; litellm brings them."""
    if "TIKTOKEN_CACHE_DIR" in os.environ:
        return
    spec = importlib.util.find_spec("litellm")
    for folder in _folders(spec.origin if spec is not None else None):
        if folder.is_dir():
            os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
            return


def _folders(origin: str | None) -> Sequence[Path]:
    if origin is None:
        return ()
    package = Path(origin).parent
    return (package / "litellm_core_utils" / "tokenizers", package / "llms" / "tokenizers")
