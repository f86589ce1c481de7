"""The way of one request, under both faces."""

from __future__ import annotations

import asyncio
import threading
import traceback

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import (
    AllAttemptsFailedError,
    BudgetExceededError,
    CacheMissError,
    CostCeilingError,
    DeadlineExceededError,
    InvalidInputError,
    NoCandidateError,
)
from routekit.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Money, Requirements, Usage

Face = SyncFace | AsyncFace
DOWN = ProviderUnavailableError("down")


def outcomes(result_or_error) -> list[tuple[str, str]]:
    return [(attempt.deployment.name, attempt.outcome) for attempt in result_or_error.attempts]


def test_the_first_choice_answers(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider("one"), "b": ScriptedProvider("two")})
    result = face.complete(router, "hi")
    assert (result.text, result.deployment, result.finish_reason) == ("one", "a", "stop")
    assert outcomes(result) == [("a", "ok")]
    assert result.cost == result.attempts[0].cost > Money(0)
    assert result.decision.strategy == "cheapest"
    assert [r.deployment.name for r in result.decision.ranked] == ["a", "b"]
    assert result.cache == "bypass"


def test_falls_back_and_shows_both_attempts(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(DOWN), "b": ScriptedProvider("two")})
    result = face.complete(router, "hi")
    assert result.text == "two"
    assert outcomes(result) == [("a", "error"), ("b", "ok")]
    assert result.attempts[0].error is DOWN


def test_no_more_than_three_attempts_and_one_retry_in_place(face: Face) -> None:
    providers = {name: ScriptedProvider(DOWN) for name in "abcde"}
    with pytest.raises(AllAttemptsFailedError) as caught:
        face.complete(scripted_router(providers), "hi")
    assert [name for name, _ in outcomes(caught.value)] == ["a", "b", "c"]

    alone = ScriptedProvider(DOWN)
    with pytest.raises(AllAttemptsFailedError) as caught:
        face.complete(scripted_router({"a": alone}), "hi")
    assert len(alone.calls) == len(caught.value.attempts) == 2


def test_a_retry_in_place_waits_as_long_as_the_provider_asks(face: Face) -> None:
    provider = ScriptedProvider(RateLimitError("slow down", retry_after_s=7), "now")
    router = scripted_router({"a": provider})
    result = face.complete(router, "hi", deadline_s=30)
    assert result.text == "now"
    assert router.clock.monotonic() >= 7
    with pytest.raises(AllAttemptsFailedError):  # it would lie beyond the deadline: fail now, do not wait
        face.complete(
            scripted_router({"a": ScriptedProvider(RateLimitError("slow down", retry_after_s=70))}), "hi", deadline_s=30
        )


@pytest.mark.parametrize("error", [InvalidRequestError("bad"), ContentFilterError("no")])
def test_a_refusal_is_surfaced_not_routed_around(face: Face, error: Exception) -> None:
    other = ScriptedProvider("two")
    router = scripted_router({"a": ScriptedProvider(error), "b": other})
    for _ in range(8):
        with pytest.raises(type(error)) as caught:
            face.complete(router, "hi")
        assert len(caught.value.attempts) == 1
    assert not other.calls
    assert router.health()[0].state == "closed", "a bad request says nothing about the deployment"


def test_an_overflow_goes_only_to_a_larger_window(face: Face) -> None:
    small, large = ScriptedProvider("no"), ScriptedProvider("fits")
    router = scripted_router(
        {"a": ScriptedProvider(ContextLengthExceededError("too long")), "b": small, "c": large},
        b={"context_window": 50_000},
        c={"context_window": 200_000},
    )
    assert face.complete(router, "hi").text == "fits"
    assert not small.calls


def test_a_bad_credential_falls_back_and_is_not_asked_again(face: Face) -> None:
    refused = ScriptedProvider(AuthenticationError("no such key"))
    router = scripted_router({"a": refused, "b": ScriptedProvider("two")})
    assert face.complete(router, "hi").text == "two"
    result = face.complete(router, "hi")
    assert outcomes(result) == [("b", "ok")]
    assert result.decision.rejections[0].code == "health"
    assert len(refused.calls) == 1


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_answer_is_no_answer_and_is_paid(face: Face, text: str | None) -> None:
    empty = ScriptedProvider(Reply(text=text, usage=Usage(input_tokens=1_000_000)))
    router = scripted_router({"a": empty, "b": ScriptedProvider("two")})
    result = face.complete(router, "hi")
    assert result.text == "two"
    assert isinstance(result.attempts[0].error, InvalidResponseError)
    assert result.attempts[0].cost == Money.from_usd(1)
    assert result.cost.nanos == sum(attempt.cost.nanos for attempt in result.attempts)


