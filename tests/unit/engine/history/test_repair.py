"""Histories made by one vendor and read by another: nothing is lost, and the reader takes it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.history.dialect import reader_of
from routekit.engine.history.repair import portable, portable_tools
from routekit.engine.history.tool_pairs import NO_RESULT, SHOWN, SHOWN_BELOW
from routekit.engine.history.turns import BEGINNING, BRIDGE, CONTINUE
from routekit.types import Deployment, Model

ALL = frozenset({"chat", "tools", "vision", "audio", "pdf", "reasoning", "prefill", "prompt_cache"})
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def reader(model: str, url: str | None = None, *, provider: str = "", able: frozenset[str] = ALL) -> Deployment:
    provider = provider or ("openai-compatible" if url else "litellm")
    options = {"base_url": url} if url else {}
    return Deployment(name=model, provider=provider, model=Model(id=model, capabilities=able), options=options)


OPENAI = reader("gpt-5-mini", "https://api.openai.com/v1")
CLAUDE = reader("anthropic/claude-haiku-4-5")
CLAUDE_WITHOUT_PREFILL = reader("anthropic/claude-opus-4-6", able=ALL - {"prefill"})
CONVERSE = reader("bedrock/anthropic.claude-sonnet-4-20250514-v1:0")
NOVA = reader("bedrock/amazon.nova-pro-v1:0", able=ALL - {"prefill", "prompt_cache"})
GEMINI = reader("gemini/gemini-3-pro", able=ALL - {"prefill"})
GOOGLE = reader("gemini-3-flash", "https://generativelanguage.googleapis.com/v1beta/openai", able=ALL - {"prefill"})
MISTRAL = reader("mistral-small-latest", "https://api.mistral.ai/v1")
MISTRAL_AT_VLLM = reader("mistralai/Devstral-Small-2", "http://127.0.0.1:8000/v1", able=ALL - {"prefill", "reasoning"})
DEEPSEEK = reader("deepseek-v4-flash", "https://api.deepseek.com")
KIMI = reader("moonshot/kimi-k2.6")
PERPLEXITY = reader("perplexity/sonar", able=frozenset({"chat"}))
GROQ = reader("openai/gpt-oss-20b", "https://api.groq.com/openai/v1", able=frozenset({"chat", "tools"}))
OPENROUTER = reader("anthropic/claude-sonnet-4.6", "https://openrouter.ai/api/v1")
UNKNOWN = reader("qwen", "http://127.0.0.1:8000/v1", able=frozenset({"chat", "tools"}))
NO_TOOLS = reader("tiny", provider="local", able=frozenset({"chat"}))
NOBODY = reader("m", provider="p", able=frozenset())
READERS = [
    OPENAI, CLAUDE, CLAUDE_WITHOUT_PREFILL, CONVERSE, NOVA, GEMINI, GOOGLE, MISTRAL, MISTRAL_AT_VLLM, DEEPSEEK, KIMI,
    PERPLEXITY, GROQ, OPENROUTER, UNKNOWN, NO_TOOLS, NOBODY,
]  # fmt: skip
LEGAL = {
    "gpt-5-mini": r".{1,40}",
    "mistral-small-latest": r"[a-zA-Z0-9]{9}",
    "mistralai/Devstral-Small-2": r"[a-zA-Z0-9]{9}",
    "anthropic/claude-haiku-4-5": r"[a-zA-Z0-9_-]+",
    "anthropic/claude-sonnet-4.6": r"[a-zA-Z0-9_-]+",
    "bedrock/amazon.nova-pro-v1:0": r"[a-zA-Z0-9_-]{1,64}",
}


def user(content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def said(content: Any = "well", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def call(id: Any = "call_1", name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def calls(*made: dict[str, Any], content: Any = None, **more: Any) -> dict[str, Any]:
    return said(content, tool_calls=list(made), **more)


def result(id: Any = "call_1", content: Any = "42", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content, **more}


def read(who: Deployment, *messages: Any, tools: Any = (TOOL,)) -> list[Any]:
    return list(portable(messages, reader=who, tools=tools))


def roles(messages: Any) -> str:
    return "".join(message["role"][0] for message in messages)


def dump(messages: Any) -> str:
    return json.dumps(messages)


class TestIds:
    def test_mistral_gets_nine_letters_and_digits_on_both_sides(self) -> None:
        out = read(MISTRAL, user(), calls(call("call_0fypS1hVX")), result("call_0fypS1hVX"))
        name = out[1]["tool_calls"][0]["id"]
        assert re.fullmatch(r"[a-zA-Z0-9]{9}", name)
        assert out[2] == result(name)

    def test_a_legal_id_stays(self) -> None:
        history: Any = (user(), calls(call("abcDEF123")), result("abcDEF123"))
        assert portable(history, reader=MISTRAL, tools=(TOOL,)) is history

    def test_a_growing_history_keeps_its_beginning(self) -> None:
        history = [user(), calls(call("a:1")), result("a:1"), said(), user(), calls(call("a:1")), result("a:1")]
        longer = read(MISTRAL, *history, calls(call("b:2")), result("b:2"))
        assert longer[: len(history)] == read(MISTRAL, *history)

    def test_an_id_that_comes_back_in_a_later_turn_is_renamed_there(self) -> None:
        out = read(
            UNKNOWN,
            user(), calls(call("call_0", arguments="1")), result("call_0", "one"),
            calls(call("call_0", arguments="2")), result("call_0", "two"),
        )  # fmt: skip
        first, second = out[1]["tool_calls"][0]["id"], out[3]["tool_calls"][0]["id"]
        assert first == "call_0" != second
        assert out[2] == result(first, "one")
        assert out[4] == result(second, "two")

    def test_one_id_twice_in_a_turn_is_answered_in_order(self) -> None:
        out = read(UNKNOWN, user(), calls(call("x"), call("x")), result("x", "one"), result("x", "two"))
        ids = [made["id"] for made in out[1]["tool_calls"]]
        assert len(set(ids)) == 2
        assert out[2:] == [result(ids[0], "one"), result(ids[1], "two")]

    def test_missing_ids_are_given(self) -> None:
        made = call()
        del made["id"]
        out = read(OPENAI, user(), calls(made), {"role": "tool", "content": "42"})
        assert out[2]["tool_call_id"] == out[1]["tool_calls"][0]["id"] != ""

    def test_a_signature_of_gemini_in_an_id_is_read_by_gemini_alone(self) -> None:
        signed = "call_abc__thought__" + "A" * 900
        history: Any = (user(), calls(call(signed)), result(signed))
        assert portable(history, reader=GEMINI, tools=(TOOL,)) is history
        for who in (OPENAI, CLAUDE, UNKNOWN):
            assert read(who, *history)[1]["tool_calls"][0]["id"] == "call_abc"

    def test_too_long_for_openai(self) -> None:
        out = read(OPENAI, user(), calls(call("x" * 41)), result("x" * 41))
        assert len(out[2]["tool_call_id"]) <= 40


class TestPairs:
    def test_a_call_without_a_result_gets_one(self) -> None:
        for who in READERS:
            if "tools" in who.model.capabilities:
                out = read(who, user(), calls(call("a"), call("b")), result("b", "yes"), user("go on"))
                got = {message["tool_call_id"]: message["content"] for message in out if message["role"] == "tool"}
                assert sorted(got.values()) == [NO_RESULT, "yes"]

    def test_a_result_that_nobody_asked_for_is_a_user_text(self) -> None:
        out = read(OPENAI, user(), result("gone", "forty-two", name="f"), user("so?"))
        assert out[1] == user("[Result of the tool f]\nforty-two")

    def test_a_second_result_is_kept_as_text(self) -> None:
        out = read(OPENAI, user(), calls(call("a")), result("a", "one"), result("a", "two"))
        assert out[2:] == [result("a", "one"), user("[Result of a tool]\ntwo")]

    def test_a_result_behind_another_message_moves_to_its_call(self) -> None:
        out = read(OPENAI, user(), calls(call("a")), user("wait"), result("a"), said("done"), user())
        assert out[1:4] == [calls(call("a")), result("a"), user("wait")]

    def test_a_result_before_its_call_answers_nothing(self) -> None:
        out = read(OPENAI, result("a", "early"), calls(call("a")), user())
        assert out[0] == user("[Result of a tool]\nearly")
        assert out[2] == result("a", NO_RESULT)

    def test_without_tools_everything_is_told(self) -> None:
        parts = [{"type": "text", "text": "seen"}]
        out = read(NO_TOOLS, user(), calls(call(arguments='{"a": 1}'), content="Let me see."), result(content=parts))
        assert out[1] == said('Let me see.\n[Called the tool f with {"a": 1}]')
        assert out[2] == user([{"type": "text", "text": "[Result of a tool]"}, *parts])

    def test_converse_takes_no_calls_in_a_history_without_tools(self) -> None:
        history: Any = (user(), calls(call()), result())
        assert roles(read(CONVERSE, *history)) == "uat"
        assert roles(read(CONVERSE, *history, tools=())) == "uau"
        assert roles(read(CLAUDE, *history, tools=())) == "uat"

    def test_functions_of_old_become_tools_except_at_openai(self) -> None:
        old = said(None, function_call={"name": "f", "arguments": "{}"})
        history: Any = (user(), old, {"role": "function", "name": "f", "content": "42"})
        assert portable(history, reader=OPENAI) is history
        out = read(CLAUDE, *history)
        assert out[1] == calls(call("call_f"))
        assert out[2] == result("call_f", name="f")

    def test_half_a_call_stays_readable_where_arguments_are_objects(self) -> None:
        history: Any = (user(), calls(call("a", arguments='{"city": "Ber')), result("a"))
        assert portable(history, reader=OPENAI, tools=(TOOL,)) is history
        for who in (CLAUDE, NOVA, GEMINI):
            arguments = read(who, *history)[1]["tool_calls"][0]["function"]["arguments"]
            assert json.loads(arguments) == {"invalid_arguments": '{"city": "Ber'}

    def test_a_picture_in_a_result_is_shown_by_the_user_where_results_are_texts(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": "u"}}
        text = {"type": "text", "text": "a"}
        history: Any = (user(), calls(call("a"), call("b")), result("a", [text, picture]), result("b", [picture]))
        assert portable(history, reader=CLAUDE, tools=(TOOL,)) is history
        shown = user([{"type": "text", "text": SHOWN}, picture, picture])
        assert read(OPENAI, *history)[2:] == [result("a", [text]), result("b", SHOWN_BELOW), shown]

    def test_an_empty_list_of_calls_goes(self) -> None:
        assert read(OPENAI, said("a", tool_calls=[]), user()) == [said("a"), user()]


class TestReasoning:
    THOUGHT = ({"type": "thinking", "thinking": "hm", "signature": "sig"},)

    def test_claude_keeps_its_own_blocks_and_nobody_else_gets_them(self) -> None:
        history: Any = (user(), said("a", thinking_blocks=list(self.THOUGHT)), user())
        assert portable(history, reader=CLAUDE) is history
        assert portable(history, reader=CONVERSE) is history
        for who in (OPENAI, GEMINI, MISTRAL, GROQ, UNKNOWN):
            assert read(who, *history)[1] == said("a")

    def test_claude_does_not_get_the_blocks_of_gemini(self) -> None:
        fields = {"thought_signatures": ["c2ln"]}
        theirs = said("a", thinking_blocks=list(self.THOUGHT), provider_specific_fields=fields)
        assert read(CLAUDE, user(), theirs, user())[1] == said("a")
        assert read(GEMINI, user(), theirs, user())[1] == said("a", provider_specific_fields=fields)

    def test_signatures_on_calls(self) -> None:
        made = call(provider_specific_fields={"thought_signature": "c2ln"})
        made["function"]["provider_specific_fields"] = {"thought_signature": "c2ln"}
        history: Any = (user(), calls(made), result())
        assert portable(history, reader=GEMINI, tools=(TOOL,)) is history
        for who in (OPENAI, CLAUDE, GOOGLE, UNKNOWN):
            assert "c2ln" not in dump(read(who, *history))

    def test_google_gets_a_signature_where_there_is_none(self) -> None:
        out = read(GOOGLE, user(), calls(call("a"), call("b")), result("a"), result("b"))
        first, second = out[1]["tool_calls"]
        assert first["extra_content"] == {"google": {"thought_signature": "skip_thought_signature_validator"}}
        assert "extra_content" not in second
        own = call("a", extra_content={"google": {"thought_signature": "c2ln"}})
        history: Any = (user(), calls(own), result("a"))
        assert portable(history, reader=GOOGLE, tools=(TOOL,)) is history
        assert read(OPENAI, *history)[1] == calls(call("a"))

    @pytest.mark.parametrize("who", [DEEPSEEK, KIMI])
    def test_reasoning_that_has_to_come_back_does(self, who: Deployment) -> None:
        history: Any = (user(), said("a", reasoning_content="hm"), user())
        assert portable(history, reader=who) is history
        assert read(who, user(), said("a", reasoning="hm"), user())[1] == said("a", reasoning_content="hm")
        assert read(who, user(), said("a"), user())[1] == said("a", reasoning_content=" ")

    def test_text_of_reasoning_only_for_who_reads_it(self) -> None:
        history: Any = (user(), said("a", reasoning_content="hm"), user())
        thinker = reader("qwen", "http://127.0.0.1:1/v1", able=ALL)
        assert portable(history, reader=thinker) is history
        for who in (OPENAI, MISTRAL, GROQ, CLAUDE, UNKNOWN):
            assert read(who, *history)[1] == said("a")

    def test_openrouter_gets_details_of_the_same_maker(self) -> None:
        own = said("a", reasoning_details=[{"type": "reasoning.text", "format": "anthropic-claude-v1", "text": "h"}])
        theirs = said("a", reasoning_details=[{"type": "reasoning.encrypted", "format": "openai-responses-v1"}])
        assert read(OPENROUTER, user(), own, user())[1] == own
        assert read(OPENROUTER, user(), theirs, user())[1] == said("a")

    def test_thinking_among_the_parts(self) -> None:
        text = {"type": "text", "text": "a"}
        claudes, mistrals = self.THOUGHT[0], {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
        history: Any = (user(), said([claudes, mistrals, text]), user())
        assert read(CLAUDE, *history)[1] == said([claudes, text])
        assert read(MISTRAL, *history)[1] == said([mistrals, text])
        assert read(OPENAI, *history)[1] == said([text])


class TestParts:
    def test_cache_marks_stay_where_they_are_read(self) -> None:
        mark = {"cache_control": {"type": "ephemeral"}}
        history: Any = (user([{"type": "text", "text": "a", **mark}], **mark),)
        for who in (CLAUDE, CONVERSE, OPENROUTER, GEMINI):
            assert portable(history, reader=who) is history
        for who in (OPENAI, MISTRAL, GROQ, DEEPSEEK, UNKNOWN, NOVA, GOOGLE):
            assert read(who, *history) == [user([{"type": "text", "text": "a"}])]

    def test_cache_marks_on_tools(self) -> None:
        mark = {"cache_control": {"type": "ephemeral"}}
        tools = ({**TOOL, **mark}, {"type": "function", "function": {"name": "g", **mark}}, TOOL)
        assert portable_tools(tools, reader=CLAUDE) is tools
        assert portable_tools((TOOL,), reader=OPENAI) == (TOOL,)
        assert portable_tools(tools, reader=OPENAI) == (TOOL, {"type": "function", "function": {"name": "g"}}, TOOL)

    def test_cache_marks_of_openai_stay_there(self) -> None:
        history: Any = (user([{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}]),)
        assert portable(history, reader=OPENAI) is history
        assert read(CLAUDE, *history) == [user([{"type": "text", "text": "a"}])]

    @pytest.mark.parametrize(
        ("part", "word"),
        [
            ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "image"),
            ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "sound"),
            ({"type": "file", "file": {"file_id": "x"}}, "file"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, part: dict[str, Any], word: str) -> None:
        history: Any = (user([{"type": "text", "text": "see"}, part]),)
        assert portable(history, reader=OPENAI) is history
        out = read(UNKNOWN, *history)
        assert out[0]["content"][0] == {"type": "text", "text": "see"}
        assert word in out[0]["content"][1]["text"]
        assert portable(history, reader=NOBODY) is history

    def test_a_refusal_is_a_text_elsewhere(self) -> None:
        history: Any = (user(), said(None, refusal="I cannot"), user())
        assert portable(history, reader=OPENAI) is history
        assert read(CLAUDE, *history)[1] == said("I cannot")
        assert read(CLAUDE, user(), said([{"type": "refusal", "refusal": "no"}]), user())[1] == said(
            [{"type": "text", "text": "no"}]
        )

    def test_a_spoken_answer_is_a_text_elsewhere(self) -> None:
        history: Any = (user(), said(None, audio={"id": "a", "transcript": "as I said"}), user())
        assert portable(history, reader=OPENAI) is history
        assert read(MISTRAL, *history)[1] == said("as I said")

    def test_a_strict_reader_gets_no_key_it_does_not_know(self) -> None:
        history: Any = (user(name="alice", own=1), said("a", annotations=[], own=2), user())
        assert read(GROQ, *history) == [user(name="alice"), said("a"), user()]
        assert read(MISTRAL, *history) == [user(), said("a"), user()]
        assert read(UNKNOWN, *history) == [user(name="alice", own=1), said("a", own=2), user()]


class TestTurns:
    def test_developer_is_system_for_most(self) -> None:
        history: Any = ({"role": "developer", "content": "be brief"}, user())
        assert portable(history, reader=OPENAI) is history
        assert portable(history, reader=OPENROUTER) is history
        for who in (CLAUDE, MISTRAL, GROQ, UNKNOWN):
            assert read(who, *history)[0] == {"role": "system", "content": "be brief"}

    def test_an_answer_to_go_on_with(self) -> None:
        history: Any = (user(), said("Once upon "))
        assert read(CLAUDE, *history)[1] == said("Once upon")
        assert read(MISTRAL, *history)[1] == said("Once upon ", prefix=True)
        assert read(KIMI, *history)[1] == said("Once upon ", partial=True, reasoning_content=" ")
        for who in (CLAUDE_WITHOUT_PREFILL, NOVA, GEMINI, DEEPSEEK, PERPLEXITY, MISTRAL_AT_VLLM):
            assert [message["content"] for message in read(who, *history)[1:]] == ["Once upon ", CONTINUE]
        for who in (OPENAI, GROQ, UNKNOWN):
            assert portable(history, reader=who) is history

    def test_deepseek_goes_on_at_the_beta_address_and_behind_litellm(self) -> None:
        history: Any = (user(), said("Once", reasoning_content="hm"))
        for who in (reader("deepseek-v4-flash", "https://api.deepseek.com/beta"), reader("deepseek/deepseek-v4-pro")):
            assert read(who, *history)[1]["prefix"] is True

    def test_a_mark_to_go_on_is_gone_when_the_conversation_went_on(self) -> None:
        assert read(MISTRAL, user(), said("Once", prefix=True), user()) == [user(), said("Once"), user()]
        assert read(UNKNOWN, user(), said("Once", prefix=True)) == [user(), said("Once")]

    def test_blank_messages_and_parts_go_where_they_are_refused(self) -> None:
        history: Any = (
            user(),
            said(""),
            user([{"type": "text", "text": " "}, {"type": "text", "text": "b"}]),
            said("\n"),
        )
        for who in (CLAUDE, GEMINI, MISTRAL):
            assert read(who, *history) == [user(), user([{"type": "text", "text": "b"}])]
        assert portable(history, reader=OPENAI) is history

    def test_where_nothing_is_left_the_user_says_go_on(self) -> None:
        assert read(CLAUDE, {"role": "system", "content": "a"}) == [
            {"role": "system", "content": "a"},
            user(CONTINUE),
        ]
        assert read(CLAUDE, user("")) == [user(CONTINUE)]

    def test_a_conversation_cut_at_the_front_opens_with_the_user(self) -> None:
        system = {"role": "system", "content": "s"}
        assert read(CLAUDE, system, said("a"), user()) == [system, user(BEGINNING), said("a"), user()]
        assert read(OPENAI, system, said("a"), user()) == [system, said("a"), user()]

    def test_mistral_wants_somebody_between_a_result_and_the_user(self) -> None:
        history: Any = (user(), calls(call("abcdefghi")), result("abcdefghi"), user("stop"))
        for who in (MISTRAL, MISTRAL_AT_VLLM):
            assert read(who, *history)[3:] == [said(BRIDGE), user("stop")]
        assert portable(history, reader=UNKNOWN) is history

    def test_turns_alternate_where_they_must(self) -> None:
        out = read(PERPLEXITY, user("a"), user("b"), said("c"), said([{"type": "text", "text": "d"}]), user("e"))
        parts = [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]
        assert out == [user("a\n\nb"), said(parts), user("e")]
        assert roles(read(UNKNOWN, user("a"), user("b"))) == "uu"


class TestWhoReads:
    @pytest.mark.parametrize(
        ("model", "url", "maker", "ids"),
        [
            ("gpt-5-mini", None, "openai", r".{1,40}"),
            ("azure/my-deployment", None, "", r".{1,40}"),
            ("vertex_ai/claude-sonnet-4-5", None, "anthropic", r"[a-zA-Z0-9_-]{1,64}"),
            ("vertex_ai/gemini-2.5-pro", None, "google", r".+"),
            ("openai/my-own", "http://127.0.0.1:1/v1", "", r".+"),
            ("openrouter/mistralai/mistral-small", None, "mistral", r"[a-zA-Z0-9]{9}"),
            ("gpt-5", "https://mine.openai.azure.com/openai/v1", "openai", r".{1,40}"),
            ("gpt-5", "https://api.openai.com.example.org/v1", "openai", r".+"),
        ],
    )
    def test_by_vendor_address_and_model(self, model: str, url: str | None, maker: str, ids: str) -> None:
        who = reader_of(reader(model, url, provider="litellm" if "/" in model else ""))
        assert (who.maker, who.dialect.ids.pattern) == (maker, ids)

    def test_a_provider_of_the_vendors_name(self) -> None:
        assert reader_of(reader("m", provider="mistral")).dialect.mark == "prefix"

    def test_equal_names_with_other_models_are_other_readers(self) -> None:
        one = Deployment(name="a", provider="litellm", model=Model(id="mistral/mistral-tiny"))
        two = Deployment(name="a", provider="litellm", model=Model(id="anthropic/claude-haiku-4-5"))
        assert reader_of(one).maker != reader_of(two).maker


# ---- for every history and every reader


IDS = st.sampled_from(["call_1", "call_2", "toolu_01", "abcdefgh1", "a:b", "x" * 50, "call_1__thought__sig", "", None])


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Any], ...]:
    """Any history, broken ones most of all. Every text in it is another one: "<7>"."""
    number = iter(range(10_000))

    def text() -> str:
        return f"<{next(number)}>"

    def part() -> dict[str, Any]:
        kind = draw(st.sampled_from(["text", "text", "image_url", "thinking", "blank", "refusal"]))
        if kind == "image_url":
            return {"type": "image_url", "image_url": {"url": "u"}}
        if kind == "thinking":
            return {"type": "thinking", "thinking": "hm", "signature": "s"}
        if kind == "refusal":
            return {"type": "refusal", "refusal": text()}
        made = {"type": "text", "text": text() if kind == "text" else ""}
        return {**made, "cache_control": {"type": "ephemeral"}} if draw(st.booleans()) else made

    def content(role: str) -> Any:
        kind = draw(st.sampled_from(["text", "text", "text", "parts", "blank", "none"]))
        if kind == "parts":
            return [part() for _ in range(draw(st.integers(0, 3)))]
        return {"text": text(), "blank": draw(st.sampled_from(["", " \n"])), "none": None}[kind]

    def message() -> dict[str, Any]:
        role = draw(st.sampled_from(["system", "developer", "user", "assistant", "assistant", "tool", "function"]))
        made: dict[str, Any] = {"role": role, "content": content(role)}
        if role == "tool":
            made["tool_call_id"] = draw(IDS)
        elif role == "function":
            made["name"] = "f"
        elif role == "assistant":
            if draw(st.booleans()):
                made["tool_calls"] = [call(draw(IDS), arguments=text()) for _ in range(draw(st.integers(0, 3)))]
            elif draw(st.integers(0, 5)) == 0:
                made["function_call"] = {"name": "f", "arguments": text()}
            for key, value in (
                ("reasoning_content", "hm"), ("thinking_blocks", [{"type": "thinking", "thinking": "hm"}]),
                ("refusal", text()), ("prefix", True), ("provider_specific_fields", {"thought_signature": "s"}),
            ):  # fmt: skip
                if draw(st.integers(0, 5)) == 0:
                    made[key] = value
        if draw(st.integers(0, 9)) == 0:
            made["cache_control"] = {"type": "ephemeral"}
        return made

    return tuple(message() for _ in range(draw(st.integers(1, 8))))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from re.findall(r"<\d+>", value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)


def pairs(messages: Any) -> list[tuple[str, str | None]]:
    """What each call asked and what it was answered, by adjacency and id; fails where a pair is broken."""
    found: list[tuple[str, str | None]] = []
    waiting: dict[Any, str] = {}
    for message in messages:
        if message["role"] == "tool":
            found.append((waiting.pop(message["tool_call_id"]), dump(message["content"])))
            continue
        assert not waiting, "a call without a result straight behind it"
        for made in message.get("tool_calls") or ():
            assert made["id"] not in waiting
            waiting[made["id"]] = made["function"]["arguments"]
    assert not waiting
    return found


READER = st.sampled_from(READERS)
TOOLS = st.sampled_from([(), (TOOL,)])


@given(histories(), READER, TOOLS)
def test_every_text_survives_and_the_input_is_not_changed(history: Any, who: Deployment, tools: Any) -> None:
    before = copy.deepcopy(history)
    out = portable(history, reader=who, tools=tools)
    assert history == before
    assert sorted(texts(out)) == sorted(texts(history))


@given(histories(), READER, TOOLS)
def test_twice_is_once(history: Any, who: Deployment, tools: Any) -> None:
    once = portable(history, reader=who, tools=tools)
    assert portable(once, reader=who, tools=tools) is once


@given(histories(), READER)
def test_calls_have_their_results_straight_behind_and_ids_are_legal_and_unique(history: Any, who: Deployment) -> None:
    out = portable(history, reader=who, tools=(TOOL,))
    found = pairs(out)
    able = who.model.capabilities
    if able and "tools" not in able:
        assert not found
        return
    asked = [made for message in history for made in message.get("tool_calls") or ()]
    old = [m for m in history if m["role"] == "assistant" and m.get("function_call") and not m.get("tool_calls")]
    assert len(found) == len(asked) + (0 if who is OPENAI else len(old))
    ids = [made["id"] for message in out for made in message.get("tool_calls") or ()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(LEGAL.get(who.name, r".+"), name) for name in ids)


@given(st.lists(st.tuples(IDS, st.integers(1, 3)), min_size=1, max_size=4), READER)
def test_a_well_formed_history_keeps_each_answer_at_its_question(turns: Any, who: Deployment) -> None:
    history: Any = [user("<0>")]
    expected: list[tuple[str, str]] = []
    for turn, (name, width) in enumerate(turns):
        ids = [f"{name}-{n}" for n in range(width)]
        history.append(calls(*(call(id, arguments=f'{{"at": "{turn}.{n}"}}') for n, id in enumerate(ids))))
        history += [result(id, f"answer {turn}.{n}") for n, id in enumerate(ids)]
        expected += [(f'{{"at": "{turn}.{n}"}}', dump(f"answer {turn}.{n}")) for n in range(width)]
    if who.model.capabilities and "tools" not in who.model.capabilities:
        return
    assert pairs(portable(history, reader=who, tools=(TOOL,))) == expected


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=9), READER, st.booleans())
def test_a_history_of_texts_is_handed_on_as_it_is(said_so: list[str], who: Deployment, system: bool) -> None:
    said_so = said_so if len(said_so) % 2 else said_so[:-1] or ["a"]
    if reader_of(who).dialect.wants_reasoning:
        return
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said_so)]
    first = [{"role": "system", "content": "s"}] if system else []
    history: Any = (*first, *turns)
    assert portable(history, reader=who) is history


@given(histories(), READER)
def test_what_is_no_reading_matter_is_gone(history: Any, who: Deployment) -> None:
    out = dump(portable(history, reader=who, tools=(TOOL,)))
    if who not in (CLAUDE, CLAUDE_WITHOUT_PREFILL, CONVERSE, OPENROUTER, GEMINI, NOBODY):
        assert "cache_control" not in out
    if who is not GEMINI:
        assert "__thought__" not in out or who is GOOGLE
    if who not in (OPENAI, OPENROUTER):
        assert "developer" not in out
    if who in (MISTRAL, MISTRAL_AT_VLLM):
        assert "tu" not in roles(json.loads(out))
