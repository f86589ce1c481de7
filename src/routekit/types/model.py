"""What can be called: models, and the deployments that serve them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from routekit.types.empty import EMPTY
from routekit.types.price import Price

CAPABILITIES = frozenset(
    {"streaming", "tools", "json_schema", "json_object", "vision", "audio", "pdf", "logprobs", "reasoning",
     "prefill", "prompt_cache", "embeddings", "chat"}
)  # fmt: skip
"""The names used in `Model.capabilities`, in requirements and in recipes."""


def _nothing() -> Mapping[str, Any]:
    return EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is sold. `context_window` and `max_output` are in tokens, None where nobody published them.

    `sources` says for each of "price", "context_window", "max_output" and "capabilities" where the
    figure came from.
    """

    id: str
    context_window: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] = frozenset()
    price: Price | None = None
    sources: Mapping[str, str] = field(default_factory=_nothing, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a deployment takes: requests and tokens per minute, calls at once. None: no limit known."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deployment:
    """A callable endpoint of a model.

    Its name is unique inside a router, so a deployment equals (and hashes as) its name: records and
    configuration can be matched without unwrapping. `quality` is 0..1; None until it is inferred. `drop_params`
    are never sent there, `rename_params` (name to name) under another name.

    >>> Deployment(name="mini", provider="openai-compatible", model=Model(id="m")) == "mini"
    True
    """

    name: str
    provider: str
    model: Model
    group: str = "default"
    region: str | None = None
    retention: str | None = None
    limits: Limits = NO_LIMITS
    weight: float = 1.0
    tags: frozenset[str] = frozenset()
    quality: float | None = None
    quality_source: str = "unknown"
    drop_params: frozenset[str] = frozenset()
    rename_params: Mapping[str, str] = field(default_factory=_nothing)
    options: Mapping[str, Any] = field(default_factory=_nothing, repr=False)

    @property
    def price(self) -> Price | None:
        return self.model.price

    @property
    def local(self) -> bool:
        """Whether the answer is computed on this machine: no data leaves it."""
        return "local" in self.tags

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Deployment):
            return self.name == other.name
        return self.name == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name