def test_a_silent_first_provider_leaves_time_for_the_second(face: Face) -> None:
    router = scripted_router(
        {"a": ScriptedProvider(Reply(delay_s=1000)), "b": ScriptedProvider(Reply("two", delay_s=3))}
    )
    result = face.complete(router, "hi", deadline_s=10)
    assert result.text == "two"
    assert router.clock.monotonic() == pytest.approx(8)


def test_the_deadline_spans_everything(face: Face) -> None:
    providers = {name: ScriptedProvider(Reply(delay_s=1000)) for name in "abc"}
    router = scripted_router(providers)
    with pytest.raises(DeadlineExceededError) as caught:
        face.complete(router, "hi", deadline_s=10)
    assert router.clock.monotonic() <= 10.001
    assert 2 <= len(caught.value.attempts) <= 3
    assert isinstance(caught.value, TimeoutError)


def test_an_unclassified_error_of_a_plugin_is_wrapped(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(KeyError("oops")), "b": ScriptedProvider("two")})
    for _ in range(6):
        result = face.complete(router, "hi")
    assert isinstance(result.attempts[0].error, ProviderUnavailableError)
    assert isinstance(result.attempts[0].error.__cause__, KeyError)
    assert "oops" not in "".join(traceback.format_exception(result.attempts[0].error)), "it may repeat a key"
    assert router.health()[0].state == "closed", "a bug of ours is not the deployment's fault"


def test_five_failures_eject_and_one_probe_brings_back(face: Face) -> None:
    flaky = ScriptedProvider(*[DOWN] * 5, "back")
    router = scripted_router({"a": flaky, "b": ScriptedProvider("two")})
    for _ in range(5):
        assert face.complete(router, "hi").text == "two"
    assert router.health()[0].state == "open"
    assert outcomes(face.complete(router, "hi")) == [("b", "ok")]
    router.clock.advance(7)
    assert face.complete(router, "hi").text == "back"
    assert router.health()[0].state == "closed"


def test_every_rejection_is_listed(face: Face) -> None:
    router = scripted_router(
        {"a": ScriptedProvider(), "b": ScriptedProvider()}, a={"region": "us"}, b={"capabilities": ["chat"]}
    )
    with pytest.raises(NoCandidateError) as caught:
        face.complete(
            router,
            "hi",
            tools=[{"type": "function", "function": {"name": "f"}}],
            requirements=Requirements(regions=frozenset({"eu"})),
        )
    assert {(r.deployment.name, r.code) for r in caught.value.rejections} == {("a", "region"), ("b", "capability")}


def test_model_narrows_to_a_deployment_a_model_or_a_group(face: Face) -> None:
    router = scripted_router(
        {"a": ScriptedProvider("1"), "b": ScriptedProvider("2"), "c": ScriptedProvider("3")}, c={"group": "big"}
    )
    assert face.complete(router, "hi", model="b").deployment == "b"
    assert face.complete(router, "hi", model="model-c").deployment == "c"
    assert face.complete(router, "hi", model="big").deployment == "c"
    with pytest.raises(NoCandidateError, match="names no deployment"):
        face.complete(router, "hi", model="nothing")


def test_a_ceiling_in_money_bounds_the_whole_chain(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider("1"), "b": ScriptedProvider("2")})
    result = face.complete(router, "hi", strategy="best", max_cost_usd=0.001, max_tokens=10)
    assert result.cost <= Money.from_usd("0.001")
    with pytest.raises(NoCandidateError) as caught:
        face.complete(router, "hi", max_cost_usd=0.000001, max_tokens=1000)
    assert {r.code for r in caught.value.rejections} == {"max_cost"}
    billed = InvalidResponseError("empty", usage=Usage(output_tokens=400))
    router = scripted_router({"a": ScriptedProvider(billed), "b": ScriptedProvider("2")})
    with pytest.raises((CostCeilingError, AllAttemptsFailedError)) as failed:
        face.complete(router, "hi", max_cost_usd=0.0015, max_tokens=300)
    assert len(failed.value.attempts) == 1


def test_a_budget_blocks_before_anything_is_sent(face: Face) -> None:
    provider = ScriptedProvider(Reply("x", usage=Usage(input_tokens=10, output_tokens=95)))
    budgets = [{"scope": "project:p", "limit_usd": 0.0005}]
    router = scripted_router({"a": provider}, config={"router": {"budget_store": "memory"}, "budgets": budgets})
    scopes = {"project": "p"}
    for _ in range(2):
        assert face.complete(router, "hi", scopes=scopes, max_tokens=100).cost == Money.from_usd("0.0002")
    with pytest.raises(BudgetExceededError) as caught:
        face.complete(router, "hi", scopes=scopes, max_tokens=100)
    assert caught.value.scope == "project:p"
    assert caught.value.spent == Money.from_usd("0.0004")
    assert caught.value.reserved == Money(0)
    assert len(provider.calls) == 2
    assert face.complete(router, "hi", scopes={"project": "other"}).text == "x"


