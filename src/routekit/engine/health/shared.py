"""What other machines know: their ejections are heard, and limits are counted together with them.

An optimiser: where the shared state fails, each process goes by its own limits and breakers.
"""

from __future__ import annotations

import itertools
import logging
import os

from routekit.engine.health.credentials import slot_of
from routekit.engine.health.health import Health
from routekit.engine.io.port import IO
from routekit.plugin import SharedState
from routekit.types import NO_LIMITS, Deployment

_log = logging.getLogger("routekit.shared")


class Shared:
    """The engine's side of a `SharedState`; without one, all of it is free."""

    def __init__(self, state: SharedState | None, health: Health) -> None:
        self._state = state
        self._me = os.urandom(6).hex()
        self._calls = itertools.count()
        if state is not None:
            state.start(health.heard)

    async def refuses(self, io: IO, deployment: Deployment, tokens: int) -> tuple[str | None, str | None]:
        """The name of the counted call, and why it may not be made: one of them, or neither."""
        state = self._state
        if state is None or deployment.limits == NO_LIMITS:
            return None, None
        call, place = f"{self._me}-{os.getpid()}-{next(self._calls)}", slot_of(deployment)
        left = False

        def take() -> str | None:
            why = state.take(place, call, tokens, deployment.limits)
            if left:  # nobody waits for it any more
                state.give_back(place, call)
            return why

        try:
            why = await io.offload(take)
        except Exception as error:
            _log.warning("the shared limits are left out: %s", type(error).__name__)
            return None, None
        except BaseException:  # cancelled; it may have been counted already
            left = True
            self.ended(deployment, call)
            raise
        return (None, why) if why is not None else (call, None)

    def ended(self, deployment: Deployment, call: str | None) -> None:
        """The call is over."""
        if self._state is not None and call is not None:
            try:
                self._state.give_back(slot_of(deployment), call)
            except Exception as error:
                _log.warning("a shared call was not given back: %s", type(error).__name__)


def told(state: SharedState | None, deployment: Deployment, until: float | None, reason: str) -> None:
    """Tells the others that a deployment was ejected here, or (`until` is None) has come back."""
    if state is None:
        return
    try:
        if until is not None:
            state.eject(slot_of(deployment), until, reason)
        else:
            state.readmit(slot_of(deployment))
    except Exception as error:
        _log.warning("an ejection was not shared: %s", type(error).__name__)
