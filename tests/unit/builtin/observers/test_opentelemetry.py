from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from routekit import Router
from routekit.builtin.observers import opentelemetry as module
from routekit.builtin.observers.opentelemetry import PLUGIN, OpenTelemetryObserver
from routekit.errors import ProviderUnavailableError, RoutekitError
from routekit.plugin import ObserverPlugin, PluginContext, hookimpl
from routekit.testing import Reply, ScriptedProvider, plugin_module
from routekit.types import AttemptEnded, Event, RequestStarted, RouteRequest, as_messages

SECRET = "the patient's name"


class Backend:
    """An SDK that keeps what it is given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self.reader])
        self.observer = OpenTelemetryObserver(tracer_provider=self.tracers, meter_provider=self.meters)

    def router(self, *script: Any) -> Router:
        backend = self

        class Module:
            @hookimpl
            def routekit_observers(self) -> list[ObserverPlugin]:
                return [ObserverPlugin(name="kept", factory=lambda options, context: backend.observer)]

        provider = ScriptedProvider(*script)
        deployments = [
            {"name": name, "provider": "scripted", "model": f"m{name}", "price": {"input": 1, "output": 2}}
            for name in "ab"
        ]
        config = {"deployments": deployments, "cache": {"use": []}, "observers": [{"use": "kept"}]}
        return Router.from_dict(config, plugins=[plugin_module(provider), Module()], clock=provider.clock, env={})

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.tracers.shutdown()
    backend.meters.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_one_span_per_request_and_one_child_per_call(backend: Backend) -> None:
    with backend.router(ProviderUnavailableError("down"), Reply(text="fine", delay_s=2.0)) as router:
        result = router.complete("hi", session="s1", temperature=0.5)
    failed, answered, request = backend.spans
    assert [failed.name, answered.name] == [f"chat m{attempt.deployment}" for attempt in result.attempts]
    assert request.name == "chat default"
    assert {failed.kind, answered.kind} == {trace.SpanKind.CLIENT}
    assert request.kind == trace.SpanKind.INTERNAL
    assert request.parent is None
    for child in (failed, answered):
        assert child.parent is not None
        assert child.parent.span_id == request.context.span_id
    assert attributes(failed)["error.type"] == "ProviderUnavailableError"
    assert failed.status.status_code == trace.StatusCode.ERROR
    assert answered.status.status_code == request.status.status_code == trace.StatusCode.UNSET
    told = attributes(answered)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "scripted"
    assert told["gen_ai.usage.input_tokens"] == result.usage.input_tokens
    assert told["gen_ai.usage.output_tokens"] == result.usage.output_tokens
    assert told["routekit.attempt.outcome"] == "ok"
    assert (answered.end_time or 0) - (answered.start_time or 0) == pytest.approx(2e9, rel=1e-3)
    told = attributes(request)
    assert told["routekit.request.id"] == result.id
    assert told["routekit.attempts"] == 2
    assert told["routekit.cache"] == result.cache
    assert told["routekit.cost_usd"] == pytest.approx(float(result.cost.usd))
    assert told["routekit.decision.reason"] == result.decision.reason
    assert told["gen_ai.conversation.id"] == "s1"
    assert told["gen_ai.request.temperature"] == 0.5
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert "gen_ai.usage.input_tokens" not in told, "tokens would be counted twice"


def test_a_failed_request_is_an_error_and_quotes_nobody(backend: Backend) -> None:
    with backend.router(ProviderUnavailableError(SECRET)) as router, pytest.raises(RoutekitError) as failed:
        router.complete(SECRET)
    request = backend.spans[-1]
    assert request.status.status_code == trace.StatusCode.ERROR
    assert attributes(request)["error.type"] == type(failed.value).__name__
    assert SECRET not in "".join(span.to_json() for span in backend.spans)


def test_content_is_never_captured(backend: Backend) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": SECRET})}}
    with backend.router(Reply(text=SECRET, tool_calls=[call])) as router:
        router.complete([{"role": "system", "content": SECRET}, {"role": "user", "content": SECRET}])
        for _ in router.stream(SECRET):
            pass
    assert len(backend.spans) == 4
    assert SECRET not in "".join(span.to_json() for span in backend.spans)


def test_the_request_is_a_child_of_the_callers_span(backend: Backend) -> None:
    with backend.router("ok") as router:
        with backend.tracers.get_tracer("app").start_as_current_span("handler") as handler:
            router.complete("hi")
        assert backend.spans[1].parent is not None
        assert backend.spans[1].parent.span_id == handler.get_span_context().span_id


def test_nothing_is_attached_while_a_stream_is_read(backend: Backend) -> None:
    with backend.router(Reply(text="one two three", chunks=3)) as router:
        for _ in router.stream("hi"):
            assert not trace.get_current_span().get_span_context().is_valid
        assert [span.name.split()[0] for span in backend.spans] == ["chat", "chat"]
        assert "routekit.ttft_s" in attributes(backend.spans[0])


async def test_nothing_is_attached_while_an_async_stream_is_read(backend: Backend) -> None:
    async with backend.router(Reply(text="one two three", chunks=3)) as router:
        async for _ in router.astream("hi"):
            assert not trace.get_current_span().get_span_context().is_valid
    assert len(backend.spans) == 2


def test_metrics_have_the_names_of_the_conventions(backend: Backend) -> None:
    with backend.router(ProviderUnavailableError("down"), Reply(text="fine", delay_s=0.5)) as router:
        result = router.complete("hi")
    durations = backend.points("gen_ai.client.operation.duration")
    assert sum(point.count for point in durations) == 2
    assert {point.attributes.get("error.type") for point in durations} == {None, "ProviderUnavailableError"}
    assert all({"gen_ai.operation.name", "gen_ai.provider.name"} <= set(point.attributes) for point in durations)
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in backend.points("gen_ai.client.token.usage")
              if "error.type" not in point.attributes}  # fmt: skip
    assert tokens == {"input": result.usage.input_tokens, "output": result.usage.output_tokens}
    assert durations[0].explicit_bounds[0] == 0.01
    (cost,) = backend.points("routekit.request.cost")
    assert cost.value == pytest.approx(float(result.cost.usd))
    (whole,) = backend.points("routekit.request.duration")
    assert whole.count == 1


def started(number: int) -> Event:
    return RequestStarted(request_id=str(number), at=1.0, request=RouteRequest(messages=as_messages("hi")))


def test_requests_that_never_end_do_not_pile_up(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    for number in range(5):
        backend.observer(started(number))
    assert len(backend.spans) == 2
    backend.observer.close()
    assert len(backend.spans) == 5


def test_events_of_an_unknown_request_are_ignored(backend: Backend) -> None:
    with backend.router("ok") as router:
        attempt = router.complete("hi").attempts[0]
    before = len(backend.spans)
    backend.observer(AttemptEnded(request_id="unknown", at=1.0, attempt=attempt))
    backend.observer(AttemptEnded(request_id="", at=1.0, attempt=attempt))
    assert len(backend.spans) == before


def test_without_an_sdk_it_costs_next_to_nothing_and_works(tmp_path: Any) -> None:
    observer = PLUGIN.factory(PLUGIN.options(), PluginContext(home=tmp_path, env={}))
    observer(started(1))
    observer.close()
