"""Plugins that break one promise each. `BREAKS` names the contract's test that must notice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from routekit.builtin.budgets.memory import MemoryBudget
from routekit.builtin.caches.memory import MemoryCache
from routekit.builtin.guards.pattern import PatternGuard
from routekit.errors import BudgetExceededError, ProviderError, ProviderUnavailableError, RateLimitError
from routekit.plugin import (
    ALLOW,
    Answer,
    Compression,
    Compressor,
    Guard,
    GuardVerdict,
    Observer,
    Provider,
    ProviderCall,
)
from routekit.testing import contracts
from routekit.testing.contracts.provider import call_for
from routekit.types import (
    CacheEntry,
    CacheKey,
    Charge,
    Chunk,
    Deployment,
    Event,
    Model,
    Money,
    RequestEnded,
    RequestStarted,
    Reservation,
    RouteRequest,
    Usage,
)

BREAKS: dict[str, str] = {}


def case(suite: type, fixture: str, test: str) -> Any:
    """Makes a test class of a plugin class that must fail at `test`."""

    def make(broken: type) -> type:
        name = f"Test{broken.__name__}"
        made = type(name, (suite,), {fixture: pytest.fixture(lambda self: broken()), "__module__": __name__})
        globals()[name] = made
        BREAKS[name] = test
        return broken

    return make


def cache(test: str) -> Any:
    return case(contracts.CacheContract, "cache", test)


def budget(test: str) -> Any:
    return case(contracts.BudgetContract, "budget", test)


def compressor(test: str) -> Any:
    return case(contracts.CompressorContract, "compressor", test)


def observer(test: str) -> Any:
    return case(contracts.ObserverContract, "observer", test)


@cache("test_an_expired_entry_is_a_miss")
class CacheWithoutExpiry(MemoryCache):
    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        super().set(key, replace(entry, expires_at=None))


@cache("test_a_namespace_never_sees_another_ones_entries")
class CacheForEverybody(MemoryCache):
    def get(self, key: CacheKey) -> CacheEntry | None:
        return super().get(replace(key, namespace=""))

    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        super().set(replace(key, namespace=""), entry)


@cache("test_an_entry_comes_back_equal")
class CacheThatLosesPieces(MemoryCache):
    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        super().set(key, replace(entry, deltas=()))


@cache("test_the_asynchronous_methods_do_the_same")
class CacheWithoutAsync(MemoryCache):
    async def aset(self, key: CacheKey, entry: CacheEntry) -> None:
        return None


@cache("test_delete_forgets_one_entry")
class CacheThatDeletesAll(MemoryCache):
    def delete(self, key: CacheKey) -> None:
        self.clear()


@budget("test_all_charges_are_taken_or_none")
class BudgetHalfTaken(MemoryBudget):
    def reserve(self, reservation: Reservation) -> None:
        for place, charge in enumerate(reservation.charges):
            super().reserve(replace(reservation, id=f"{reservation.id}{place}", charges=(charge,)))


@budget("test_the_limit_may_be_reached_and_not_passed")
class BudgetOffByOne(MemoryBudget):
    def reserve(self, reservation: Reservation) -> None:
        for charge in reservation.charges:
            if self.balance(charge).used + reservation.amount == charge.limit and charge.hard:
                raise BudgetExceededError(
                    scope=charge.scope, limit=charge.limit, spent=Money(), reserved=Money(), asked=reservation.amount
                )
        super().reserve(reservation)


@budget("test_a_hold_ends_once")
class BudgetThatForgetsItsHolds(MemoryBudget):
    def settle(self, reservation: Reservation, actual: Money) -> None:
        super().reserve(reservation)
        super().settle(reservation, actual)


@budget("test_a_lost_hold_still_counts")
class BudgetThatForgivesTheLost(MemoryBudget):
    def reserve(self, reservation: Reservation) -> None:
        super().reserve(reservation)
        if reservation.lease_s < 10:
            self.release(reservation)

    def mark_sent(self, reservation: Reservation) -> None:
        pass


@budget("test_earlier_parts_of_a_rolling_window_count")
class BudgetThatForgetsTheDayBefore(MemoryBudget):
    def reserve(self, reservation: Reservation) -> None:
        super().reserve(replace(reservation, charges=tuple(replace(c, prior=()) for c in reservation.charges)))


@budget("test_a_soft_charge_is_counted_and_never_refused")
class BudgetThatIsAlwaysHard(MemoryBudget):
    def reserve(self, reservation: Reservation) -> None:
        super().reserve(replace(reservation, charges=tuple(replace(c, hard=True) for c in reservation.charges)))


@budget("test_keys_are_apart")
class BudgetWithOnePurse(MemoryBudget):
    def reserve(self, reservation: Reservation) -> None:
        super().reserve(replace(reservation, charges=tuple(replace(c, key="all") for c in reservation.charges)))

    def balance(self, charge: Charge) -> Any:
        return super().balance(replace(charge, key="all"))


class Cut(Compressor):
    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        if target_tokens is None:
            return Compression(request=request, lossless=True)
        messages = tuple(self.cut([dict(message) for message in request.messages]))
        return Compression(request=replace(request, messages=messages), lossless=False, removed="something")  # type: ignore[arg-type]

    def cut(self, messages: list[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        raise NotImplementedError


@compressor("test_a_tool_call_keeps_its_results")
class CutCalls(Cut):
    def cut(self, messages: list[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        return [message for message in messages if not message.get("tool_calls")]


@compressor("test_system_messages_stay")
class CutSystem(Cut):
    def cut(self, messages: list[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        return [message for message in messages if message["role"] != "system"]


@compressor("test_the_newest_user_turn_stays")
class CutTheNewest(Cut):
    def cut(self, messages: list[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        return messages[:-1] if len(messages) > 1 else messages


@compressor("test_it_never_makes_a_request_larger")
class CutByAdding(Cut):
    def cut(self, messages: list[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        return [*messages, {"role": "assistant", "content": "(shortened)"}]


@compressor("test_it_is_pure")
class CutInPlace(Compressor):
    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        request.messages[0]["content"] = "."
        return Compression(request=request, lossless=False)


@compressor("test_without_a_target_nothing_is_lost")
class CutForNoReason(Compressor):
    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        return Compression(request=replace(request, messages=request.messages[-1:]), lossless=False, removed="most")


def guard(test: str) -> Any:
    def make(broken: type) -> type:
        case(contracts.GuardContract, "guard", test)(broken)
        globals()[f"Test{broken.__name__}"].forbidden = pytest.fixture(lambda self: "jane@example.com")
        return broken

    return make


class EmailGuard(PatternGuard):
    def __init__(self) -> None:
        super().__init__(rules=[{"preset": "email"}])


@guard("test_a_forbidden_text_does_not_pass")
class GuardThatSleeps(Guard):
    pass


@guard("test_a_forbidden_text_does_not_pass")
class GuardThatQuotes(EmailGuard):
    def check_request(self, request: RouteRequest) -> GuardVerdict:
        verdict = super().check_request(request)
        return verdict if verdict is ALLOW else replace(verdict, rule=f"saw {request.messages[0].get('content')}")


@guard("test_it_gives_verdicts_that_are_complete")
class GuardThatSaysNothing(Guard):
    def check_request(self, request: RouteRequest) -> GuardVerdict:
        return GuardVerdict(action="redact", rule="all")


@guard("test_it_changes_nothing_that_it_is_given")
class GuardInPlace(Guard):
    def check_request(self, request: RouteRequest) -> GuardVerdict:
        request.messages[0]["content"] = "x"
        return GuardVerdict(action="redact", rule="all", messages=request.messages)


@guard("test_it_gives_verdicts_that_are_complete")
class GuardThatIsNotAsked(EmailGuard):
    def __init__(self) -> None:
        super().__init__()
        self.checks_responses = False


@observer("test_it_takes_events_that_it_does_not_know")
class ObserverThatKnowsItAll(Observer):
    def __call__(self, event: Event) -> None:
        if not type(event).__module__.startswith("routekit.types"):
            raise TypeError(event)


@observer("test_it_logs_no_text_of_messages")
class ObserverThatTalks(Observer):
    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestStarted):
            logging.getLogger("talk").info("%s", event.request.messages)


@observer("test_it_takes_every_event_of_a_request")
class ObserverOfSuccess(Observer):
    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestEnded):
            assert event.result is not None
            event.result.to_dict()


def provider(test: str) -> Any:
    def make(broken: type) -> type:
        case(contracts.ProviderContract, "provider", test)(broken)
        made: Any = globals()[f"Test{broken.__name__}"]
        here = Deployment(name="d", provider="p", model=Model(id="m"))
        made.deployment = pytest.fixture(lambda self: here)
        made.slow_call = pytest.fixture(lambda self: replace(call_for(here), timeout_s=0.0))
        failing = (replace(call_for(here), request_id="fail"), RateLimitError)
        made.failing_calls = pytest.fixture(lambda self: [failing])
        return broken

    return make


class Echo(Provider):
    failure: type[ProviderError] = RateLimitError
    reason: str | None = "stop"

    def complete(self, call: ProviderCall) -> Answer:
        if call.request_id == "fail":
            raise self.failure("no")
        return Answer(
            message={"role": "assistant", "content": "hi"},
            finish_reason=self.reason,
            usage=Usage(input_tokens=2, output_tokens=1),
        )


@provider("test_a_time_limit_is_kept")
class ProviderWithoutAClock(Echo):
    pass


@provider("test_failures_are_classified")
class ProviderThatBlursErrors(Echo):
    failure = ProviderUnavailableError


@provider("test_an_answer_has_a_message_a_finish_reason_and_usage")
class ProviderWithoutAReason(Echo):
    reason = None


@provider("test_a_stream_may_be_left_early")
class ProviderOfLists(Echo):
    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        return iter(list(super().stream(call)))


@provider("test_streams_and_answers_report_usage_alike")
class ProviderThatStreamsForFree(Echo):
    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        yield Chunk({"content": "hi"})
        yield Chunk({}, "stop")


@provider("test_a_stream_adds_up_to_an_answer")
class ProviderThatGoesOn(Echo):
    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        yield Chunk({"content": "hi"}, "stop", Usage(input_tokens=1))
        yield Chunk({"content": "and"})


@provider("test_the_call_is_left_as_it_was")
class ProviderThatTidiesUp(Echo):
    def complete(self, call: ProviderCall) -> Answer:
        if isinstance(call.params, dict):
            call.params.pop("max_tokens", None)
        return super().complete(call)


@provider("test_async_answers_have_the_same_shape")
class ProviderOfTwoMinds(Echo):
    async def acomplete(self, call: ProviderCall) -> Answer:
        return replace(await super().acomplete(call), finish_reason="length")


class TestSilenced(contracts.CacheContract):
    """Everything is fine, after the test that would fail was replaced."""

    @pytest.fixture
    def cache(self) -> CacheWithoutExpiry:
        return CacheWithoutExpiry()

    def test_an_expired_entry_is_a_miss(self) -> None:  # type: ignore[override]
        return None


BREAKS["TestSilenced"] = "test_no_contract_test_is_overridden"
