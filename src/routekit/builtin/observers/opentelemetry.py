"""A span per request and one per upstream call below it, and metrics; by the API alone, content never."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from routekit.builtin.observers import genai
from routekit.plugin import Observer, ObserverPlugin, PluginContext
from routekit.types import (
    Attempt,
    AttemptEnded,
    AttemptStarted,
    CacheHit,
    Decided,
    Event,
    FirstToken,
    PluginBypassed,
    RequestEnded,
    RequestStarted,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

MAX_OPEN = 10_000
"""Requests whose end is awaited. A stream that was abandoned without being closed may never end."""

SCOPE = "routekit"


@dataclass(slots=True)
class _Open:
    """A request under way: its span, a context that holds it, and the spans of its calls in order."""

    span: Span
    context: Context
    group: str
    calls: list[tuple[str, Span]] = field(default_factory=list)


class OpenTelemetryObserver(Observer):
    """The request's span is a child of whatever span is current when the request starts.

    Nothing is attached to the current context, so nothing leaks to the consumer of a stream. Usage
    stands on the calls' spans alone: a backend that sums it counts no token twice.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        from opentelemetry import metrics, trace

        self._trace = trace
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            genai.OPERATION_DURATION, "s", "Duration of an upstream call",
            explicit_bucket_boundaries_advisory=genai.DURATION_BUCKETS_S,
        )  # fmt: skip
        self._tokens = meter.create_histogram(
            genai.TOKEN_USAGE, "{token}", "Tokens of an upstream call",
            explicit_bucket_boundaries_advisory=genai.TOKEN_BUCKETS,
        )  # fmt: skip
        self._request_duration = meter.create_histogram(
            genai.REQUEST_DURATION, "s", "Duration of a request with all of its upstream calls",
            explicit_bucket_boundaries_advisory=genai.DURATION_BUCKETS_S,
        )  # fmt: skip
        self._request_cost = meter.create_counter(
            genai.REQUEST_COST, "USD", "Cost of requests with all of their upstream calls"
        )
        self._lock = Lock()
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestStarted):
            self._started(event)
            return
        open_ = self._open.get(event.request_id)
        if open_ is None:
            return
        match event:
            case AttemptStarted():
                self._attempt_started(open_, event)
            case AttemptEnded():
                self._attempt_ended(open_, event)
            case Decided(decision=decision):
                _set(
                    open_.span,
                    {
                        genai.STRATEGY: decision.strategy,
                        genai.REASON: decision.reason,
                        genai.CANDIDATES: len(decision.ranked),
                        genai.REJECTIONS: len(decision.rejections),
                    },
                )
            case FirstToken():
                _set(_last(open_, event.deployment.name), {genai.TTFT_S: event.ttft_s})
            case CacheHit():
                open_.span.add_event("routekit.cache_hit", {"routekit.cache.tier": event.tier}, _nanos(event.at))
            case PluginBypassed():
                fields = {"routekit.plugin.kind": event.kind, "routekit.plugin.name": event.name}
                open_.span.add_event("routekit.plugin_bypassed", fields, _nanos(event.at))
            case RequestEnded():
                self._ended(event)

    def close(self) -> None:
        with self._lock:
            left = list(self._open.values())
            self._open.clear()
        for open_ in left:
            _abandon(open_)

    def _started(self, event: RequestStarted) -> None:
        request = event.request
        asked = request.model or request.group or "default"
        attributes = {
            genai.OPERATION: "chat",
            genai.PROVIDER: "routekit",
            genai.REQUEST_MODEL: request.model,
            genai.REQUEST_MAX_TOKENS: request.wanted_output,
            genai.REQUEST_TEMPERATURE: request.params.get("temperature"),
            genai.CONVERSATION: request.session,
            genai.REQUEST_ID: event.request_id,
            genai.STRATEGY: request.strategy,
            genai.GROUP: request.group,
            genai.STEP: request.step.kind if request.step else None,
        }
        span = self._tracer.start_span(
            f"chat {asked}",
            kind=self._trace.SpanKind.INTERNAL,
            attributes=_known(attributes),
            start_time=_nanos(event.at),
        )
        open_ = _Open(span, self._trace.set_span_in_context(span), request.group or "default")
        with self._lock:
            self._open[event.request_id] = open_
            oldest = self._open.popitem(last=False)[1] if len(self._open) > MAX_OPEN else None
        if oldest is not None:
            _abandon(oldest)

    def _attempt_started(self, open_: _Open, event: AttemptStarted) -> None:
        deployment = event.deployment
        span = self._tracer.start_span(
            f"chat {deployment.model.id}",
            context=open_.context,
            kind=self._trace.SpanKind.CLIENT,
            attributes={
                genai.OPERATION: "chat",
                genai.PROVIDER: genai.provider_name(deployment),
                genai.REQUEST_MODEL: deployment.model.id,
                genai.DEPLOYMENT: deployment.name,
            },
            start_time=_nanos(event.at),
        )
        open_.calls.append((deployment.name, span))

    def _attempt_ended(self, open_: _Open, event: AttemptEnded) -> None:
        attempt = event.attempt
        labels: dict[str, Any] = {
            genai.OPERATION: "embeddings" if attempt.role == "embedding" else "chat",
            genai.PROVIDER: genai.provider_name(attempt.deployment),
            genai.REQUEST_MODEL: attempt.deployment.model.id,
        }
        if (failure := _failure(attempt)) is not None:
            labels[genai.ERROR_TYPE] = failure
        span = _take(open_, attempt.deployment.name)
        context = open_.context if span is None else self._trace.set_span_in_context(span)
        self._duration.record(attempt.duration_s, labels, context)
        usage = attempt.usage
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count:
                self._tokens.record(count, {**labels, genai.TOKEN_TYPE: kind}, context)
        if span is None:
            return
        _set(
            span,
            {
                genai.OPERATION: labels[genai.OPERATION],
                genai.INPUT_TOKENS: usage.input_tokens,
                genai.OUTPUT_TOKENS: usage.output_tokens,
                genai.CACHE_READ_TOKENS: usage.cache_read_tokens or None,
                genai.CACHE_WRITE_TOKENS: usage.cache_write_tokens or None,
                genai.COST_USD: float(attempt.cost.usd),
                genai.COST_KNOWN: attempt.cost_known,
                genai.OUTCOME: attempt.outcome,
                genai.ROLE: attempt.role,
                genai.TTFT_S: attempt.ttft_s,
                genai.ERROR_TYPE: failure,
            },
        )
        if labels[genai.OPERATION] != "chat":
            span.update_name(f"{labels[genai.OPERATION]} {attempt.deployment.model.id}")
        if failure is not None:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(_nanos(event.at))

    def _ended(self, event: RequestEnded) -> None:
        with self._lock:
            open_ = self._open.pop(event.request_id, None)
        if open_ is None:
            return
        result, error = event.result, event.error
        labels: dict[str, Any] = {genai.GROUP: open_.group}
        if error is not None:
            labels[genai.ERROR_TYPE] = type(error).__name__
            open_.span.set_status(self._trace.StatusCode.ERROR)
            _set(open_.span, {genai.ERROR_TYPE: type(error).__name__})
        if result is not None:
            labels |= {genai.STRATEGY: result.decision.strategy, genai.CACHE: result.cache}
            _set(
                open_.span,
                {
                    genai.RESPONSE_MODEL: result.model,
                    genai.FINISH_REASONS: (result.finish_reason,) if result.finish_reason else None,
                    genai.STRATEGY: result.decision.strategy,
                    genai.DEPLOYMENT: result.deployment.name if result.deployment else None,
                    genai.ATTEMPTS: len(result.attempts),
                    genai.CACHE: result.cache,
                    genai.COST_USD: float(result.cost.usd),
                    genai.COST_KNOWN: result.cost_known,
                    genai.SAVED_USD: float(result.saved.usd),
                    genai.TTFT_S: result.ttft_s,
                },
            )
            self._request_duration.record(result.duration_s, labels, open_.context)
            self._request_cost.add(float(result.cost.usd), labels, open_.context)
        _abandon(open_, _nanos(event.at))


