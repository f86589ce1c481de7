"""When compressors run, what they may cost, and what the decision says of it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tests.support.routers import FACES, scripted_router

from routekit.errors import ConfigError, NoCandidateError, ProviderUnavailableError
from routekit.plugin import Compression, Compressor, CompressorPlugin, hookimpl
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Compressed, RouteRequest, Usage

Face = Any
ROWS = [{"identifier": n, "description": f"the part number {n}", "available": n % 3 == 0} for n in range(400)]


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def tools(text: str, question: str = "Is part 7 available?") -> list[dict[str, Any]]:
    call = {"id": "c", "type": "function", "function": {"name": "parts", "arguments": "{}"}}
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": text},
    ]


def chat(count: int) -> list[dict[str, Any]]:
    turns = [
        ({"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "word " * 300}) for n in range(count)
    ]
    return [*(message for turn in turns for message in turn), {"role": "user", "content": "and now?"}]


def plugin(compressor: Compressor) -> Any:
    class Module:
        @staticmethod
        @hookimpl
        def routekit_compressors() -> list[CompressorPlugin]:
            return [CompressorPlugin(name="own", factory=lambda options, context: compressor)]

    return Module()


def test_lossless_ones_always_run_and_the_decision_says_what_is_gone(face: Face) -> None:
    provider = ScriptedProvider("yes")
    with scripted_router(
        {"a": provider}, config={"compressors": [{"use": "json-minify"}, {"use": "json-table"}]}
    ) as router:
        result = face.complete(router, tools(json.dumps(ROWS, indent=2)))
    sent = provider.calls[0].messages[-1]["content"]
    assert json.loads(sent)["columns"] == ["identifier", "description", "available"]
    notes = "\n".join(result.decision.notes)
    assert "json-minify took out" in notes
    assert "tokens: keys that rows repeat" in notes
    assert result.savings.compression_nanos > 0


def test_a_request_that_fits_nobody_is_made_to_fit_before_it_is_refused(face: Face) -> None:
    small = {"context_window": 2000}
    with scripted_router({"a": ScriptedProvider("x")}, a=small) as router, pytest.raises(NoCandidateError):
        face.complete(router, chat(20))
    provider = ScriptedProvider("x")
    config = {"compressors": [{"use": "trim"}]}
    with scripted_router({"a": provider}, a=small, config=config) as router:
        result = face.complete(router, chat(20), max_tokens=500)
        untouched = face.complete(router, chat(2), max_tokens=500)
    assert provider.calls[0].messages[-1]["content"] == "and now?"
    assert result.attempts[0].usage.input_tokens <= 1500  # with room for the answer
    assert "trim took out" in "\n".join(result.decision.notes)
    assert not untouched.decision.notes


def test_the_window_that_counts_is_that_of_who_may_serve_the_request(face: Face) -> None:
    config = {"compressors": [{"use": "trim"}]}
    tables = {"a": {"context_window": 2000, "region": "eu"}, "b": {"context_window": 100_000, "region": "us"}}
    from routekit import Requirements

    providers = {"a": ScriptedProvider("from a"), "b": ScriptedProvider("from b")}
    with scripted_router(providers, config=config, **tables) as router:
        assert face.complete(router, chat(20)).text == "from b"
        here = face.complete(router, chat(20), requirements=Requirements(regions=frozenset({"eu"})))
    assert here.text == "from a"


@pytest.mark.parametrize(
    ("rule", "runs"),
    [
        ({}, False),
        ({"when": "always"}, True),
        ({"ratio": 0.4}, True),
        ({"above_tokens": 100}, True),
        ({"above_tokens": 1_000_000}, False),
        ({"ratio": 0.4, "above_tokens": 1_000_000}, False),
        ({"ratio": 0.4, "when": "overflow"}, False),
    ],
)
def test_lossy_ones_run_when_configuration_says_so(rule: dict[str, Any], runs: bool) -> None:
    config = {"compressors": [{"use": "trim", **rule}]}
    with scripted_router({"a": ScriptedProvider("x")}, config=config) as router:
        notes = router.explain(chat(6)).notes
    assert any("trim took out" in note for note in notes) is runs


def test_a_deployment_may_have_compressors_of_its_own(face: Face) -> None:
    config = {"compressors": [{"use": "trim", "deployments": ["a"]}]}
    providers = {"a": ScriptedProvider(ProviderUnavailableError("down"), "x"), "b": ScriptedProvider("from b")}
    with scripted_router(providers, a={"context_window": 2000}, config=config) as router:
        decision = router.explain(chat(20), strategy="ordered")
        assert [ranked.deployment.name for ranked in decision.ranked] == ["a", "b"]
        assert any("for a" in note for note in decision.notes)
        result = face.complete(router, chat(20), strategy="ordered", max_tokens=100)
    assert len(providers["a"].calls[0].messages) < 41
    assert len(providers["b"].calls[0].messages) == 41
    assert result.text == "from b"


def test_a_summary_is_asked_of_the_cheapest_and_its_cost_is_in_the_bill(face: Face) -> None:
    def answer(call: Any) -> Reply:
        summarising = "Summarise" in str(call.messages[0]["content"])
        return Reply("The gist." if summarising else "done", usage=Usage(input_tokens=1000, output_tokens=10))

    cheap, dear = ScriptedProvider(answer), ScriptedProvider(answer)
    tables = {"a": {"context_window": 100_000}, "b": {"context_window": 100_000}}
    config = {
        "compressors": [{"use": "summarize", "above_tokens": 2000}],
        "budgets": [{"scope": "project:p", "limit_usd": 5, "window": "total"}], "router": {"budget_store": "memory"},
    }  # fmt: skip
    with scripted_router({"a": cheap, "b": dear}, config=config, **tables) as router:
        result = face.complete(router, chat(20), strategy="best", scopes={"project": "p"})
        again = face.complete(router, chat(20), strategy="best", scopes={"project": "p"})
    assert [attempt.role for attempt in result.attempts] == ["compressor", "answer"]
    assert result.attempts[0].deployment.name == "a"
    assert result.attempts[1].deployment.name == "b"
    assert result.cost.nanos == sum(attempt.cost.nanos for attempt in result.attempts) > 0
    assert "The gist." in str(dear.calls[0].messages)
    assert [attempt.role for attempt in again.attempts] == ["answer"]  # the summary is known
    assert "q3" not in str(dear.calls[1].messages)


def test_where_nobody_can_summarise_the_next_compressor_does_what_it_can(face: Face) -> None:
    def answer(call: Any) -> Any:
        if "Summarise" in str(call.messages[0]["content"]):
            raise ProviderUnavailableError("down")
        return Reply("done")

    config = {"compressors": [{"use": "summarize"}, {"use": "trim"}], "router": {"max_attempts": 1}}
    with scripted_router({"a": ScriptedProvider(answer)}, a={"context_window": 2500}, config=config) as router:
        result = face.complete(router, chat(20), max_tokens=100)
    assert result.text == "done"
    assert any("summarize failed" in note for note in result.decision.notes)
    assert any("trim took out" in note for note in result.decision.notes)


def test_explaining_asks_no_model() -> None:
    provider = ScriptedProvider("x")
    config = {"compressors": [{"use": "summarize", "when": "always"}]}
    with scripted_router({"a": provider}, config=config) as router:
        router.explain(chat(20))
    assert not provider.calls


class Slow(Compressor):
    slow = True

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        time.sleep(self.seconds)
        return Compression(request=RouteRequest(messages=request.messages[-1:]), lossless=False, removed="all")


def test_one_that_takes_too_long_is_left_out(face: Face) -> None:
    config = {"compressors": [{"use": "own", "when": "always", "timeout_s": 0.05}]}
    with scripted_router({"a": ScriptedProvider("x")}, config=config, plugins=[plugin(Slow(3.0))]) as router:
        began = time.monotonic()
        result = face.complete(router, chat(3))
        assert time.monotonic() - began < 2.0
    assert any("took too long" in note for note in result.decision.notes)
    with scripted_router(
        {"a": ScriptedProvider("x")}, config={"compressors": [{"use": "own", "when": "always", "timeout_s": 20}]},
        plugins=[plugin(Slow(0.0))],
    ) as router:  # fmt: skip
        assert any("own took out" in note for note in face.complete(router, chat(3)).decision.notes)


class Broken(Compressor):
    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        raise RuntimeError("no")


def test_one_that_fails_is_left_out(face: Face) -> None:
    config = {"compressors": [{"use": "own", "when": "always"}]}
    with scripted_router({"a": ScriptedProvider("x")}, config=config, plugins=[plugin(Broken())]) as router:
        result = face.complete(router, chat(3))
    assert any("own failed (RuntimeError) and was left out" in note for note in result.decision.notes)


PRICED = {"price": {"input": 10, "cached_input": 1, "output": 20}}


def test_a_prefix_that_the_provider_holds_is_left_alone_where_losing_it_costs_more(face: Face) -> None:
    reply = Reply("word " * 300, usage=Usage(input_tokens=9000, output_tokens=300))
    config = {"compressors": [{"use": "trim", "ratio": 0.9}]}
    with scripted_router({"a": ScriptedProvider(reply)}, a=PRICED, config=config) as router:
        result = face.complete(router, chat(20))
        assert any("trim took out" in note for note in result.decision.notes)  # nobody holds it yet
    # A router that has sent the conversation whole before trimming was worth while.
    config = {"compressors": [{"use": "trim", "ratio": 0.9, "above_tokens": 8500}]}
    with scripted_router({"a": ScriptedProvider(reply)}, a=PRICED, config=config) as router:
        face.complete(router, chat(20))
        longer = [
            *chat(20),
            {"role": "assistant", "content": "word " * 300},
            {"role": "user", "content": "more " * 300},
        ]
        result = face.complete(router, longer)
    assert any("would cost more than it saves" in note for note in result.decision.notes)


def test_what_saves_more_than_the_prefix_is_worth_is_done_all_the_same(face: Face) -> None:
    reply = Reply("x", usage=Usage(input_tokens=9000, output_tokens=300))
    config = {"compressors": [{"use": "trim", "ratio": 0.05, "above_tokens": 8500}]}
    with scripted_router({"a": ScriptedProvider(reply)}, a=PRICED, config=config) as router:
        face.complete(router, chat(20))
        longer = [*chat(20), {"role": "assistant", "content": "word " * 300}, {"role": "user", "content": "more " * 30}]
        result = face.complete(router, longer)
    assert any("trim took out" in note for note in result.decision.notes)


def test_events_say_what_was_saved() -> None:
    from routekit.plugin import Observer, ObserverPlugin

    seen: list[Any] = []

    class Watching(Observer):
        def __call__(self, event: Any) -> None:
            seen.append(event)

    class Module:
        @staticmethod
        @hookimpl
        def routekit_observers() -> list[ObserverPlugin]:
            return [ObserverPlugin(name="watch", factory=lambda options, context: Watching())]

    config = {"compressors": [{"use": "json-table"}], "observers": [{"use": "watch"}]}
    with scripted_router({"a": ScriptedProvider("x")}, config=config, plugins=[Module()]) as router:
        router.complete(tools(json.dumps(ROWS)))
    (event,) = [event for event in seen if isinstance(event, Compressed)]
    assert (event.compressor, event.lossless, event.removed) == ("json-table", True, "keys that rows repeat")
    assert event.saved_tokens > 1000


def test_the_whole_text_behind_a_handle_can_be_had() -> None:
    config = {"compressors": [{"use": "tool-output", "when": "always"}]}
    provider = ScriptedProvider("x")
    log = "\n".join(f"line {n} of a log without any news in it" for n in range(600))
    with scripted_router({"a": provider}, config=config) as router:
        router.complete(tools(log))
        short = str(provider.calls[0].messages[-1]["content"])
        handle = short.rsplit('retrieve_original("', 1)[1].split('"')[0]
        assert router.original(handle) == log
        assert router.original("nothing") is None
        from routekit.langchain import retrieve_original_tool

        tool = retrieve_original_tool(router)
        assert tool.invoke({"handle": f'"{handle}"'}) == log
        assert "no longer kept" in tool.invoke({"handle": "gone"})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"use": "trim", "ratio": 1.5}, "compressors.0.ratio"),
        ({"use": "trim", "when": "sometimes"}, "compressors.0.when"),
        ({"use": "trim", "deployments": ["aa"]}, "Did you mean 'a'"),
        ({"use": "trim", "rato": 0.5}, "compressors.0.rato"),
    ],
)
def test_rules_are_checked(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scripted_router({"a": ScriptedProvider("x")}, config={"compressors": [table]})
