"""Step 6: compressors, in configured order. Each is bounded in time, and left out where it fails."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from routekit.engine.events import Notifier
from routekit.engine.io.port import IO
from routekit.engine.plan.planner import Pool, needed_capabilities
from routekit.engine.plan.prompt_cache import PrefixMemory, conversation_of
from routekit.engine.run import Own, Run
from routekit.engine.settings import CompressionRule
from routekit.errors import RoutekitError
from routekit.plugin import Compressor, new_lock_after_fork
from routekit.types import Answer, Clock, Compressed, Deployment, PluginBypassed, RouteRequest, count_tokens
from routekit.types.price import TOKENS_PER_PRICE

T = TypeVar("T")
OUTPUT_SHARE = 0.15
"""Of a context window, left for the answer where the caller set no limit."""

DEFAULT_RATIO = 0.5
"""Of its tokens, what a request is compressed to that is not too long, where configuration says no more than that."""

THREAD_TOKENS = 20_000
"""From here on compressing takes longer than starting a thread, in which its time can be bounded."""

_KEPT = 10_000
Ask = Callable[[IO, Run, RouteRequest], Awaitable[Answer]]


class Step(NamedTuple):
    """One configured compressor."""

    name: str
    compressor: Compressor
    rule: CompressionRule


class Compressing:
    """The configured chain. `ask` puts a question to a model, for compressors that need one."""

    def __init__(
        self,
        steps: Sequence[tuple[str, Compressor, CompressionRule]],
        *,
        prefixes: PrefixMemory,
        clock: Clock,
        notify: Notifier,
        ask: Ask,
    ) -> None:
        made = [Step(*step) for step in steps]
        self._shared = tuple(step for step in made if not step.rule.deployments)
        self._own = tuple(step for step in made if step.rule.deployments)
        self._prefixes = prefixes
        self._clock = clock
        self._notify = notify
        self._ask = ask
        self._lock = threading.Lock()
        self._applied: OrderedDict[int, set[str]] = OrderedDict()
        new_lock_after_fork(self)

    def original(self, handle: str) -> str | None:
        """The text that some compressor left `handle` for."""
        for step in (*self._shared, *self._own):
            found = step.compressor.original(handle)
            if found is not None:
                return found
        return None

    async def compress(self, io: IO, run: Run, pool: Pool, *, ask: bool = True) -> None:
        """Makes the run's request smaller: for everybody, then for deployments with compressors of their own.

        `ask=False`: no model is asked for it.
        """
        if self._shared:
            room = self._room(run.request, pool)
            request, saved = await self._chain(io, run, pool, self._shared, run.request, room, ask)
            run.request = request
            run.removed_tokens += saved
        if self._own:
            done: dict[tuple[int | None, tuple[str, ...]], tuple[RouteRequest, int]] = {}
            for deployment in pool.deployments:
                steps = tuple(step for step in self._own if _named(deployment, step.rule))
                if not steps:
                    continue
                room = _room_in(run.request, deployment.model.context_window)
                key = (room, tuple(step.name for step in steps))
                if key not in done:
                    done[key] = await self._chain(io, run, pool, steps, run.request, room, ask, deployment)
                request, saved = done[key]
                if request is not run.request:
                    run.own[deployment.name] = Own(request, saved)

    async def _chain(
        self,
        io: IO,
        run: Run,
        pool: Pool,
        steps: Sequence[Step],
        request: RouteRequest,
        room: int | None,
        ask: bool,
        only: Deployment | None = None,
    ) -> tuple[RouteRequest, int]:
        total = 0
        for step in steps:
            before = _tokens(request)
            over = room is not None and before > room
            target = _target(step, before, room)
            if target is None and not (step.compressor.lossless and step.rule.when != "overflow"):
                continue
            try:
                if ask:
                    await self._asked(io, run, step, request, target)
                work = functools.partial(step.compressor.compress, request, target)
                compression = await self._bounded(io, run, step, work, before)
                after = _tokens(compression.request)
            except Exception as error:
                self._bypassed(run, step.name, error)
                continue
            if after >= before:
                continue
            if not over and not self._pays(run, pool, step, request, compression.request, before, after):
                run.notes.append(
                    f"{step.name} would cost more than it saves: a provider still holds what it would change"
                )
                continue
            request = compression.request
            total += before - after
            what = f": {compression.removed}" if compression.removed else ""
            what += "; nothing is lost" if compression.lossless else ""
            for_whom = "" if only is None else f" for {only.name}"
            run.notes.append(f"{step.name} took out {before - after} of {before} tokens{for_whom}{what}")
            if self._notify:
                self._notify(
                    Compressed(
                        request_id=run.id, at=self._clock.time(), compressor=step.name,
                        saved_tokens=before - after, lossless=compression.lossless, removed=compression.removed,
                    )
                )  # fmt: skip
        return request, total

    async def _asked(self, io: IO, run: Run, step: Step, request: RouteRequest, target: int | None) -> None:
        """Gets the compressor the answer that it needs, if it needs one."""
        if type(step.compressor).consult is Compressor.consult:
            return
        wanted = step.compressor.consult(request, target)
        if wanted is None:
            return
        try:
            step.compressor.learn(wanted, await self._ask(io, run, wanted))
        except RoutekitError as error:  # it can do without, or leaves the request to the next one
            self._bypassed(run, step.name, error)

    async def _bounded(self, io: IO, run: Run, step: Step, work: Callable[[], T], tokens: int) -> T:
        """What `work` returns. Large requests and slow compressors get a thread, which is given up in time.

        Raises:
            TimeoutError: it took too long.
        """
        if not step.compressor.slow and tokens < THREAD_TOKENS:
            return work()
        left_s = run.deadline.remaining_s()
        limit_s = step.rule.timeout_s if left_s is None else min(step.rule.timeout_s, left_s / 2)
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def serve() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        # A daemon: one that never ends does not keep the program from ending.
        threading.Thread(target=serve, name=f"routekit-{step.name}", daemon=True).start()
        return await io.wait(future, limit_s)

    def _room(self, request: RouteRequest, pool: Pool) -> int | None:
        """The tokens that the largest deployment which may serve the request has for its input; None: nobody knows."""
        rows = pool.filtered(needed_capabilities(request), request.requirements)[0]
        windows = [row.deployment.model.context_window for row in rows]
        if not windows or None in windows:
            return None
        return _room_in(request, max(window for window in windows if window is not None))

    def _pays(
        self, run: Run, pool: Pool, step: Step, old: RouteRequest, new: RouteRequest, before: int, after: int
    ) -> bool:
        """Whether a smaller request is cheaper, too, although the holder's prompt cache no longer fits it."""
        if step.compressor.stable:
            return True
        key = conversation_of(run.request)
        with self._lock:
            applied = self._applied.get(key, set())
        if step.name not in applied and not self._cheaper(pool, old, new, before, after):
            return False
        with self._lock:
            self._applied[key] = applied | {step.name}  # the provider will hold it in this form from now on
            self._applied.move_to_end(key)
            if len(self._applied) > _KEPT:
                self._applied.popitem(last=False)
        return True

    def _cheaper(self, pool: Pool, old: RouteRequest, new: RouteRequest, before: int, after: int) -> bool:
        holder = self._prefixes.holder(old)
        held = 0 if holder is None else self._prefixes.cached(old, before).get(holder.deployment, 0)
        price = next((d.model.price for d in pool.deployments if holder and d.name == holder.deployment), None)
        if not held or price is None or price.cached_input is None or price.cached_input >= price.input:
            return True
        kept = min(held, _common_tokens(old, new))
        fresh = max(price.input, price.cache_write or 0)
        unchanged = held * price.cached_input + (before - held) * price.input
        changed = kept * price.cached_input + (after - kept) * fresh
        return changed // TOKENS_PER_PRICE < unchanged // TOKENS_PER_PRICE

    def _bypassed(self, run: Run, name: str, error: Exception) -> None:
        why = "took too long" if isinstance(error, TimeoutError) else f"failed ({type(error).__name__})"
        run.notes.append(f"compressor {name} {why} and was left out")
        if self._notify:
            self._notify(
                PluginBypassed(
                    request_id=run.id, at=self._clock.time(), kind="compressor", name=name, error=type(error).__name__
                )
            )


