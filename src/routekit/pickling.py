"""How a router travels to another process: as its configuration, and back as the router that is there already.

Inside one process a pickled router comes back as itself, if it still lives. Elsewhere the first one to arrive
is built from the configuration, and all later ones of the same origin share it. No key travels: keys are read from
the environment of wherever the router is used, and of an environment that was given in its place
only the variables of routekit's own go along.
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from routekit.plugin import new_lock_after_fork

if TYPE_CHECKING:
    from routekit.router import Router

OWN_VARIABLES = ("ROUTEKIT_HOME", "ROUTEKIT_CONFIG", "ROUTEKIT_PLUGINS")


class _Living:
    """Routers of this process by the token that they travel under."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._routers: weakref.WeakValueDictionary[str, Router] = weakref.WeakValueDictionary()
        self._tokens: weakref.WeakKeyDictionary[Router, str] = weakref.WeakKeyDictionary()
        new_lock_after_fork(self)

    def token(self, router: Router) -> str:
        with self._lock:
            token = self._tokens.get(router)
            if token is None:
                token = self._tokens[router] = uuid.uuid4().hex
                self._routers[token] = router
            return token

    def router(self, token: str, kind: type[Router], arguments: Mapping[str, Any]) -> Router:
        with self._lock:
            router = self._routers.get(token)
            if router is None:
                given = dict(arguments)
                if (own := given.pop("own_variables", None)) is not None:
                    given["env"] = {**{k: v for k, v in os.environ.items() if k not in OWN_VARIABLES}, **own}
                router = kind(**given)
                self._routers[token], self._tokens[router] = router, token
            return router


_living = _Living()


def reduced(router: Router, arguments: Mapping[str, Any], env: Mapping[str, str] | None) -> tuple[Any, ...]:
    """What `Router.__reduce__` returns. `arguments` build it anew, where it does not live."""
    travelling = {name: value for name, value in arguments.items() if value}
    if env is not None:
        travelling["own_variables"] = {name: env[name] for name in OWN_VARIABLES if name in env}
    return _restored, (_living.token(router), type(router), travelling)


def _restored(token: str, kind: type[Router], arguments: Mapping[str, Any]) -> Router:
    return _living.router(token, kind, arguments)
