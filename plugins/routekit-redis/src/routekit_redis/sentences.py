"""What is said when the server cannot be used. The one border at which errors of its client become routekit's own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from routekit.errors import BudgetUnavailableError, ConfigError, RoutekitError

_CLOSED = "budgets fail closed, nothing was sent"
_ANSWERS = (
    # what the server's error begins with or contains, what that means, what to do; the first that fits
    (
        ("OOM ", "OutOfMemoryError"),
        "is full: its memory has reached maxmemory",
        "raise maxmemory, or run `routekit ledger archive`",
    ),
    (("MISCONF",), "cannot write to its disk and takes no writes", "look at its disk and its log"),
    (("NOREPLICAS",), "has fewer replicas than it must have (min-replicas-to-write)", "bring the replicas back"),
    (
        ("READONLY", "ReadOnlyError"),
        "is a replica, which takes no writes",
        "give the master's address, or a Sentinel URL",
    ),
    (("LOADING", "BusyLoadingError"), "is loading its data", "wait until it has"),
    (
        ("MASTERDOWN", "MasterDownError"),
        "is a replica that has lost its master",
        "wait for the failover, or look at the master",
    ),
    (("CLUSTERDOWN", "ClusterDownError"), "is a part of a cluster that is down", "look at `CLUSTER INFO` on its nodes"),
    (("TRYAGAIN", "TryAgainError"), "is moving the ledger's slot to another node", "wait until the slot has moved"),
    (
        ("BUSY ", "is busy running a script"),
        "is busy with a script of somebody else",
        "look at `SLOWLOG GET`, or call `SCRIPT KILL`",
    ),
    (("max number of clients",), "has as many clients as it may (maxclients)", "raise maxclients"),
    (
        ("WRONGTYPE",),
        "keeps something else under a key of this ledger",
        "look at its keys, and give the ledger a `name`",
    ),
)
_SETTINGS = (
    ("WRONGPASS", "refuses the user or the password", "correct the password in the URL"),
    ("invalid username-password", "refuses the user or the password", "correct the password in the URL"),
    ("invalid password", "refuses the password", "correct the password in the URL"),
    ("NOAUTH", "wants a password", "put one into the URL: redis://:password@host:6379/0"),
    ("Authentication required", "wants a password", "put one into the URL: redis://:password@host:6379/0"),
    ("without any password configured", "wants no password", "leave the password out of the URL"),
    ("DB index is out of range", "has no database of the number at the end of the URL", "give one that it has, as /0"),
    (
        "SELECT is not allowed in cluster mode",
        "is a node of a cluster, which has database 0 only",
        "end the URL with /0",
    ),
    ("MovedError", "is a node of a Redis Cluster", "set cluster = true"),
    ("Keys in request don't hash to the same slot", "is a node of a Redis Cluster", "set cluster = true"),
    ("Cluster mode is not enabled", "is a single one and no Redis Cluster", "leave cluster = true out"),
    ("cluster support disabled", "is a single one and no Redis Cluster", "leave cluster = true out"),
)


@contextmanager
def border(*, tls: bool = False) -> Iterator[None]:
    """What the client raises inside is routekit's own outside; never with the text of the original, which may repeat a
    URL or a key.

    Raises:
        ConfigError: the configuration is wrong, and no waiting helps.
        BudgetUnavailableError: the server failed.
    """
    try:
        yield
    except RoutekitError:
        raise
    except UnicodeEncodeError:
        raise BudgetUnavailableError("a name in this call is no valid Unicode, so nothing was written") from None
    except Exception as error:  # not all of redis-py's errors are a RedisError
        raise typed(error, tls=tls) from None


def typed(error: BaseException, *, tls: bool = False) -> ConfigError | BudgetUnavailableError:
    """The error in routekit's words. `tls`: the URL begins with rediss://."""
    chain = list(_chain(error))
    text = " ".join(f"{type(one).__name__}: {one}" for one in chain)  # the client cuts the code off some texts
    for sign, what, fix in _SETTINGS:
        if sign.lower() in text.lower():
            return ConfigError(f"the Redis server {what}", key="url_env", fix=f"{fix[0].upper()}{fix[1:]}.")
    if any(isinstance(one, redis.exceptions.NoPermissionError) for one in chain) or "NOPERM" in text:
        return unavailable("lacks a permission for its user", "give it (ACL SETUSER); the list is in the docs")
    for codes, what, fix in _ANSWERS:
        if any(code.lower() in text.lower() for code in codes):
            return unavailable(what, fix)
    return _of_network(error, chain, text, tls)


def unavailable(what: str, fix: str) -> BudgetUnavailableError:
    """``the Redis server {what}; budgets fail closed, nothing was sent. {fix}``."""
    return BudgetUnavailableError(f"the Redis server {what}; {_CLOSED}. {fix[0].upper()}{fix[1:]}")


def _of_network(error: BaseException, chain: list[BaseException], text: str, tls: bool) -> BudgetUnavailableError:
    if "CERTIFICATE_VERIFY_FAILED" in text:
        if "Hostname mismatch" in text or "IP address mismatch" in text:
            return unavailable(
                "has a TLS certificate for another host name", "use the name that the certificate was made for"
            )
        return unavailable(
            "has a TLS certificate that no known authority has signed",
            "name the authority's file in the URL: rediss://host:6379/0?ssl_ca_certs=/path/ca.pem",
        )
    if any(isinstance(one, ssl.SSLError) for one in chain) or "[SSL" in text:
        return unavailable(
            "does not speak TLS as it is asked for (rediss://), or wants a certificate of this client",
            "use redis:// for a plain port; give ssl_certfile and ssl_keyfile where the server asks for them",
        )
    if any(isinstance(one, (redis.TimeoutError, TimeoutError)) for one in chain):
        more = " (TLS was asked for, rediss://: a plain port does not answer that)" if tls else ""
        return unavailable(f"did not answer in time{more}", "raise timeout_s, or look at its load")
    if "Name or service not known" in text or "name resolution" in text or "nodename nor servname" in text:
        return unavailable("cannot be used: its host name is not known", "look at the host in the URL")
    if any(isinstance(one, ConnectionRefusedError) for one in chain) or "Connection refused" in text:
        return unavailable(
            "cannot be used: nobody listens at its host and port", "look whether it runs, and at the port"
        )
    if "MasterNotFound" in type(error).__name__ or "No master found" in text:
        return unavailable("cannot be found: no Sentinel knows a master of that name", "look at the name in the URL")
    if any(isinstance(one, redis.exceptions.MaxConnectionsError) for one in chain):
        return unavailable("has too many calls of this process under way", "make fewer at once")
    if "closed by server" in text or "reset by peer" in text or "Error while reading" in text or "EOF" in text:
        hint = "look whether it runs and lets this client in"
        if tls:
            return unavailable("has closed the connection (TLS was asked for, rediss://)", f"{hint}, or use redis://")
        return unavailable("cannot be used: it has closed the connection", f"{hint}; a TLS port wants rediss://")
    name = next((type(one).__name__ for one in reversed(chain) if isinstance(one, OSError)), type(error).__name__)
    more = "; TLS was asked for (rediss://)" if tls else ""
    return unavailable(f"cannot be used ({name}{more})", "look whether it runs and lets this client in")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
