"""Several routers that share limits and ejections, as on several machines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.routers import FACES
from tests.support.shared_board import Board, Member

from routekit import NoCandidateError, Router
from routekit.errors import ProviderUnavailableError, RoutekitError
from routekit.plugin import SharedPlugin, hookimpl
from routekit.testing import ScriptedProvider, plugin_module

Face = Any


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


class Joined:
    def __init__(self, board: Board) -> None:
        self.member = Member(board)

    @hookimpl
    def routekit_shared(self) -> Iterable[SharedPlugin]:
        return [SharedPlugin(name="board", factory=lambda options, context: self.member)]


def joined(board: Board, *scripts: ScriptedProvider, limits: dict[str, int] | None = None) -> tuple[Router, Member]:
    """A router on the machine's own clock; its deployments are "a", "b" ..."""
    names = "ab"[: len(scripts)]
    tables = [
        {
            "name": name, "provider": "scripted", "model": name, "quality": 0.5,
            "price": {"input": 1 + place, "output": 1 + place}, "limits": (limits or {}) if name == "a" else {},
        }
        for place, name in enumerate(names)
    ]  # fmt: skip
    plugin = Joined(board)
    router = Router(
        {"router": {"shared": "board", "deadline_s": 5}, "deployments": tables, "reliability": {"queue": 0}},
        plugins=[plugin_module(ScriptedProvider()), plugin],
        providers=dict(zip(names, scripts, strict=True)),
        env={"ROUTEKIT_PLUGINS": ""},
    )
    return router, plugin.member


def test_limits_hold_over_all_machines(face: Face) -> None:
    board = Board()
    first, _ = joined(board, ScriptedProvider("ok"), ScriptedProvider("ok"), limits={"rpm": 3})
    second, _ = joined(board, ScriptedProvider("ok"), ScriptedProvider("ok"), limits={"rpm": 3})
    with first, second:
        answered = [face.complete(router, "hi").deployment.name for router in (first, second, first, second, first)]
    assert answered == ["a", "a", "a", "b", "b"]


def test_a_shared_limit_refuses_where_nobody_else_is(face: Face) -> None:
    board = Board()
    first, _ = joined(board, ScriptedProvider("ok"), limits={"rpm": 1})
    second, _ = joined(board, ScriptedProvider("ok"), limits={"rpm": 1})
    with first, second:
        face.complete(first, "hi")
        with pytest.raises(RoutekitError, match="requests per minute"):
            face.complete(second, "hi")
        assert second.health()[0].in_flight == 0


@pytest.mark.parametrize("ending", ["answer", "failure", "stream", "abandoned"])
def test_a_call_is_given_back_on_every_path(face: Face, ending: str) -> None:
    board = Board()
    script = ProviderUnavailableError("down") if ending == "failure" else "one two three"
    router, _ = joined(board, ScriptedProvider(script), limits={"concurrency": 1})
    with router:
        for _ in range(3):
            if ending == "stream":
                face.stream(router, "hi")
            elif ending == "abandoned":
                face.read(router, 1, "hi")
            elif ending == "failure":
                with pytest.raises(RoutekitError):
                    face.complete(router, "hi")
            else:
                face.complete(router, "hi")
            assert list(board.calls.values()) == [set()]


def test_a_task_cancelled_while_it_counts_gives_back() -> None:
    board = Board()
    router, _ = joined(board, ScriptedProvider("ok"), limits={"concurrency": 1})

    async def main() -> None:
        board.lock.acquire()
        try:
            task = asyncio.create_task(router.acomplete("hi"))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.sleep(0.01)
        finally:
            board.lock.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        assert (await router.acomplete("hi")).text == "ok"

    with router:
        asyncio.run(main())
    assert router.health()[0].in_flight == 0


def test_an_ejection_is_heard_by_the_others(face: Face) -> None:
    board = Board()
    down = ProviderUnavailableError("down")
    first, _ = joined(board, ScriptedProvider(down), ScriptedProvider("ok"))
    asked = ScriptedProvider("ok")
    second, _ = joined(board, asked, ScriptedProvider("ok"))
    with first, second:
        for _ in range(5):
            face.complete(first, "hi")
        assert first.health()[0].state == "open"
        row = second.health()[0]
        assert row.state == "open"
        assert row.reason.startswith("ejected elsewhere: ")
        assert abs((row.until or 0) - (first.health()[0].until or 1)) < 1
        assert face.complete(second, "hi").deployment.name == "b"
        assert asked.calls == []
        late, _ = joined(board, ScriptedProvider("ok"), ScriptedProvider("ok"))
        with late:
            assert late.health()[0].state == "open", "who starts later hears of it too"
    assert len(board.ejected) == 1, "what was heard is not told again"


def test_without_the_store_each_goes_by_its_own(face: Face) -> None:
    board = Board()
    router, member = joined(board, ScriptedProvider("ok"), limits={"rpm": 2})
    with router:
        member.broken = True
        assert face.complete(router, "hi").text == "ok"
        assert face.complete(router, "hi").text == "ok"
        with pytest.raises(NoCandidateError, match="requests per minute"):
            face.complete(router, "hi")
    assert member.closed
