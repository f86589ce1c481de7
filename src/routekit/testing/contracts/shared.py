"""The contract of shared state, as tests.

Example::

    import pytest
    from routekit.testing.contracts import SharedContract
    from routekit_mine import MineShared

    class TestMine(SharedContract):
        @pytest.fixture
        def pair(self):
            pair = MineShared(address), MineShared(address)
            yield pair
            for one in pair:
                one.close()
"""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from routekit.plugin import SharedState
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import Limits

PATIENCE_S = 10.0
"""So long a test waits for news before it fails."""

SETTLED_S = 1.0
"""After so long, what was told has arrived."""

Pair = tuple[SharedState, SharedState]


class News:
    """Collects what is heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, float, str]] = []
        self._changed = threading.Condition()

    def __call__(self, place: str, until: float, reason: str) -> None:
        with self._changed:
            self.heard.append((place, until, reason))
            self._changed.notify_all()

    def of(self, place: str) -> list[tuple[str, float, str]]:
        return [news for news in self.heard if news[0] == place]

    def waited_for(self, place: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.of(place)), PATIENCE_S)


class SharedContract(ContractSuite):
    """Subclass it and give the `pair` fixture: two members, as on two machines."""

    @pytest.fixture
    def pair(self) -> Pair:
        """Two members of one state, not started."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `pair` that returns two members")

    @pytest.fixture
    def place(self) -> str:
        return f"mini openai gpt {uuid.uuid4()}"

    def test_it_is_shared_state(self, pair: Pair) -> None:
        assert all(isinstance(one, SharedState) for one in pair)

    def test_requests_per_minute_are_counted_together(self, pair: Pair, place: str) -> None:
        limits = Limits(rpm=5)
        told = [pair[number % 2].take(place, f"c{number}", 1, limits) for number in range(7)]
        assert told[:5] == [None] * 5
        assert all(isinstance(why, str) and why for why in told[5:])

    def test_tokens_per_minute_are_counted_together(self, pair: Pair, place: str) -> None:
        limits = Limits(tpm=1000)
        assert pair[0].take(place, "a", 600, limits) is None
        assert pair[1].take(place, "b", 500, limits) is not None
        assert pair[1].take(place, "c", 400, limits) is None
        assert pair[0].take(place, "d", 1, limits) is not None

    def test_calls_at_once_are_counted_together_until_they_are_given_back(self, pair: Pair, place: str) -> None:
        limits = Limits(concurrency=2)
        assert pair[0].take(place, "a", 1, limits) is None
        assert pair[1].take(place, "b", 1, limits) is None
        assert pair[0].take(place, "c", 1, limits) is not None
        pair[1].give_back(place, "b")
        pair[1].give_back(place, "b")
        pair[1].give_back(place, "never")
        until = time.monotonic() + PATIENCE_S  # it need not wait for the store
        while pair[0].take(place, "d", 1, limits) is not None and time.monotonic() < until:
            time.sleep(0.01)
        assert pair[0].take(place, "e", 1, limits) is not None, "one was given back, not two"

    def test_what_is_refused_takes_nothing(self, pair: Pair, place: str) -> None:
        limits = Limits(rpm=10, tpm=100)
        assert pair[0].take(place, "a", 90, limits) is None
        for number in range(20):
            assert pair[1].take(place, f"refused{number}", 50, limits) is not None
        assert pair[1].take(place, "b", 10, limits) is None

    def test_places_are_apart(self, pair: Pair, place: str) -> None:
        limits = Limits(rpm=1)
        assert pair[0].take(place, "a", 1, limits) is None
        assert pair[1].take(f"{place} other", "b", 1, limits) is None

    def test_threads_never_pass_a_limit(self, pair: Pair, place: str) -> None:
        limits = Limits(rpm=50)
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda n: pair[n % 2].take(place, f"c{n}", 1, limits), range(150)))
        assert told.count(None) == 50

    def test_an_ejection_is_heard_once_by_the_other(self, pair: Pair, place: str) -> None:
        mine, others = News(), News()
        pair[0].start(mine)
        pair[1].start(others)
        until = time.time() + 60
        pair[0].eject(place, until, "5 failures in a row")
        assert others.waited_for(place)
        (news,) = others.of(place)
        assert news[0] == place
        assert abs(news[1] - until) < 0.01
        assert "5 failures in a row" in news[2]
        pair[0].eject(f"{place} second", until, "again")
        assert others.waited_for(f"{place} second"), "it stopped to listen"
        assert len(others.of(place)) == 1
        assert mine.of(place) == [], "nobody hears of what they said themselves"

    def test_who_comes_later_hears_what_still_holds(self, pair: Pair, place: str) -> None:
        gone, back = f"{place} gone", f"{place} back"
        pair[0].start(News())
        pair[0].eject(back, time.time() + 60, "down")
        pair[0].readmit(back)
        pair[0].eject(gone, time.time() - 1, "over already")
        pair[0].eject(place, time.time() + 60, "down")
        time.sleep(SETTLED_S)  # none of these waits for the store
        probe = News()
        pair[1].start(probe)
        assert probe.waited_for(place)
        assert probe.of(gone) == []
        assert probe.of(back) == []