def test_a_budget_can_downgrade_to_what_is_affordable(face: Face) -> None:
    budgets = [{"scope": "user:*", "limit_usd": 0.0012, "on_exceeded": "downgrade"}]
    reply = Reply("x", usage=Usage(output_tokens=100))
    router = scripted_router(
        {"a": ScriptedProvider(reply), "b": ScriptedProvider(reply), "c": ScriptedProvider(reply)},
        config={"router": {"budget_store": "memory"}, "budgets": budgets},
    )
    asked = {"strategy": "best", "scopes": {"user": "u"}, "max_tokens": 100}
    assert face.complete(router, "hi", **asked).deployment == "c"
    result = face.complete(router, "hi", **asked)
    assert result.deployment == "b"
    assert ("c", "budget") in [(r.deployment.name, r.code) for r in result.decision.rejections]


def test_a_cache_answers_the_second_time_for_nothing(face: Face) -> None:
    provider = ScriptedProvider("one", "two")
    router = scripted_router({"a": provider}, config={"cache": {"use": ["memory"]}})
    first = face.complete(router, "hi")
    second = face.complete(router, "hi")
    assert (first.cache, second.cache) == ("miss", "hit")
    assert second.text == "one"
    assert second.cost == Money(0)
    assert second.saved == first.cost
    assert face.complete(router, "hi", cache="refresh").text == "two"
    assert face.complete(router, "hi").text == "two"
    assert face.complete(router, "hi", temperature=0.7).cache == "bypass"
    assert face.complete(router, "hi", scopes={"project": "p"}).cache == "miss", "another tenant's partition"
    with pytest.raises(CacheMissError):
        face.complete(router, "new", cache="only")


def test_what_a_caller_does_to_an_answer_stays_out_of_the_cache(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider("one")}, config={"cache": {"use": ["memory"]}})
    face.complete(router, "hi").message["content"] = "changed"
    face.complete(router, "hi").message["content"] = "changed"
    assert face.complete(router, "hi").text == "one"


@pytest.mark.parametrize("reply", [Reply("cut", finish_reason="length"), Reply("no", extra={"refusal": "no"})])
def test_only_complete_answers_are_stored(face: Face, reply: Reply) -> None:
    provider = ScriptedProvider(reply)
    router = scripted_router({"a": provider}, config={"cache": {"use": ["memory"]}})
    face.complete(router, "hi")
    face.complete(router, "hi")
    assert len(provider.calls) == 2


def test_a_cascade_pays_for_every_tier_it_asked(face: Face) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    router = scripted_router(
        {"a": ScriptedProvider("not json"), "b": ScriptedProvider('{"n": "x"}'), "c": ScriptedProvider('{"n": 1}')},
        config={"strategies": {"careful": {"use": "cascade", "verify": "schema", "schema": schema}}},
    )
    result = face.complete(router, "hi", strategy="careful")
    assert outcomes(result) == [("a", "escalated"), ("b", "escalated"), ("c", "ok")]
    assert result.cost.nanos == sum(a.cost.nanos for a in result.attempts) > result.attempts[-1].cost.nanos
    _, streamed = face.stream(router, "hi", strategy="careful")
    assert streamed.text == '{"n": 1}'


def test_a_judge_is_an_attempt_of_its_own(face: Face) -> None:
    judge = ScriptedProvider("2", "9")
    router = scripted_router(
        {"a": ScriptedProvider("weak"), "b": ScriptedProvider("strong"), "judge": judge},
        config={"strategies": {"judged": {"use": "cascade", "verify": "judge", "judge": "judges", "min_score": 0.5}}},
        judge={"group": "judges"},
    )
    result = face.complete(router, "hi", strategy="judged")
    assert result.text == "strong"
    assert [(a.deployment.name, a.role) for a in result.attempts] == [
        ("judge", "judge"), ("a", "answer"), ("judge", "judge"), ("b", "answer"),
    ]  # fmt: skip
    assert result.cost.nanos == sum(a.cost.nanos for a in result.attempts)


def test_explain_calls_nobody_and_agrees_with_the_real_thing(face: Face) -> None:
    provider = ScriptedProvider("x")
    router = scripted_router({"a": provider, "b": ScriptedProvider()})
    decision = router.explain("hi", strategy="best")
    assert not provider.calls
    assert [r.deployment.name for r in decision.ranked] == ["b", "a"]
    assert decision.ranked == face.complete(router, "hi", strategy="best").decision.ranked


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"messages": []}, "messages is empty"),
        ({"messages": ""}, "prompt is empty"),
        ({"messages": [{"role": "robot"}]}, "robot"),
        ({"messages": "x", "deadline_s": -1}, "deadline_s"),
        ({"messages": "x", "max_cost_usd": -1}, "zero or more"),
        ({"messages": "x", "cache": "maybe"}, "cache"),
        ({"messages": "x", "cache": False}, "cache"),
        ({"messages": "x", "scopes": {"user": 1}}, "user"),
        ({"messages": "x", "strategy": 3}, "strategy"),
    ],
)
def test_bad_input_is_named(face: Face, arguments: dict, told: str) -> None:
    router = scripted_router({"a": ScriptedProvider()})
    with pytest.raises(InvalidInputError, match=told):
        face.complete(router, **arguments)


