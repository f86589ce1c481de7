"""What callers pass, as it arrives at a real server: keys of the body are those that were meant for it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.resources.chat.completions import Completions
from tests.support.openai_server import OpenAIServer
from tests.support.routers import FACES

from routekit import Router
from routekit.errors import InvalidInputError, RoutekitError
from routekit.langchain import RoutedChatModel
from routekit.types.parameters import KNOWN

SECRET = "s3cret-value-0123456789"
OWN = {"model", "messages", "stream", "stream_options"}
Face = Any


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def router(server: OpenAIServer) -> Iterator[Router]:
    with Router(table_of(server), env={"ROUTEKIT_PLUGINS": "", "KEY": "sk-of-the-deployment"}) as router:
        yield router


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def table_of(server: OpenAIServer, **more: Any) -> dict[str, Any]:
    deployment = {
        "name": "a", "provider": "openai-compatible", "model": "m", "base_url": server.url, "api_key_env": "KEY",
        "price": {"input": 1, "output": 1}, "headers": {"X-Config": "of the deployment"}, **more,
    }  # fmt: skip
    return {"deployments": [deployment]}


def ask(face: Face, router: Router, streamed: bool, **options: Any) -> Any:
    return face.stream(router, "hi", **options) if streamed else face.complete(router, "hi", **options)


def chain(router: Router, way: str, **options: Any) -> Any:
    model = RoutedChatModel(router=router)
    if way == "invoke":
        return model.invoke("hi", **options)
    if way == "ainvoke":
        return asyncio.run(model.ainvoke("hi", **options))
    if way == "stream":
        return list(model.stream("hi", **options))
    if way == "bind":
        return model.bind(**options).invoke("hi")
    return RoutedChatModel(router=router, model_kwargs=options).invoke("hi")


@pytest.mark.parametrize("streamed", [False, True])
class TestHeaders:
    def test_they_are_headers(self, face: Face, router: Router, server: OpenAIServer, streamed: bool) -> None:
        ask(face, router, streamed, extra_headers={"X-Title": "a", "x-config": "of the call"})
        last = server.requests[-1]
        assert last.headers["x-title"] == "a"
        assert last.headers["x-config"] == "of the call"
        assert last.headers["authorization"] == "Bearer sk-of-the-deployment"
        assert last.body.keys() <= OWN
        ask(face, router, streamed)
        assert "x-title" not in server.requests[-1].headers
        assert server.requests[-1].headers["x-config"] == "of the deployment"

    @pytest.mark.parametrize("name", ["Authorization", "authorization", "Content-Type", "content-length", "Host"])
    def test_those_of_the_deployment_are_not_replaced(
        self, face: Face, router: Router, server: OpenAIServer, streamed: bool, name: str
    ) -> None:
        before = len(server.requests)
        with pytest.raises(InvalidInputError, match="extra_headers"):
            ask(face, router, streamed, extra_headers={name: SECRET})
        assert len(server.requests) == before

    def test_what_is_in_them_comes_back_in_no_error_and_no_log(
        self, face: Face, router: Router, server: OpenAIServer, streamed: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server.reply(status=400, body={"error": {"message": f"bad header {SECRET}", "code": "invalid_value"}})
        with pytest.raises(RoutekitError) as failed:
            ask(face, router, streamed, extra_headers={"X-Token": SECRET})
        assert SECRET not in f"{failed.value!r} {failed.value} {caplog.text}"


@pytest.mark.parametrize("streamed", [False, True])
class TestBody:
    def test_extra_body_is_merged_into_the_body(
        self, face: Face, router: Router, server: OpenAIServer, streamed: bool
    ) -> None:
        ask(face, router, streamed, temperature=0, extra_body={"top_k": 5, "odd": {"a": [1]}, "temperature": 1})
        body = server.requests[-1].body
        assert (body["top_k"], body["odd"], body["temperature"]) == (5, {"a": [1]}, 0)
        assert "extra_body" not in body

    def test_system_is_a_message_and_timeout_the_deadline(
        self, face: Face, router: Router, server: OpenAIServer, streamed: bool
    ) -> None:
        ask(face, router, streamed, system="Be brief.", timeout=30, request_timeout=None)
        body = server.requests[-1].body
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert body.keys() <= OWN
        for options in (
            {"timeout": 0},
            {"timeout": "3"},
            {"timeout": 3, "deadline_s": 3},
            {"timeout": openai.Timeout(3)},
        ):
            with pytest.raises(InvalidInputError, match="timeout"):
                ask(face, router, streamed, **options)
        with pytest.raises(InvalidInputError, match="system"):
            ask(face, router, streamed, system=7)

    def test_a_stream_is_asked_for_by_its_method(
        self, face: Face, router: Router, server: OpenAIServer, streamed: bool
    ) -> None:
        ask(face, router, streamed, stream=streamed)
        assert bool(server.requests[-1].body.get("stream")) is streamed
        with pytest.raises(InvalidInputError, match="stream"):
            ask(face, router, streamed, stream=not streamed)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "bind", "model_kwargs"])
class TestLangChain:
    def test_headers_and_body_travel_from_any_entrance(self, router: Router, server: OpenAIServer, way: str) -> None:
        chain(router, way, extra_headers={"X-Title": "a"}, extra_body={"odd": 1}, top_k=3)
        last = server.requests[-1]
        assert last.headers["x-title"] == "a"
        assert last.body.keys() <= OWN | {"odd", "top_k"}

    @pytest.mark.parametrize("name", ["api_key", "base_url", "default_headers", "max_retries", "http_client", "zzzz"])
    def test_options_of_clients_are_refused(self, router: Router, server: OpenAIServer, way: str, name: str) -> None:
        before = len(server.requests)
        with pytest.raises(InvalidInputError, match=name):
            chain(router, way, **{name: SECRET})
        assert len(server.requests) == before


def test_what_langchain_traces_and_caches_by_shows_no_header(router: Router) -> None:
    from langchain_core.caches import InMemoryCache
    from langchain_core.callbacks import BaseCallbackHandler

    seen: list[str] = []

    class Everything(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            seen.append(repr((args, kwargs)))

    cache = InMemoryCache()
    model = RoutedChatModel(router=router, cache=cache, model_kwargs={"extra_headers": {"X-One": SECRET}})
    bound = model.bind(extra_headers={"X-Two": SECRET})
    for runnable in (model, bound):
        runnable.invoke("hi", config={"callbacks": [Everything()]})
    assert len(seen) == 2
    assert SECRET not in f"{seen} {cache._cache.keys()} {model!r} {bound!r} {bound.kwargs}"


def test_headers_are_part_of_the_key_of_the_cache(server: OpenAIServer, face: Face) -> None:
    table = {**table_of(server), "cache": {"use": ["memory"]}}
    with Router(table, env={"ROUTEKIT_PLUGINS": "", "KEY": "sk-x"}) as router:
        before = len(server.requests)
        for headers in ({"X-A": "1"}, {"X-A": "2"}, {"x-a": "1"}, None, {"X-A": "2"}):
            face.complete(router, "hi", extra_headers=headers)
        assert len(server.requests) - before == 3


NAMES = sorted(
    {
        *inspect.signature(Completions.create).parameters,
        *inspect.signature(openai.OpenAI.__init__).parameters,
        *inspect.signature(openai.AsyncAzureOpenAI.__init__).parameters,
        *inspect.signature(openai.OpenAI.with_options).parameters,
        "api_base", "num_retries", "mock_response", "custom_llm_provider", "model_list", "fallbacks", "metadata",
        "callbacks", "api_type", "request_timeout", "verbose", "model_name", "temperatur", "zzz",
    }
    - {"self", "messages", "tools", "model", "stream"}
)  # fmt: skip
VALUES = st.sampled_from([None, True, 1, 0.5, "x", SECRET, {"X-Y": "z"}, {"odd": 1}, ["x"]])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(options=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_whatever_is_passed_the_body_has_only_what_was_meant_for_it(
    router: Router, server: OpenAIServer, options: dict[str, Any]
) -> None:
    before = len(server.requests)
    with contextlib.suppress(RoutekitError):
        router.complete("hi", **options)
    for request in server.requests[before:]:
        assert request.body.keys() <= OWN | KNOWN | {"odd", "X-Y"}
        beside = options.get("extra_body") or {}
        assert request.body.keys() - OWN <= options.keys() | beside.keys()
        assert request.headers["authorization"] == "Bearer sk-of-the-deployment"
