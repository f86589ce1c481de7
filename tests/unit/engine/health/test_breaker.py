"""The breaker's invariants, and the ways in which a deployment is ejected, suspected and brought back."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from routekit.engine.health.breaker import SILENT, FailureRate
from routekit.engine.health.health import Health, Refusal, credential_of
from routekit.engine.permit import Admission
from routekit.errors import (
    AuthenticationError,
    ContentFilterError,
    InvalidRequestError,
    ProviderError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from routekit.testing import VirtualClock
from routekit.types import Deployment, Model

DOWN = ProviderUnavailableError("x")
KEY = {"api_key_env": "KEY", "base_url": "http://one/v1"}


def deployment(name: str, options: dict[str, object] | None = None, group: str = "default") -> Deployment:
    return Deployment(name=name, provider="p", model=Model(id="m"), options=options or {}, group=group)


def health_of(*deployments: Deployment, changes: list[tuple[str, str]] | None = None) -> tuple[Health, VirtualClock]:
    clock = VirtualClock(start=1000)
    changed = None if changes is None else lambda d, state, reason: changes.append((d.name, state))
    return Health(deployments or [deployment("a")], clock, random.Random(1), changed), clock


def enter(health: Health, name: str = "a") -> Admission:
    entered = health.enter(name)
    assert isinstance(entered, Admission), entered
    return entered


def fail(health: Health, error: ProviderError = DOWN, times: int = 1, name: str = "a") -> None:
    for _ in range(times):
        health.failed(enter(health, name), error, total_s=1)


def succeed(health: Health, name: str = "a", times: int = 1, total_s: float = 1.0, **figures: object) -> None:
    for _ in range(times):
        health.succeeded(enter(health, name), total_s=total_s, ttft_s=None, output_tokens=1, **figures)


def state(health: Health, name: str = "a") -> str:
    return next(row.state for row in health.rows() if row.deployment == name)


def test_half_of_ten_calls_in_thirty_seconds_eject() -> None:
    health, _ = health_of()
    for _ in range(4):
        fail(health)
        succeed(health)
    assert state(health) == "closed"
    succeed(health)
    fail(health)
    assert state(health) == "open"
    assert "5 of 10 calls failed in 30 s" in health.rows()[0].reason


def test_failures_of_long_ago_are_forgotten() -> None:
    health, clock = health_of()
    for _ in range(4):
        fail(health)
        succeed(health)
    clock.advance(31)
    succeed(health, times=5)
    fail(health, times=4)
    assert state(health) == "closed"


def test_after_its_return_a_deployment_starts_with_a_clean_record() -> None:
    health, clock = health_of()
    fail(health, times=5)
    clock.advance(6.1)
    succeed(health)
    fail(health, times=4)
    assert state(health) == "closed"


def test_a_rate_counts_the_last_thirty_seconds_only() -> None:
    rate = FailureRate()
    for second in range(120):
        rate.add(second, second % 2 == 0)
    calls, failures = rate.counts(119)
    assert (calls, failures) == (30, 15)
    assert rate.counts(500) == (0, 0)


@pytest.mark.parametrize("error", [InvalidRequestError("x"), ContentFilterError("x"), ProviderSetupError("x")])
def test_what_is_not_to_blame_never_counts(error: ProviderError) -> None:
    health, clock = health_of()
    fail(health, error, times=30)
    assert state(health) == "closed"
    fail(health, times=5)
    clock.advance(7)
    fail(health, error)
    row = health.rows()[0]
    assert (row.state, row.until, row.ejections, row.in_flight) == ("open", None, 1, 0)
    succeed(health)
    assert state(health) == "closed"


def test_a_refused_credential_ejects_all_that_use_it_and_nobody_else() -> None:
    changes: list[tuple[str, str]] = []
    health, clock = health_of(
        deployment("a", KEY),
        deployment("same-key", KEY),
        deployment("other-key", {**KEY, "api_key_env": "OTHER"}),
        deployment("other-place", {**KEY, "base_url": "http://two/v1"}),
        deployment("no-key"),
        changes=changes,
    )
    fail(health, AuthenticationError("x"))
    assert {row.deployment for row in health.rows() if row.state == "open"} == {"a", "same-key"}
    assert changes == [("a", "open"), ("same-key", "open")]
    clock.advance(7)
    succeed(health, "same-key")
    assert {row.state for row in health.rows()} == {"closed"}, "the key is accepted again, everywhere"
    assert changes[2:] == [("same-key", "closed"), ("a", "closed")]


def test_without_a_named_credential_nobody_else_is_judged() -> None:
    health, _ = health_of(deployment("a"), deployment("b"))
    fail(health, AuthenticationError("x"))
    assert state(health, "b") == "closed"


def test_a_credential_is_known_by_its_source() -> None:
    assert credential_of(deployment("a")) is None
    assert credential_of(deployment("a", {"headers": {"X-Trace": "on"}})) is None
    one = credential_of(deployment("a", {"headers": {"X-Key": "$ONE", "X-Trace": "on"}}))
    assert one == credential_of(deployment("b", {"headers": {"X-Key": "$ONE"}}))
    assert one != credential_of(deployment("b", {"headers": {"X-Key": "$TWO"}}))


def test_a_call_from_before_the_ejection_is_no_probe() -> None:
    health, clock = health_of()
    early = [enter(health) for _ in range(3)]
    fail(health, times=5)
    until = health.returns_in_s(["a"])
    health.succeeded(early[0], total_s=1, ttft_s=None, output_tokens=1)
    assert state(health) == "open", "its success is older than the ejection"
    clock.advance(until)
    probe = enter(health)
    health.failed(early[1], DOWN, total_s=1)
    assert state(health) == "half-open", "its failure is not the probe's"
    assert isinstance(health.enter("a"), Refusal)
    health.left(early[2])
    assert isinstance(health.enter("a"), Refusal), "it gave nothing back that it did not take"
    health.succeeded(probe, total_s=1, ttft_s=None, output_tokens=1)
    assert state(health) == "closed"


def test_a_call_ends_once() -> None:
    health, _ = health_of()
    call = enter(health)
    for _ in range(3):
        health.left(call)
        health.succeeded(call, total_s=1, ttft_s=None, output_tokens=1)
        health.failed(call, DOWN, total_s=1)
    row = health.rows()[0]
    assert (row.in_flight, row.latency) == (0, None)


def test_a_short_outage_is_over_within_ten_seconds_after_it_ends() -> None:
    for seed in range(50):
        clock = VirtualClock(start=1000)
        health = Health([deployment("a")], clock, random.Random(seed))
        fail(health, times=5)
        while clock.monotonic() < 1030:  # down for 30 s, asked as soon as it may be
            clock.advance(health.returns_in_s(["a"]))
            if clock.monotonic() < 1030:
                fail(health)
        assert clock.monotonic() <= 1040
        succeed(health)
        assert state(health) == "closed"


def test_three_silent_calls_make_a_place_suspect_until_one_answers() -> None:
    health, clock = health_of()
    succeed(health, times=10, total_s=0.2)
    stuck = [enter(health) for _ in range(3)]
    clock.advance(0.5)
    assert health.unavailable() == {}
    clock.advance(0.2)
    assert health.rows()[0].reason == SILENT
    assert health.rows()[0].state == "closed"
    assert health.unavailable() == {}, "one at a time may look"
    scout = enter(health)
    assert health.unavailable() == {"a": ("health", SILENT)}
    health.left(scout)
    assert health.unavailable() == {}
    enter(health)
    assert health.unavailable()
    health.succeeded(stuck[0], total_s=0.7, ttft_s=None, output_tokens=1)
    assert health.unavailable() == {}
    assert health.rows()[0].reason == ""


def test_a_first_token_is_a_sign_of_life() -> None:
    health, clock = health_of()
    succeed(health, times=10, total_s=0.2)
    stuck = [enter(health) for _ in range(4)]
    clock.advance(1)
    enter(health)
    assert health.unavailable()
    health.progressed(stuck[3])
    assert health.unavailable() == {}


def test_nobody_is_suspected_before_enough_is_known_or_below_the_floor() -> None:
    health, clock = health_of()
    succeed(health, times=9, total_s=0.01)
    calls = [enter(health) for _ in range(4)]
    clock.advance(100)
    enter(health)
    assert health.unavailable() == {}
    for call in calls:
        health.left(call)
    succeed(health, times=10, total_s=0.01)
    for _ in range(4):
        enter(health)
    clock.advance(0.09)
    assert health.rows()[0].reason == ""
    clock.advance(0.02)
    assert health.rows()[0].reason == SILENT


def test_a_last_resort_is_one_call_per_ejection() -> None:
    health, clock = health_of(deployment("a"), deployment("b", KEY), deployment("c"))
    fail(health, times=5, name="c")
    clock.advance(1)
    fail(health, times=5)
    fail(health, AuthenticationError("x"), name="b")
    assert isinstance(health.enter("a"), Refusal), "nobody offered it"
    assert health.last_resort(["a", "b", "c"]).ejected == ("c", "a")
    before = health.returns_in_s(["a"])
    fail(health)
    assert health.returns_in_s(["a"]) == before, "neither shortened nor begun anew"
    assert health.last_resort(["a", "c"]).ejected == ("c",)
    assert isinstance(health.enter("a"), Refusal)
    succeed(health, "c")
    assert state(health, "c") == "closed"


def test_a_refusal_can_be_foreseen() -> None:
    health, _ = health_of()
    assert health.refuses("a") is None
    fail(health, times=5)
    refusal = health.refuses("a", in_s=1)
    assert refusal is not None
    assert refusal.code == "health"
    assert health.refuses("a", in_s=7) is None
    health.last_resort(["a"])
    assert health.refuses("a") is None
    call = enter(health)
    assert health.refuses("a", in_s=7) is not None, "a probe is under way"
    health.left(call)


class Outages(RuleBasedStateMachine):
    """Calls come and go at random; nothing that is promised about the breaker may ever be untrue."""

    names = ("a", "b", "c")
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.health, self.clock = health_of(deployment("a", KEY), deployment("b", KEY), deployment("c"))
        self.open_calls: list[Admission] = []
        self.until: dict[str, float] = {}

    @rule(target=calls, name=st.sampled_from(names))
    def enters(self, name: str) -> Admission | Refusal:
        ejected = state(self.health, name) != "closed"
        entered = self.health.enter(name)
        if isinstance(entered, Admission):
            assert entered.probe == ejected
            self.open_calls.append(entered)
        return entered

    @rule(names=st.sets(st.sampled_from(names)))
    def looks_for_a_last_resort(self, names: set[str]) -> None:
        self.health.last_resort(n for n in names if state(self.health, n) != "closed")

    @rule(call=calls)
    def shows_content(self, call: Admission | Refusal) -> None:
        if isinstance(call, Admission):
            self.health.progressed(call)

    @rule(
        call=consumes(calls), how=st.sampled_from(["ok", "down", "slow", "key", "request", "left"]), again=st.booleans()
    )
    def ends(self, call: Admission | Refusal, how: str, again: bool) -> None:
        if isinstance(call, Refusal):
            return
        self.open_calls.remove(call)
        before = {row.deployment: row.state for row in self.health.rows()}
        probe, name = call.probe, call.name
        for _ in range(1 + again):
            self.end(call, how)
        after = state(self.health, name)
        if how in ("ok", "left", "request") and before[name] == "closed":
            assert after == "closed"
        if before[name] != "closed" and after == "closed":
            assert probe
            assert how == "ok"
        if probe and how != "ok":
            assert after == "open"

    def end(self, call: Admission, how: str) -> None:
        errors = {
            "down": DOWN, "slow": ProviderTimeoutError("x"), "key": AuthenticationError("x"),
            "request": InvalidRequestError("x"),
        }  # fmt: skip
        if how == "ok":
            self.health.succeeded(call, total_s=0.1, ttft_s=None, output_tokens=1)
        elif how == "left":
            self.health.left(call)
        else:
            self.health.failed(call, errors[how], total_s=0.1)

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 5.0, 40.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def there_is_at_most_one_probe(self) -> None:
        for name in self.names:
            breaker = self.health._places[name].breaker
            probes = [c for c in self.open_calls if c.name == name and c.probe and c.era == breaker.era]
            assert len(probes) <= 1
            assert (breaker.state == "half-open") == (len(probes) == 1)
            assert breaker.probe in (probes or [None])

    @invariant()
    def calls_under_way_are_counted(self) -> None:
        for row in self.health.rows():
            assert row.in_flight == sum(call.name == row.deployment for call in self.open_calls)

    @invariant()
    def an_ejection_is_never_shortened(self) -> None:
        for name in self.names:
            breaker = self.health._places[name].breaker
            assert breaker.until >= self.until.get(name, 0.0)
            self.until[name] = breaker.until
            assert breaker.until <= self.clock.monotonic() + 300

    @invariant()
    def the_books_agree(self) -> None:
        ejected = {row.deployment for row in self.health.rows() if row.state != "closed"}
        assert self.health._ejected == ejected
        assert set(self.health.unavailable()) >= {n for n in ejected if self.health._places[n].breaker.probe}

    def teardown(self) -> None:
        for call in self.open_calls:
            self.health.left(call)
        assert self.health.in_flight() == {}
        assert not any(self.health._places[name].breaker.probe for name in self.names)
        assert self.health._probes._taken == {}
        self.clock.advance(301)
        for name in self.names:
            for _ in range(2):
                succeed(self.health, name)
        assert {row.state for row in self.health.rows()} == {"closed"}
        assert self.health.unavailable() == {}


TestOutages = Outages.TestCase
TestOutages.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
