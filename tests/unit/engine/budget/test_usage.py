"""What an attempt is taken to have used: reports that cannot be true, and what is owed for failures."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.routers import FACES, scripted_router

from routekit import (
    AllAttemptsFailedError,
    BudgetExceededError,
    InvalidInputError,
    ProviderError,
    Router,
    StreamInterruptedError,
)
from routekit.builtin.budgets.ledger.budget import FILE, LedgerBudget
from routekit.engine.budget.usage import counted, written_tokens
from routekit.errors import (
    AuthenticationError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from routekit.plugin import Provider
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Answer, Attempt, Candidate, Deployment, Model, Money, Usage, Work

Face = Any
WORK = Work(100, 300, 50, 80)


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def candidate(work: Work = WORK, window: int | None = 100_000) -> Candidate:
    model = Model(id="m", context_window=window)
    return Candidate(Deployment(name="d", provider="p", model=model), 0.5, False, work)


TEXT = {"role": "assistant", "content": "one two three four five six seven eight nine ten"}


@pytest.mark.parametrize(
    "reported",
    [
        None, Usage(), Usage(input_tokens=-4, output_tokens=-1), Usage(input_tokens=True, output_tokens=float("inf")),  # type: ignore[arg-type]
        "usage", {"prompt_tokens": 3},
    ],
)  # fmt: skip
def test_what_says_nothing_is_counted_and_marked(reported: Any) -> None:
    usage, doubt = counted(reported, candidate(), TEXT)
    assert usage.estimated
    assert not doubt
    assert 100 < usage.input_tokens <= 300
    assert 10 <= usage.output_tokens <= 30


def test_a_half_of_a_report_is_kept_and_the_other_half_counted() -> None:
    usage, _ = counted(Usage(output_tokens=40), candidate(), TEXT)
    assert (usage.output_tokens, usage.estimated) == (40, True)
    assert usage.input_tokens > 100
    usage, _ = counted(Usage(input_tokens=90), candidate(), TEXT)
    assert (usage.input_tokens, usage.estimated) == (90, True)
    assert usage.output_tokens >= 10


def test_a_total_alone_is_split_by_the_likely_input() -> None:
    usage, _ = counted(Usage(output_tokens=500, estimated=True), candidate(), TEXT)
    assert (usage.total_tokens, usage.estimated) == (500, True)
    assert usage.input_tokens > 100


def test_no_output_of_an_answer_without_any_is_believed() -> None:
    usage, _ = counted(Usage(input_tokens=90), candidate(), {"role": "assistant", "content": None})
    assert usage == Usage(input_tokens=90)


def test_one_token_for_ten_pages_is_not_believed() -> None:
    usage, _ = counted(Usage(input_tokens=90, output_tokens=1), candidate(), {"content": "word " * 5000})
    assert usage.estimated
    assert usage.output_tokens > 5000


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens"])
def test_absurd_counts_are_uncertain(field: str) -> None:
    figures = {"input_tokens": 90, "output_tokens": 10, field: 10**14}
    usage, doubt = counted(Usage(**figures), candidate(), TEXT)
    assert usage.estimated
    assert str(10**14) in doubt


def test_parts_larger_than_the_whole_and_negative_ones_are_cut() -> None:
    reported = Usage(
        input_tokens=10, output_tokens=5, cache_read_tokens=30, reasoning_tokens=9, audio_input_tokens=-200,
        audio_output_tokens=99, image_input_tokens=2**70,
    )  # fmt: skip
    usage, _ = counted(reported, candidate(), TEXT)
    assert (usage.cache_read_tokens, usage.reasoning_tokens, usage.audio_output_tokens) == (10, 5, 5)
    assert (usage.audio_input_tokens, usage.image_input_tokens) == (0, 0)


def test_everything_that_is_written_counts() -> None:
    plain = written_tokens({"content": "x" * 300})
    assert plain >= 100
    for other in (
        {"content": None, "reasoning_content": "x" * 300},
        {"content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "x" * 300}}]},
        {"content": [{"type": "text", "text": "x" * 300}]},
        {"content": None, "function_call": {"name": "f", "arguments": "x" * 300}},
        {"content": None, "refusal": "x" * 300},
    ):
        assert written_tokens(other) >= plain, other
    assert written_tokens({"content": "漢" * 100}) >= 100


class Hanging(Provider):
    """Never answers in time; a whole answer is given up by whoever waits."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def complete(self, call: Any) -> Answer:
        raise ProviderTimeoutError("no answer in time")

    async def acomplete(self, call: Any) -> Answer:
        self.asked.set()
        await asyncio.sleep(60)
        raise AssertionError("it was waited for")


def routed(provider: Provider, **config: Any) -> Router:
    budgets = {"budgets": [{"scope": "global", "limit_usd": 1}], "router": {"budget_store": "memory"}}
    return scripted_router({"a": provider}, config={**budgets, **config})


