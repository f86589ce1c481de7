"""What is stored, for whom, and how often identical questions are asked."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.support.routers import FACES, scripted_router

from routekit import ConfigError, DeadlineExceededError, InvalidInputError, NoCandidateError, Router
from routekit.errors import ProviderUnavailableError, RoutekitError
from routekit.plugin import Cache, CachePlugin, Provider, hookimpl, secret_at
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Answer, CacheEntry, CacheKey, Chunk

Face = Any
ROOT = Path(__file__).parents[4]
TABLE = {"name": "a", "provider": "scripted", "model": "a", "price": {"input": 1, "output": 1}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


class Shelf(Cache):
    """Keeps everything, and shows it."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], CacheEntry] = {}

    def get(self, key: CacheKey) -> CacheEntry | None:
        return self.kept.get((key.namespace, key.digest))

    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        self.kept[key.namespace, key.digest] = entry

    def delete(self, key: CacheKey) -> None:
        self.kept.pop((key.namespace, key.digest), None)


class Shelved:
    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    @hookimpl
    def routekit_caches(self) -> Iterable[CachePlugin]:
        return [CachePlugin(name="shelf", factory=lambda options, context: self.shelf)]


def shelved(providers: dict[str, Provider], shelf: Shelf | None = None, **cache: Any) -> tuple[Router, Shelf]:
    shelf = shelf or Shelf()
    return scripted_router(providers, config={"cache": {"use": ["shelf"], **cache}}, plugins=[Shelved(shelf)]), shelf


def test_calls_of_tools_are_stored_only_where_opted_in(face: Face) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    for opted in (False, True):
        provider = ScriptedProvider(Reply(None, tool_calls=[CALL], finish_reason="tool_calls"))
        router, shelf = shelved({"a": provider}, tool_calls=opted)
        face.complete(router, "hi", tools=tools)
        face.complete(router, "hi", tools=tools)
        assert (len(provider.calls), len(shelf.kept)) == ((1, 1) if opted else (2, 0))


@pytest.mark.parametrize(
    ("reply", "options"),
    [
        (Reply("cut", finish_reason="length"), {}),
        (Reply("no", extra={"refusal": "no"}), {}),
        (Reply("filtered", finish_reason="content_filter"), {}),
        (
            Reply(
                None, tool_calls=[{**CALL, "function": {"name": "g", "arguments": "{}"}}], finish_reason="tool_calls"
            ),
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        ),
    ],
)
def test_what_is_no_valid_answer_is_not_stored(face: Face, reply: Reply, options: dict[str, Any]) -> None:
    router, shelf = shelved({"a": ScriptedProvider(reply)}, tool_calls=True)
    face.complete(router, "hi", **options)
    if not reply.extra:  # a script's extras are not streamed
        face.stream(router, "hi", **options)
    assert shelf.kept == {}


def test_an_answer_that_breaks_its_schema_is_not_stored_even_where_it_is_accepted(face: Face) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    shelf = Shelf()
    router = scripted_router(
        {"a": ScriptedProvider('{"n": "x"}', '{"n": 1}')},
        config={"cache": {"use": ["shelf"]}, "reliability": {"fall_back_on": ["empty"]}},
        plugins=[Shelved(shelf)],
    )
    assert face.complete(router, "hi", response_format=wanted).text == '{"n": "x"}'
    assert shelf.kept == {}
    face.complete(router, "hi", response_format=wanted)
    assert len(shelf.kept) == 1


def test_who_asks_under_another_strategy_gets_an_answer_of_its_own_unless_the_group_counts(face: Face) -> None:
    for reuse, expected in (("strategy", "miss"), ("group", "hit")):
        router, _ = shelved({"a": ScriptedProvider("cheap"), "b": ScriptedProvider("good")}, reuse=reuse)
        assert face.complete(router, "hi", strategy="cheapest").text == "cheap"
        other = face.complete(router, "hi", strategy="best")
        assert other.cache == expected
        assert other.text == ("cheap" if expected == "hit" else "good")