def _failure(attempt: Attempt) -> str | None:
    if attempt.error is not None:
        return type(attempt.error).__name__
    return None if attempt.outcome in ("ok", "escalated") else attempt.outcome


def _last(open_: _Open, deployment: str) -> Span | None:
    return next((span for name, span in reversed(open_.calls) if name == deployment), None)


def _take(open_: _Open, deployment: str) -> Span | None:
    """The oldest open call to that deployment, taken off the list."""
    for place, (name, span) in enumerate(open_.calls):
        if name == deployment:
            del open_.calls[place]
            return span
    return None


def _abandon(open_: _Open, at: int | None = None) -> None:
    """Ends what is still open, calls first."""
    for _, span in open_.calls:
        span.end(at)
    open_.span.end(at)


def _set(span: Span | None, attributes: dict[str, Any]) -> None:
    if span is not None:
        span.set_attributes(_known(attributes))


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value is not None}


def _nanos(at: float) -> int:
    return int(at * 1_000_000_000)


def _make(options: Any, context: PluginContext) -> OpenTelemetryObserver:
    return OpenTelemetryObserver()


PLUGIN = ObserverPlugin(
    name="opentelemetry",
    factory=_make,
    summary="Spans and metrics by the GenAI conventions, through whatever OpenTelemetry SDK is set up.",
)
