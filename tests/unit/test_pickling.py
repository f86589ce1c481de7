"""What travels to another process and back: results, errors, and a router as its configuration."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import Router, RouteResult, errors
from routekit.errors import BudgetExceededError, GuardBlockedError, RoutekitError, StreamInterruptedError
from routekit.langchain import RoutedChatModel
from routekit.testing import ScriptedProvider
from routekit.types import Money

Face = SyncFace | AsyncFace
ONE: dict[str, Any] = {
    "deployments": [
        {"name": "a", "provider": "openai-compatible", "model": "m", "base_url": "http://127.0.0.1:9/v1",
         "api_key_env": "THE_KEY"}
    ]
}  # fmt: skip


def there_and_back(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def test_results_decisions_and_chunks(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider("abc")})
    result = face.complete(router, "hi")
    for back in (there_and_back(result), copy.deepcopy(result)):
        assert isinstance(back, RouteResult)
        assert (back.text, back.usage, back.cost, back.savings) == ("abc", result.usage, result.cost, result.savings)
        assert back.decision.reason == result.decision.reason
        assert back.attempts == result.attempts
        assert back.to_dict() == result.to_dict()
    chunks, streamed = face.stream(router, "hi")
    assert [chunk.text for chunk in there_and_back(chunks)] == [chunk.text for chunk in chunks]
    assert there_and_back(streamed).text == streamed.text
    assert there_and_back(router.explain("hi")).reason == router.explain("hi").reason
    assert there_and_back(router.health()) == router.health()


KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RoutekitError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error(kind: type[RoutekitError]) -> None:
    router = scripted_router({"a": ScriptedProvider("abc")})
    one = Money(1)
    given: dict[type[RoutekitError], dict[str, Any]] = {
        BudgetExceededError: {"scope": "s", "limit": one, "spent": one, "reserved": one, "asked": one},
        GuardBlockedError: {"guard": "g", "rule": "r", "where": "request"},
        StreamInterruptedError: {"partial": router.complete("hi")},
    }
    named = given.get(kind, {})
    error = kind(**named) if named and kind is not StreamInterruptedError else kind("what happened", **named)
    for back in (there_and_back(error), copy.copy(error)):
        assert type(back) is kind
        assert str(back) == str(error)
        assert back.__dict__.keys() == error.__dict__.keys()


def test_a_router_comes_back_as_itself_where_it_lives() -> None:
    router = Router.from_dict(ONE)
    model = RoutedChatModel(router=router, strategy="best", api_key="sk-of-the-caller")
    assert there_and_back(router) is router
    assert copy.deepcopy(router) is copy.copy(router) is router
    back = there_and_back(model)
    assert back.router is router
    assert back.strategy == "best"
    assert copy.deepcopy(model).router is router
    router.close()


def test_elsewhere_one_is_built_for_all_copies_and_no_key_travels(tmp_path: Path) -> None:
    env = {"THE_KEY": "sk-very-secret", "ROUTEKIT_HOME": str(tmp_path), "ROUTEKIT_PLUGINS": ""}
    router = Router.from_dict(ONE, env=env)
    model = RoutedChatModel(router=router, api_key="sk-very-secret")
    parcel = pickle.dumps([router, model, router])
    assert b"very-secret" not in parcel
    file = tmp_path / "parcel"
    file.write_bytes(parcel)
    code = (
        "import pickle, sys\n"
        f"first = pickle.load(open({str(file)!r}, 'rb'))\n"
        f"second = pickle.load(open({str(file)!r}, 'rb'))\n"
        "routers = {id(each) for each in (first[0], first[1].router, first[2], second[0], second[1].router)}\n"
        "print(len(routers), first[0].home, first[0].deployments[0].name)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == ["1", str(tmp_path), "a"]
    router.close()


def test_a_router_that_nobody_holds_is_forgotten_without_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-very-secret")
    gc.disable()
    try:
        router = Router.from_dict(ONE)
        router.explain("hi")
        there_and_back(router)
        forgotten = weakref.ref(router)
        del router
        assert forgotten() is None
    finally:
        gc.enable()
