"""The contract of a scorer, as tests.

Example::

    import pytest
    from routekit.testing.contracts import ScorerContract
    from routekit_mine import ByLength

    class TestByLength(ScorerContract):
        @pytest.fixture
        def scorer(self):
            return ByLength()
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from routekit.plugin import Scorer
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import Deployment, Model, RouteRequest, Score


class ScorerContract(ContractSuite):
    """Subclass it and give the `scorer` fixture; and `deployments` where it knows some by name."""

    @pytest.fixture
    def scorer(self) -> Scorer:
        """The scorer under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `scorer` that returns the scorer")

    @pytest.fixture
    def deployments(self) -> Sequence[Deployment]:
        """The deployments that it is asked about."""
        return [
            Deployment(name="known", provider="x", model=Model(id="known"), quality=0.7),
            Deployment(name="stranger", provider="x", model=Model(id="stranger-1")),
        ]

    @pytest.fixture
    def requests(self) -> Sequence[RouteRequest]:
        """The requests that it looks at."""
        texts = ["How many moons has Mars?", "", "x" * 20_000, "\ud800 \x00", "def f():\n    return 1"]
        own = [RouteRequest(messages=({"role": "user", "content": text},)) for text in texts]
        parts = RouteRequest(messages=({"role": "user", "content": [{"type": "text", "text": "Look."}]},))
        silent = RouteRequest(messages=({"role": "system", "content": "Be kind."},))
        return [*own, parts, silent]

    def test_scores_are_of_the_deployments_that_were_given(
        self, scorer: Scorer, deployments: Sequence[Deployment], requests: Sequence[RouteRequest]
    ) -> None:
        for request in requests:
            assert set(scorer.score(request, deployments)) <= {deployment.name for deployment in deployments}
            assert not scorer.score(request, ())

    def test_scores_are_numbers_from_0_to_1(
        self, scorer: Scorer, deployments: Sequence[Deployment], requests: Sequence[RouteRequest]
    ) -> None:
        for request in requests:
            for score in scorer.score(request, deployments).values():
                assert isinstance(score, Score)
                assert 0 <= score.low <= score.value <= 1
                assert 0 <= score.trust <= 1
                assert score.source

    def test_the_same_request_gets_the_same_scores_in_any_order(
        self, scorer: Scorer, deployments: Sequence[Deployment], requests: Sequence[RouteRequest]
    ) -> None:
        for request in requests:
            first = dict(scorer.score(request, deployments))
            assert dict(scorer.score(request, deployments)) == first
            assert dict(scorer.score(request, tuple(reversed(deployments)))) == first

    def test_a_request_is_left_as_it_is(
        self, scorer: Scorer, deployments: Sequence[Deployment], requests: Sequence[RouteRequest]
    ) -> None:
        for request in requests:
            before = copy.deepcopy(request.messages)
            scorer.score(request, deployments)
            assert request.messages == before

    def test_threads_do_not_disturb_each_other(
        self, scorer: Scorer, deployments: Sequence[Deployment], requests: Sequence[RouteRequest]
    ) -> None:
        alone = [dict(scorer.score(request, deployments)) for request in requests]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda request: dict(scorer.score(request, deployments)), list(requests) * 8))
        assert together == alone * 8
