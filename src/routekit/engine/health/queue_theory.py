"""Pure: whether waiting for a permit makes sense, or only fills a queue that nobody is served from.

Little's law (1961): with `limit` places that each take `mean_service_s`, one place comes free every
``mean_service_s / limit`` seconds. Who could not be served before the deadline is told at once, while
there is time to ask somebody else.
"""

from __future__ import annotations

import math

WAITING_PER_PLACE = 10
"""The queue's bound where no deadline sets one: longer queues only make everybody late."""


def expected_wait_s(position: int, in_flight: int, limit: int, mean_service_s: float) -> float:
    """Seconds until a permit for the one with `position` others ahead; 0 while places are free."""
    ahead = position - max(0, limit - in_flight)
    return 0.0 if ahead < 0 else (ahead + 1) * mean_service_s / limit


def may_wait(
    position: int, in_flight: int, limit: int | None, mean_service_s: float | None, remaining_s: float | None
) -> bool:
    """Whether the one with `position` others ahead of it in the queue (0: it is next) may wait.

    `in_flight` of `limit` places are taken (None: no limit). `mean_service_s` is what a call takes, None
    while nobody knows: then only as many wait as there are places. `remaining_s` is the deadline's rest
    (None: no deadline) and must hold the wait and the call itself.
    """
    if remaining_s is not None and not remaining_s > 0:
        return False
    if limit is None:
        return True
    if limit < 1 or position < 0 or position >= limit * WAITING_PER_PLACE:
        return False
    if mean_service_s is None or not 0 <= mean_service_s < math.inf:
        return position < limit
    if remaining_s is None:
        return True
    return expected_wait_s(position, in_flight, limit, mean_service_s) + mean_service_s <= remaining_s
