"""The built-in scorers keep the contract that third parties' scorers keep."""

from __future__ import annotations

import pytest
from tests.unit.quality.conftest import rows

from routekit.builtin.scorers.learned import Learned
from routekit.builtin.scorers.static import Static
from routekit.plugin import Scorer
from routekit.quality import QualityModel
from routekit.testing.contracts import ScorerContract

_MODEL: list[QualityModel] = []


def _model() -> QualityModel:
    if not _MODEL:
        given = rows(120)
        for row in given:
            row["scores"]["known"] = row["scores"].pop("small")
        _MODEL.append(QualityModel.fit(given, embedder="none"))
    return _MODEL[0]


class TestStatic(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Static()


class TestLearned(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Learned(_model())
