"""The connection to the server, and what is asked of the server before money is entrusted to it."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from routekit.errors import ConfigError
from routekit.plugin import refuse_secrets_in_url, reset_after_fork
from routekit_redis.mark import prefix_of, reinitialise
from routekit_redis.options import Persistence, RedisOptions
from routekit_redis.sentences import border

__all__ = ["Watch", "address_of", "check_server", "check_url", "connect", "prefix_of", "reinitialise", "speaks_tls"]

MIN_VERSION = 7
MOST_CONNECTIONS = 2**16
"""The pool is as large as what is under way; the server's `maxclients` is the limit."""

CLUSTER_TRIES = 3
SENTINEL = ("redis+sentinel", "rediss+sentinel")
LOOK_S = 60.0
"""How often the server's settings are looked at, new connections aside."""

_FRESH_S = 1.0
_AGAIN_S = 2.0
_ASKED = (
    ("INFO", "server"), ("INFO", "persistence"), ("INFO", "memory"), ("CONFIG", "GET", "appendfsync"),
    ("CONFIG", "GET", "maxmemory-policy"),
)  # fmt: skip
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


def speaks_tls(address: str) -> bool:
    return address.startswith("rediss")


class Watch:
    """Looks at the server's settings on new connections and every `LOOK_S`, and says what is wrong with them once."""

    def __init__(self, persistence: Persistence, *, single: bool = True) -> None:
        self._persistence = persistence
        self._single = single
        self._lock = threading.Lock()
        self._looked_at = -math.inf
        self.refused: ConfigError | None = None
        self._told = ""
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    @property
    def due(self) -> bool:
        return time.monotonic() - self._looked_at >= (LOOK_S if self.refused is None else _AGAIN_S)

    def connected(self, connection: Any) -> None:
        """To be called with each new connection (`redis_connect_func`)."""
        if self._single:  # the client of a cluster has done this itself
            connection.on_connect()
        if time.monotonic() - self._looked_at < _FRESH_S:  # many connect at once, and one of them looks
            return
        try:
            self.look(connection)
        except BaseException:
            connection.disconnect()
            raise

    def look(self, connection: Any) -> None:
        """Asks all at once, in one round trip.

        Raises:
            ConfigError: the server would lose spending, and `persistence` is "require".
        """
        connection.send_packed_command(connection.pack_commands(_ASKED))
        server, kept, memory, flushed, policy = [_answer(connection) for _ in _ASKED]
        settings = {"appendfsync": _value(flushed), "maxmemory-policy": _value(policy)}
        try:
            told = judged(_parsed(server), _parsed(kept), _parsed(memory), settings, self._persistence)
        except ConfigError as error:
            self.refused = error
            self._looked_at = time.monotonic() - _FRESH_S
            raise
        self.refused = None
        self._looked_at = time.monotonic()
        with self._lock:
            new, self._told = told != self._told, told
        if told and new:
            _log.warning("%s", told)


def connect(options: RedisOptions, env: Mapping[str, str], watch: Watch | None = None) -> Any:
    """A client. Nothing is sent before the first call; a connection that has gone stale is made anew, once.

    Raises:
        ConfigError: the URL or what it asks for is none. BudgetUnavailableError: a cluster does not answer.
    """
    address = address_of(options, env)
    settings: dict[str, Any] = {
        "socket_timeout": options.timeout_s,
        "socket_connect_timeout": options.timeout_s,
        "decode_responses": False,
        "protocol": 2,
    }
    if watch is not None:
        settings["redis_connect_func"] = watch.connected
    # Every script may be run twice: a hold that is open stays open, an end that was written stays written.
    retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    with border(tls=speaks_tls(address)):
        try:
            if options.cluster:
                # Where nobody serves a slot for a moment, the client asks again where it is.
                retry = Retry(NoBackoff(), CLUSTER_TRIES, supported_errors=(redis.ConnectionError,))
                return RedisCluster.from_url(address, retry=retry, max_connections=MOST_CONNECTIONS, **settings)
            if address.partition(":")[0] in SENTINEL:
                return _by_sentinel(address, retry=retry, max_connections=MOST_CONNECTIONS, **settings)
            client = redis.Redis.from_url(address, retry=retry, max_connections=MOST_CONNECTIONS, **settings)
            client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)  # are these known?
        except (TypeError, ValueError) as error:
            # The texts of these errors may repeat the URL.
            option = re.search(r"unexpected keyword argument '(\w{1,40})'", str(error))
            what = f"an option that nobody knows, {option[1]!r}" if option else "something that is no address"
            raise ConfigError(
                f"the Redis URL has {what}", key=options.url_env or "url",
                fix="Give a URL such as redis://host:6379/0, rediss://host:6379/0?ssl_ca_certs=/path/ca.pem or "
                "redis+sentinel://host:26379/mymaster/0.",
            ) from None  # fmt: skip
        return client


