"""When many are ejected at once: panic, last resorts, waiting, and saying when to come back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import AllUnavailableError, NoCandidateError, Router
from routekit.errors import (
    AllAttemptsFailedError,
    AuthenticationError,
    InvalidResponseError,
    ProviderUnavailableError,
    RoutingError,
)
from routekit.testing import ScriptedProvider

DOWN = ProviderUnavailableError("down")
USELESS = InvalidResponseError("empty")  # not asked again in place
Face = SyncFace | AsyncFace


def eject(router: Router, *names: str, error: Any = DOWN, after_s: float = 0.0) -> None:
    """Ejects those that are named, in that order."""
    health = router._engine.health
    for name in names:
        while health.admit(name) is None:
            health.failed(name, error, total_s=1)
        router.clock.advance(after_s)


def use_up_the_last_resort(router: Router, name: str = "a") -> None:
    health = router._engine.health
    assert health.last_resort([name]).ejected == (name,)
    health.failed(health.enter(name), USELESS, total_s=1)
    assert health.last_resort([name]).ejected == ()


def states(router: Router) -> dict[str, str]:
    return {row.deployment: row.state for row in router.health()}


def router_of(wait_s: float = 0.0, config: dict[str, Any] | None = None, **providers: ScriptedProvider) -> Router:
    router = scripted_router(providers, config=config)
    router._engine._deciding._panic._wait_s = wait_s
    return router


def test_while_half_is_healthy_the_ejected_are_not_asked(face: Face) -> None:
    router = router_of(a=ScriptedProvider("a"), b=ScriptedProvider(DOWN, DOWN))
    eject(router, "a")
    with pytest.raises(AllAttemptsFailedError) as caught:
        face.complete(router, "hi")
    assert {attempt.deployment.name for attempt in caught.value.attempts} == {"b"}
    assert router.explain("hi").rejections[0].code == "health"


def test_with_more_than_half_ejected_they_stand_behind_the_healthy(face: Face) -> None:
    router = router_of(a=ScriptedProvider("a"), b=ScriptedProvider("b"), c=ScriptedProvider("c", DOWN))
    eject(router, "b", "a", after_s=0.1)
    result = face.complete(router, "hi")
    assert result.text == "c"
    assert [r.deployment.name for r in result.decision.ranked] == ["c", "b", "a"], "least recently failed first"
    assert result.decision.rejections == ()
    assert "last resort: b, a" in result.decision.notes[0]
    result = face.complete(router, "hi")
    assert result.text == "b"
    assert states(router) == {"a": "open", "b": "closed", "c": "closed"}


def test_a_total_outage_fails_fast_and_asks_each_once_per_ejection(face: Face) -> None:
    a, b = ScriptedProvider(*[DOWN] * 9), ScriptedProvider(*[DOWN] * 9)
    router = router_of(a=a, b=b)
    eject(router, "b", "a", after_s=0.1)
    before = {row.deployment: row.until for row in router.health()}
    for asked in ("b", "a"):
        with pytest.raises(AllAttemptsFailedError) as failed:
            face.complete(router, "hi")
        assert [attempt.deployment.name for attempt in failed.value.attempts] == [asked]
    for _ in range(100):
        with pytest.raises(AllUnavailableError) as caught:
            face.complete(router, "hi")
    assert (len(a.calls), len(b.calls)) == (1, 1)
    assert {row.deployment: row.until for row in router.health()} == before, "nothing was shortened or begun anew"
    assert caught.value.retry_at == pytest.approx(min(before.values()))
    assert {r.code for r in caught.value.rejections} == {"health"}
    assert isinstance(caught.value, NoCandidateError)
    assert "may be asked again in" in str(caught.value)


def test_a_last_resort_that_answers_is_back(face: Face) -> None:
    router = router_of(a=ScriptedProvider("one", "two"))
    eject(router, "a")
    result = face.complete(router, "hi")
    assert result.text == "one"
    assert "as a last resort: a" in result.decision.notes[0]
    assert states(router) == {"a": "closed"}
    assert face.complete(router, "hi").text == "two"


def test_a_short_time_until_the_first_returns_is_waited_for(face: Face) -> None:
    router = router_of(a=ScriptedProvider("a"), b=ScriptedProvider("b"), wait_s=0.5)
    eject(router, "a", "b", after_s=0.2)
    router.clock.advance(router._engine.health.returns_in_s(["a", "b"]) - 0.4)
    began = router.clock.monotonic()
    result = face.complete(router, "hi")
    assert router.clock.monotonic() - began == pytest.approx(0.4, abs=0.01)
    assert result.attempts[0].outcome == "ok"
    assert result.decision.notes == (), "it had returned: no last resort"


@pytest.mark.parametrize(("wait_s", "deadline_s"), [(0.3, 60), (5.0, 0.3), (0.0, None)])
def test_what_does_not_fit_is_not_waited_for(face: Face, wait_s: float, deadline_s: float | None) -> None:
    provider = ScriptedProvider(*[USELESS] * 9)
    router = router_of(a=provider, wait_s=wait_s)
    eject(router, "a")
    router.clock.advance(router._engine.health.returns_in_s(["a"]) - 0.4)
    began = router.clock.monotonic()
    for _ in range(3):
        with pytest.raises(RoutingError):
            face.complete(router, "hi", deadline_s=deadline_s)
    assert router.clock.monotonic() == began
    assert len(provider.calls) == 1


def test_one_waits_and_the_others_fail_at_once() -> None:
    router = router_of(a=ScriptedProvider("a"), wait_s=0.5)
    eject(router, "a")
    router.clock.advance(router._engine.health.returns_in_s(["a"]) - 0.4)
    use_up_the_last_resort(router)

    async def story() -> list[Any]:
        over, slept = asyncio.Event(), []

        async def asleep(seconds: float) -> None:
            slept.append(seconds)
            await over.wait()
            router.clock.advance(seconds)

        router.clock.asleep = asleep
        first = asyncio.create_task(router.acomplete("hi"))
        await asyncio.sleep(0)
        others = await asyncio.gather(*(router.acomplete("hi") for _ in range(5)), return_exceptions=True)
        over.set()
        assert (await first).text == "a"
        assert slept == [pytest.approx(0.4, abs=0.01)]
        return others

    assert [type(error) for error in asyncio.run(story())] == [AllUnavailableError] * 5


def test_an_explanation_never_waits_nor_calls_anybody() -> None:
    provider = ScriptedProvider("a")
    router = router_of(a=provider, wait_s=0.0)
    eject(router, "a")
    assert router.explain("hi").chosen == "a"
    assert not provider.calls
    assert states(router) == {"a": "open"}


def test_a_refused_credential_is_no_last_resort(face: Face) -> None:
    provider = ScriptedProvider("never")
    router = router_of(a=provider)
    eject(router, "a", error=AuthenticationError("no such key"))
    with pytest.raises(AllUnavailableError, match="credential is refused"):
        face.complete(router, "hi")
    assert not provider.calls


def test_what_could_not_serve_it_anyway_is_no_reason_to_panic(face: Face) -> None:
    """Two ejected, of three; but one of them is too small for the request, so one of two able ones is."""
    small = ScriptedProvider("small")
    router = scripted_router(
        {"small": small, "a": ScriptedProvider("a"), "b": ScriptedProvider("b")}, small={"context_window": 10}
    )
    eject(router, "small", "a")
    result = face.complete(router, "What is the meaning of this? " * 20)
    assert result.text == "b"
    assert [r.deployment.name for r in result.decision.ranked] == ["b"]


def test_who_could_never_serve_it_is_not_promised_to_return(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider("a")}, a={"context_window": 10})
    eject(router, "a")
    with pytest.raises(NoCandidateError) as caught:
        face.complete(router, "What is the meaning of this? " * 20)
    assert not isinstance(caught.value, AllUnavailableError)


def test_silent_places_are_asked_where_nobody_else_is(face: Face) -> None:
    router = router_of(a=ScriptedProvider(*["a"] * 3), b=ScriptedProvider("b"))
    health = router._engine.health
    for _ in range(10):
        health.admit("a")
        health.succeeded("a", total_s=0.1, ttft_s=None, output_tokens=1)
    calls = [health.enter("a") for _ in range(3)]
    router.clock.advance(1)
    scout = health.enter("a")
    assert face.complete(router, "hi").text == "b"
    eject(router, "b")
    result = face.complete(router, "hi")
    assert result.text == "a"
    assert "as a last resort: a" in result.decision.notes[0]
    for call in (*calls, scout):
        health.left(call)


def test_the_strategy_has_its_say_about_last_resorts_too() -> None:
    """A strategy that leaves a deployment out is not overruled by a panic."""
    from routekit.plugin import Strategy
    from routekit.types import Ranking

    class OnlyTwo(Strategy):
        name = "only-two"

        def rank(self, request: Any, candidates: Any, signals: Any) -> Any:
            kept = [c for c in candidates if c.name != "a"]
            return self.decision(Ranking(kept, [1.0] * len(kept)), "not a", signals)

    router = router_of(a=ScriptedProvider("a"), b=ScriptedProvider("b"), c=ScriptedProvider("c"))
    eject(router, "a", "b")
    decision = router.explain("hi", strategy=OnlyTwo())
    assert [r.deployment.name for r in decision.ranked] == ["c", "b"]
    assert [r.deployment.name for r in decision.rejections] == ["a"]
