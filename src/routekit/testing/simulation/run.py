"""Plays a scenario: the real router, on a virtual event loop, under scripted traffic."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import Iterable, Mapping
from typing import Any

from routekit.errors import RoutekitError, StreamInterruptedError
from routekit.plugin import Strategy
from routekit.router import Router
from routekit.testing.simulation.provider import SimulatedProvider
from routekit.testing.simulation.report import Outcome, Report, summed_up
from routekit.testing.simulation.scenario import Scenario
from routekit.testing.simulation.traffic import Ask, asks_of
from routekit.testing.simulation.watch import PromiseBrokenError, Stage, Watch
from routekit.testing.virtual_loop import LoopClock, run_virtual
from routekit.types import RouteResult

ScenarioSpec = Scenario | Mapping[str, Any] | str | os.PathLike[str]
"""A scenario, a dictionary of the file's shape, or a path."""

NOWHERE = os.path.join(os.devnull, "routekit")
"""A state directory that can never be made: nothing is read from the disk and nothing written to it."""

StrategySpec = str | Strategy | Mapping[str, Any]
"""A strategy's name, an instance, or a table with `use`."""


def simulate(
    scenario: ScenarioSpec, *, strategy: StrategySpec | None = None, seed: int = 0, plugins: Iterable[Any] = ()
) -> Report:
    """Plays the scenario once. Takes no real time but the computing; nothing leaves the process.

    `strategy` None is the one that the scenario's configuration names. `plugins` are modules or
    objects with hooks, as for `Router`. The same arguments give the same report, byte for byte.

    >>> slow, quick = {"name": "slow", "first_token_s": {"median": 5}}, {"name": "quick"}
    >>> report = simulate({"deployments": [slow, quick], "traffic": {"requests": 20}}, strategy="fastest")
    >>> report.availability
    1.0

    Raises:
        ConfigError: the scenario is wrong, or its recording cannot be read.
        PluginError: a strategy nobody registered.
        PromiseBrokenError: the router did what it promises not to do.
    """
    if isinstance(scenario, Mapping):
        scenario = Scenario.from_dict(scenario)
    elif not isinstance(scenario, Scenario):
        scenario = Scenario.from_file(scenario)
    played = _Play(scenario, strategy, seed, tuple(plugins))
    if asyncio._get_running_loop() is None:
        return played.run()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # in a notebook: this thread's loop is taken
        return pool.submit(played.run).result()


def compare(
    scenario: ScenarioSpec, strategies: Iterable[StrategySpec], *, seed: int = 0, plugins: Iterable[Any] = ()
) -> list[Report]:
    """One report per strategy, under the same traffic and the same luck. Raises what `simulate` does."""
    return [simulate(scenario, strategy=strategy, seed=seed, plugins=plugins) for strategy in strategies]


class _Play:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, strategy: StrategySpec | None, seed: int, plugins: tuple[Any, ...]) -> None:
        self._scenario = scenario
        self._spec = strategy
        self._seed = seed
        self._plugins = plugins
        self._asks = asks_of(scenario, seed)
        self._config = scenario.to_config()
        self._clock = LoopClock()
        self._watch = Watch(scenario.deployments, self._clock, self._config.router.max_attempts)
        self._outcomes: list[Outcome | None] = [None] * len(self._asks)

    def run(self) -> Report:
        return run_virtual(self._main(), clock=self._clock, seed=self._seed)

    async def _main(self) -> Report:
        asks = {ask.prompt: ask for ask in self._asks}
        provider = SimulatedProvider(self._scenario, asks, self._clock, self._seed)
        watch = self._watch
        watch.provider = provider
        router = Router(
            self._config,
            plugins=[Stage(provider, watch), *self._plugins],
            clock=self._clock,
            seed=self._seed,
            env={**os.environ, "ROUTEKIT_HOME": NOWHERE},
        )
        watch.watches(router.health)
        strategy = router.resolve_strategy(self._spec)
        async with router:
            clients = []
            for place, ask in enumerate(self._asks):
                if (wait_s := ask.at - self._clock.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                clients.append(asyncio.create_task(self._client(router, strategy, place, ask)))
            await asyncio.gather(*clients)
            await asyncio.sleep(1.0)  # what was cancelled gets its turns to close
            watch.finish()
        scopes = [budget.scope for budget in self._config.budgets]
        if "global" in scopes:
            watch.spent()
        if watch.broken:
            raise PromiseBrokenError(self._scenario.name, self._seed, watch.broken)
        return summed_up(
            [outcome for outcome in self._outcomes if outcome is not None],
            scenario=self._scenario.name,
            strategy=self._spec if isinstance(self._spec, str) else strategy.name,
            seed=self._seed,
            cost_nanos=watch.cost_nanos,
            calls=provider.calls,
        )

    async def _client(self, router: Router, strategy: Strategy, place: int, ask: Ask) -> None:
        started_s = self._clock.monotonic()
        told: dict[str, Any] = {}
        try:
            async with asyncio.timeout(ask.leaves_after_s) as patience:
                options: dict[str, Any] = {"strategy": strategy}
                if ask.tags:
                    options["scopes"] = {"tag": list(ask.tags)}
                if ask.stream:
                    result = await self._read(router, ask, options)
                else:
                    result = await router.acomplete(ask.text, **options)
            self._check(ask, result)
            told = {
                "ttft_s": result.ttft_s, "cost_nanos": result.cost.nanos, "attempts": len(result.attempts),
                "deployment": result.deployment.name if result.deployment else None,
                "cached": result.cache in ("hit", "semantic-hit"),
            }  # fmt: skip
        except Exception as error:
            if patience.expired():
                told = {"abandoned": True}
            elif isinstance(error, RoutekitError):
                attempts = getattr(error, "attempts", ())
                told = {
                    "error": type(error).__name__, "attempts": len(attempts),
                    "cost_nanos": sum(attempt.cost.nanos for attempt in attempts),
                }  # fmt: skip
            else:
                self._watch.note(f"an untyped error: {type(error).__name__}: {error}")
                told = {"error": type(error).__name__}
        duration_s = self._clock.monotonic() - started_s
        self._outcomes[place] = Outcome(at=ask.at, duration_s=duration_s, **told)

    async def _read(self, router: Router, ask: Ask, options: Mapping[str, Any]) -> RouteResult:
        said: list[str] = []
        try:
            async with router.astream(ask.text, **options) as stream:
                async for chunk in stream:
                    if chunk.restart:
                        said.clear()
                    said.append(chunk.text)
            result = stream.result
        except StreamInterruptedError as error:
            if error.partial.text != "".join(said):
                self._watch.note("the partial answer of an interrupted stream is not what was handed over")
            raise
        if result.text != "".join(said):
            self._watch.note("the result of a stream is not what was handed over")
        return result

    def _check(self, ask: Ask, result: RouteResult) -> None:
        """An answer that is passed as a success is the whole answer, once."""
        whole = "".join(ask.pieces)
        if result.finish_reason == "length":
            if not whole.startswith(result.text):
                self._watch.note(f"an answer differs from what was sent: {result.text[-80:]!r}")
        elif result.text != whole:
            self._watch.note(f"an answer is not whole: {result.text[-80:]!r} instead of {whole[-80:]!r}")
