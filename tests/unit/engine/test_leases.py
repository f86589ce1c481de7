"""How long a hold may live: as long as its call may, and a little more; streams without a deadline renew it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.clock import Now
from tests.support.routers import FACES, scripted_router

from routekit import Router
from routekit.builtin.budgets.ledger.budget import LedgerBudget
from routekit.builtin.budgets.memory import MemoryBudget
from routekit.errors import BudgetUnavailableError, ProviderUnavailableError
from routekit.plugin import Budget, BudgetPlugin, hookimpl
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Balance, Charge, Money, Reservation

Face = Any
CHARGE = Charge(key="global|total", scope="global", limit=Money(100))


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


class Watched(MemoryBudget):
    def __init__(self) -> None:
        super().__init__()
        self.leases: list[float] = []
        self.renewed: list[str] = []
        self.fails = False

    def reserve(self, reservation: Reservation) -> None:
        self.leases.append(round(reservation.lease_s, 3))
        super().reserve(reservation)

    def renew(self, reservation: Reservation) -> None:
        self.renewed.append(reservation.id)
        if self.fails:
            raise BudgetUnavailableError("the disk is on fire")


class Module:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    @hookimpl
    def routekit_budgets(self) -> list[BudgetPlugin]:
        return [BudgetPlugin(name="mine", factory=lambda options, context: self._budget)]


def router_of(budget: Budget, *script: Any, **router: Any) -> Router:
    return scripted_router(
        {"a": ScriptedProvider(*script, Reply(text="abcdefgh"))},
        config={
            "router": {"budget_store": "mine", "max_attempts": 3, **router},
            "budgets": [{"scope": "global", "limit_usd": 1}],
        },
        plugins=[Module(budget)],
    )


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("options", "configured", "lease_s"),
    [
        ({"deadline_s": 3}, {}, 8.0),
        ({"deadline_s": 0.5}, {"lease_margin_s": 1}, 1.5),
        ({}, {}, 125.0),
        ({}, {"deadline_s": 7, "lease_margin_s": 2}, 9.0),
        ({"deadline_s": 0}, {}, 600.0),
        ({"deadline_s": 0}, {"lease_s": 30, "lease_margin_s": 2}, 30.0),
        ({"deadline_s": 5000}, {}, 5005.0),
    ],
)
def test_a_lease_is_what_is_left_of_the_deadline_and_a_margin(
    face: Face, streamed: bool, options: dict[str, Any], configured: dict[str, Any], lease_s: float
) -> None:
    budget = Watched()
    with router_of(budget, **configured) as router:
        (face.stream if streamed else face.complete)(router, "hi", **options)
    assert budget.leases == [lease_s]


def test_a_later_attempt_has_a_shorter_lease(face: Face) -> None:
    budget = Watched()

    def slow_failure(call: Any) -> Reply:
        router.clock.advance(4)  # type: ignore[attr-defined]  # a virtual one
        raise ProviderUnavailableError("down")

    with router_of(budget, slow_failure) as router:
        face.complete(router, "hi", deadline_s=20)
    first, second = budget.leases
    assert first == 25.0
    assert 20.0 <= second <= 21.0


def test_a_stream_without_a_deadline_renews_its_lease(face: Face) -> None:
    budget = Watched()
    reply = (
        Reply(text="abcdefgh", chunk_size=1) if "chunk_size" in Reply.__dataclass_fields__ else Reply(text="abcdefgh")
    )
    with router_of(budget, reply, lease_s=10) as router:
        chunks, _ = face.stream(
            router,
            "hi",
            deadline_s=0,
            on_chunk=lambda _: router.clock.advance(6),  # type: ignore[attr-defined]
        )
    assert budget.renewed
    assert len(budget.renewed) <= len(chunks)


def test_a_stream_with_a_deadline_needs_no_renewal(face: Face) -> None:
    budget = Watched()
    with router_of(budget) as router:
        face.stream(router, "hi", deadline_s=60, on_chunk=lambda _: router.clock.advance(1))  # type: ignore[attr-defined]
    assert budget.renewed == []


def test_a_renewal_that_fails_does_not_break_the_stream(face: Face) -> None:
    budget = Watched()
    budget.fails = True
    with router_of(budget, lease_s=10) as router:
        chunks, result = face.stream(
            router,
            "hi",
            deadline_s=0,
            on_chunk=lambda _: router.clock.advance(6),  # type: ignore[attr-defined]
        )
    assert budget.renewed
    assert "".join(chunk.text for chunk in chunks) == result.text == "abcdefgh"


@pytest.mark.parametrize("kind", ["memory", "ledger"])
def test_what_is_renewed_lives_on(tmp_path: Path, kind: str) -> None:
    clock = Now()
    budget: Budget = MemoryBudget(clock=clock) if kind == "memory" else LedgerBudget(tmp_path / "ledger", clock=clock)
    kept = Reservation(id="kept", charges=(CHARGE,), amount=Money(30), lease_s=10)
    lost = Reservation(id="lost", charges=(CHARGE,), amount=Money(40), lease_s=10)
    for one in (kept, lost):
        budget.reserve(one)
        budget.mark_sent(one)
    for _ in range(3):
        clock.now += 6
        budget.renew(kept)
        budget.reserve(Reservation(id=f"other{clock.now}", charges=(CHARGE,), amount=Money(0), lease_s=1))
    assert budget.balance(CHARGE) == Balance(spent=Money(40), reserved=Money(30))
    clock.now += 11
    budget.reserve(Reservation(id="last", charges=(CHARGE,), amount=Money(0)))
    budget.renew(kept)
    budget.renew(lost)
    assert budget.balance(CHARGE) == Balance(spent=Money(70), reserved=Money(0))
    budget.settle(kept, Money(1))
    budget.settle(lost, Money(2))
    assert budget.balance(CHARGE) == Balance(spent=Money(3), reserved=Money(0))
    budget.close()