def test_by_model_only_the_answer_of_the_model_that_would_be_asked_counts(face: Face) -> None:
    router, shelf = shelved({"a": ScriptedProvider("from a"), "b": ScriptedProvider("from b")}, reuse="model")
    assert face.complete(router, "hi", strategy="cheapest").text == "from a"
    assert face.complete(router, "hi", strategy="ordered").cache == "hit", "it would ask a, too"
    other = face.complete(router, "hi", strategy="best")
    assert (other.cache, other.text) == ("miss", "from b")
    assert face.complete(router, "hi", strategy="best").cache == "hit"
    assert len(shelf.kept) == 2


def test_by_model_a_fallbacks_answer_is_stored_under_its_own_model(face: Face) -> None:
    down = ScriptedProvider(ProviderUnavailableError("down"), "from a")
    router, _ = shelved({"a": down, "b": ScriptedProvider("from b")}, reuse="model")
    assert face.complete(router, "hi", strategy="cheapest").text == "from b"
    assert face.complete(router, "hi", strategy="best").cache == "hit", "b would be asked, and has answered"
    assert face.complete(router, "hi", strategy="cheapest").text == "from a"


def test_a_lifetime_can_be_given_per_request_and_is_jittered(face: Face) -> None:
    router, shelf = shelved({"a": ScriptedProvider("x")}, ttl_s=1000, jitter=0.2)
    for number in range(30):
        face.complete(router, f"question {number}")
    lives = sorted((entry.expires_at or 0) - entry.created_at for entry in shelf.kept.values())
    assert 800 <= lives[0] < lives[-1] <= 1000
    assert len(set(lives)) > 20
    shelf.kept.clear()
    face.complete(router, "short", cache_ttl_s=5)
    (entry,) = shelf.kept.values()
    assert 4 <= (entry.expires_at or 0) - entry.created_at <= 5
    for bad in (0, -1, "1", float("nan"), True):
        with pytest.raises(InvalidInputError, match="cache_ttl_s"):
            face.complete(router, "x", cache_ttl_s=bad)


def test_a_namespace_of_ones_own_is_a_partition_inside_the_tenants(face: Face) -> None:
    router, shelf = shelved({"a": ScriptedProvider("x")})
    for namespace in (None, "one", "two", "one"):
        for project in ("p", "q"):
            face.complete(router, "hi", cache_namespace=namespace, scopes={"project": project})
    assert len({namespace for namespace, _ in shelf.kept}) == len(shelf.kept) == 6


def test_tenants_whose_names_could_run_together_are_apart(face: Face) -> None:
    router, shelf = shelved({"a": ScriptedProvider("x")}, scope="tag")
    for tags in (["a", "b"], ["a,b"], ['a","b']):
        assert face.complete(router, "hi", scopes={"tag": tags}).cache == "miss"
    assert len(shelf.kept) == 3


def test_digests_tell_nothing_without_the_secret(tmp_path: Path) -> None:
    """Two homes make two secrets; a given secret makes the same keys everywhere."""

    def digests(env: dict[str, str], **cache: Any) -> set[str]:
        shelf = Shelf()
        router = Router(
            {
                "deployments": [
                    {"name": "a", "provider": "scripted", "model": "a", "price": {"input": 1, "output": 1}}
                ],
                "cache": {"use": ["shelf"], **cache},
            },
            plugins=[Shelved(shelf), *scripted_plugins()],
            providers={"a": ScriptedProvider("x")},
            env={"ROUTEKIT_PLUGINS": "", **env},
        )
        with router:
            router.complete("hi")
        return {digest for _, digest in shelf.kept}

    one, two = ({"ROUTEKIT_HOME": str(tmp_path / name)} for name in "ab")
    assert digests(one) == digests(one)
    assert digests(one) != digests(two)
    secret = {"CACHE_SECRET": "x" * 16}
    named = {"secret_env": "CACHE_SECRET"}
    assert digests({**one, **secret}, **named) == digests({**two, **secret}, **named)
    with pytest.raises(ConfigError, match="CACHE_SECRET"):
        digests(one, **named)
    assert (tmp_path / "a" / "cache" / "tenants").stat().st_mode & 0o777 == 0o600


def scripted_plugins() -> list[Any]:
    from routekit.testing import plugin_module

    return [plugin_module(ScriptedProvider())]


