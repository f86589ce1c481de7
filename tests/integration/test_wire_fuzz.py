"""Over real HTTP: answers and events with any field changed end as an answer or as an error of the tree."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.openai_server import OpenAIServer
from tests.support.routers import FACES

from routekit import RoutekitError, Router

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
LOGPROBS = {"content": [{"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}


def choice(place: str, reason: str | None, **said: Any) -> dict[str, Any]:
    return {"index": 0, place: {"role": "assistant", **said}, "finish_reason": reason, "logprobs": LOGPROBS}


BODY = {
    "id": "x",
    "model": "m",
    "choices": [choice("message", "stop", content="Hi.", tool_calls=[CALL])],
    "usage": USAGE,
}
EVENTS = [
    {"id": "x", "model": "m", "choices": [choice("delta", None, content="Hi.", reasoning_content="hm")]},
    {"id": "x", "model": "m", "choices": [choice("delta", None, tool_calls=[CALL], annotations=[{"type": "x"}])]},
    {"id": "x", "model": "m", "choices": [choice("delta", "stop")], "usage": USAGE},
]


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where everything in a document is, the document itself first."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*at, key))


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = new
    return value


NONSENSE = [None, True, False, 0, -1, 1e308, "", "x", "\ud83d", [], [None], {}, {"x": 1}, [[]], "9" * 40, {"type": []}]


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    at=st.sampled_from([("body", path) for path in paths(BODY)] + [("events", path) for path in paths(EVENTS) if path]),
    new=st.sampled_from(NONSENSE),
    swapped=st.booleans(),
)
def test_any_field_may_be_nonsense(
    server: OpenAIServer, face: Any, streamed: bool, at: tuple[str, Any], new: Any, swapped: bool
) -> None:
    kind, path = at
    if kind == "body":
        server.reply(body=changed(BODY, path, new))
    else:
        made = changed(EVENTS, path, new)
        server.reply(events=[json.dumps(event) for event in made] + ["[DONE]"])
    deployment = {
        "name": "a",
        "provider": "openai-compatible",
        "model": "m",
        "base_url": server.url,
        "price": {"input": 1, "output": 1},
    }
    with Router.from_dict(
        {"deployments": [deployment], "router": {"max_attempts": 1}, "records": {"enabled": False}}
    ) as router:
        try:
            if streamed:
                result = face.stream(router, "hi", tools=[TOOL])[1]
            else:
                result = face.complete(router, "hi", tools=[TOOL])
        except RoutekitError as error:
            assert "unclassified" not in str(error)  # noqa: PT017 - an error is one of two good ends
        else:
            json.dumps(dict(result.message), ensure_ascii=False, allow_nan=False).encode()
        assert router.health()[0].in_flight == 0
