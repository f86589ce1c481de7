"""What can be configured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from routekit.plugin import Options

Persistence = Literal["require", "warn", "ignore"]


class RedisOptions(Options):
    """Where Redis is. `url_env` names a variable that holds the URL, with its password; `url` has none.

    ``redis://host:6379/0``, ``rediss://`` for TLS, or ``redis+sentinel://host:26379,host2:26379/mymaster/0``.
    `name` keeps several services on one server apart. `timeout_s` is how long one answer may take before
    it counts as failed. `cluster` says that the server is a Redis Cluster.
    """

    url_env: str | None = None
    url: str | None = None
    name: str = Field(default="default", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    timeout_s: float = Field(default=0.09, gt=0, le=5)
    cluster: bool = False


class RedisLedgerOptions(RedisOptions):
    """`persistence` says what happens where the server would lose acknowledged spending when it is killed
    (no append-only file) or would evict balances: "require" refuses, "warn" logs, "ignore" does neither.

    `accept_new` takes an empty server for a new ledger even where this machine has seen another one.
    `wait_replicas` is how many replicas must have a hold before its call is sent (WAIT); not with `cluster`.
    `keep_days` is how long balances are kept after the end of their window; calls charged to a window that ended
    longer ago leave no entries of their own.
    """

    persistence: Persistence = "require"
    accept_new: bool = False
    wait_replicas: int = Field(default=0, ge=0, le=16)
    keep_days: float = Field(default=35.0, ge=0, le=36_500)


class RedisCacheOptions(RedisOptions):
    """`secret_env` names a variable with the secret that values are sealed with, the same on every machine.

    A value larger than `max_value_kb` kibibytes is neither stored nor read.
    """

    secret_env: str | None = None
    max_value_kb: int = Field(default=4096, ge=1)
