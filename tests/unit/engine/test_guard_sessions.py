"""A guard that puts values back reads streams in pieces, and nobody else sees the values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import GuardBlockedError, GuardUnavailableError, Router
from routekit.plugin import Guard, GuardPlugin, GuardVerdict, Observer, ObserverPlugin, hookimpl
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Event, RouteRequest

Face = SyncFace | AsyncFace
VALUE = "anna.kessler@example.net"


class Watching(Observer):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, event: Event) -> None:
        for name in ("request", "result", "error"):
            self.seen.append(str(getattr(event, name, "").__repr__()))
            request = getattr(event, "request", None)
            if request is not None:
                self.seen.append(str(request.messages))
            result = getattr(event, "result", None)
            if result is not None:
                self.seen.append(str(result.message))


class Faulty(Guard):
    def check_request(self, request: RouteRequest) -> GuardVerdict:
        raise ValueError(f"cannot read {request.messages}")


def router_of(provider: ScriptedProvider, watching: Watching | None = None, **options: Any) -> Router:
    class Plugin:
        @hookimpl
        def routekit_guards(self) -> list[GuardPlugin]:
            return [GuardPlugin(name="faulty", factory=lambda options, context: Faulty())]

        @hookimpl
        def routekit_observers(self) -> list[ObserverPlugin]:
            return [ObserverPlugin(name="watching", factory=lambda options, context: watching or Watching())]

    config = {"guards": [{"use": "pii", **options}], "observers": [{"use": "watching"}], "cache": {"use": ["memory"]}}
    return scripted_router({"a": provider}, config=config, plugins=[Plugin()])


def test_values_are_put_back_in_streams_and_in_whole_answers(face: Face) -> None:
    watching = Watching()
    provider = ScriptedProvider(Reply("I wrote to [EMAIL_1] today"))
    router = router_of(provider, watching)
    chunks, result = face.stream(router, f"write to {VALUE}", cache="refresh")
    assert "".join(chunk.text for chunk in chunks) == result.text == f"I wrote to {VALUE} today"
    assert result.decision.guards[0].to_dict() == {
        "guard": "pii", "kind": "EMAIL", "where": "user", "count": 1, "score": 1.0
    }  # fmt: skip
    again = face.complete(router, f"write to {VALUE}")
    assert (again.text, again.cache) == (f"I wrote to {VALUE} today", "hit")
    other = face.complete(router, "write to bob@example.net")
    assert (other.text, other.cache) == ("I wrote to bob@example.net today", "hit"), "a table is one request's own"
    chunks, other = face.stream(router, "write to eve@example.net")
    assert "".join(chunk.text for chunk in chunks) == other.text == "I wrote to eve@example.net today"
    assert VALUE not in str(provider.calls)
    assert not any(VALUE in seen for seen in watching.seen)


def test_what_a_guard_refused_is_shown_to_nobody(face: Face) -> None:
    watching = Watching()
    router = router_of(ScriptedProvider("ok"), watching, action="block")
    with pytest.raises(GuardBlockedError) as caught:
        face.complete(router, f"write to {VALUE}")
    assert caught.value.rule == "EMAIL"
    assert VALUE not in str(caught.value)
    assert not any(VALUE in seen for seen in watching.seen)


def test_what_a_guard_raised_is_not_chained(face: Face) -> None:
    router = scripted_router(
        {"a": ScriptedProvider("ok")}, config={"guards": [{"use": "faulty"}]},
        plugins=[type("P", (), {"routekit_guards": hookimpl(lambda self: [
            GuardPlugin(name="faulty", factory=lambda options, context: Faulty())])})()],
    )  # fmt: skip
    with pytest.raises(GuardUnavailableError, match="ValueError at check_request") as caught:
        face.complete(router, f"write to {VALUE}")
    error: BaseException | None = caught.value
    while error is not None:
        assert VALUE not in str(error)
        error = error.__cause__ or error.__context__


def test_tool_arguments_get_their_values(face: Face) -> None:
    arguments = json.dumps({"to": "[EMAIL_1]"})
    call = {"id": "c", "type": "function", "function": {"name": "mail", "arguments": arguments}}
    router = router_of(ScriptedProvider(Reply(tool_calls=[call])))
    _, result = face.stream(router, f"write to {VALUE}", cache="bypass")
    assert json.loads(result.message["tool_calls"][0]["function"]["arguments"]) == {"to": VALUE}
