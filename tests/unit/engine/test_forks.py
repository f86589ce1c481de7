"""What is under way at a fork is the parent's: the child counts none of it, waits for none of it, ends none of it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.forks import in_child

from routekit import Router, StreamInterruptedError
from routekit.engine.attempts.hedge_budget import HedgeBudget
from routekit.engine.health.retry_budget import RetryBudget
from routekit.engine.snapshots import read_snapshots
from routekit.errors import ProviderUnavailableError
from routekit.plugin import Provider, ProviderCall
from routekit.testing import ScriptedProvider, VirtualClock, plugin_module
from routekit.types import Answer


class Held(Provider):
    """Answers at once, but holds who says "slow" until it is told to go on."""

    def __init__(self) -> None:
        self.started, self.go_on = threading.Event(), threading.Event()
        self.asked = 0

    def complete(self, call: ProviderCall) -> Answer:
        self.asked += 1
        if call.messages[-1]["content"] == "slow" and not self.started.is_set():
            self.started.set()
            self.go_on.wait(20)
        return Answer(message={"role": "assistant", "content": "ok"}, finish_reason="stop")


def router_of(provider: Provider, home: Path, **config: Any) -> Router:
    table = {"name": "a", "provider": "held", "model": "m", **config.pop("deployment", {})}
    return Router(
        {"deployments": [table], **config},
        providers={"a": provider},
        plugins=[plugin_module(Held(), "held")],
        env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(home)},
    )


@contextlib.contextmanager
def under_way(provider: Held, router: Router) -> Iterator[None]:
    """A call is under way in another thread."""
    thread = threading.Thread(target=lambda: router.complete("slow", temperature=0))
    thread.start()
    assert provider.started.wait(20)
    try:
        yield
    finally:
        provider.go_on.set()
        thread.join(20)


def test_a_limit_on_calls_at_once_is_free_in_the_child(tmp_path: Path) -> None:
    provider = Held()
    router = router_of(provider, tmp_path, deployment={"limits": {"concurrency": 1}})
    with under_way(provider, router):
        assert in_child(lambda: router.complete("hi", deadline_s=5).text) == "ok"
        assert in_child(lambda: router.health()[0].in_flight) == "0"
        assert router.health()[0].in_flight == 1
    assert router.health()[0].in_flight == 0


@pytest.mark.parametrize("use", [["memory"], ["memory", "disk"]])
def test_the_same_question_is_asked_and_not_waited_for(tmp_path: Path, use: list[str]) -> None:
    provider = Held()
    router = router_of(provider, tmp_path, cache={"use": use})
    with under_way(provider, router):
        # The disk's flights are seen by all processes, so a child would wait for the parent's; it may bypass them.
        mode = "use" if use == ["memory"] else "bypass"
        asked = in_child(lambda: router.complete("slow", temperature=0, deadline_s=5, cache=mode).text)
        assert asked == "ok"
    assert router.complete("slow", temperature=0).cache == "hit"


def test_closing_the_childs_copy_waits_for_nothing(tmp_path: Path) -> None:
    provider = Held()
    router = router_of(provider, tmp_path)
    with under_way(provider, router):
        assert in_child(router.close, limit_s=10) == "None"
    assert router.complete("hi").text == "ok"


def test_who_waits_in_the_queue_does_so_in_the_parent(tmp_path: Path) -> None:
    provider = Held()
    router = router_of(provider, tmp_path, deployment={"limits": {"concurrency": 1}}, reliability={"queue": 1})
    with under_way(provider, router):
        second = threading.Thread(target=lambda: router.complete("second"))
        second.start()
        while not router._engine._waiting_room._waiters:
            time.sleep(0.001)
        assert in_child(lambda: router.complete("hi", deadline_s=5).text) == "ok"
        provider.go_on.set()
        second.join(20)
    assert provider.asked == 2


def test_a_probe_under_way_does_not_keep_a_deployment_out_of_the_child(tmp_path: Path) -> None:
    class Failing(Held):
        fails = True

        def complete(self, call: ProviderCall) -> Answer:
            if self.fails:
                raise ProviderUnavailableError("down")
            return super().complete(call)

    provider = Failing()
    clock = VirtualClock()
    router = Router(
        {"deployments": [{"name": "a", "provider": "held", "model": "m"}], "router": {"max_attempts": 1}},
        providers={"a": provider}, plugins=[plugin_module(Held(), "held")], clock=clock,
        env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(tmp_path)},
    )  # fmt: skip
    while router.health()[0].state == "closed":
        with contextlib.suppress(Exception):
            router.complete("hi")
    clock.advance(10)
    provider.fails = False

    def child() -> str:
        # Its parent holds the slot of the probe until it ends; then the next one is the child's.
        provider.go_on.set()
        return router.health()[0].state

    with under_way(provider, router):
        assert router.health()[0].state == "half-open"
        assert in_child(child) == "open"
    assert router.health()[0].state == "closed"


def test_a_stream_is_read_and_paid_by_the_parent_alone(tmp_path: Path) -> None:
    router = router_of(ScriptedProvider("one two three"), tmp_path)
    stream = router.stream("hi")
    first = next(stream).text

    def child() -> str:
        try:
            return "".join(chunk.text for chunk in stream)
        except StreamInterruptedError as error:
            return str(error)

    assert "forked" in in_child(child)
    assert first + "".join(chunk.text for chunk in stream) == "one two three"
    assert stream.result.attempts[0].outcome == "ok"


def test_the_file_of_health_is_the_parents(tmp_path: Path) -> None:
    router = router_of(ScriptedProvider("abc"), tmp_path)
    router.complete("hi")

    def child() -> str:
        router.complete("hi")
        both = len(read_snapshots(tmp_path))
        router.close()
        return json.dumps([both, len(read_snapshots(tmp_path))])

    assert in_child(child) == "[2, 1]"
    assert len(read_snapshots(tmp_path)) == 1


def test_retries_and_hedges_under_way_are_given_back_in_the_child() -> None:
    retries, hedges = RetryBudget(), HedgeBudget(1.0)
    retries.started("p")
    assert [retries.allows_retry("p") for _ in range(4)] == [True, True, True, False]
    hedges.asked()
    hedges.paid(100)
    assert hedges.take(100)

    def child() -> tuple[bool, int]:
        return retries.allows_retry("p"), hedges.hedged_nanos

    assert in_child(child) == "(True, 0)"
    assert not retries.allows_retry("p")
    assert hedges.hedged_nanos == 100
