"""What `routekit plugins new` writes: a package with one working plugin and the contract suite of its kind."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from routekit.errors import InvalidInputError

KINDS = ("strategy", "provider", "cache", "compressor", "budget", "guard", "observer")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of a new plugin: "night-owl" becomes routekit-night-owl, routekit_night_owl, NightOwl."""

    plugin: str
    kind: str

    @property
    def distribution(self) -> str:
        return f"routekit-{self.plugin}"

    @property
    def package(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def cls(self) -> str:
        return "".join(part.capitalize() for part in self.plugin.split("-"))

    @property
    def hook(self) -> str:
        return {"strategy": "routekit_strategies"}.get(self.kind, f"routekit_{self.kind}s")


def names_for(name: str, kind: str) -> Names:
    """The names that follow from what a user typed.

    Raises:
        InvalidInputError: no usable plugin name, or an unknown kind.
    """
    plugin = name.strip().lower().replace("_", "-").removeprefix("routekit-")
    if not _NAME.fullmatch(plugin) or keyword.iskeyword(plugin):
        raise InvalidInputError(
            f"a plugin's name is lower-case letters, digits and hyphens between words, such as night-owl; got {name!r}"
        )
    if kind not in KINDS:
        raise InvalidInputError(f"a plugin is of a kind among {', '.join(KINDS)}; got {kind!r}")
    return Names(plugin=plugin, kind=kind)


def write_plugin(names: Names, folder: Path) -> Path:
    """Writes the package into ``folder/routekit-NAME`` and returns that path. Nothing existing is touched.

    Raises:
        InvalidInputError: the folder is there already.
    """
    root = folder / names.distribution
    if root.exists():
        raise InvalidInputError(f"{root} is there already; choose another name or another --path")
    for path, text in files_of(names).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def files_of(names: Names) -> dict[str, str]:
    """Relative path to content."""
    fill = {
        "NAME": names.plugin, "DIST": names.distribution, "PKG": names.package, "CLS": names.cls,
        "KIND": names.kind, "HOOK": names.hook, "REG": f"{names.kind.capitalize()}Plugin",
        "CONTRACT": f"{names.kind.capitalize()}Contract",
    }  # fmt: skip

    def filled(text: str) -> str:
        for key, value in fill.items():
            text = text.replace(f"@{key}@", value)
        return text.lstrip("\n")

    code = _STRATEGY if names.kind == "strategy" else _CODE[names.kind]
    return {
        "pyproject.toml": filled(_PYPROJECT),
        "README.md": filled(_README + _USE[names.kind]),
        f"src/{names.package}/__init__.py": filled('"""The @NAME@ @KIND@ for routekit."""\n'),
        f"src/{names.package}/py.typed": "",
        f"src/{names.package}/{names.kind}.py": filled(code),
        f"src/{names.package}/plugin.py": filled(_PLUGIN_STRATEGY if names.kind == "strategy" else _PLUGIN),
        f"tests/test_{names.plugin.replace('-', '_')}.py": filled(_TEST[names.kind]),
    }


_PYPROJECT = """
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "@DIST@"
version = "0.1.0"
description = "The @NAME@ @KIND@ for routekit."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["routekit-llm>=0.1"]

[project.optional-dependencies]
test = ["pytest>=8"]

[project.entry-points.routekit]
@NAME@ = "@PKG@.plugin"

[tool.hatch.build.targets.wheel]
packages = ["src/@PKG@"]
"""

_README = """
# @DIST@

The `@NAME@` @KIND@ for routekit.

```
pip install -e ".[test]"
pytest                       # the contract suite of its kind
routekit plugins             # it is listed
```

"""

_USE = {
    "strategy": '```toml\n[router]\nstrategy = "@NAME@"\n```\n',
    "provider": '```toml\n[[deployments]]\nname = "mine"\nprovider = "@NAME@"\nmodel = "any"\n```\n',
    "cache": '```toml\n[cache]\nuse = ["@NAME@"]\n```\n',
    "compressor": '```toml\n[[compressors]]\nuse = "@NAME@"\n```\n',
    "budget": '```toml\n[router]\nbudget_store = "@NAME@"\n```\n',
    "guard": '```toml\n[[guards]]\nuse = "@NAME@"\n```\n',
    "observer": '```toml\n[[observers]]\nuse = "@NAME@"\n```\n',
}

_PLUGIN_STRATEGY = '''
"""The entry point."""

from __future__ import annotations

from @PKG@.strategy import @CLS@
from routekit.plugin import StrategyPlugin, hookimpl


@hookimpl
def routekit_strategies() -> list[StrategyPlugin]:
    return [StrategyPlugin.of(@CLS@)]
'''

_PLUGIN = '''
"""The entry point. The factory imports the plugin itself, so that listing plugins stays cheap."""

from __future__ import annotations

from typing import Any

from routekit.plugin import @REG@, PluginContext, hookimpl


def _make(options: Any, context: PluginContext) -> Any:
    from @PKG@.@KIND@ import @CLS@

    return @CLS@()


@hookimpl
def @HOOK@() -> list[@REG@]:
    return [@REG@(name="@NAME@", factory=_make, summary="What it does, in one line.")]
'''

_STRATEGY = '''
"""Which candidate comes first."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from routekit.plugin import Candidate, Options, RouteDecision, RouteRequest, Signals, Strategy


class @CLS@Options(Options):
    quality_weight: float = Field(0.5, ge=0, le=1, description="0 looks at the cost alone, 1 at the quality alone.")


class @CLS@(Strategy):
    """Quality for money: the first line is the summary that `routekit plugins` shows."""

    name = "@NAME@"
    Options = @CLS@Options
    options: @CLS@Options

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        dearest = max((candidate.cost_nanos or 0 for candidate in candidates), default=0) or 1
        weight = self.options.quality_weight

        def score(candidate: Candidate) -> float:
            cost = candidate.cost_nanos
            cheapness = 0.0 if cost is None else 1 - cost / dearest
            return weight * candidate.quality + (1 - weight) * cheapness

        return self.decide(candidates, score, lambda first: f"the best mix of quality and cost: {first.name}", signals)
'''

_CODE = {
    "provider": '''
"""Calls a model: this one gives the question back."""

from __future__ import annotations

from routekit.errors import ProviderTimeoutError
from routekit.plugin import Answer, Provider, ProviderCall
from routekit.types import Usage, count_tokens, text_of, text_tokens


class @CLS@(Provider):
    """Replace `complete` by a real call. Raise the `ProviderError` that fits; never retry."""

    def complete(self, call: ProviderCall) -> Answer:
        if call.timeout_s is not None and call.timeout_s < 0.001:
            raise ProviderTimeoutError("no time is left for the call", deployment=call.deployment.name)
        text = text_of(call.messages[-1]) or "(nothing)"
        usage = Usage(input_tokens=count_tokens(call.messages, call.tools)[0], output_tokens=text_tokens(text))
        return Answer(
            message={"role": "assistant", "content": text},
            finish_reason="stop",
            usage=usage,
            model=call.deployment.model.id,
        )
''',
    "cache": '''
"""Remembers answers, in a dictionary."""

from __future__ import annotations

import threading
import time

from routekit.plugin import Cache
from routekit.types import CacheEntry, CacheKey


class @CLS@(Cache):
    """Replace the dictionary by a store of your own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], CacheEntry] = {}

    def get(self, key: CacheKey) -> CacheEntry | None:
        with self._lock:
            entry = self._entries.get((key.namespace, key.digest))
        if entry is None or (entry.expires_at is not None and entry.expires_at <= time.time()):
            return None
        return entry

    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        with self._lock:
            self._entries[key.namespace, key.digest] = entry

    def delete(self, key: CacheKey) -> None:
        with self._lock:
            self._entries.pop((key.namespace, key.digest), None)

    def clear(self, namespace: str | None = None) -> None:
        with self._lock:
            self._entries = {k: e for k, e in self._entries.items() if namespace not in (None, k[0])}
''',
    "compressor": '''
"""Makes a request smaller: this one strips white space at the ends of older texts."""

from __future__ import annotations

import dataclasses

from routekit.plugin import Compression, Compressor
from routekit.types import RouteRequest


class @CLS@(Compressor):
    """Keeps every message, and the newest one as it is."""

    lossless = False

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        if target_tokens is None:
            return Compression(request=request, lossless=True)  # nothing needs to be lost
        messages = []
        for message in request.messages[:-1]:
            content = message.get("content")
            if isinstance(content, str) and message.get("role") != "system" and content.strip():
                message = {**message, "content": content.strip()}
            messages.append(message)
        messages.extend(request.messages[-1:])
        if tuple(messages) == request.messages:
            return Compression(request=request, lossless=True)
        smaller = dataclasses.replace(request, messages=tuple(messages))
        return Compression(request=smaller, lossless=False, removed="white space around older texts")
''',
    "budget": '''
"""Keeps balances, in a dictionary."""

from __future__ import annotations

import threading

from routekit.errors import BudgetExceededError
from routekit.plugin import Budget
from routekit.types import Balance, Charge, Money, Reservation


class @CLS@(Budget):
    """Replace the dictionaries by a store of your own, and the lock by its transactions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, int] = {}
        self._holds: dict[str, Reservation] = {}
        self._ended: set[str] = set()

    def reserve(self, reservation: Reservation) -> None:
        with self._lock:
            if reservation.id in self._holds or reservation.id in self._ended:
                return
            for charge in reservation.charges:
                balance = self._balance(charge)
                if charge.hard and balance.used.nanos + reservation.amount.nanos > charge.limit.nanos:
                    raise BudgetExceededError(
                        scope=charge.scope,
                        limit=charge.limit,
                        spent=balance.spent,
                        reserved=balance.reserved,
                        asked=reservation.amount,
                        resets_at=charge.resets_at,
                    )
            self._holds[reservation.id] = reservation

    def settle(self, reservation: Reservation, actual: Money) -> None:
        with self._lock:
            if self._holds.pop(reservation.id, None) is None:
                return
            self._ended.add(reservation.id)
            for key in {charge.key for charge in reservation.charges}:
                self._spent[key] = self._spent.get(key, 0) + actual.nanos

    def release(self, reservation: Reservation) -> None:
        with self._lock:
            if self._holds.pop(reservation.id, None) is not None:
                self._ended.add(reservation.id)

    def balance(self, charge: Charge) -> Balance:
        with self._lock:
            return self._balance(charge)

    def _balance(self, charge: Charge) -> Balance:
        spent = sum(self._spent.get(key, 0) for key in charge.keys)
        held = sum(
            hold.amount.nanos
            for key in charge.keys
            for hold in self._holds.values()
            if any(other.key == key for other in hold.charges)
        )
        return Balance(spent=Money(spent), reserved=Money(held))
''',
    "guard": '''
"""Decides what may pass: this one blocks a word."""

from __future__ import annotations

from routekit.plugin import ALLOW, Guard, GuardVerdict
from routekit.types import RouteRequest, text_of

WORD = "internal-only"


class @CLS@(Guard):
    """Refuses requests that contain `WORD`. A verdict names the rule, never the text."""

    def check_request(self, request: RouteRequest) -> GuardVerdict:
        if any(WORD in text_of(message).lower() for message in request.messages):
            return GuardVerdict(action="block", rule="internal-word")
        return ALLOW
''',
    "observer": '''
"""Is told what happens: this one counts events."""

from __future__ import annotations

from collections import Counter

from routekit.plugin import Observer
from routekit.types import Event


class @CLS@(Observer):
    """Counts events by their kind."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        self.seen[type(event).__name__] += 1
''',
}

_SUITE = '''
"""@CLS@ keeps the contract of every @KIND@."""

from __future__ import annotations

import pytest
from @PKG@.@KIND@ import @CLS@

from routekit.testing.contracts import @CONTRACT@


class Test@CLS@(@CONTRACT@):
    @pytest.fixture
    def @KIND@(self) -> @CLS@:
        return @CLS@()
'''

_TEST = {
    **dict.fromkeys(("strategy", "cache", "compressor", "budget", "guard", "observer"), _SUITE),
    "provider": '''
"""@CLS@ keeps the contract of every provider."""

from __future__ import annotations

import pytest
from @PKG@.provider import @CLS@

from routekit.testing.contracts import ProviderContract
from routekit.types import Deployment, Model


class Test@CLS@(ProviderContract):
    @pytest.fixture
    def provider(self) -> @CLS@:
        return @CLS@()

    @pytest.fixture
    def deployment(self) -> Deployment:
        return Deployment(name="mine", provider="@NAME@", model=Model(id="any"))
''',
}
