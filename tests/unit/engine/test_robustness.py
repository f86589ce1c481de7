"""Attacks on the engine: whatever goes wrong, nothing leaks, the books are right and errors are typed."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import GuardBlockedError, InvalidInputError, RoutekitError, Router, StreamInterruptedError
from routekit.builtin.budgets.ledger.budget import LedgerBudget
from routekit.engine.budget.charges import charges_for
from routekit.errors import GuardUnavailableError, ProviderUnavailableError
from routekit.plugin import (
    Budget,
    Cache,
    CachePlugin,
    Guard,
    GuardVerdict,
    Observer,
    ObserverPlugin,
    Provider,
    ProviderCall,
    Strategy,
    hookimpl,
    reaper,
)
from routekit.plugin.guard import GuardPlugin
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Answer, Balance, Chunk, Money, Reservation, RouteRequest, Usage, Verdict

Face = SyncFace | AsyncFace
DOWN = ProviderUnavailableError("down")
BUDGET = {"budget_store": "memory"}
SCOPES = [{"scope": "global", "limit_usd": 100}]
JUDGED = {"use": "cascade", "verify": "judge", "judge": "judge"}


def balance(router: Router) -> Balance:
    """Of the one global budget."""
    billing = router._engine._billing
    assert billing._budget is not None
    [(_, charge)] = charges_for(billing._scopes, {}, router.deployments[0], router.clock.time())
    return billing._budget.balance(charge)


def assert_nothing_is_left(router: Router, *providers: ScriptedProvider) -> None:
    assert [row.in_flight for row in router.health()] == [0] * len(router.deployments)
    assert balance(router).reserved == Money(0)
    assert [provider.open_streams for provider in providers] == [0] * len(providers)
    assert not router._engine._caching._flights._flights


def cost_of(attempts: Any) -> int:
    return sum(attempt.cost.nanos for attempt in attempts)


class Guarding(Guard):
    """Does what it was told to."""

    checks_responses = True

    def __init__(self, request: Any = None, response: Any = None) -> None:
        self._request, self._response = request, response

    def check_request(self, request: RouteRequest) -> GuardVerdict:
        return self._request() if self._request else GuardVerdict()

    def check_response(self, request: RouteRequest, message: Any) -> GuardVerdict:
        return self._response() if self._response else GuardVerdict()


class BrokenCache(Cache):
    def get(self, key: Any) -> Any:
        raise OSError("no disk")

    def set(self, key: Any, entry: Any) -> None:
        raise OSError("no disk")

    def delete(self, key: Any) -> None:
        raise OSError("no disk")


class Recording(Observer):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)


def router_with(
    providers: Any, config: Any = None, *, guard: Any = None, cache: Any = None, observer: Any = None, **d: Any
) -> Router:
    """A scripted router with a budget and parts of the test's own."""
    config = {"router": BUDGET, "budgets": SCOPES, **(config or {})}
    if guard:
        config["guards"] = [{"use": "mine"}]
    if observer:
        config["observers"] = [{"use": "mine"}]
    if cache:
        config["cache"] = {"use": ["mine"]}

    class Parts:
        __name__ = "parts of a test"

        @hookimpl
        def routekit_guards(self) -> Any:
            return [GuardPlugin(name="mine", factory=lambda o, c: guard, summary="test")]

        @hookimpl
        def routekit_caches(self) -> Any:
            return [CachePlugin(name="mine", factory=lambda o, c: cache, summary="test")]

        @hookimpl
        def routekit_observers(self) -> Any:
            return [ObserverPlugin(name="mine", factory=lambda o, c: observer, summary="test")]

    return scripted_router(providers, config=config, plugins=[Parts()], **d)


# ---------------------------------------------------------------- the books


@pytest.mark.parametrize("store", ["memory", "ledger"])
def test_a_judge_and_the_answer_it_grades_are_both_charged(face: Face, store: str, tmp_path: Any) -> None:
    providers = {"a": ScriptedProvider("weak"), "b": ScriptedProvider("strong"), "judge": ScriptedProvider("2", "9")}
    router = router_with(providers, judge={"group": "judges"})
    if store == "ledger":
        router._engine._billing._budget = LedgerBudget(tmp_path / "ledger.sqlite3", clock=router.clock)
    result = face.complete(router, "hi", strategy=JUDGED)
    assert [(a.deployment.name, a.role) for a in result.attempts] == [
        ("judge", "judge"), ("a", "answer"), ("judge", "judge"), ("b", "answer"),
    ]  # fmt: skip
    assert result.cost.nanos == cost_of(result.attempts) == balance(router).spent.nanos
    assert_nothing_is_left(router, *providers.values())