def failed(face: Face, provider: Provider, **options: Any) -> Attempt:
    with routed(provider) as router, pytest.raises((ProviderError, AllAttemptsFailedError)) as caught:
        face.complete(router, "hi there", max_tokens=1000, **options)
    first: Attempt = caught.value.attempts[0]
    return first


@pytest.mark.parametrize(
    "error",
    [
        RateLimitError("slow down", status=429), AuthenticationError("no", status=401),
        InvalidRequestError("no", status=400), ProviderSetupError("no key"),
        ProviderUnavailableError("boom", status=500), ProviderUnavailableError("full", status=529),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.status}",
)  # fmt: skip
def test_what_nobody_worked_on_is_free(face: Face, error: ProviderError) -> None:
    attempt = failed(face, ScriptedProvider(error))
    assert (attempt.cost, attempt.uncertain) == (Money(0), False)


def test_who_could_not_be_reached_is_free(face: Face) -> None:
    refused = ProviderUnavailableError("connection refused")
    refused.unsent = True
    attempt = failed(face, ScriptedProvider(refused))
    assert (attempt.cost, attempt.uncertain) == (Money(0), False)


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailableError("reset"), ProviderTimeoutError("late"),
        ProviderUnavailableError("gateway", status=504), RuntimeError("a bug"),
        InvalidResponseError("too large", status=200),
    ],
    ids=lambda error: f"{type(error).__name__}-{error}",
)  # fmt: skip
def test_what_was_sent_and_lost_is_booked_at_its_worst_case(face: Face, error: Exception) -> None:
    attempt = failed(face, ScriptedProvider(error))
    assert attempt.uncertain
    assert attempt.cost.nanos >= 1000 * 2000, "a thousand tokens at $2 a million"


def test_what_was_reported_beside_a_failure_is_booked(face: Face) -> None:
    error = InvalidResponseError("no choices", status=200, usage=Usage(input_tokens=100, output_tokens=400))
    attempt = failed(face, ScriptedProvider(error))
    assert (attempt.cost.nanos, attempt.uncertain) == (100 * 1000 + 400 * 2000, False)


def test_what_came_instead_of_an_answer_is_counted(face: Face) -> None:
    error = InvalidResponseError("no JSON", status=200)
    error.received = "<html>" + "x" * 600
    attempt = failed(face, ScriptedProvider(error))
    assert not attempt.uncertain
    assert attempt.usage.estimated
    assert attempt.usage.output_tokens >= 200


BROKEN = (AllAttemptsFailedError, StreamInterruptedError)


@pytest.mark.parametrize("received", [0, 2])
def test_of_a_stream_that_breaks_the_input_and_what_was_received_are_owed(face: Face, received: int) -> None:
    broken = Reply("x" * 300, chunks=3, error=ProviderUnavailableError("reset"), after_chunks=received)
    with routed(ScriptedProvider(broken)) as router, pytest.raises(BROKEN) as caught:
        face.stream(router, "hi there", max_tokens=1000)
    attempt = caught.value.attempts[0]
    assert not attempt.uncertain
    assert 0 < attempt.cost.nanos < 1000 * 2000
    assert (attempt.usage.output_tokens > 0) is (received > 0)


def test_a_whole_answer_that_is_cancelled_may_have_been_written(tmp_path: Path) -> None:
    table = {"name": "a", "provider": "scripted", "model": "m", "price": {"input": 1, "output": 2}}
    hanging = Hanging()
    router = Router(
        {"deployments": [table], "budgets": [{"scope": "global", "limit_usd": 1}]},
        providers={"a": hanging}, env={"ROUTEKIT_HOME": str(tmp_path), "ROUTEKIT_PLUGINS": ""},
        plugins=[_scripted()],
    )  # fmt: skip

    async def main() -> None:
        task = asyncio.create_task(router.acomplete("hi", max_tokens=1000))
        await hanging.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await router.aclose()

    asyncio.run(main())
    with closing(LedgerBudget(tmp_path / FILE)) as ledger:
        (hold,) = ledger.holds()
        assert hold.state == "uncertain"
        assert hold.amount.nanos >= 1000 * 2000
        ledger.correct(hold.id, Money(77))
        assert [balance.spent for _, _, balance in ledger.balances()] == [Money(77)]
        assert ledger.verify() == []


def _scripted() -> Any:
    from routekit.testing import plugin_module

    return plugin_module(ScriptedProvider())