def check_server(client: Any, persistence: Persistence) -> None:
    """Looks whether the server keeps what it acknowledges.

    Raises:
        ConfigError: it is too old, or would lose spending and `persistence` is "require".
        BudgetUnavailableError: it does not answer.
    """
    with border():
        server, kept, memory = (client.info(section) for section in ("server", "persistence", "memory"))
        settings: dict[str, str | None] = {}
        for name in ("appendfsync", "maxmemory-policy"):
            settings[name] = None
            with contextlib.suppress(redis.ResponseError, AttributeError):
                settings[name] = _value(client.config_get(name))
        told = judged(server, kept, memory, settings, persistence)
    if told:
        _log.warning("%s", told)


def judged(
    server: Mapping[str, Any], kept: Mapping[str, Any], memory: Mapping[str, Any],
    settings: Mapping[str, str | None], persistence: Persistence,
) -> str:  # fmt: skip
    """What is to be warned about, or nothing.

    Raises:
        ConfigError: the server is too old, or would lose spending and `persistence` is "require".
    """
    version = str(server.get("valkey_version") or server.get("redis_version") or "0")
    if int(version.partition(".")[0]) < MIN_VERSION:
        raise ConfigError(
            f"the server is version {version}", key="url", fix=f"Use Redis or Valkey {MIN_VERSION} or newer."
        )
    if persistence == "ignore":
        return ""
    faults = []
    if not int(kept.get("aof_enabled") or 0):
        faults.append("it has no append-only file: what it acknowledged is lost when it is killed (set appendonly yes)")
    elif settings["appendfsync"] == "no":
        faults.append("it never flushes its append-only file (set appendfsync everysec or always)")
    policy = settings["maxmemory-policy"] or memory.get("maxmemory_policy") or "noeviction"
    if policy != "noeviction":
        faults.append(f"it would evict balances when memory is short (set maxmemory-policy noeviction; it is {policy})")
    if not faults:
        return ""
    told = f"the server would lose spending: {'; '.join(faults)}"
    if persistence == "require":
        raise ConfigError(
            told, key="persistence", fix='Change the server, or set persistence = "warn" and live with it.'
        )
    return told


def _by_sentinel(address: str, *, retry: Retry, max_connections: int, **settings: Any) -> Any:
    """``redis+sentinel://user:password@host:26379,host2:26379/mymaster/0?sentinel_password=...``."""
    parts = urlsplit(address)
    user, _, places = parts.netloc.rpartition("@")
    name, _, database = parts.path.strip("/").partition("/")
    if not name or not places:
        raise ValueError("a Sentinel URL needs hosts and the master's name")
    sentinels = []
    for place in places.split(","):
        host, _, port = place.rpartition(":") if re.search(r":\d+$", place) else (place, "", "26379")
        sentinels.append((host.strip("[]"), int(port)))
    given = dict(parse_qsl(parts.query))
    towards: dict[str, Any] = {
        key.removeprefix("sentinel_"): given.pop(key) for key in list(given) if key.startswith("sentinel_")
    }
    own: dict[str, Any] = {**given, "db": int(database or 0)}
    if user:
        username, _, password = user.partition(":")
        own |= {key: unquote(text) for key, text in (("username", username), ("password", password)) if text}
    if parts.scheme.startswith("rediss"):
        own["ssl"] = True
        towards = {"ssl": True, **{key: text for key, text in given.items() if key.startswith("ssl_")}, **towards}
    timeouts = {key: value for key, value in settings.items() if key.startswith("socket_")}
    kwargs = {**towards, **timeouts}
    sentinel: Any = Sentinel(sentinels, sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]  # redis-py has no types
    return sentinel.master_for(name, retry=retry, max_connections=max_connections, **settings, **own)


def _answer(connection: Any) -> Any:
    """None: the server's user may not ask for it."""
    try:
        return connection.read_response()
    except redis.ResponseError:
        return None


def _parsed(info: Any) -> dict[str, str]:
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else str(info or "")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def _value(found: Any) -> str | None:
    """Of an answer to CONFIG GET; None: it cannot be known. Many hosts forbid CONFIG."""
    if isinstance(found, Mapping):
        found = [*next(iter(found.items()), ())]
    value = found[1] if isinstance(found, (list, tuple)) and len(found) > 1 else None
    return value.decode() if isinstance(value, bytes) else value