def test_a_ceiling_counts_the_answer_that_a_judge_is_asked_about(face: Face) -> None:
    answer = ScriptedProvider(Reply("fine", usage=Usage(input_tokens=100, output_tokens=100)))
    judge = ScriptedProvider("9")
    router = router_with({"a": answer, "judge": judge}, judge={"group": "judges"})
    graded = face.complete(router, "hi", strategy=JUDGED, max_tokens=100)
    judged = face.complete(router, "hi", strategy=JUDGED, max_tokens=100, max_cost_usd="0.0014")
    assert len(graded.attempts) == 2
    assert [a.role for a in judged.attempts] == ["answer"], "the judge could have passed the ceiling"
    assert "judge could not be asked" in judged.decision.notes[0]


def test_a_judge_that_fails_is_not_asked_for_ever(face: Face) -> None:
    judges = {f"j{n}": ScriptedProvider(DOWN) for n in range(8)}
    router = router_with({"a": ScriptedProvider("one"), **judges}, **{name: {"group": "judges"} for name in judges})
    result = face.complete(router, "hi", strategy={**JUDGED, "judge": "judges"})
    assert result.text == "one"
    assert sum(len(judge.calls) for judge in judges.values()) <= 2


def test_several_answers_are_held_at_what_several_cost(face: Face) -> None:
    holds: list[Money] = []
    provider = ScriptedProvider(lambda call: (holds.append(balance(router).reserved), "ok")[1])
    router = router_with({"a": provider})
    for count in (1, 4):
        face.complete(router, "hi", n=count, max_tokens=1000)
    assert holds[1].nanos - holds[0].nanos == 3 * 1000 * 2000, "2 dollars per million output tokens"


@pytest.mark.parametrize("what", ["blocks", "raises", "returns nothing"])
def test_a_guard_on_the_answer_changes_nothing_about_its_bill(face: Face, what: str) -> None:
    def respond() -> Any:
        if what == "raises":
            raise ValueError("sk-secret-value")
        return GuardVerdict(action="block", rule="r") if what == "blocks" else None

    provider = ScriptedProvider("no")
    router = router_with({"a": provider}, guard=Guarding(response=respond))
    with pytest.raises(GuardBlockedError if what == "blocks" else GuardUnavailableError) as caught:
        face.complete(router, "hi")
    with pytest.raises(RoutekitError):
        face.stream(router, "hi")
    assert "sk-secret" not in str(caught.value)
    assert len(provider.calls) == 2
    assert balance(router).spent > Money(0)
    assert_nothing_is_left(router, provider)


def test_a_guard_that_says_nothing_about_a_request_refuses_it(face: Face) -> None:
    provider = ScriptedProvider()
    router = router_with({"a": provider}, guard=Guarding(request=lambda: "fine"))
    with pytest.raises(GuardUnavailableError, match="nothing was sent"):
        face.complete(router, "hi")
    assert not provider.calls


def test_a_cache_that_fails_costs_nothing_but_the_answer(face: Face) -> None:
    provider = ScriptedProvider("one")
    observer = Recording()
    router = router_with({"a": provider}, cache=BrokenCache(), observer=observer)
    assert face.complete(router, "hi").text == "one"
    chunks, result = face.stream(router, "hi")
    assert "".join(chunk.text for chunk in chunks) == result.text == "one"
    assert balance(router).spent.nanos == 2 * result.cost.nanos
    assert_nothing_is_left(router, provider)
    assert [type(event).__name__ for event in observer.events].count("RequestEnded") == 2


class Reviewing(Strategy):
    name = "reviewing"
    reviews = True

    def rank(self, request: Any, candidates: Any, signals: Any) -> Any:
        from routekit.types import Ranking

        return self.decision(Ranking(list(candidates), [0.0] * len(candidates)), "as they come", signals)

    def review(self, request: Any, answer: Answer, attempts: Any, consulted: Any = None) -> Verdict:
        raise KeyError("sk-secret-value")


