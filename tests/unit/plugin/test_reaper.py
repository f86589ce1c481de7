"""Endings that finalizers hand over."""

from __future__ import annotations

import gc
import queue
import subprocess
import sys
import threading

from tests.support.forks import in_child

from routekit.plugin import reaper


def test_endings_run_in_order_on_another_thread_and_failures_stop_nobody() -> None:
    seen: list[object] = []

    def fails() -> None:
        raise RuntimeError("no")

    reaper.start()
    reaper.later(lambda: seen.append(threading.current_thread().name))
    reaper.later(fails)
    reaper.later(lambda: seen.append("after it"))
    assert reaper.flush(20)
    assert seen == ["routekit-reaper", "after it"]


def test_a_finalizer_inside_the_lock_that_its_ending_needs_does_not_wait_for_it() -> None:
    waiting: queue.Queue[str] = queue.Queue()
    reaper.start()

    class Forgotten:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            reaper.later(lambda: waiting.put("given back"))

    with waiting.mutex:  # as where the collector runs inside of `Queue.get`
        Forgotten()
        gc.collect()
    assert waiting.get(timeout=20) == "given back"


def test_what_is_left_at_the_end_of_the_interpreter_is_run_then() -> None:
    code = (
        "from routekit.plugin import reaper\n"
        "reaper.later(lambda: print('without a thread'))\n"
        "reaper.start()\n"
        "reaper.later(lambda: print('with one'))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split("\n") == ["without a thread", "with one", ""]


def test_a_child_ends_what_is_its_own_and_nothing_of_its_parents() -> None:
    reaper.start()
    assert reaper.flush(20)
    blocked, go_on, seen = threading.Event(), threading.Event(), []

    def slow() -> None:
        blocked.set()
        go_on.wait(20)

    reaper.later(slow)
    blocked.wait(20)
    reaper.later(lambda: seen.append("the parent's"))

    def child() -> list[str]:
        reaper.start()
        reaper.later(lambda: seen.append("the child's"))
        assert reaper.flush(10)
        return seen

    try:
        assert in_child(child) == '["the child\'s"]'
    finally:
        go_on.set()
    assert reaper.flush(20)
    assert seen == ["the parent's"]
