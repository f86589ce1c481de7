"""Holds before, bills after: every attempt is reserved at its worst case and settled at what it cost."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from routekit.engine.budget.charges import charges_for
from routekit.engine.budget.usage import GENEROUS
from routekit.engine.io.port import IO
from routekit.engine.permit import Permit
from routekit.engine.run import Run
from routekit.engine.settings import EngineSettings
from routekit.errors import BudgetExceededError, BudgetUnavailableError, RoutekitError
from routekit.plugin import Budget, reaper
from routekit.types import (
    ZERO,
    BudgetRefused,
    BudgetScope,
    BudgetWarning,
    Candidate,
    Charge,
    Clock,
    Event,
    Money,
    Rejection,
    Reservation,
    RouteRequest,
    Usage,
)

_log = logging.getLogger("routekit.billing")
Tell = Callable[[Event], None]
STORE_WAIT_S = 10.0
"""The longest wait for a store that other programs keep busy; a call's own deadline may end it sooner."""

_WARNED_KEPT = 10_000
"""Thresholds of windows that are remembered as said."""


class Bill(NamedTuple):
    """What an attempt cost; whether anybody knows; and whether it is its worst case, because nobody knows what was
    billed."""

    cost: Money
    known: bool
    uncertain: bool = False


class Billing:
    """Knows the configured budgets and their store."""

    def __init__(
        self, budget: Budget | None, scopes: Sequence[BudgetScope], settings: EngineSettings, clock: Clock, tell: Tell
    ) -> None:
        self._budget = budget if scopes else None
        self._scopes = tuple(scopes)
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._hard = any(scope.on_exceeded != "warn" for scope in scopes)
        self._warned: dict[tuple[str, float], object] = {}
        self._downgrades = any(scope.on_exceeded == "downgrade" for scope in scopes)

    def output_limit(self, request: RouteRequest) -> int | None:
        """The limit on output tokens to send: one is needed wherever the worst case must be known."""
        limited = self._budget is not None or request.requirements.max_cost is not None
        return self._settings.output_limit if limited else None

    def price_required(self) -> bool:
        return self._budget is not None and self._hard and self._settings.unknown_price == "refuse"

    def affordable(self, run: Run, candidates: list[Candidate]) -> tuple[list[Candidate], list[Rejection]]:
        """For budgets that downgrade: those candidates whose worst case still fits, and the others."""
        if self._budget is None or not self._downgrades:
            return candidates, []
        left: dict[str, int] = {}
        fits: list[Candidate] = []
        rejections: list[Rejection] = []
        now = self._clock.time()
        for candidate in candidates:
            worst = candidate.worst_nanos
            tight = None
            for scope, charge in charges_for(self._scopes, run.request.scopes, candidate.deployment, now):
                if scope.on_exceeded != "downgrade":
                    continue
                if charge.key not in left:
                    left[charge.key] = self._remaining(self._budget, charge)
                if worst is None or worst > left[charge.key]:
                    tight = charge
                    break
            if tight is None:
                fits.append(candidate)
            else:
                shown = "an unknown amount" if worst is None else str(Money(worst))
                reason = f"could cost {shown}; {Money(left[tight.key])} is left of budget {tight.scope!r}"
                rejections.append(Rejection(deployment=candidate.deployment, code="budget", reason=reason))
        return fits, rejections

    async def reserve(self, io: IO, run: Run, permit: Permit) -> None:
        """Takes the hold for one attempt, and marks it as sent: the call leaves next.

        Raises:
            BudgetExceededError: it does not fit.
            BudgetUnavailableError: the store failed; budgets fail closed.
        """
        if self._budget is None:
            return
        candidate = permit.candidate
        pairs = charges_for(self._scopes, run.request.scopes, candidate.deployment, self._clock.time())
        if not pairs:
            return
        amount = self._amount(run, candidate)
        run.holds += 1
        reservation = Reservation(
            id=f"{run.id}-{run.holds}",
            charges=tuple(charge for _, charge in pairs),
            amount=amount,
            deployment=candidate.deployment.name,
            request_id=run.id,
            lease_s=self._lease_s(run),
            wait_s=_wait_s(run),
        )
        try:
            await io.begin(self._budget, reservation)
        except BudgetExceededError as error:
            self._tell(
                BudgetRefused(
                    request_id=run.id, at=self._clock.time(), scope=error.scope,
                    deployment=candidate.deployment, asked=amount,
                )
            )  # fmt: skip
            error.attempts = tuple(run.attempts)
            raise
        except BaseException as error:  # failed or cancelled half-way: the hold may have been taken already
            reaper.end(error, functools.partial(self._give_back, reservation))
            if not isinstance(error, Exception):
                raise
            if not any(charge.hard for charge in reservation.charges):
                run.notes.append(f"the budget store failed ({type(error).__name__}); its budgets only warn")
                _log.warning("budgets that only warn were left out: %s", error)
                return
            if isinstance(error, RoutekitError):
                raise
            raise BudgetUnavailableError(
                f"the budget store failed ({type(error).__name__}: {error}); budgets fail closed, nothing was sent"
            ) from error
        permit.hold = reservation
        if run.deadline.remaining_s() is None:  # else the lease lasts for longer than the call may
            permit.renew_at_s = run.deadline.elapsed_s() + reservation.lease_s / 2

    async def renew(self, io: IO, run: Run, permit: Permit) -> None:
        """The stream goes on: so does what is held for it. Where that fails, the lease decides."""
        hold = permit.hold
        if hold is None or self._budget is None:
            permit.renew_at_s = None
            return
        permit.renew_at_s = run.deadline.elapsed_s() + hold.lease_s / 2
        try:
            await io.renew(self._budget, hold)
        except Exception:
            _log.exception("renewing the hold %s failed; its lease decides", hold.id)

    def _lease_s(self, run: Run) -> float:
        left_s = run.deadline.remaining_s()
        return self._settings.lease_s if left_s is None else left_s + self._settings.lease_margin_s

    def refuse_if_used_up(self, run: Run, candidate: Candidate) -> None:
        """Raises what `reserve` would raise for this candidate now; holds nothing.

        Raises:
            BudgetExceededError: it does not fit. BudgetUnavailableError: the store failed.
        """
        if self._budget is None:
            return
        amount = self._amount(run, candidate)
        for _, charge in charges_for(self._scopes, run.request.scopes, candidate.deployment, self._clock.time()):
            if not charge.hard or not amount.nanos or self._remaining(self._budget, charge) >= amount.nanos:
                continue
            balance = self._budget.balance(charge)
            raise BudgetExceededError(
                scope=charge.scope, limit=charge.limit, spent=balance.spent, reserved=balance.reserved, asked=amount,
                resets_at=charge.resets_at,
            )  # fmt: skip

    def _amount(self, run: Run, candidate: Candidate) -> Money:
        """What is held for one attempt."""
        amount = Money(self._worst(run, candidate))
        if not amount and (candidate.deployment.price is None or not candidate.deployment.price.is_free):
            return Money(1)  # nothing is held for what nobody can price, but a budget that is used up refuses it
        return amount

    def downgrades(self, scope: str) -> bool:
        """Whether passing this scope's limit means asking somebody cheaper rather than refusing."""
        kind = scope.partition(":")[0]
        return any(s.on_exceeded == "downgrade" and (s.scope == scope or s.scope == f"{kind}:*") for s in self._scopes)

    def settle(self, run: Run, permit: Permit, usage: Usage | None) -> Bill:
        """The bill for one attempt. None: nothing was used. Never waits long, and never raises."""
        try:
            bill = self._bill(run, permit, usage)
        except Exception:  # a price or a usage of somebody's own that cannot be reckoned with
            _log.exception("the bill of an attempt at %s cannot be computed; its worst case is", permit.candidate.name)
            bill = Bill(Money(permit.held_nanos), True, True)
        hold = permit.hold
        if hold is None or self._budget is None:
            return bill
        permit.hold = None
        try:
            if usage is None:
                self._budget.release(hold)
            elif bill.uncertain:
                self._budget.mark_uncertain(hold)
            else:
                # What nobody can price stays charged at what was held for it.
                self._budget.settle(hold, bill.cost if bill.known else hold.amount)
            self._warn(run, hold)
        except Exception:
            _log.exception("settling the hold %s failed; its lease decides", hold.id)
        return bill

    def _bill(self, run: Run, permit: Permit, usage: Usage | None) -> Bill:
        candidate = permit.candidate
        price = candidate.deployment.model.price
        if usage is None:
            return Bill(ZERO, True)
        said = usage.reported_nanos
        if price is not None:
            service = usage.service_tier or candidate.work.service
            nanos = price.cost_nanos(usage, at=self._clock.time() if price.off_peak else None, service=service)
        else:
            nanos = said or 0
        most = permit.held_nanos if permit.hold is None else permit.hold.amount.nanos
        if not permit.doubt and price is None and said is not None and said > GENEROUS * most > 1:
            permit.doubt = f"the provider reports a cost of {Money(said)}, far more than was held for it"
        if permit.doubt:
            run.notes.append(f"{candidate.name}: what it cost is uncertain: {permit.doubt}")
            known = price is not None or permit.hold is not None
            return Bill(Money(max(nanos, most) if price is not None and not most else most), known, True)
        if price is None:
            return Bill(Money(nanos), said is not None)
        if said is not None and abs(said - nanos) > max(1000, nanos // 100):
            run.notes.append(f"{candidate.name} reports a cost of {Money(said)}; by its price it is {Money(nanos)}")
        return Bill(Money(nanos), True)

    def _give_back(self, hold: Reservation) -> None:
        try:
            if self._budget is not None:
                self._budget.release(hold)
        except Exception:
            _log.exception("releasing the hold %s failed; its lease decides", hold.id)

    def _worst(self, run: Run, candidate: Candidate) -> int:
        worst = candidate.worst_nanos
        if worst is not None:
            return worst
        if self._settings.unknown_price == "allow" or run.decision is None:
            return 0
        peers = (peer.worst_nanos or 0 for peer in run.decision.ranked.candidates)
        return max(peers, default=0)

    def _warn(self, run: Run, hold: Reservation) -> None:
        """Says which thresholds a budget's spending has reached by now, each once per window."""
        for charge in hold.charges:
            if not charge.warn_at or self._budget is None:
                continue
            try:
                seen = self._budget.glance(charge)
            except Exception as error:
                _log.warning("the budget %s cannot be read: %s", charge.scope, error)
                return
            if seen is None:
                continue  # it would have to be waited for; the next end looks again
            spent = seen.spent
            if not charge.hard and spent > charge.limit:
                run.notes.append(f"budget {charge.scope!r} is passed: {spent} of {charge.limit}")
            # The parts of a rolling window are one window, which can fall below a threshold and reach it again.
            window = charge.key.rpartition(":")[0] if charge.prior else charge.key
            for share in charge.warn_at:
                if not spent or spent.nanos < share * charge.limit.nanos:
                    self._warned.pop((window, share), None)
                    continue
                mine = object()
                if self._warned.setdefault((window, share), mine) is not mine:
                    continue
                if len(self._warned) > _WARNED_KEPT:
                    self._warned.pop(next(iter(self._warned)), None)
                self._tell(
                    BudgetWarning(
                        request_id=run.id, at=self._clock.time(), scope=charge.scope, limit=charge.limit,
                        used=spent, threshold=share,
                    )
                )  # fmt: skip

    @staticmethod
    def _remaining(budget: Budget, charge: Charge) -> int:
        try:
            return budget.remaining(charge).nanos
        except RoutekitError:
            raise
        except Exception as error:
            raise BudgetUnavailableError(
                f"the budget store failed ({type(error).__name__}: {error}); budgets fail closed, nothing was sent"
            ) from error

    def close(self) -> None:
        if self._budget is not None:
            self._budget.close()


def _wait_s(run: Run) -> float:
    """How long a call can wait for the store: a busy one is no failing one, while there is time."""
    left_s = run.deadline.remaining_s()
    return STORE_WAIT_S if left_s is None else min(STORE_WAIT_S, left_s)
