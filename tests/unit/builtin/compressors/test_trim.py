from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.conversations import calls_and_results, conversations

from routekit.builtin.compressors.trim import Trim
from routekit.types import RouteRequest, as_messages, count_tokens


def request(*messages: dict) -> RouteRequest:
    return RouteRequest(messages=as_messages(messages))


LONG = "word " * 400
HISTORY = request(
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": LONG},
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": LONG},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "a", "content": LONG},
    {"role": "user", "content": "and now?"},
)


def test_drops_the_oldest_turn_first_and_only_as_many_as_needed() -> None:
    compression = Trim().compress(HISTORY, 1200)
    assert [m["role"] for m in compression.request.messages] == ["system", "user", "assistant", "tool", "user"]
    assert compression.removed == "2 older messages"
    assert not compression.lossless


def test_drops_call_and_result_together() -> None:
    compression = Trim().compress(HISTORY, 600)
    assert [m["content"] for m in compression.request.messages] == ["Be brief.", "and now?"]
    assert compression.removed == "5 older messages"


def test_a_request_that_fits_is_handed_back_as_it_is() -> None:
    assert Trim().compress(HISTORY, 100_000).request is HISTORY
    assert Trim().compress(HISTORY, None).request is HISTORY
    assert Trim().compress(HISTORY, None).lossless


def test_the_newest_turn_stays_where_it_alone_is_too_large() -> None:
    big = request({"role": "user", "content": "old"}, {"role": "user", "content": LONG})
    assert Trim().compress(big, 10).request.messages == big.messages[1:]
    alone = request({"role": "assistant", "content": "hello"}, {"role": "assistant", "content": LONG})
    assert Trim().compress(alone, 10).request is alone


def test_a_result_that_comes_after_another_user_message_keeps_its_call() -> None:
    late = request(
        {"role": "user", "content": LONG},
        {"role": "user", "content": "call it"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "f"}}]},
        {"role": "user", "content": "by the way"},
        {"role": "tool", "tool_call_id": "a", "content": LONG},
    )
    assert Trim().compress(late, 10).request.messages == late.messages[1:]


def test_the_old_function_role_is_a_pair_too() -> None:
    old = request(
        {"role": "user", "content": LONG},
        {"role": "user", "content": "call it"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "user", "content": "by the way"},
        {"role": "function", "name": "f", "content": "1"},
    )
    assert Trim().compress(old, 10).request.messages == old.messages[1:]


@given(conversations(), st.integers(1, 400))
def test_what_trim_promises(conversation: RouteRequest, target: int) -> None:
    compression = Trim().compress(conversation, target)
    kept = compression.request.messages
    ids = [id(message) for message in conversation.messages]
    assert [i for i in ids if i in {id(m) for m in kept}] == [id(m) for m in kept]  # a subsequence, order kept
    assert [m for m in kept if m["role"] in ("system", "developer")] == [
        m for m in conversation.messages if m["role"] in ("system", "developer")
    ]
    newest = max(i for i, m in enumerate(conversation.messages) if m["role"] == "user")
    assert kept[len(kept) - (len(conversation.messages) - newest) :] == conversation.messages[newest:]
    calls, results = calls_and_results(compression.request)
    assert calls == results
    turns = [m["role"] for m in kept if m["role"] not in ("system", "developer")]
    assert turns[0] == "user"
    assert count_tokens(kept) <= count_tokens(conversation.messages)
    assert bool(compression.removed) == (len(kept) < len(conversation.messages)) == (not compression.lossless)
    assert Trim().compress(compression.request, target).request is compression.request


@given(conversations())
def test_it_fits_wherever_that_is_possible(conversation: RouteRequest) -> None:
    smallest = Trim().compress(conversation, 1).request
    target = count_tokens(smallest.messages)[0]
    assert count_tokens(Trim().compress(conversation, target).request.messages)[0] <= target
