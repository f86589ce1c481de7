"""The suite holds for the plainest shared state there is."""

from __future__ import annotations

import pytest
from tests.support.shared_board import Board, Member

from routekit.plugin import SharedState
from routekit.testing.contracts import SharedContract


class TestBoard(SharedContract):
    @pytest.fixture
    def pair(self) -> tuple[SharedState, SharedState]:
        board = Board()
        return Member(board), Member(board)