def test_a_strategy_that_fails_is_left_out(face: Face) -> None:
    from routekit.plugin import Strategy

    class Broken(Strategy):
        name = "broken"

        def rank(self, request, candidates, signals):
            raise ZeroDivisionError

    result = face.complete(
        scripted_router({"b": ScriptedProvider("first"), "a": ScriptedProvider("x")}), "hi", strategy=Broken()
    )
    assert result.text == "first"
    assert "ZeroDivisionError" in result.decision.reason


def test_steps_groups_and_the_default_in_that_order(face: Face) -> None:
    from routekit import Step

    router = scripted_router(
        {"a": ScriptedProvider("a"), "b": ScriptedProvider("b")},
        config={
            "groups": {"default": {"strategy": "best"}},
            "steps": [{"when": {"kind": "plan"}, "strategy": "cheapest"}],
        },
    )
    assert face.complete(router, "hi").text == "b"
    assert face.complete(router, "hi", step=Step(kind="plan")).text == "a"
    assert face.complete(router, "hi", step=Step(kind="plan"), strategy="best").text == "b"


def test_one_upstream_call_for_many_identical_questions_in_threads() -> None:
    started, go = threading.Event(), threading.Event()

    def slow(call):
        started.set()
        go.wait(5)
        return "once"

    provider = ScriptedProvider(slow)
    router = scripted_router({"a": provider}, config={"cache": {"use": ["memory"]}})
    results = []
    threads = [threading.Thread(target=lambda: results.append(router.complete("hi"))) for _ in range(20)]
    threads[0].start()
    started.wait(5)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(5)
    assert len(provider.calls) == 1
    assert {result.text for result in results} == {"once"}
    assert sorted(result.cache for result in results) == ["hit"] * 19 + ["miss"]


def test_one_upstream_call_for_many_identical_questions_in_tasks() -> None:
    provider = ScriptedProvider(Reply("once", delay_s=1))
    router = scripted_router({"a": provider}, config={"cache": {"use": ["memory"]}})

    async def main():
        return await asyncio.gather(*(router.acomplete("hi") for _ in range(100)))

    assert {result.text for result in asyncio.run(main())} == {"once"}
    assert len(provider.calls) == 1


def test_a_cancelled_call_leaves_nothing_behind() -> None:
    class Hanging(ScriptedProvider):
        async def acomplete(self, call):
            self.calls.append(call)
            await asyncio.sleep(60)

    router = scripted_router(
        {"a": Hanging()},
        config={
            "router": {"budget_store": "memory"},
            "budgets": [{"scope": "global", "limit_usd": 1}],
            "cache": {"use": ["memory"]},
        },
    )

    async def main():
        task = asyncio.create_task(router.acomplete("hi", deadline_s=30))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [row.in_flight for row in router.health()] == [0]
    assert [row.state for row in router.health()] == ["closed"]
    budget = router._engine._billing._budget
    from routekit.engine.budget.charges import charges_for

    [(_, charge)] = charges_for(router._engine._billing._scopes, {}, router.deployments[0], router.clock.time())
    balance = budget.balance(charge)
    assert balance.reserved == Money(0)
    assert balance.spent > Money(0), "it was sent: what it read is paid"


def test_a_closed_router_says_so(face: Face) -> None:
    provider = ScriptedProvider()
    router = scripted_router({"a": provider})
    router.close()
    router.close()
    with pytest.raises(InvalidInputError, match="closed"):
        face.complete(router, "hi")


def test_a_guard_may_redact_and_narrow_at_once(face: Face) -> None:
    rules = [
        {"name": "mail", "preset": "email", "action": "redact"},
        {"name": "secret", "regex": "secret", "action": "require-local"},
    ]
    local, remote = ScriptedProvider("here"), ScriptedProvider("there")
    router = scripted_router(
        {"remote": remote, "local": local},
        config={"guards": [{"use": "pattern", "rules": rules}]},
        local={"tags": ["local"]},
    )
    result = face.complete(router, "the secret of ann@example.com")
    assert result.text == "here"
    assert not remote.calls
    assert "ann@" not in local.calls[0].messages[0]["content"]
    assert any("redacted" in note for note in result.decision.notes)