def test_an_absurd_report_is_booked_at_the_hold_and_can_be_corrected(face: Face, tmp_path: Path) -> None:
    table = {"name": "a", "provider": "scripted", "model": "m", "price": {"input": 1, "output": 2}}
    provider = ScriptedProvider(
        Reply("x", usage=Usage(input_tokens=1, output_tokens=10**14)),
        Reply("y", usage=Usage(input_tokens=10, output_tokens=10)),
    )
    router = Router(
        {"deployments": [table], "budgets": [{"scope": "global", "limit_usd": 0.01}], "cache": {"use": []}},
        providers={"a": provider}, env={"ROUTEKIT_HOME": str(tmp_path), "ROUTEKIT_PLUGINS": ""}, plugins=[_scripted()],
    )  # fmt: skip
    with router:
        first = face.complete(router, "hi", max_tokens=10)
        assert first.text == "x"
        assert first.attempts[0].uncertain
        assert first.cost.nanos < 1_000_000
        assert any("output tokens" in note for note in first.decision.notes)
        second = face.complete(router, "hi", max_tokens=10)
        assert second.cost.nanos == 10 * 1000 + 10 * 2000
    with closing(LedgerBudget(tmp_path / FILE)) as ledger:
        assert [hold.state for hold in ledger.holds()] == ["uncertain"]
        settled = next(entry.hold for entry in ledger.entries() if entry.kind == "settle")
        ledger.correct(ledger.holds()[0].id, Money(5))
        ledger.correct(settled, Money(6))
        assert [balance.spent for _, _, balance in ledger.balances()] == [Money(11)]
        assert ledger.verify() == []
        with pytest.raises(InvalidInputError):
            ledger.correct("nobody", Money(1))


class Negative(Provider):
    """Reports what no bill can be made of."""

    def complete(self, call: Any) -> Answer:
        usage = Usage(input_tokens=10, output_tokens=5, audio_input_tokens=-(10**6), cache_read_tokens=-(10**9))
        return Answer(message={"role": "assistant", "content": "ok"}, finish_reason="stop", usage=usage)


def test_counts_below_zero_cost_what_is_due_and_leave_nothing_behind(face: Face) -> None:
    with routed(Negative()) as router:
        for _ in range(3):
            result = face.complete(router, "hi", max_tokens=10)
            assert result.cost.nanos == 10 * 1000 + 5 * 2000
        assert router.health()[0].in_flight == 0


def test_a_bill_that_cannot_be_computed_ends_the_attempt_all_the_same(
    face: Face, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from routekit.types import Price

    def broken(*_: Any, **__: Any) -> int:
        raise ArithmeticError

    with routed(ScriptedProvider("ok")) as router:
        monkeypatch.setattr(Price, "cost_nanos", broken)
        result = face.complete(router, "hi", max_tokens=1000)
        assert result.text == "ok"
        assert result.attempts[0].uncertain
        assert result.cost.nanos >= 1000 * 2000
        assert router.health()[0].in_flight == 0
    assert "cannot be computed" in caplog.text


def test_the_cost_that_a_provider_reports_is_kept_and_said_where_it_differs(face: Face) -> None:
    usage = Usage(input_tokens=100, output_tokens=100, reported_nanos=12_000_000)
    with scripted_router({"a": ScriptedProvider(Reply("x", usage=usage))}) as router:
        result = face.complete(router, "hi")
    assert result.attempts[0].reported_cost == Money(12_000_000)
    assert result.cost == Money(300_000)
    assert any("reports a cost" in note for note in result.decision.notes)
    with scripted_router({"a": ScriptedProvider(Reply("x", usage=usage))}, a={"price": None}) as router:
        result = face.complete(router, "hi")
    assert (result.cost, result.cost_known) == (Money(12_000_000), True)


def test_the_tier_that_served_is_billed(face: Face) -> None:
    usage = Usage(input_tokens=1000, output_tokens=1000, service_tier="default")
    price = {"price": {"input": 1, "output": 10, "batch_percent": 50}}
    budgets = {"budgets": [{"scope": "global", "limit_usd": 1}], "router": {"budget_store": "memory"}}
    router = scripted_router({"a": ScriptedProvider(Reply("x", usage=usage))}, config=budgets, a=price)
    with router:
        decision = router.explain("hi", service_tier="flex", max_tokens=1000)
        worst = decision.ranked[0].estimate.worst_cost
        assert worst is not None
        assert worst.nanos >= 1000 * 10_000, "whoever asks for flex may be served by the usual tier"
        assert face.complete(router, "hi", service_tier="flex", max_tokens=1000).cost == Money(11_000_000)


def test_zeros_do_not_pass_a_budget(face: Face) -> None:
    zeros = Reply("word " * 1000, usage=Usage())
    config = {"budgets": [{"scope": "global", "limit_usd": 0.02}], "router": {"budget_store": "memory"}}
    with scripted_router({"a": ScriptedProvider(zeros)}, config={**config, "cache": {"use": []}}) as router:
        answered = 0
        while answered < 50:
            try:
                face.complete(router, "hi", max_tokens=2000)
            except BudgetExceededError:
                break
            answered += 1
    assert answered < 12
