"""An answer is looked at by the strategy, and a judge where it wants one, before it is given."""

from __future__ import annotations

import functools

from routekit.engine.attempts.runner import Asking
from routekit.engine.attempts.sequence import Chain
from routekit.engine.attempts.side_calls import SideCalls
from routekit.engine.events import Notifier
from routekit.engine.io.port import IO
from routekit.engine.permit import Answered
from routekit.engine.run import Run
from routekit.errors import RoutekitError
from routekit.plugin import Strategy, reaper
from routekit.types import ACCEPT, Answer, Clock, PluginBypassed, Verdict


class Review:
    """Accepts answers, or has the next one asked."""

    def __init__(self, asking: Asking, side_calls: SideCalls, clock: Clock, notify: Notifier) -> None:
        self._asking = asking
        self._side_calls = side_calls
        self._clock = clock
        self._notify = notify

    async def accepted(self, io: IO, run: Run, strategy: Strategy, chain: Chain) -> Answered:
        """The first answer that the strategy accepts, or the last one where nobody is left to ask."""
        kept: Answered | None = None
        while True:
            try:
                answered = await self._asking.answer(io, run, chain)
            except RoutekitError as error:
                if kept is None:
                    raise
                run.notes.append(f"kept an answer that was not accepted: nobody else could ({type(error).__name__})")
                return kept
            try:
                verdict = await self._verdict(io, run, strategy, answered) if strategy.reviews else ACCEPT
            except BaseException as error:  # cancelled while a judge was asked: the answer is paid all the same
                paid = functools.partial(self._asking.ended, run, answered.permit, "cancelled", answered.usage)
                reaper.end(error, paid)
                raise
            last = len(chain.failures) + len(chain.skipped) + 1 >= len(chain.candidates)
            if verdict.action != "escalate":
                self._asking.ended(run, answered.permit, "ok", answered.usage)
                return answered
            if last or run.used >= self._asking.max_attempts:
                self._asking.ended(
                    run, answered.permit, "ok", answered.usage, detail=f"kept although {verdict.reason}: nobody is left"
                )
                run.notes.append(f"the last answer was kept although {verdict.reason}")
                return answered
            self._asking.ended(run, answered.permit, "escalated", answered.usage, detail=verdict.reason)
            chain.skipped.add(answered.permit.place)
            kept = answered

    async def _verdict(self, io: IO, run: Run, strategy: Strategy, answered: Answered) -> Verdict:
        """The strategy's, after a judge's where it asks for one; a judge who cannot be asked has no say."""
        verdict = self._asked(run, strategy, answered)
        if verdict.action != "consult" or verdict.request is None:
            return verdict
        price = answered.permit.candidate.deployment.model.price
        run.unbilled_nanos = (
            0 if price is None else price.cost_nanos(answered.usage, service=answered.permit.candidate.work.service)
        )
        try:
            consulted = await self._side_calls.consult(io, run, verdict.request)
        except RoutekitError as error:
            run.notes.append(f"the judge could not be asked ({type(error).__name__}); the answer was accepted unseen")
            self._bypassed(run, "judge", verdict.request.model or "", error)
            return ACCEPT
        finally:
            run.unbilled_nanos = 0
        return self._asked(run, strategy, answered, consulted.answer)

    def _asked(self, run: Run, strategy: Strategy, answered: Answered, consulted: Answer | None = None) -> Verdict:
        """What the strategy thinks of it; a strategy that fails has no say."""
        try:
            if consulted is None:
                return strategy.review(run.request, answered.answer, run.attempts)
            return strategy.review(run.request, answered.answer, run.attempts, consulted)
        except RoutekitError:
            raise
        except Exception as error:
            run.notes.append(
                f"strategy {strategy.name} could not review the answer ({type(error).__name__}); it was accepted unseen"
            )
            self._bypassed(run, "strategy", strategy.name, error)
            return ACCEPT

    def _bypassed(self, run: Run, kind: str, name: str, error: Exception) -> None:
        if self._notify:
            at = self._clock.time()
            self._notify(PluginBypassed(request_id=run.id, at=at, kind=kind, name=name, error=type(error).__name__))
