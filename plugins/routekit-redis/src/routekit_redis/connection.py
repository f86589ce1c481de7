"""The connection to the server, and what is asked of the server before money is entrusted to it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from routekit.errors import BudgetUnavailableError, ConfigError
from routekit.plugin import refuse_secrets_in_url
from routekit_redis.options import Persistence, RedisOptions

MIN_VERSION = 7
_log = logging.getLogger("routekit.redis")


def address_of(options: RedisOptions, env: Mapping[str, str]) -> str:
    """The URL, with its password.

    Raises:
        ConfigError: there is none, or one with a secret stands in a file.
    """
    if options.url_env is not None:
        found = env.get(options.url_env, "").strip()
        if not found:
            raise ConfigError(
                f"the variable {options.url_env} is empty",
                key="url_env",
                fix="Set it to the server's URL (redis://...).",
            )
        return found
    if options.url is None:
        raise ConfigError("no server is named", key="url_env", fix="Name the variable that holds its URL.")
    check_url(options)
    return options.url


def check_url(options: RedisOptions) -> None:
    """Refuses a URL with a secret where others could read it, before anything is connected.

    Raises:
        ConfigError: `url` holds a user, a password, or a parameter named like a secret.
    """
    try:
        refuse_secrets_in_url(options.url or "", "put it into a variable, and name the variable in url_env")
    except ValueError as error:
        problem = str(error)
    else:
        return
    raise ConfigError(problem, key="url")


def connect(options: RedisOptions, env: Mapping[str, str]) -> Any:
    """A client. Nothing is sent before the first call; a connection that has gone stale is made anew, once."""
    half_s = options.timeout_s / 2  # connecting and one answer together take no longer than the whole
    settings: dict[str, Any] = {
        "socket_timeout": half_s,
        "socket_connect_timeout": half_s,
        "decode_responses": False,
        "protocol": 2,
    }
    try:
        if options.cluster:
            return RedisCluster.from_url(address_of(options, env), **settings)
        # Every script may be run twice: a hold that is open stays open, an end that was written stays written.
        retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
        return redis.Redis.from_url(address_of(options, env), retry=retry, **settings)
    except (redis.RedisError, ValueError, OSError) as error:
        # The texts of these errors may repeat the URL.
        raise ConfigError(
            f"the server cannot be used ({type(error).__name__})", key=options.url_env or "url",
            fix="Give a URL such as redis://host:6379/0, of a server that runs.",
        ) from None  # fmt: skip


def check_server(client: Any, persistence: Persistence) -> None:
    """Looks whether the server keeps what it acknowledges.

    Raises:
        ConfigError: it is too old, or would lose spending and `persistence` is "require".
        BudgetUnavailableError: it does not answer.
    """
    try:
        server, kept, memory = (_info(client, section) for section in ("server", "persistence", "memory"))
    except redis.RedisError as error:
        raise unavailable(error) from None
    version = str(server.get("valkey_version") or server.get("redis_version") or "0")
    if int(version.partition(".")[0]) < MIN_VERSION:
        raise ConfigError(
            f"the server is version {version}", key="url", fix=f"Use Redis or Valkey {MIN_VERSION} or newer."
        )
    if persistence == "ignore":
        return
    faults = []
    if not kept.get("aof_enabled"):
        faults.append("it has no append-only file: what it acknowledged is lost when it is killed (set appendonly yes)")
    elif _setting(client, "appendfsync") == "no":
        faults.append("it never flushes its append-only file (set appendfsync everysec or always)")
    policy = _setting(client, "maxmemory-policy") or memory.get("maxmemory_policy") or "noeviction"
    if policy != "noeviction":
        faults.append(f"it would evict balances when memory is short (set maxmemory-policy noeviction; it is {policy})")
    if not faults:
        return
    told = f"the server would lose spending: {'; '.join(faults)}"
    if persistence == "require":
        raise ConfigError(
            told, key="persistence", fix='Change the server, or set persistence = "warn" and live with it.'
        )
    _log.warning("%s", told)


def epoch_of(client: Any, prefix: str, home: Path | None, accept_new: bool) -> str:
    """The ledger's own mark, made where the ledger is new. This machine remembers it in its home.

    Raises:
        ConfigError: this machine has seen another ledger here: its data is gone.
        BudgetUnavailableError: the server does not answer.
    """
    note = None if home is None else _note(home, prefix)
    seen = note.read_text() if note is not None and note.exists() else None
    try:
        found = _text(client.hget(f"{prefix}:meta", "epoch"))
        known = seen in (None, found, _text(client.hget(f"{prefix}:meta", "was")))
        if not known and not accept_new:
            raise ConfigError(
                "the server has lost the ledger that this machine knows (flushed, replaced, or another database)",
                key="url", fix="Restore it; or call routekit_redis.reinitialise(...), or set accept_new = true once.",
            )  # fmt: skip
        if found is None:
            client.hsetnx(f"{prefix}:meta", "epoch", secrets.token_hex(8))
            found = _text(client.hget(f"{prefix}:meta", "epoch"))
    except redis.RedisError as error:
        raise unavailable(error) from None
    assert found is not None
    if note is not None and found != seen:
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = note.with_name(f"{note.name}.{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_text(found)
        fresh.replace(note)
    return found


def reinitialise(url: str, *, name: str = "default", home: Path | str | None = None) -> None:
    """Takes the server as it is for the ledger from now on; what was lost is lost.

    To be called on one of the machines that knew the ledger: the others follow. Programs that are
    running go on to refuse until they are started again.
    """
    import os

    from routekit.config.load import home_of

    note = _note(home_of(os.environ) if home is None else Path(home), prefix_of(name))
    fresh: Any = {"epoch": secrets.token_hex(8), "was": note.read_text() if note.exists() else ""}
    client = redis.Redis.from_url(url)
    try:
        client.hset(f"{prefix_of(name)}:meta", mapping=fresh)
    finally:
        client.close()


def _note(home: Path, prefix: str) -> Path:
    """Where a machine remembers which ledger it knows."""
    return home / "redis" / prefix.strip("{}").replace(":", "-")


def prefix_of(name: str) -> str:
    """Where all keys of a service begin: one hash tag, so that one script may touch all of them on a cluster."""
    return f"{{routekit:{name}}}"


def unavailable(error: BaseException) -> BudgetUnavailableError:
    """The typed error; the text of the original may repeat a URL or a key."""
    slow = isinstance(error, redis.TimeoutError)
    what = "did not answer in time" if slow else f"cannot be used ({type(error).__name__})"
    hint = "raise timeout_s, or look at its load" if slow else "look whether it runs and lets this client in"
    return BudgetUnavailableError(f"the Redis server {what}; budgets fail closed, nothing was sent. {hint}")


def _info(client: Any, section: str) -> Mapping[str, Any]:
    found = client.info(section)
    # A cluster answers with a mapping per node: the first stands for all.
    return (
        next(iter(found.values())) if found and all(isinstance(value, Mapping) for value in found.values()) else found
    )


def _setting(client: Any, name: str) -> str | None:
    try:
        found = client.config_get(name)
    except redis.ResponseError:  # many hosts forbid CONFIG
        return None
    value = found.get(name) or found.get(name.encode())
    return _text(value)


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