def _target(step: Step, before: int, room: int | None) -> int | None:
    """The input tokens to get down to; None: there is no reason to."""
    rule = step.rule
    targets: list[int] = []
    if room is not None and before > room:
        targets.append(room)
    if rule.when != "overflow" and (rule.above_tokens is None or before > rule.above_tokens):
        if rule.ratio is not None:
            targets.append(int(before * rule.ratio))
        elif rule.above_tokens is not None:
            targets.append(rule.above_tokens)
        elif rule.when == "always":
            targets.append(int(before * DEFAULT_RATIO))
    return min(targets, default=None)


def _named(deployment: Deployment, rule: CompressionRule) -> bool:
    return not rule.deployments.isdisjoint((deployment.name, deployment.group, deployment.model.id))


def _room_in(request: RouteRequest, window: int | None) -> int | None:
    if window is None:
        return None
    return max(1, window - (request.wanted_output or int(window * OUTPUT_SHARE)))


def _tokens(request: RouteRequest) -> int:
    return count_tokens(request.messages, request.tools)[0]


def _common_tokens(old: RouteRequest, new: RouteRequest) -> int:
    """The likely tokens of what both begin with."""
    if old.tools != new.tools:
        return 0
    same = 0
    for a, b in zip(old.messages, new.messages, strict=False):
        if a is not b and a != b:
            break
        same += 1
    return count_tokens(old.messages[:same], old.tools)[0]
