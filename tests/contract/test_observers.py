"""The built-in observers keep the contract that third parties' observers keep."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from routekit.builtin.observers.log import LogObserver
from routekit.builtin.observers.opentelemetry import OpenTelemetryObserver
from routekit.plugin import Observer
from routekit.testing.contracts import ObserverContract


class TestLog(ObserverContract):
    @pytest.fixture
    def observer(self) -> Observer:
        return LogObserver()


class TestOpenTelemetryWithoutAnSdk(ObserverContract):
    @pytest.fixture
    def observer(self) -> Observer:
        return OpenTelemetryObserver()


class TestOpenTelemetry(ObserverContract):
    @pytest.fixture
    def observer(self) -> Observer:
        return OpenTelemetryObserver(tracer_provider=TracerProvider(), meter_provider=MeterProvider())
