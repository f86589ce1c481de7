from __future__ import annotations

from typing import Any

import pytest
from tests.support.routers import FACES, scripted_router

from routekit import BudgetExceededError
from routekit.engine.history.partial import partial_of
from routekit.testing import ScriptedProvider

Face = Any
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TURN: list[Any] = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "old"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "looking", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "found"},
]


def test_it_is_what_stands_behind_the_newest_question() -> None:
    assert partial_of(TURN) == tuple(TURN[4:])
    assert partial_of(TURN[:4]) == partial_of([]) == ()
    assert partial_of(TURN[4:]) == tuple(TURN[4:])


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_has_it_whichever_way_it_is_asked(face: Face, stream: bool) -> None:
    config = {"router": {"budget_store": "memory"}, "budgets": [{"scope": "run:*", "limit_usd": 0.000001}]}
    router = scripted_router({"a": ScriptedProvider("x")}, config=config)
    with pytest.raises(BudgetExceededError) as refused:
        (face.stream if stream else face.complete)(router, TURN, scopes={"run": "r1"}, max_tokens=500)
    assert refused.value.partial == tuple(TURN[4:])
    assert refused.value.partial_text == "looking"
    with pytest.raises(BudgetExceededError) as refused:
        face.complete(router, "hi", scopes={"run": "r2"}, max_tokens=500)
    assert refused.value.partial == ()
    assert refused.value.partial_text == ""
