from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.budget.charges import PARTS, charges_for, prior_identities, rolling_period_s, window_identity
from routekit.errors import InvalidInputError
from routekit.types import BudgetScope, Deployment, Model, Money


def deployment(**options: object) -> Deployment:
    return Deployment(name="mini", provider="openai", model=Model(id="m"), options=options)


def names(scope: str, values: dict[str, tuple[str, ...]], **options: object) -> list[str]:
    scopes = [BudgetScope(scope=scope, limit=Money(1))]
    return [charge.key for _, charge in charges_for(scopes, values, deployment(**options), 0)]


@pytest.mark.parametrize(
    ("scope", "values", "expected"),
    [
        ("global", {}, ["global|total"]),
        ("project:search", {"project": ("search",)}, ["project:search|total"]),
        ("project:search", {"project": ("other",)}, []),
        ("user:*", {"user": ("ada", "bob")}, ["user:ada|total", "user:bob|total"]),
        ("step:plan", {"step": ("plan",)}, ["step:plan|total"]),
        ("run:*", {"run": ("r1",)}, ["run:r1|total"]),
        ("deployment:mini", {}, ["deployment:mini|total"]),
        ("deployment:other", {}, []),
        ("provider:*", {}, ["provider:openai|total"]),
        ("team:red", {"team": ("red",)}, ["team:red|total"]),
    ],
)
def test_a_scope_finds_what_falls_under_it(scope: str, values: dict[str, tuple[str, ...]], expected: list[str]) -> None:
    assert names(scope, values) == expected


def test_a_key_is_the_callers_or_the_deployments_variable() -> None:
    assert names("key:OPENAI_API_KEY", {}, api_key_env="OPENAI_API_KEY") == ["key:OPENAI_API_KEY|total"]
    assert names("key:*", {"key": ("team-a",)}, api_key_env="K") == ["key:team-a|total", "key:K|total"]
    assert names("key:*", {}) == []


def test_several_windows_of_one_scope_are_balances_of_their_own() -> None:
    scopes = [BudgetScope(scope="global", limit=Money(1), window=window) for window in ("day", "month", "rolling:1h")]
    charges = [charge for _, charge in charges_for(scopes, {}, deployment(), 86_400.0 * 40)]
    assert [charge.key for charge in charges] == [
        "global|day:1970-02-10@UTC",
        "global|month:1970-02@UTC",
        "global|rolling:1h:57600",
    ]
    assert len(charges[2].prior) == PARTS
    assert charges[2].prior[-1] == "global|rolling:1h:57599"
    assert charges[0].warn_at == (0.5, 0.8, 0.9, 1.0)


@pytest.mark.parametrize("window", ["rolling", "rolling:", "rolling:0h", "rolling:1w", "rolling:1.5h", "year", ""])
def test_what_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(InvalidInputError, match="window must be"):
        rolling_period_s(window)


@given(
    now=st.floats(0, 4e9),
    earlier_s=st.floats(0, 200_000),
    window=st.sampled_from(["rolling:1s", "rolling:7m", "rolling:1h", "rolling:24h", "rolling:2d"]),
)
def test_a_rolling_window_looks_back_over_its_period_and_one_part_at_most(
    now: float, earlier_s: float, window: str
) -> None:
    period_s = rolling_period_s(window)
    seen = {window_identity(window, "UTC", now)[0], *prior_identities(window, now)}
    then = now - earlier_s
    if then < 0:
        return
    counted = window_identity(window, "UTC", then)[0] in seen
    if earlier_s <= period_s:
        assert counted, "what was spent within the period has been forgotten"
    if earlier_s > period_s * (PARTS + 1) / PARTS:
        assert not counted


@given(now=st.floats(0, 4e9), window=st.sampled_from(["rolling:60s", "rolling:24h"]))
def test_what_is_spent_now_has_left_a_rolling_window_at_its_reset(now: float, window: str) -> None:
    identity, resets_at = window_identity(window, "UTC", now)
    assert resets_at is not None
    after = resets_at + dt.timedelta(milliseconds=1)
    before = resets_at - dt.timedelta(milliseconds=1)
    assert identity not in {window_identity(window, "UTC", after.timestamp())[0]}
    assert identity not in prior_identities(window, after.timestamp())
    if before.timestamp() >= now:
        assert identity in {window_identity(window, "UTC", before.timestamp())[0]} | set(
            prior_identities(window, before.timestamp())
        )
