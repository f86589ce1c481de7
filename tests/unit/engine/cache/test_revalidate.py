"""An answer past its time is given at once, and made anew meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.routers import FACES, scripted_router

from routekit.errors import AllAttemptsFailedError, ProviderUnavailableError
from routekit.testing import ScriptedProvider

Face = Any


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def eventually(is_true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not is_true() and time.monotonic() < until:
        time.sleep(0.005)
    return is_true()


def config(stale_s: float) -> dict[str, Any]:
    return {"cache": {"use": ["memory"], "ttl_s": 60, "jitter": 0, "stale_s": stale_s}}


def test_a_stale_answer_is_given_and_a_new_one_made(face: Face) -> None:
    provider = ScriptedProvider("old", "new")
    with scripted_router({"a": provider}, config=config(100)) as router:
        face.complete(router, "hi")
        router.clock.sleep(59)
        assert not face.complete(router, "hi").decision.notes
        router.clock.sleep(2)
        stale = face.complete(router, "hi")
        assert (stale.text, stale.cache) == ("old", "hit")
        assert "older than its time" in stale.decision.notes[0]
        assert eventually(lambda: face.complete(router, "hi", cache="only").text == "new")
    assert len(provider.calls) == 2


def test_streams_too(face: Face) -> None:
    provider = ScriptedProvider("old", "new")
    with scripted_router({"a": provider}, config=config(100)) as router:
        face.stream(router, "hi")
        router.clock.sleep(61)
        chunks, _ = face.stream(router, "hi")
        assert "".join(chunk.text for chunk in chunks) == "old"
        assert eventually(lambda: len(provider.calls) == 2)
        assert eventually(lambda: face.complete(router, "hi").text == "new")


def test_it_is_made_anew_once_however_many_ask() -> None:
    gate = threading.Event()

    def answer(call: Any) -> str:
        if len(provider.calls) > 1:
            gate.wait(10)
        return f"answer {len(provider.calls)}"

    provider = ScriptedProvider(answer)
    with scripted_router({"a": provider}, config=config(100)) as router:
        router.complete("hi")
        router.clock.sleep(61)
        assert {router.complete("hi").text for _ in range(50)} == {"answer 1"}
        gate.set()
        assert eventually(lambda: router.complete("hi").text == "answer 2")
    assert len(provider.calls) == 2


def test_what_cannot_be_made_anew_is_given_until_its_end() -> None:
    provider = ScriptedProvider("old", ProviderUnavailableError("down"))
    with scripted_router({"a": provider}, config={**config(100), "router": {"max_attempts": 1}}) as router:
        router.complete("hi")
        router.clock.sleep(61)
        assert router.complete("hi").text == "old"
        assert eventually(lambda: len(provider.calls) == 2)
        assert router.complete("hi").text == "old"
        router.clock.sleep(100)
        with pytest.raises(AllAttemptsFailedError):
            router.complete("hi")


def test_by_default_nothing_is_given_past_its_time() -> None:
    provider = ScriptedProvider("old", "new")
    with scripted_router({"a": provider}, config=config(0)) as router:
        router.complete("hi")
        router.clock.sleep(61)
        assert router.complete("hi").text == "new"