def test_a_review_that_raises_has_no_say(face: Face) -> None:
    provider = ScriptedProvider("one")
    router = router_with({"a": provider, "b": ScriptedProvider("two")})
    result = face.complete(router, "hi", strategy=Reviewing())
    assert result.text == "one"
    assert "could not review" in result.decision.notes[0]
    assert "sk-secret" not in str(result.to_dict())
    assert result.cost.nanos == cost_of(result.attempts) == balance(router).spent.nanos
    assert_nothing_is_left(router, provider)


def test_a_strategy_that_ranks_into_nothing_is_left_out(face: Face) -> None:
    class Nothing(Strategy):
        name = "nothing"

        def rank(self, request: Any, candidates: Any, signals: Any) -> Any:
            return None

    result = face.complete(router_with({"a": ScriptedProvider("one")}), "hi", strategy=Nothing())
    assert result.text == "one"
    assert "strategy failed" in result.decision.reason


# ---------------------------------------------------------------- cancellation at every point


class Yielding(ScriptedProvider):
    """Suspends at every step, so that a cancellation can hit each of them."""

    async def acomplete(self, call: ProviderCall) -> Answer:
        await asyncio.sleep(0)
        answer = await super().acomplete(call)
        await asyncio.sleep(0)
        return answer

    async def astream(self, call: ProviderCall) -> Any:
        await asyncio.sleep(0)
        async for chunk in super().astream(call):
            await asyncio.sleep(0)
            yield chunk


class YieldingCache(Cache):
    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    def get(self, key: Any) -> Any:
        return self.entries.get(key.digest)

    def set(self, key: Any, entry: Any) -> None:
        self.entries[key.digest] = entry

    def delete(self, key: Any) -> None:
        self.entries.pop(key.digest, None)

    async def aget(self, key: Any) -> Any:
        await asyncio.sleep(0)
        return self.get(key)

    async def aset(self, key: Any, entry: Any) -> None:
        await asyncio.sleep(0)
        self.set(key, entry)


async def _complete(router: Router, **options: Any) -> None:
    await router.acomplete("hi", **options)


async def _stream(router: Router, **options: Any) -> None:
    async with router.astream("hi", **options) as stream:
        async for _ in stream:
            await asyncio.sleep(0)


@pytest.mark.parametrize("strategy", ["cheapest", JUDGED], ids=["fallback", "judge"])
@pytest.mark.parametrize("use", [_complete, _stream])
def test_a_cancellation_at_any_point_leaves_nothing_behind(use: Any, strategy: Any) -> None:
    finished = 0
    for steps in range(60):
        providers = {
            "a": Yielding(Reply(error=DOWN, delay_s=1)),
            "b": Yielding(Reply("two", delay_s=1, chunk_delay_s=1)),
            "judge": Yielding(Reply("9", delay_s=1)),
        }
        observer = Recording()
        router = router_with(providers, cache=YieldingCache(), observer=observer, judge={"group": "judges"})

        async def main(steps: int = steps, router: Router = router) -> bool:
            task = asyncio.create_task(use(router, strategy=strategy))
            for _ in range(steps):
                await asyncio.sleep(0)
            cancelled = task.cancel()
            await asyncio.wait([task])
            for _ in range(5):
                await asyncio.sleep(0)  # what was discarded gets its turn to close
            return not cancelled

        finished += asyncio.run(main())
        assert_nothing_is_left(router, *providers.values())
        kinds = [type(event).__name__ for event in observer.events]
        assert kinds.count("RequestStarted") == kinds.count("RequestEnded") <= 1, steps
        assert kinds.count("AttemptStarted") == kinds.count("AttemptEnded"), steps
        ended = [event.attempt for event in observer.events if type(event).__name__ == "AttemptEnded"]
        assert cost_of(ended) == balance(router).spent.nanos, steps
        assert len(ended) == sum(len(provider.calls) for provider in providers.values()) or any(
            attempt.outcome == "cancelled" for attempt in ended
        )
    assert finished > 5, "the last rounds must come to their end, or not every point was hit"


