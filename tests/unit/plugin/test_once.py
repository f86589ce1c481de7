"""What is made once is made once, whoever asks first."""

from __future__ import annotations

import concurrent.futures
import threading
import time

import pytest
from tests.support.forks import in_child

from routekit.plugin import Once, OncePerKey
from routekit.plugin.once import KeptProperty


def at_once(work: object, threads: int = 50) -> None:
    gate = threading.Barrier(threads)

    def run() -> None:
        gate.wait(20)
        work()  # type: ignore[operator]

    started = [threading.Thread(target=run) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(20)


def test_fifty_threads_make_one() -> None:
    made: list[object] = []

    def make() -> object:
        time.sleep(0.01)  # long enough for all of them to come here
        made.append(object())
        return made[-1]

    once, seen = Once(make), []
    at_once(lambda: seen.append(once()))
    assert len(made) == 1
    assert set(map(id, seen)) == {id(made[0])}


def test_one_per_key_also_where_making_one_makes_another() -> None:
    made: list[str] = []
    table: OncePerKey[str, str] = OncePerKey()

    def make(key: str) -> str:
        time.sleep(0.005)
        made.append(key)
        return key + table.get("inner", lambda: make_inner())

    def make_inner() -> str:
        made.append("inner")
        return "!"

    at_once(lambda: [table.get(key, lambda key=key: make(key)) for key in ("a", "b")])
    assert sorted(made) == ["a", "b", "inner"]
    assert sorted(table.values()) == ["!", "a!", "b!"]


def test_who_fails_to_make_it_is_no_answer_for_the_next() -> None:
    answers = iter([ValueError("not yet"), "made"])

    def make() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    once = Once(make)
    with pytest.raises(ValueError, match="not yet"):
        once()
    assert (once(), once()) == ("made", "made")


def test_a_child_keeps_values_and_makes_its_own_of_what_lives_in_threads() -> None:
    kept, own = Once(object), Once(object, per_process=True)
    before = kept(), own()
    assert in_child(lambda: (kept() is before[0], own() is before[1])) == "(True, False)"


class Measured:
    calls = 0

    @KeptProperty
    def length(self) -> list[int]:
        """In metres."""
        self.calls += 1
        return [self.calls]


def test_a_kept_property_is_computed_once_for_each_object() -> None:
    one, other = Measured(), Measured()
    assert one.length is one.length
    assert one.length is not other.length
    assert (one.calls, other.calls) == (1, 1)
    assert Measured.length.__doc__ == "In metres."


def test_all_threads_are_given_the_same_value_of_a_kept_property() -> None:
    one = Measured()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: one.length, range(200)))
    assert all(value is found[0] for value in found)
