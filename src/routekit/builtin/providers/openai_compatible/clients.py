"""The clients of this process, shared by every router that speaks to the same endpoint in the same way.

Connections belong to a client. A router per request, or one per tenant, would otherwise open (and forget) a
connection per router; so a client is found by its endpoint, its headers and its limits, counted by who
uses it, and closed by the last one.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from routekit.builtin.providers.openai_compatible.options import Endpoint
from routekit.errors import ProviderUnavailableError
from routekit.plugin import new_lock_after_fork, reaper


class Client(Protocol):
    """What holds connections."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Client)


def pool_is_full(deployment: str, limit: int) -> ProviderUnavailableError:
    """The failure of a call that found no connection free in time: a limit of this program, and nobody's fault."""
    failure = ProviderUnavailableError(
        f"deployment {deployment!r}: all {limit} connections are in use; raise `max_connections`, or give it a limit "
        "of `concurrency`, where calls queue",
        deployment=deployment,
    )
    failure.blame, failure.unsent, failure.code = "local", True, "limit"
    return failure


class SharedClients(Generic[C]):
    """One kind of clients by endpoint. Safe in threads; nothing waits under the lock but the making of a client."""

    def __init__(self, make: Callable[[Endpoint], C]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._found: dict[object, list[Any]] = {}  # identity to client and users
        new_lock_after_fork(self)

    def lease(self, endpoint: Endpoint, user: object) -> Lease[C]:
        """The endpoint's client, for `user`: given back with `release`, or when the user is forgotten."""
        identity = _identity(endpoint)
        with self._lock:
            shared = self._found.get(identity)
            if shared is None:
                shared = self._found[identity] = [self._make(endpoint), 0]
            shared[1] += 1
        lease: Lease[C] = Lease(shared[0], functools.partial(self._release, identity))
        reaper.start()
        # A finalizer only hands over; nothing here leads back to the user, or it would never be forgotten.
        weakref.finalize(user, reaper.later, lease.release).atexit = False
        return lease

    def _release(self, identity: object) -> bool:
        """Gives one use back; whether it was the last one."""
        with self._lock:
            shared = self._found[identity]
            shared[1] -= 1
            if shared[1]:
                return False
            del self._found[identity]
            return True


class Lease(Generic[C]):
    """One use of a client."""

    def __init__(self, client: C, give_back: Callable[[], bool]) -> None:
        self.client = client
        self._give_back = give_back
        self._over = False
        self._lock = threading.Lock()
        new_lock_after_fork(self)

    def end(self) -> bool:
        """Ends the use, once; whether the client is nobody's any more, and the caller is to close it."""
        with self._lock:
            over, self._over = self._over, True
        return not over and self._give_back()

    def release(self) -> None:
        """Ends the use; the last one closes the client."""
        if self.end():
            self.client.close()


def _identity(endpoint: Endpoint) -> object:
    """Endpoints of one identity are spoken to alike. Holds the key: it never leaves this process."""
    options = endpoint.options
    return (
        endpoint.chat_url, tuple(endpoint.headers.items()), endpoint.proxy, options.connect_timeout_s,
        options.read_timeout_s, options.max_response_bytes, options.max_connections,
    )  # fmt: skip
