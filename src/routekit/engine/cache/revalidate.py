"""Stale while revalidate (RFC 5861): an answer past its time is given at once, and made anew meanwhile."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from routekit.engine.io.port import IO
from routekit.engine.io.sync_io import SyncIO, run_sync
from routekit.errors import RoutekitError
from routekit.plugin import Strategy, reset_after_fork
from routekit.types import Clock, RouteRequest, RouteResult

MOST = 8
"""So many are made anew at once; others wait for the next time they are asked for."""

_log = logging.getLogger("routekit.cache")
Complete = Callable[[IO, RouteRequest, Strategy], Coroutine[Any, Any, RouteResult]]


class Revalidating:
    """Each request that is made anew is a request of its own: held, booked, recorded. On daemon threads."""

    def __init__(self, complete: Complete, clock: Clock) -> None:
        self._complete = complete
        self._clock = clock
        self._lock = threading.Lock()
        self._running: set[str] = set()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """What is being made anew is made in the parent."""
        self._lock = threading.Lock()
        self._running.clear()

    def start(self, request: RouteRequest, strategy: Strategy) -> None:
        """Makes the answer anew, unless that is under way. Returns at once."""
        key = json.dumps([request.messages, request.tools, request.model, request.group], default=repr)
        key += repr(
            (sorted(request.scopes.items()), request.cache_namespace, dict(request.params), request.headers, strategy)
        )
        with self._lock:
            if key in self._running or len(self._running) >= MOST:
                return
            self._running.add(key)
        threading.Thread(
            target=self._run, args=(key, request, strategy), name="routekit-revalidate", daemon=True
        ).start()

    def _run(self, key: str, request: RouteRequest, strategy: Strategy) -> None:
        io = SyncIO(self._clock)
        try:
            run_sync(self._complete(io, dataclasses.replace(request, cache="refresh", stream=False), strategy))
        except RoutekitError as error:  # the old answer goes on being given, until its end
            _log.info("an answer could not be made anew (%s)", type(error).__name__)
        except Exception:
            _log.warning("an answer could not be made anew", exc_info=True)
        finally:
            io.close()
            with self._lock:
                self._running.discard(key)
