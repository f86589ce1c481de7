"""What one attempt sends, and how long it may take."""

from __future__ import annotations

import functools

from routekit.engine.attempts.policy import attempt_limit_s
from routekit.engine.attempts.sequence import Chain
from routekit.engine.attempts.time_limits import first_token_limit_s, idle_limit_s
from routekit.engine.health.health import Health
from routekit.engine.history.continuation import with_partial, with_prefill
from routekit.engine.history.repair import portable, portable_tools
from routekit.engine.io.port import IO, Watch
from routekit.engine.permit import Permit
from routekit.engine.plan.declined import NO_CHANGES, Declined
from routekit.engine.run import Run
from routekit.engine.settings import EngineSettings
from routekit.plugin import Provider, ProviderCall
from routekit.types.sending import changed_params, one_limit

TIMER_SLACK_S = 0.005
"""Timers of the operating system may fire a little early; so close to its end a deadline is over."""


def call_for(
    run: Run,
    chain: Chain,
    permit: Permit,
    settings: EngineSettings,
    health: Health,
    declined: Declined,
    stream: bool = False,
) -> tuple[ProviderCall, Watch | None]:
    """What is sent, and the watch over its silence where somebody else could answer instead."""
    candidate, request = permit.candidate, chain.decision.request or run.request
    if run.own and chain.role == "answer" and (own := run.own.get(candidate.deployment.name)) is not None:
        request = own.request
    params = one_limit(request.params)
    bound = candidate.work.added_limit
    if bound is not None:
        most = candidate.deployment.model.max_output
        params = {**params, "max_tokens": bound if most is None else min(bound, most)}
    if chain.logprobs and "logprobs" not in params:
        params = {**params, "logprobs": True}
    messages = request.messages
    if chain.said:
        params = with_prefill(params, chain.said)
        messages = with_partial(messages, chain.said)
    changes = declined.changes(candidate.deployment)
    if changes is not NO_CHANGES:
        params = changed_params(params, *changes)
    left_s = remaining_s(run)
    others = run.used < settings.max_attempts and chain.others_behind(permit.place)
    limit_s = attempt_limit_s(left_s, others)
    permit.callers_limit_s = limit_s
    idle_s = None
    if stream:
        typical = health.typical(candidate.deployment.name, candidate.work.input_tokens)
        first_s = first_token_limit_s(settings.first_token_s, typical, others)
        idle_s = idle_limit_s(settings.idle_s, typical)
        if first_s is not None and (limit_s is None or first_s < limit_s):
            limit_s, permit.callers_limit_s = first_s, None
    watch = None
    if others and (patience_s := health.patience_s(candidate.deployment.name)) is not None:
        watch = Watch(patience_s, functools.partial(health.hopeless, permit.admission))
    call = ProviderCall(
        deployment=candidate.deployment,
        messages=portable(messages, reader=candidate.deployment, tools=request.tools),
        tools=portable_tools(request.tools, reader=candidate.deployment) if request.tools else (),
        params=params,
        timeout_s=left_s if stream else limit_s,
        first_token_timeout_s=limit_s if stream else None,
        idle_timeout_s=idle_s,
        request_id=run.id,
        headers=request.headers,
        omit=changes.omit,
        rename=changes.rename,
    )
    return call, watch


async def prepared(io: IO, run: Run, provider: Provider) -> None:
    """Lets a provider do what comes before its first call, outside of the request's time.

    Raises:
        ProviderSetupError: this installation cannot.
    """
    before = run.deadline.elapsed_s()
    try:
        await io.offload(provider.prepare)
    finally:
        run.deadline.stood_still(run.deadline.elapsed_s() - before)


def output_limit(call: ProviderCall) -> int | None:
    """The most tokens that an answer to this call may have; None where nobody limits them."""
    given = (call.params.get("max_completion_tokens"), call.params.get("max_tokens"), call.deployment.model.max_output)
    return next((limit for limit in given if isinstance(limit, int) and limit > 0), None)


def remaining_s(run: Run) -> float | None:
    """Seconds until the request's deadline, None where it has none."""
    left = run.deadline.remaining_s()
    return 0.0 if left is not None and left < TIMER_SLACK_S else left
