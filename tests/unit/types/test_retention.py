"""The stricter of two requirements."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.plan.planner import Pool
from routekit.types import Deployment, Model, Requirements
from routekit.types.retention import retention_fits, stricter_retention

WORDS = st.none() | st.sampled_from(["zero", "none", "7d", "30d", "default", "90d", "unlimited", "who knows"])
SETS = st.frozensets(st.sampled_from(["a", "b", "c"]))
REQUIREMENTS = st.builds(
    Requirements, retention=WORDS, regions=SETS, tags=SETS, allowed_providers=SETS, denied_providers=SETS
)
DEPLOYMENTS = st.builds(
    lambda retention, region, tags, provider: Deployment(
        name="d", provider=provider, model=Model(id="m"), retention=retention, region=region, tags=tags
    ),
    WORDS, st.none() | st.sampled_from(["a", "b"]), SETS, st.sampled_from(["a", "b", "c"]),
)  # fmt: skip


@given(WORDS, WORDS, WORDS)
def test_the_stricter_permits_what_both_permit(one: str | None, other: str | None, has: str | None) -> None:
    both = stricter_retention(one, other)
    fits = both is None or retention_fits(has, both)
    if fits:
        assert one is None or retention_fits(has, one) or one not in ("zero", "none", "7d", "30d", "default", "90d")
        assert other is None or retention_fits(has, other) or other not in ("zero", "none", "7d", "30d")
    assert stricter_retention(one, other) in (one, other)


@given(REQUIREMENTS, REQUIREMENTS, DEPLOYMENTS)
def test_both_at_once_admit_nothing_that_either_rejects(
    one: Requirements, other: Requirements, deployment: Deployment
) -> None:
    def admits(wanted: Requirements) -> bool:
        return not Pool([deployment]).filtered(frozenset(), wanted)[1]

    if admits(one | other):
        assert admits(one)
        assert admits(other)
