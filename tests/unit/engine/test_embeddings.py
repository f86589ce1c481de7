"""`Router.embed`: routed, held for, recorded, split and taken over like an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from tests.support.routers import FACES, scripted_router

from routekit import AllAttemptsFailedError, BudgetExceededError, InvalidInputError, NoCandidateError, Router
from routekit.engine.embeddings import batches
from routekit.errors import ProviderError, ProviderUnavailableError
from routekit.plugin import Embeddings, Observer, ObserverPlugin, hookimpl
from routekit.testing import ScriptedProvider
from routekit.types import AttemptEnded, Deployment, Event, Money, RequestEnded, RequestStarted

Face = Any
EMBED = {"model": "vec", "capabilities": ["embeddings"], "price": {"input": 100, "output": 7}, "context_window": None}


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def embed(face: Face, router: Router, *args: Any, **kwargs: Any) -> Any:
    if face.name == "sync":
        return router.embed(*args, **kwargs)
    return asyncio.run(router.aembed(*args, **kwargs))


class Embedder(ScriptedProvider):
    """Seven tokens a text, at most `most` texts a call."""

    def __init__(self, *errors: Exception, most: int = 2048, tokens: int | None = 7) -> None:
        super().__init__("not asked")
        self.errors, self.most, self.tokens = list(errors), most, tokens
        self.batches: list[list[str]] = []

    def embedding_limits(self, deployment: Deployment) -> tuple[int, int]:
        return self.most, 300_000

    def embed(self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        self.batches.append(list(texts))
        if self.errors:
            raise self.errors.pop(0)
        read = None if self.tokens is None else self.tokens * len(texts)
        return Embeddings(vectors=tuple((float(len(text)), 1.0) for text in texts), input_tokens=read)


class Tape(Observer):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @hookimpl
    def routekit_observers(self) -> Iterable[ObserverPlugin]:
        return [ObserverPlugin(name="tape", factory=lambda options, context: self)]


def routed(tape: Tape | None = None, config: dict[str, Any] | None = None, **providers: Any) -> Router:
    tables = {name: EMBED for name in providers if name != "chat"}
    more = {"observers": [{"use": "tape"}]} if tape else {}
    return scripted_router(
        providers, config={"router": {"budget_store": "memory"}, **more, **(config or {})},
        plugins=[tape] if tape else [], **tables,
    )  # fmt: skip


def test_one_text_and_many(face: Face) -> None:
    with routed(chat=ScriptedProvider("x"), e=Embedder()) as router:
        one = embed(face, router, "abc")
        many = embed(face, router, ["abc", "defgh"], model="vec", scopes={"user": "ada"})
    assert one.vectors == ((3.0, 1.0),)
    assert (list(one), one.vector, len(one)) == ([3.0, 1.0], (3.0, 1.0), 2)
    assert list(many) == [(3.0, 1.0), (5.0, 1.0)]
    assert (many.usage.input_tokens, many.cost) == (14, Money(14 * 100_000))
    assert many.deployment is not None
    assert (many.deployment.name, many.model, many.id != one.id) == ("e", "vec", True)
    assert [attempt.role for attempt in many.attempts] == ["embedding"]
    assert many.decision.strategy == "embeddings"


def test_it_is_held_for_and_refused_once_the_budget_is_used_up(face: Face) -> None:
    budget = {"budgets": [{"scope": "user:*", "limit_usd": 0.01}]}
    embedder = Embedder()
    with routed(config=budget, e=embedder) as router:
        for _ in range(50):
            try:
                embed(face, router, "hello world", scopes={"user": "ada"})
            except BudgetExceededError:
                break
        spent = 700_000 * len(embedder.batches)
        assert 0 < spent <= 10_000_000
        embed(face, router, "hello world", scopes={"user": "bob"})


def test_what_nobody_can_price_does_not_pass_a_budget_that_is_used_up(face: Face) -> None:
    config = {
        "budgets": [{"scope": "user:*", "limit_usd": 0}],
        "router": {"budget_store": "memory", "unknown_price": "allow"},
    }
    embedder = Embedder()
    with scripted_router({"e": embedder}, config=config, e={**EMBED, "price": None}) as router:
        with pytest.raises(BudgetExceededError):
            embed(face, router, "a", scopes={"user": "ada"})
        assert embedder.batches == []
        assert embed(face, router, "a").vector == (1.0, 1.0)


def test_another_one_of_the_same_model_takes_over(face: Face) -> None:
    down = Embedder(*[ProviderUnavailableError("down", status=503)] * 9)
    with routed(a=down, b=Embedder(), config={}) as router:
        result = embed(face, router, ["x", "y"], model="vec")
    assert result.deployment is not None
    assert result.deployment.name == "b"
    assert result.attempts[0].cost == Money(0)
    assert len(result.vectors) == 2


def test_a_deployment_of_another_model_does_not(face: Face) -> None:
    down = Embedder(*[ProviderUnavailableError("down", status=503)] * 9)
    providers = {"a": down, "b": Embedder()}
    with (
        scripted_router(providers, a=EMBED, b={**EMBED, "model": "other"}) as router,
        pytest.raises((AllAttemptsFailedError, ProviderError)),
    ):
        embed(face, router, "x", model="default")


def test_many_texts_are_sent_in_as_many_calls_as_are_needed(face: Face) -> None:
    embedder = Embedder(most=2)
    with routed(e=embedder) as router:
        result = embed(face, router, ["a", "bb", "ccc", "dddd", "eeeee"])
    assert [len(batch) for batch in embedder.batches] == [2, 2, 1]
    assert [vector[0] for vector in result.vectors] == [1, 2, 3, 4, 5]
    assert (result.usage.input_tokens, len(result.attempts)) == (35, 3)
    assert result.cost == Money(35 * 100_000)


def test_batches_keep_to_the_tokens_too() -> None:
    assert [len(batch) for batch in batches(["x" * 380] * 5, 100, 300)] == [2, 2, 1]
    assert list(batches(["x" * 10_000], 100, 10)) == [["x" * 10_000]]


def test_observers_are_told_and_a_failure_too(face: Face) -> None:
    tape = Tape()
    with routed(tape, e=Embedder()) as router:
        result = embed(face, router, "x")
        with pytest.raises(NoCandidateError):
            embed(face, router, "x", model="nobody")
    kinds = [type(event) for event in tape.events if event.request_id == result.id]
    assert [k for k in kinds if k in (RequestStarted, AttemptEnded, RequestEnded)] == [
        RequestStarted, AttemptEnded, RequestEnded,
    ]  # fmt: skip
    ended = [event for event in tape.events if isinstance(event, RequestEnded)]
    assert ended[0].result == result
    assert isinstance(ended[1].error, NoCandidateError)


@pytest.mark.parametrize("tokens", [None, 0, -3, 10**12])
def test_a_report_that_cannot_be_true_is_not_believed(face: Face, tokens: Any) -> None:
    with routed(e=Embedder(tokens=tokens), config={"budgets": [{"scope": "global", "limit_usd": 1}]}) as router:
        result = embed(face, router, "hello there, how are you")
    assert result.usage.estimated
    assert 0 < result.cost.nanos < 100 * 100_000
    assert result.attempts[0].uncertain is (tokens == 10**12)


@pytest.mark.parametrize("given", [[], 7, [1], None, ["a", None]])
def test_what_is_no_text_is_refused(given: Any) -> None:
    with routed(e=Embedder()) as router, pytest.raises(InvalidInputError, match="embed takes"):
        router.embed(given)


def test_an_unknown_argument_is_refused() -> None:
    with routed(e=Embedder()) as router, pytest.raises(InvalidInputError, match="temperature"):
        router.embed("x", temperature=0)
