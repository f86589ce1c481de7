from __future__ import annotations

from typing import Any

from routekit.builtin.compressors.summarize import Summarize
from routekit.plugin import Answer
from routekit.types import RouteRequest


def turns(count: int) -> RouteRequest:
    messages: list[Any] = [{"role": "system", "content": "Be brief."}]
    for n in range(count):
        messages += [{"role": "user", "content": f"question {n}"}, {"role": "assistant", "content": "word " * 200}]
    return RouteRequest(messages=(*messages, {"role": "user", "content": "and now?"}), scopes={"project": ("p",)})


def said(text: str, reason: str = "stop") -> Answer:
    return Answer(message={"role": "assistant", "content": text}, finish_reason=reason)


def test_older_turns_give_way_to_what_a_model_said_of_them() -> None:
    compressor, request = Summarize(summary_tokens=100), turns(6)
    asked = compressor.consult(request, 900)
    assert asked is not None
    assert asked.scopes == {"project": ("p",)}  # its cost belongs to whom the request belongs to
    assert asked.cache == "bypass"
    assert "question 0" in str(asked.messages[1]["content"])
    assert compressor.compress(request, 900).request is request  # nobody has answered yet
    compressor.learn(asked, said("They asked six things."))
    small = compressor.compress(request, 900)
    assert [m["content"] for m in small.request.messages[:3]] == [
        "Be brief.", "Summary of the conversation so far:\nThey asked six things.", "Noted.",
    ]  # fmt: skip
    assert small.request.messages[-1]["content"] == "and now?"
    assert "summarised" in small.removed
    assert compressor.consult(request, 900) is None  # once is enough


def test_a_conversation_that_goes_on_is_summarised_from_the_last_summary() -> None:
    compressor, request = Summarize(keep_turns=1), turns(4)
    asked = compressor.consult(request, 300)
    assert asked is not None
    compressor.learn(asked, said("Four questions."))
    answer: Any = {"role": "assistant", "content": "word " * 200}
    later = RouteRequest(messages=(*request.messages, answer, {"role": "user", "content": "one more"}))
    asked = compressor.consult(later, 300)
    assert asked is not None
    text = str(asked.messages[1]["content"])
    assert text.startswith("Summary of the conversation so far:\nFour questions.")
    assert "question 0" not in text
    assert "and now?" in text


def test_an_empty_or_refused_answer_is_no_summary() -> None:
    compressor, request = Summarize(), turns(4)
    asked = compressor.consult(request, 300)
    assert asked is not None
    compressor.learn(asked, said("  "))
    compressor.learn(asked, said("I cannot", "content_filter"))
    assert compressor.compress(request, 300).request is request


def test_another_conversation_does_not_get_this_one_s_summary() -> None:
    compressor, request = Summarize(), turns(4)
    asked = compressor.consult(request, 300)
    assert asked is not None
    compressor.learn(asked, said("Secrets of the first."))
    other = turns(5)
    assert "Secrets" not in str(compressor.compress(other, 300).request.messages)
    begun = compressor.consult(RouteRequest(messages=({"role": "user", "content": "x"}, *other.messages)), 300)
    assert begun is not None
    assert "Secrets" not in str(begun.messages)


def test_a_conversation_of_one_turn_cannot_be_summarised() -> None:
    request = RouteRequest(messages=({"role": "user", "content": "word " * 500},))
    assert Summarize().consult(request, 10) is None
