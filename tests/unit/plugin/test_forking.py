"""What a forked child begins with."""

from __future__ import annotations

import os
import threading

from tests.support.forks import in_child

from routekit.plugin import new_lock_after_fork, reset_after_fork


class Counter:
    def __init__(self) -> None:
        self.under_way = 1
        reset_after_fork(self)

    def after_fork(self) -> None:
        self.under_way = 0


class Broken:
    def __init__(self) -> None:
        reset_after_fork(self)

    def after_fork(self) -> None:
        raise RuntimeError("cannot")


class Locked:
    def __init__(self, lock: object) -> None:
        self._lock = lock
        new_lock_after_fork(self)


def test_a_child_begins_with_nothing_under_way_and_the_parent_goes_on() -> None:
    counter = Counter()
    assert in_child(lambda: counter.under_way) == "0"
    assert counter.under_way == 1


def test_one_that_cannot_be_reset_stops_nobody_else() -> None:
    broken, counter = Broken(), Counter()
    assert in_child(lambda: counter.under_way) == "0"
    assert broken is not None


def test_a_lock_that_another_thread_holds_is_free_in_the_child() -> None:
    plain, again = Locked(threading.Lock()), Locked(threading.RLock())
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with plain._lock, again._lock:  # type: ignore[attr-defined]
            held.set()
            go_on.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    try:
        assert in_child(lambda: plain._lock.acquire(blocking=False) and again._lock.acquire(blocking=False)) == "True"  # type: ignore[attr-defined]
    finally:
        go_on.set()
        thread.join()


def test_what_was_forgotten_is_not_told() -> None:
    told: list[int] = []

    class Once:
        def __init__(self) -> None:
            reset_after_fork(self)

        def after_fork(self) -> None:
            told.append(os.getpid())

    Once()
    assert in_child(lambda: len(told)) == "0"
