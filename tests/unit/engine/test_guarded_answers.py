"""Guards read an answer on every way out, and what is kept is what the upstream said."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import GuardBlockedError, Router
from routekit.plugin import Guard, GuardPlugin, GuardVerdict, hookimpl
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Message, RouteRequest

Face = SyncFace | AsyncFace


class Secretive(Guard):
    """Redacts "private" for those who may see the rest, refuses all of it for others."""

    checks_responses = True

    def check_response(self, request: RouteRequest, message: Message) -> GuardVerdict:
        text = str(message.get("content") or "")
        if "private" not in text:
            return GuardVerdict()
        if "stranger" in request.scopes.get("role", ()):
            return GuardVerdict(action="block", rule="private")
        if "owner" in request.scopes.get("role", ()):
            return GuardVerdict()
        changed: Any = {**message, "content": text.replace("private", "[gone]")}
        return GuardVerdict(action="redact", rule="private", messages=(changed,))


class Plugin:
    @hookimpl
    def routekit_guards(self) -> list[GuardPlugin]:
        return [GuardPlugin(name="secretive", factory=lambda options, context: Secretive())]


def router_of(provider: ScriptedProvider, **cache: Any) -> Router:
    return scripted_router(
        {"a": provider},
        a={"capabilities": ["chat", "logprobs"]},
        config={"cache": {"use": ["memory"], "scope": "project", **cache}, "guards": [{"use": "secretive"}]},
        plugins=[Plugin()],
    )


def role(name: str) -> dict[str, str]:
    return {"role": name}


def test_a_cached_answer_is_read_for_each_who_asks(face: Face) -> None:
    provider = ScriptedProvider("a private word")
    router = router_of(provider)
    first = face.complete(router, "hi", scopes=role("friend"))
    assert (first.text, first.cache) == ("a [gone] word", "miss")
    kept = face.complete(router, "hi", scopes=role("owner"))
    assert (kept.text, kept.cache) == ("a private word", "hit"), "what is kept is what the upstream said"
    again = face.complete(router, "hi", scopes=role("friend"))
    assert (again.text, again.cache) == ("a [gone] word", "hit")
    assert any("redacted the answer" in note for note in again.decision.notes)
    with pytest.raises(GuardBlockedError):
        face.complete(router, "hi", scopes=role("stranger"))
    assert len(provider.calls) == 1


def test_so_is_a_replayed_stream(face: Face) -> None:
    router = router_of(ScriptedProvider("a private word"))
    for _ in range(2):
        chunks, result = face.stream(router, "hi", scopes=role("friend"))
        assert "".join(chunk.text for chunk in chunks) == result.text == "a [gone] word"
    with pytest.raises(GuardBlockedError):
        face.stream(router, "hi", scopes=role("stranger"))


def test_so_is_a_stale_answer(face: Face) -> None:
    router = router_of(ScriptedProvider("a private word", "a private word"), ttl_s=60, stale_s=100, jitter=0)
    face.complete(router, "hi", scopes=role("owner"))
    router.clock.sleep(61)
    stale = face.complete(router, "hi", scopes=role("friend"))
    assert (stale.text, stale.cache) == ("a [gone] word", "hit")
    router.close()


def test_so_is_the_answer_that_somebody_else_was_waiting_for() -> None:
    started, go_on = threading.Event(), threading.Event()

    def answer(call: Any) -> str:
        started.set()
        go_on.wait(20)
        return "a private word"

    provider = ScriptedProvider(answer)
    router = router_of(provider)
    said: dict[str, Any] = {}

    def ask(name: str) -> None:
        try:
            said[name] = router.complete("hi", scopes=role(name)).text
        except GuardBlockedError as error:
            said[name] = type(error)

    first = threading.Thread(target=ask, args=("friend",))
    first.start()
    assert started.wait(20)
    others = [threading.Thread(target=ask, args=(name,)) for name in ("owner", "stranger")]
    for other in others:
        other.start()
    go_on.set()
    for thread in (first, *others):
        thread.join(20)
    assert said == {"friend": "a [gone] word", "owner": "a private word", "stranger": GuardBlockedError}
    assert len(provider.calls) == 1


def test_what_was_derived_from_a_changed_answer_goes_with_it(face: Face) -> None:
    told = {"content": [{"token": "private", "logprob": -0.1}]}
    provider = ScriptedProvider(Reply("a private word", logprobs=told), Reply("a word", logprobs=told))
    router = router_of(provider)
    assert face.complete(router, "hi", logprobs=True, scopes=role("friend")).logprobs is None
    assert face.complete(router, "hi", logprobs=True, scopes=role("friend")).logprobs == told


def test_a_users_own_checks_read_cached_answers_too(face: Face) -> None:
    """Stored by a router without the check, looked at by one that has it."""
    provider = ScriptedProvider("I cannot", "certainly")
    wary = scripted_router({"a": provider}, config={"cache": {"use": ["memory"]}})
    face.complete(wary, "hi")
    wary._engine._answers.checks = (lambda answer: "cannot" in answer.text and "declines",)
    wary._engine._caching._usable = wary._engine._usable
    asked = face.complete(wary, "hi")
    assert (asked.text, asked.cache) == ("certainly", "miss")


@pytest.mark.parametrize("action", ["redact", "block"])
def test_tools_and_parameters_are_guarded(face: Face, action: str) -> None:
    provider = ScriptedProvider("ok", "ok")
    router = scripted_router(
        {"a": provider}, config={"guards": [{"use": "pattern", "rules": [{"preset": "email", "action": action}]}]},
        a={"capabilities": ["chat", "tools"]},
    )  # fmt: skip
    tool = {"type": "function", "function": {"name": "f", "description": "mail a@b.io", "parameters": {}}}
    prediction = {"type": "content", "content": "a@b.io"}
    for given in ({"tools": [tool]}, {"prediction": prediction}):
        if action == "block":
            with pytest.raises(GuardBlockedError):
                face.complete(router, "hi", **given)
        else:
            face.complete(router, "hi", **given)
    if action == "redact":
        sent = repr([(call.tools, dict(call.params)) for call in provider.calls])
        assert "a@b.io" not in sent
        assert sent.count("[redacted:email]") == 2
    assert tool["function"]["description"] == "mail a@b.io", "the caller's own was changed"  # type: ignore[index]