def test_a_hold_taken_by_a_thread_after_the_cancellation_is_given_back() -> None:
    entered, go, ended = threading.Event(), threading.Event(), threading.Event()

    class Slow(Budget):
        def __init__(self) -> None:
            self.holds: set[str] = set()

        def reserve(self, reservation: Reservation) -> None:
            entered.set()
            go.wait(5)
            self.holds.add(reservation.id)

        def settle(self, reservation: Reservation, actual: Money) -> None:
            self.holds.discard(reservation.id)

        def release(self, reservation: Reservation) -> None:
            if reservation.id in self.holds:
                self.holds.discard(reservation.id)
                ended.set()

        def balance(self, charge: Any) -> Balance:
            return Balance(spent=Money(0), reserved=Money(0))

    router = router_with({"a": ScriptedProvider()})
    budget = Slow()
    router._engine._billing._budget = budget

    async def main() -> None:
        task = asyncio.create_task(router.acomplete("hi"))
        await asyncio.to_thread(entered.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()

    asyncio.run(main())
    assert ended.wait(5)
    assert not budget.holds
    assert [row.in_flight for row in router.health()] == [0]


# ---------------------------------------------------------------- streams


def test_an_interruption_from_the_keyboard_pays_and_closes() -> None:
    for after in range(4):
        provider = ScriptedProvider(Reply("abcdef", error=KeyboardInterrupt(), after_chunks=after, chunks=3))
        router = router_with({"a": provider})
        with pytest.raises(KeyboardInterrupt), router.stream("hi") as stream:
            list(stream)
        assert_nothing_is_left(router, provider)
        assert balance(router).spent > Money(0)


def test_a_stream_closed_by_another_thread_while_it_is_read() -> None:
    reading, go = threading.Event(), threading.Event()

    class Slow(ScriptedProvider):
        def _stream(self, call: ProviderCall) -> Iterator[Chunk]:
            self._opened(1)
            try:
                yield Chunk({"content": "a"})
                reading.set()
                go.wait(5)
                yield Chunk({"content": "b"})
                yield Chunk({}, "stop")
            finally:
                self._opened(-1)

    provider = Slow()
    router = router_with({"a": provider})
    stream = router.stream("hi")
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(chunk.text for chunk in stream))
    reader.start()
    assert reading.wait(5)
    stream.close()
    go.set()
    reader.join(5)
    assert found == ["a"]
    assert_nothing_is_left(router, provider)


def test_a_stream_closed_by_another_task_while_it_is_read_or_opened() -> None:
    for steps in range(30):
        provider = Yielding(Reply("abc", delay_s=1, chunk_delay_s=1))
        router = router_with({"a": provider})

        async def main(steps: int = steps, router: Router = router) -> None:
            stream = router.astream("hi")

            async def read() -> None:
                async for _ in stream:
                    pass

            task = asyncio.create_task(read())
            await asyncio.sleep(0)
            for _ in range(steps):
                await asyncio.sleep(0)
            await stream.aclose()
            await asyncio.wait_for(task, 5)
            for _ in range(5):
                await asyncio.sleep(0)

        asyncio.run(main())
        assert_nothing_is_left(router, provider)


def test_a_stream_whose_closing_fails_is_paid_all_the_same() -> None:
    class Sticky(Provider):
        def complete(self, call: ProviderCall) -> Answer:
            raise NotImplementedError

        def stream(self, call: ProviderCall) -> Iterator[Chunk]:
            try:
                yield Chunk({"content": "a"})
                yield Chunk({"content": "b"})
            finally:
                raise OSError("the socket is gone")

    router = router_with({"a": Sticky()})
    with router.stream("hi") as stream:
        assert next(stream).text == "a"
    assert_nothing_is_left(router)