def test_a_secret_is_made_once_by_all_and_replaced_where_others_know_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    found: set[bytes] = set()
    threads = [threading.Thread(target=lambda: found.add(secret_at(path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]
    path.chmod(0o644)
    assert secret_at(path) not in found
    path.write_bytes(b"short")
    assert len(secret_at(path)) == 32
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    secret_at(path)
    assert not path.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


class Slow(Provider):
    """Answers after a while; counts."""

    def __init__(self, seconds: float = 0.2, fail: int = 0) -> None:
        self.seconds, self.fail, self.calls = seconds, fail, 0
        self.lock = threading.Lock()

    def _count(self) -> int:
        with self.lock:
            self.calls += 1
            return self.calls

    def complete(self, call: Any) -> Answer:
        number = self._count()
        time.sleep(self.seconds)
        if number <= self.fail:
            raise ProviderUnavailableError("down")
        return Answer(message={"role": "assistant", "content": "slow"}, finish_reason="stop")

    async def acomplete(self, call: Any) -> Answer:
        number = self._count()
        await asyncio.sleep(self.seconds)
        if number <= self.fail:
            raise ProviderUnavailableError("down")
        return Answer(message={"role": "assistant", "content": "slow"}, finish_reason="stop")

    async def astream(self, call: Any) -> Any:
        self._count()
        yield Chunk({"content": "sl"})
        await asyncio.sleep(self.seconds)
        yield Chunk({"content": "ow"})
        yield Chunk({}, "stop")


def real(provider: Provider, home: Path, *tiers: str) -> Router:
    """On the machine's own clock."""
    return Router(
        {"deployments": [TABLE], "cache": {"use": list(tiers)}, "router": {"max_attempts": 1}},
        plugins=scripted_plugins(),
        providers={"a": provider},
        env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(home)},
    )


@pytest.mark.parametrize("tiers", [("memory",), ("memory", "disk")])
def test_a_thousand_identical_questions_make_one_call(tmp_path: Path, tiers: tuple[str, ...]) -> None:
    provider = Slow()

    async def main(router: Router) -> list[str]:
        return [result.text for result in await asyncio.gather(*(router.acomplete("hi") for _ in range(1000)))]

    with real(provider, tmp_path, *tiers) as router:
        assert asyncio.run(main(router)) == ["slow"] * 1000
    assert provider.calls == 1


def test_identical_streams_make_one_call_and_are_streams(tmp_path: Path) -> None:
    provider = Slow()

    async def read(router: Router) -> tuple[str, str]:
        async with router.astream("hi") as stream:
            text = "".join([chunk.text async for chunk in stream])
        return text, stream.result.cache

    async def main(router: Router) -> list[tuple[str, str]]:
        return list(await asyncio.gather(*(read(router) for _ in range(100)), *(whole(router) for _ in range(20))))

    async def whole(router: Router) -> tuple[str, str]:
        result = await router.acomplete("hi")
        return result.text, result.cache

    with real(provider, tmp_path, "memory") as router:
        found = asyncio.run(main(router))
    assert {text for text, _ in found} == {"slow"}
    assert sorted(cache for _, cache in found) == ["hit"] * 119 + ["miss"]
    assert provider.calls == 1


def test_a_stream_that_its_leader_leaves_is_taken_over(tmp_path: Path) -> None:
    provider = Slow(0.05)

    async def main(router: Router) -> str:
        leader = router.astream("hi")
        await anext(leader)
        follower = asyncio.create_task(router.acomplete("hi"))
        await asyncio.sleep(0.01)
        assert not follower.done()
        await leader.aclose()
        return (await follower).text

    with real(provider, tmp_path, "memory") as router:
        assert asyncio.run(main(router)) == "slow"
    assert provider.calls == 2


def test_a_stream_that_is_read_slowly_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    provider = Slow(0.01)

    async def main(one: Router, other: Router) -> list[str]:
        leader = one.astream("hi")
        await anext(leader)  # and its reader falls asleep
        found = [await one.acomplete("hi", deadline_s=0.6), await other.acomplete("hi", deadline_s=0.6)]
        await leader.aclose()
        return [result.text for result in found]

    tiers = ("memory", "disk")
    with real(provider, tmp_path, *tiers) as one, real(provider, tmp_path, *tiers) as other:
        assert asyncio.run(main(one, other)) == ["slow", "slow"]


def test_failures_are_not_shared_and_a_cancelled_leader_hands_over(tmp_path: Path) -> None:
    provider = Slow(0.05, fail=1)

    async def main(router: Router) -> tuple[int, int]:
        done = await asyncio.gather(*(router.acomplete("hi") for _ in range(20)), return_exceptions=True)
        failed = [result for result in done if isinstance(result, RoutekitError)]
        first = asyncio.create_task(router.acomplete("again"))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(router.acomplete("again"))
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).text == "slow"
        return len(failed), len(done) - len(failed)

    with real(provider, tmp_path, "memory") as router:
        assert asyncio.run(main(router)) == (1, 19)
    assert provider.calls == 4


def test_who_waits_keeps_a_deadline_of_their_own(tmp_path: Path) -> None:
    provider = Slow(0.5)

    async def main(router: Router) -> str:
        leader = asyncio.create_task(router.acomplete("hi"))
        await asyncio.sleep(0.02)
        with pytest.raises(DeadlineExceededError):
            await router.acomplete("hi", deadline_s=0.1)
        return (await leader).text

    with real(provider, tmp_path, "memory") as router:
        assert asyncio.run(main(router)) == "slow"
    assert provider.calls == 1


WORKER = """
import asyncio, sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from tests.unit.engine.cache.test_lookup import Slow, real
home, calls, seconds, start = Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
class Noting(Slow):
    def _count(self):
        number = super()._count()
        with calls.open("a") as file:
            file.write(f"{__import__('os').getpid()}\\n")
        return number
async def main():
    with real(Noting(seconds), home, "memory", "disk") as router:
        await asyncio.sleep(max(0, start - time.time()))
        print(*{(await router.acomplete("hi")).text for _ in range(1)}, flush=True)
        texts = await asyncio.gather(*(router.acomplete("hi") for _ in range(100)))
        assert {text.text for text in texts} == {"slow"}
asyncio.run(main())
"""


def processes(tmp_path: Path, count: int, seconds: float) -> list[subprocess.Popen[str]]:
    arguments = [str(ROOT), str(tmp_path / "home"), str(tmp_path / "calls"), str(seconds), str(time.time() + 3)]
    return [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(count)
    ]


def test_processes_of_one_home_make_one_call(tmp_path: Path) -> None:
    running = processes(tmp_path, 4, 1.0)
    outputs = [one.communicate(timeout=60) for one in running]
    assert [out for out, _ in outputs] == ["slow\n"] * 4, outputs
    assert len((tmp_path / "calls").read_text().split()) == 1


def test_where_the_leading_process_is_killed_the_next_one_leads(tmp_path: Path) -> None:
    running = processes(tmp_path, 3, 3.0)
    calls = tmp_path / "calls"
    until = time.monotonic() + 30
    while not (calls.exists() and calls.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.01)
    (leader,) = calls.read_text().split()
    os.kill(int(leader), 9)
    outputs = {one.pid: one.communicate(timeout=60) for one in running}
    assert [out for pid, (out, _) in outputs.items() if pid != int(leader)] == ["slow\n"] * 2, outputs
    assert len(calls.read_text().split()) == 2


def test_two_questions_in_one_slot_do_not_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.engine.cache import single_flight as singleflight

    monkeypatch.setattr(singleflight, "SLOT_DIGITS", 0)
    one, two = singleflight.SingleFlight(tmp_path), singleflight.SingleFlight(tmp_path)
    assert one.alone("a")
    assert two.alone("b"), "somebody else's question is under way in the slot"
    assert not two.alone("a")
    flight, _ = one.board("a")
    one.land("a", flight, None)
    assert two.alone("a")
    assert not one.alone("a")


def test_nobody_was_chosen_for_a_cached_answer_and_that_is_said(face: Face) -> None:
    router, _ = shelved({"a": ScriptedProvider("once")})
    face.complete(router, "hi")
    hit = face.complete(router, "hi")
    assert hit.cache == "hit"
    with pytest.raises(NoCandidateError, match="answered by the shelf cache"):
        _ = hit.decision.chosen
