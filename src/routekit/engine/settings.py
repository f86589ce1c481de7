"""The engine's own settings, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OnInterrupt = Literal["error", "continue", "restart"]
Reuse = Literal["strategy", "group", "model"]
OnBadRequest = Literal["next", "surface"]
UnknownPrice = Literal["refuse", "estimate", "allow"]

MAX_ATTEMPTS = 3
"""In all, retries and fallbacks and escalations together. Retries that multiply are how outages are made."""


When = Literal["auto", "always", "overflow"]


CARRIED_SCOPES = ("project", "user", "tag", "run", "step")
"""Kinds of scopes that calls carry (or that follow from their step), whose values can be tenants of a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionRule:
    """When a compressor runs, and down to how much.

    "overflow": only where the request does not fit its largest deployment; "always": on every request;
    "auto": lossless ones always, others on overflow, and beyond that as `above_tokens` (requests with more input
    tokens) and `ratio` (compress to this share of the tokens) say. `deployments` (names, groups or model ids)
    keep it to what these are sent; empty: it is for all. `timeout_s` is in seconds.
    """

    when: When = "auto"
    above_tokens: int | None = None
    ratio: float | None = None
    deployments: frozenset[str] = frozenset()
    timeout_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """`output_limit` (tokens) is sent where spending is limited and the caller set no limit.

    `unknown_price` decides about deployments without a price while a hard budget applies: refused,
    taken for the dearest of their group, or allowed and recorded as unknown.

    A hold lives for what is left of its call's deadline and `lease_margin_s` more, without a deadline for `lease_s`
    (seconds); streams renew it. Whatever is held longer was lost with its process.

    The figures about streams, hedges and waits are those of ``[reliability]``: seconds, tokens, and
    tokens per second; None means adaptive, for the pace: free.
    """

    max_attempts: int = MAX_ATTEMPTS
    output_limit: int = 4096
    unknown_price: UnknownPrice = "refuse"
    cache_ttl_s: float | None = 3600.0
    cache_scope: tuple[str, ...] = ("project", "user")
    cache_nondeterministic: bool = False
    cache_tool_calls: bool = False
    cache_reuse: Reuse = "strategy"
    cache_jitter: float = 0.1
    cache_stale_s: float = 0.0
    lease_s: float = 600.0
    lease_margin_s: float = 5.0
    baseline: str | None = None
    first_token_s: float | None = None
    idle_s: float | None = None
    min_tokens_per_s: float | None = None
    on_interrupt: OnInterrupt = "error"
    warm_up_tokens: int = 0
    hedge: bool = False
    hedge_after_s: float | None = None
    hedge_share: float = 0.05
    wait_for_recovery_s: float = 0.5
    queue: int = 100
    on_bad_request: OnBadRequest = "next"