@pytest.mark.parametrize(
    "chunks",
    [
        [Chunk({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": {"a": 1}}}]})],
        [Chunk({"tool_calls": [{"index": 0, "id": "1"}]}), Chunk({"tool_calls": [{"index": "x"}]})],
        [Chunk({"content": "a"}), Chunk({"tool_calls": ["what"]})],
        [Chunk({"content": "a"}), "no chunk"],
        [Chunk({"content": [{"type": "text", "text": "a"}]})],
        [Chunk({"content": "half an emoji: \ud83d"})],
    ],
)
@pytest.mark.parametrize("abandon", [False, True])
def test_odd_chunks_leave_nothing_behind(face: Face, chunks: list[Any], abandon: bool) -> None:
    class Odd(ScriptedProvider):
        def _stream(self, call: ProviderCall) -> Iterator[Any]:
            yield from [*chunks, Chunk({}, "stop")]

        async def astream(self, call: ProviderCall) -> Any:
            for chunk in [*chunks, Chunk({}, "stop")]:
                yield chunk

    router = router_with({"a": Odd()}, observer=Recording())
    if abandon:
        face.read(router, 1, "hi")
    else:
        try:
            _, story = face.stream(router, "hi")
        except StreamInterruptedError as error:
            story = error.partial
        assert story.cost.nanos == balance(router).spent.nanos
    assert_nothing_is_left(router)


def test_an_async_stream_forgotten_outside_its_loop_is_closed_inside_it() -> None:
    provider = ScriptedProvider("abcdef")
    router = router_with({"a": provider})

    async def main() -> None:
        streams = [router.astream("hi")]
        await anext(streams[0])
        assert provider.open_streams == 1

        async def elsewhere() -> None:
            streams.pop()
            gc.collect()
            await asyncio.sleep(0)

        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        for _ in range(5):
            await asyncio.sleep(0)
        assert_nothing_is_left(router, provider)

    asyncio.run(main())

    left: list[Any] = []

    async def leave() -> None:
        left.append(router.astream("hi"))
        await anext(left[0])

    asyncio.run(leave())
    left.clear()
    gc.collect()
    assert reaper.flush(20)
    assert_nothing_is_left(router, provider)


def test_a_forgotten_stream_may_be_collected_while_health_is_locked() -> None:
    provider = ScriptedProvider("abcdef")
    router = router_with({"a": provider})
    stream = router.stream("hi")
    next(stream)
    done = threading.Event()

    def collect(held: list[Any]) -> None:
        with router._engine.health._lock:
            held.clear()
        done.set()

    held = [stream]
    del stream
    thread = threading.Thread(target=collect, args=(held,), daemon=True)
    thread.start()
    assert done.wait(5), "deadlock"
    assert reaper.flush(5)
    assert_nothing_is_left(router, provider)


def test_an_async_provider_that_ignores_its_limits_is_cut_off_at_the_deadline() -> None:
    class Hanging(ScriptedProvider):
        async def astream(self, call: ProviderCall) -> Any:
            yield Chunk({"content": "a"})
            await asyncio.sleep(60)

    router = router_with({"a": Hanging()})
    with pytest.raises(StreamInterruptedError) as caught:
        AsyncFace().stream(router, "hi", deadline_s=0.05)
    assert caught.value.partial.text == "a"
    assert_nothing_is_left(router)


def test_what_a_reader_does_to_chunks_stays_out_of_the_cache(face: Face) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    router = router_with(
        {"a": ScriptedProvider(Reply(None, tool_calls=[call], finish_reason="tool_calls"))},
        {"cache": {"use": ["memory"], "tool_calls": True}},
    )
    for _ in range(3):
        chunks, result = face.stream(router, "hi")
        for chunk in chunks:
            for part in chunk.delta.get("tool_calls") or ():
                assert part["function"]["name"] == "f"
                part["function"]["name"] = "changed"
    assert result.cache == "hit"


# ---------------------------------------------------------------- threads, loops and closing


def test_a_synchronous_call_inside_the_loop_that_leads_its_flight_does_not_wait_for_itself() -> None:
    provider = ScriptedProvider(Reply("one", delay_s=1))
    router = router_with({"a": provider}, {"cache": {"use": ["memory"]}})

    async def main() -> None:
        task = asyncio.create_task(router.acomplete("hi"))
        await asyncio.sleep(0)
        assert provider.calls, "the task leads a flight now"
        assert router.complete("hi", deadline_s=5).text == "one"
        assert (await task).text == "one"

    asyncio.run(main())
    assert_nothing_is_left(router, provider)


def test_a_follower_whose_loop_is_gone_does_not_trouble_the_leader(caplog: pytest.LogCaptureFixture) -> None:
    started, go = threading.Event(), threading.Event()

    def slow(call: ProviderCall) -> str:
        started.set()
        go.wait(5)
        return "one"

    router = router_with({"a": ScriptedProvider(slow)}, {"cache": {"use": ["memory"]}})
    leader = threading.Thread(target=router.complete, args=("hi",))
    leader.start()
    assert started.wait(5)
    with pytest.raises(RoutekitError):
        asyncio.run(router.acomplete("hi", deadline_s=0.02))
    go.set()
    leader.join(5)
    assert not caplog.records


def test_many_threads_and_two_loops_on_one_router() -> None:
    providers = {
        "a": ScriptedProvider(lambda call: DOWN if len(call.messages[0]["content"]) % 3 == 0 else "one"),
        "b": ScriptedProvider("two"),
    }
    router = router_with(providers, {"cache": {"use": ["memory"]}})
    wrong: list[BaseException] = []
    costs: list[int] = []

    def use(place: int) -> None:
        for turn in range(6):
            try:
                prompt = "x" * (1 + (place + turn) % 17)
                result = router.complete(prompt) if turn % 2 else SyncFace().stream(router, prompt)[1]
                costs.append(result.cost.nanos)
                assert result.cost.nanos == cost_of(result.attempts)
            except RoutekitError:
                wrong.append(AssertionError("b always answers"))
            except BaseException as error:
                wrong.append(error)

    def loop(place: int) -> None:
        async def main() -> None:
            for result in await asyncio.gather(*(router.acomplete("y" * (1 + n % 7)) for n in range(30))):
                costs.append(result.cost.nanos)

        try:
            asyncio.run(main())
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(50)]
    threads += [threading.Thread(target=loop, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not wrong
    assert len(costs) == 50 * 6 + 60
    assert sum(costs) == balance(router).spent.nanos
    assert_nothing_is_left(router, *providers.values())


def test_a_router_that_nobody_holds_is_forgotten_and_closed() -> None:
    router = router_with({"a": ScriptedProvider("abc")})
    owned = ScriptedProvider()
    router._deployments.adopt("x", owned)
    router.complete("hi")
    stream = router.stream("hi")
    next(stream)
    forgotten = weakref.ref(router)
    del router
    gc.collect()
    assert not owned.closed, "an open stream keeps its router"
    assert "".join(chunk.text for chunk in stream) == "abc"
    del stream
    gc.collect()
    assert reaper.flush(20)
    assert forgotten() is None
    assert reaper.flush(5)
    assert owned.closed


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_closing_closes_everything_once_whatever_parts_raise(how: str) -> None:
    closed: list[str] = []

    class Part(ScriptedProvider):
        def close(self) -> None:
            closed.append("provider")
            raise OSError("no")

    class Tier(YieldingCache):
        def close(self) -> None:
            closed.append("cache")
            raise OSError("no")

    observer = Recording()
    observer.close = lambda: closed.append("observer")  # type: ignore[method-assign]
    router = router_with({"a": ScriptedProvider()}, cache=Tier(), observer=observer)
    part = Part()
    router._deployments.adopt("a", part)
    router._deployments.adopt("b", part)
    if how == "close":
        router.close()
    else:
        asyncio.run(router.aclose())
    assert closed == ["provider", "cache", "observer"]


def test_closing_while_a_stream_is_open(face: Face) -> None:
    provider = ScriptedProvider("abc")
    router = router_with({"a": provider})
    late = router.stream("hi")
    with router.stream("hi") as stream:
        read = [next(stream) for _ in range(2)]
        router.close()
        with pytest.raises(StreamInterruptedError, match="closed") as caught:
            read += stream
    assert caught.value.partial.text == "".join(chunk.text for chunk in read) != ""
    assert_nothing_is_left(router, provider)
    with pytest.raises(InvalidInputError, match="closed"):
        next(late)


# ---------------------------------------------------------------- odd input


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"model": ["a"]}, "model must be a text"),
        ({"group": {"a"}}, "group must be a text"),
        ({"session": {}, "model": "a", "step": 3}, "step must be"),
        ({"session": ["s"]}, "session must be a text"),
        ({"tools": "search"}, "tools must be a list"),
        ({"tools": {"type": "function"}}, "tools must be a list"),
        ({"tools": [print]}, r"tools\[0\]"),
        ({"scopes": ["user"]}, "scopes must map"),
        ({"requirements": {"regions": ["eu"]}}, "requirements must be"),
        ({"deadline_s": float("nan")}, "deadline_s"),
        ({"deadline_s": float("inf")}, "deadline_s"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"n": 0}, "n must be"),
        ({"max_cost_usd": -1}, "-1"),
        ({"max_cost_usd": "much"}, "much"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": 5}]}, "content"),
        ({"messages": [{"role": "user", "content": (p for p in ())}]}, "content"),
        ({"messages": [object()]}, "messages"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(face: Face, arguments: dict[str, Any], told: str) -> None:
    arguments = {"messages": "hi", **arguments}
    router = router_with({"a": ScriptedProvider()})
    with pytest.raises(InvalidInputError, match=told):
        face.complete(router, arguments.pop("messages"), **arguments)


def test_what_contains_itself_is_refused(face: Face) -> None:
    circular: dict[str, Any] = {}
    circular["self"] = circular
    provider = ScriptedProvider("one")
    with pytest.raises(InvalidInputError, match="contains itself"):
        face.complete(router_with({"a": provider}), "hi", extra_body=circular)
    assert provider.calls == []


def test_odd_but_usable_calls_work(face: Face) -> None:
    from types import MappingProxyType

    from routekit import Requirements

    provider = ScriptedProvider("one")
    router = router_with(
        {"a": provider},
        {"cache": {"use": ["memory"]}},
        a={"region": "eu", "group": "g", "price": {"input": 0, "output": 0}},
    )
    for arguments in (
        {"tools": [], "scopes": {"user": []}, "deadline_s": 0},
        {"max_cost_usd": 0, "model": "g", "max_tokens": 5},
        {"requirements": Requirements(regions=["eu"], tags=set())},  # type: ignore[arg-type]
        {"metadata": {"x": object()}, "logit_bias": {1: 2, "a": 3}},
        {"extra_body": {"odd": {"1": 2}}},
    ):
        assert face.complete(router, "hi", **arguments).text == "one"
    for message in (
        MappingProxyType({"role": "user", "content": "hi"}),
        {"role": "user", "content": "\ud83d"},
        {"role": "user", "content": [{"type": "text", "text": "\ud83d"}]},
        {"role": "user", "content": None, "name": "\ud83d"},
    ):
        assert face.complete(router, [message]).text == "one"
    assert_nothing_is_left(router, provider)


def test_a_cached_answer_never_lacks_the_logprobs_that_were_asked_for(face: Face) -> None:
    provider = ScriptedProvider(Reply("one", logprobs={"content": [{"token": "one", "logprob": -0.1}]}))
    router = router_with({"a": provider}, {"cache": {"use": ["memory"]}}, a={"capabilities": ["logprobs"]})
    for _ in range(2):
        assert face.complete(router, "hi", logprobs=True).logprobs


def test_what_callers_pass_is_never_changed(face: Face) -> None:
    import copy

    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    options = {"response_format": {"type": "text"}, "scopes": {"user": ["a"]}}
    before = copy.deepcopy((messages, tools, options))
    router = router_with({"a": ScriptedProvider("one")}, {"cache": {"use": ["memory"]}}, a={"capabilities": ["tools"]})
    face.complete(router, messages, tools=tools, **options)
    face.stream(router, messages, tools=tools, **options)
    assert (messages, tools, options) == before


# ---------------------------------------------------------------- secrets and observers


def test_events_and_records_show_no_message_text_and_no_key(face: Face) -> None:
    key, text = "sk-live-0123456789abcdef", "my medical history"
    observer = Recording()
    router = router_with(
        {"a": ScriptedProvider(ValueError(f"bad key {key}")), "b": ScriptedProvider(text)}, observer=observer
    )
    result = face.complete(router, text, metadata={"note": text})
    face.stream(router, text)
    shown = repr(observer.events) + repr(result.to_dict()) + repr(result.decision.to_dict()) + repr(result.decision)
    assert key not in shown
    assert text not in shown
    with pytest.raises(RoutekitError) as caught:
        face.complete(router, text, model="a")
    assert key not in str(caught.value)


def test_observers_that_raise_are_left_alone(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        def __call__(self, event: Any) -> None:
            raise RuntimeError("no")

    provider = ScriptedProvider("one")
    router = router_with({"a": provider}, observer=Broken())
    for _ in range(3):
        assert face.complete(router, "hi").text == "one"
        assert face.stream(router, "hi")[1].text == "one"
    assert len(caplog.records) == 1
    assert_nothing_is_left(router, provider)
