"""One line per event on the standard logger "routekit": words a person reads, fields a program reads."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from routekit.plugin import Observer, ObserverPlugin, Options, PluginContext
from routekit.types import (
    AttemptEnded,
    AttemptStarted,
    BudgetRefused,
    BudgetWarning,
    CacheHit,
    Compressed,
    Decided,
    Event,
    FirstToken,
    HealthChanged,
    PluginBypassed,
    RequestEnded,
    RequestStarted,
)

_PLAIN = re.compile(r"[A-Za-z0-9_.:/$%+@*-]+")


class LogOptions(Options):
    """`logger` is the name of the standard library's logger that the lines go to."""

    logger: str = "routekit"


class LogObserver(Observer):
    """Ends of requests are INFO, what went wrong is WARNING, everything on the way is DEBUG.

    A line is ``event key=value ...``; the same fields are the record's attribute `routekit`, for
    handlers that write JSON. Neither holds a message's text, or the text of an error: an upstream's
    error may quote the request.
    """

    def __init__(self, **options: Any) -> None:
        self.options = LogOptions.checked(options, where="log")
        self._log = logging.getLogger(self.options.logger)

    def __call__(self, event: Event) -> None:
        level = _level(event)
        if not self._log.isEnabledFor(level):
            return
        name, fields = _fields(event)
        if event.request_id:
            fields = {"id": event.request_id, **fields}
        shown = " ".join(f"{key}={_written(value)}" for key, value in fields.items() if value is not None)
        self._log.log(level, "%s %s", name, shown, extra={"routekit": {"event": name, "at": event.at, **fields}})


def _level(event: Event) -> int:
    if isinstance(event, RequestEnded):
        return logging.WARNING if event.error is not None else logging.INFO
    if isinstance(event, AttemptEnded):
        return logging.DEBUG if event.attempt.outcome in ("ok", "cancelled") else logging.WARNING
    if isinstance(event, (BudgetRefused, BudgetWarning, PluginBypassed, HealthChanged)):
        return logging.WARNING
    return logging.DEBUG


def _fields(event: Event) -> tuple[str, dict[str, Any]]:
    """The event's name and what is told of it."""
    match event:
        case RequestStarted(request=request):
            return "request_started", {
                "strategy": request.strategy,
                "model": request.model,
                "group": request.group,
                "step": request.step.kind if request.step else None,
                "messages": len(request.messages),
                "tools": len(request.tools),
                "stream": request.stream,
            }
        case Decided(decision=decision):
            return "decided", {
                "strategy": decision.strategy,
                "deployment": decision.ranked[0].deployment.name if decision.ranked else None,
                "ranked": len(decision.ranked),
                "rejected": len(decision.rejections),
                "reason": decision.reason,
            }
        case CacheHit(tier=tier, saved=saved):
            return "cache_hit", {"tier": tier, "saved_usd": str(saved.usd)}
        case AttemptStarted(deployment=deployment):
            return "attempt_started", {"deployment": deployment.name}
        case FirstToken(deployment=deployment, ttft_s=ttft_s):
            return "first_token", {"deployment": deployment.name, "ttft_s": _seconds(ttft_s)}
        case AttemptEnded(attempt=attempt):
            return "attempt_ended", {
                "deployment": attempt.deployment.name,
                "role": attempt.role,
                "outcome": attempt.outcome,
                "error": type(attempt.error).__name__ if attempt.error else None,
                "status": attempt.error.status if attempt.error else None,
                "cost_usd": str(attempt.cost.usd),
                "input_tokens": attempt.usage.input_tokens,
                "output_tokens": attempt.usage.output_tokens,
                "duration_s": _seconds(attempt.duration_s),
                "ttft_s": _seconds(attempt.ttft_s),
            }
        case BudgetRefused(scope=scope, deployment=deployment, asked=asked):
            return "budget_refused", {
                "scope": scope, "deployment": deployment.name, "asked_usd": str(asked.usd)
            }  # fmt: skip
        case BudgetWarning(scope=scope, limit=limit, used=used, threshold=threshold):
            return "budget_warning", {
                "scope": scope, "limit_usd": str(limit.usd), "used_usd": str(used.usd), "threshold": threshold
            }  # fmt: skip
        case HealthChanged(deployment=deployment, state=state, reason=reason):
            return "health_changed", {"deployment": deployment.name, "state": state, "reason": reason}
        case PluginBypassed(kind=kind, name=name, error=error):
            return "plugin_bypassed", {"kind": kind, "name": name, "error": error}
        case Compressed(compressor=compressor, saved_tokens=saved_tokens, lossless=lossless):
            return "compressed", {"compressor": compressor, "saved_tokens": saved_tokens, "lossless": lossless}
        case RequestEnded():
            return "request_ended", _ended(event)
        case _:
            return type(event).__name__, {}


def _ended(event: RequestEnded) -> dict[str, Any]:
    result = event.result
    fields: dict[str, Any] = {"error": type(event.error).__name__ if event.error is not None else None}
    if result is not None:
        fields |= {
            "strategy": result.decision.strategy,
            "deployment": result.deployment.name if result.deployment else None,
            "model": result.model,
            "finish_reason": result.finish_reason,
            "cache": result.cache,
            "attempts": len(result.attempts),
            "cost_usd": str(result.cost.usd),
            "saved_usd": str(result.saved.usd) if result.saved else None,
            "input_tokens": result.usage.input_tokens,
            "output_tokens": result.usage.output_tokens,
            "duration_s": _seconds(result.duration_s),
            "ttft_s": _seconds(result.ttft_s),
        }
    return fields


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _written(value: Any) -> str:
    """One word, or a JSON text: no value can begin a line or a field of its own."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _make(options: LogOptions, context: PluginContext) -> LogObserver:
    return LogObserver(**options.model_dump())


PLUGIN = ObserverPlugin(
    name="log",
    factory=_make,
    options=LogOptions,
    summary='One line per event on the standard logger "routekit"; no message text.',
)
