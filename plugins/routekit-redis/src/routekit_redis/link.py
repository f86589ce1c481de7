"""How the ledger reaches its server: one client, one mark, one way to run a script."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import redis
from redis.exceptions import NoScriptError

from routekit.errors import BudgetUnavailableError, ConfigError
from routekit_redis.connection import Watch, check_url, connect, prefix_of, speaks_tls
from routekit_redis.mark import Mark, mark_of, note
from routekit_redis.options import RedisLedgerOptions
from routekit_redis.sentences import border, unavailable

FORMING_S = 3.0


class Link:
    """Connects at the first call. Many first calls share one attempt, and its failure."""

    LAPSE_S: ClassVar[float] = 30.0
    """How often the writer ends leases that are over; whoever is refused does so at once."""

    def __init__(self, options: RedisLedgerOptions, env: Mapping[str, str], home: Path | None) -> None:
        check_url(options)
        if options.wait_replicas and options.cluster:
            raise ConfigError(
                "wait_replicas cannot be used with a cluster", key="wait_replicas",
                fix="Set min-replicas-to-write on the masters instead.",
            )  # fmt: skip
        self._options, self._env, self.home = options, env, home
        self.prefix = prefix_of(options.name)
        self.watch = Watch(options.persistence, single=not options.cluster)
        self.mark: Mark | None = None
        self._client: Any = None
        self.after_fork()

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._opening: Future[Any] | None = None

    @property
    def client(self) -> Any:
        """Raises:
        BudgetUnavailableError: the server failed. ConfigError: it cannot be used as it is.
        """
        client = self._client
        if client is None:
            client = self._opened()
        if self.watch.refused is not None:
            raise self.watch.refused
        return client

    def run(self, script: str, names: list[str], *arguments: Any, wait: int = 0) -> Any:
        """What a script answers, as texts. `names` are its keys without the prefix; the mark comes first.

        Raises:
            BudgetUnavailableError: the server failed, or it has lost the ledger or a part of it.
        """
        answer, mark = self._answered(script, names, arguments, wait)
        if answer[0] == "flushed" and self._followed(self.client, mark):
            answer, mark = self._answered(script, names, arguments, wait)
        _refuse(answer)
        term, seq = int(answer[1]), int(answer[2])
        with self._lock:
            now = self.mark
            if now is not None and now.epoch == mark.epoch and (term, seq) > (now.term, now.seq):
                self.mark = Mark(now.epoch, term, seq)
        return answer

    def _answered(self, script: str, names: list[str], arguments: tuple[Any, ...], wait: int) -> tuple[Any, Mark]:
        client = self.client
        mark = self.mark
        assert mark is not None
        with self.border():
            keys = [f"{self.prefix}:{name}".encode() for name in ("meta", *names)]
            head = (mark.epoch, mark.term, mark.seq, f"{self._options.keep_days * 86_400:.0f}")
            given = [_encoded(one) for one in (*head, *arguments)]
            answer = texts(self._sent(client, script, keys, given, wait))
        return answer, mark

    def plain(self) -> Any:
        """A client for what an operator does, which looks neither at the mark nor at the server's settings."""
        return connect(self._options, self._env)

    def look(self) -> None:
        """Looks at the server's settings, on a connection of its own."""
        client = self._client
        if client is None:
            return
        with self.border():
            if self._options.cluster:
                client = client.get_redis_connection(client.get_node_from_key(f"{self.prefix}:meta"))
            pool = client.connection_pool
            connection = pool.get_connection()
            try:
                self.watch.look(connection)
            finally:
                pool.release(connection)

    def remember(self) -> None:
        """This machine notes how far it has seen the ledger."""
        if self.mark is not None:
            note(self.home, self.prefix, self.mark)

    @contextmanager
    def border(self) -> Iterator[None]:
        with border(tls=self._tls):
            yield

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            self.remember()
            client.close()

    @property
    def _tls(self) -> bool:
        return speaks_tls((self._options.url_env and self._env.get(self._options.url_env)) or self._options.url or "")

    def _sent(self, client: Any, script: str, keys: list[bytes], arguments: list[bytes], wait: int) -> Any:
        try:
            return self._evaluated(client, script, keys, arguments, wait)
        except redis.ReadOnlyError:  # a master that was demoted: another one may have its address by now
            drop_connections(client)
        return self._evaluated(client, script, keys, arguments, wait)

    def _evaluated(self, client: Any, script: str, keys: list[bytes], arguments: list[bytes], wait: int) -> Any:
        try:
            if not wait:
                return client.evalsha(sha(script), len(keys), *keys, *arguments)
            pipe = client.pipeline(transaction=False)
            pipe.evalsha(sha(script), len(keys), *keys, *arguments)
            pipe.execute_command("WAIT", wait, int(self._options.timeout_s * 800))
            answer, have = pipe.execute()
        except NoScriptError:
            answer = client.eval(script, len(keys), *keys, *arguments)
            return answer if not wait else self._evaluated(client, script, keys, arguments, wait)
        if have < wait and answer[0] == b"ok":
            raise unavailable(
                f"has told {have} replicas of the hold in time, and {wait} must have it (wait_replicas)",
                "look at its replicas",
            )
        return answer

    def _opened(self) -> Any:
        with self._lock:
            if self._client is not None:
                return self._client
            opening, mine = self._opening, self._opening is None
            if opening is None:
                opening = self._opening = Future()
        if not mine:
            try:
                return opening.result(4 * self._options.timeout_s)
            except TimeoutError:
                raise unavailable("did not answer in time", "raise timeout_s, or look at its load") from None
        try:
            client = self._connected()
        except BaseException as error:
            with self._lock:
                self._opening = None
            told = error if isinstance(error, Exception) else unavailable("was not asked", "try again")
            opening.set_exception(told)
            raise
        with self._lock:
            self._client, self._opening = client, None
        opening.set_result(client)
        return client

    def _connected(self) -> Any:
        self.watch.refused = None
        client = connect(self._options, self._env, self.watch)
        try:
            with self.border():
                if self._options.cluster:
                    _formed(client)
                self.mark = mark_of(client, self.prefix, self.home, self._options.accept_new, self.mark)
        except BaseException:
            client.close()
            raise
        return client

    def _followed(self, client: Any, mark: Mark) -> bool:
        """Whether an operator has given the ledger a new mark since."""
        with self.border():
            epoch, was = texts(client.hmget(f"{self.prefix}:meta", "epoch", "was"))
        if epoch and epoch != mark.epoch and was == mark.epoch:
            with self._lock:
                self.mark = Mark(epoch)
            return True
        return False


def _refuse(answer: Any) -> None:
    word = answer[0]
    if word == "flushed":
        raise BudgetUnavailableError(
            "the Redis server has lost this ledger (flushed, or a replica without its data took over); budgets "
            "fail closed until it is restored, or `routekit ledger adopt` takes it as it is"
        )
    if word == "behind":
        raise BudgetUnavailableError(
            f"the Redis server has lost the last entries of this ledger: number {answer[3]} was seen, and it is at "
            f"{answer[2]} (a failover, or a crash); budgets fail closed until they are restored, or `routekit "
            "ledger adopt` goes on without them"
        )
    if word == "missing":
        raise BudgetUnavailableError(
            f"{answer[3]!r} is missing on the Redis server, which has known it (evicted, or deleted); what is "
            "missing is not nothing, so nothing was granted. Restore it, or run `routekit ledger adopt`, and set "
            "maxmemory-policy noeviction"
        )
    if word == "forbidden":
        raise BudgetUnavailableError(
            f"the server's user may not use the command {answer[3]}, so nothing was written; give that permission "
            "(ACL SETUSER), or another user's URL"
        )
    if word == "damaged":
        raise BudgetUnavailableError(
            f"what the Redis server keeps under {answer[3]!r} is no balance of this ledger, so nothing was "
            "written; look at it there, and restore or remove it"
        )


def _formed(client: Any) -> None:
    """Waits a moment for a cluster that is being formed, or is in the middle of a failover."""
    until = time.monotonic() + FORMING_S
    while any(_down(client, node) for node in client.get_primaries()) and time.monotonic() < until:
        time.sleep(0.1)


def _down(client: Any, node: Any) -> bool:
    try:
        info = client.cluster_info(target_nodes=node)
    except Exception:  # a dead one of several; whether it is needed shows later
        return False
    return bool(info.get("cluster_state") == "fail")


def drop_connections(client: Any) -> None:
    """Whoever asks next connects anew."""
    if hasattr(client, "nodes_manager"):
        client.nodes_manager.initialize()
    else:
        client.connection_pool.disconnect(inuse_connections=False)


def texts(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return [texts(inner) for inner in value] if isinstance(value, list) else value


def _encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@lru_cache(maxsize=64)
def sha(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


__all__ = ["Link", "drop_connections", "sha", "texts"]
