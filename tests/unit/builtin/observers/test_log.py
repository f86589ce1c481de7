from __future__ import annotations

import logging
from typing import Any

import pytest

from routekit import Router
from routekit.builtin.observers.log import LogObserver
from routekit.errors import ProviderUnavailableError, RoutekitError
from routekit.testing import Reply, ScriptedProvider, plugin_module
from routekit.types import (
    BudgetRefused,
    BudgetWarning,
    CacheHit,
    Compressed,
    Deployment,
    Event,
    FirstToken,
    HealthChanged,
    Model,
    Money,
    PluginBypassed,
)

SECRET = "the patient's name"
CONFIG: dict[str, Any] = {
    "deployments": [
        {"name": "a", "provider": "scripted", "model": "ma", "price": {"input": 1, "output": 2}},
        {"name": "b", "provider": "scripted", "model": "mb", "price": {"input": 1, "output": 2}},
    ],
    "cache": {"use": []},
    "observers": [{"use": "log"}],
}  # fmt: skip


def router(*script: Any) -> Router:
    provider = ScriptedProvider(*script)
    return Router.from_dict(CONFIG, plugins=[plugin_module(provider)], clock=provider.clock, env={})


def test_a_request_is_told_in_lines_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "routekit"), router(Reply(text=SECRET)) as routed:
        result = routed.complete(SECRET)
    lines = [record for record in caplog.records if record.name == "routekit"]
    names = [line.getMessage().split()[0] for line in lines]
    assert names == ["request_started", "decided", "attempt_started", "attempt_ended", "request_ended"]
    assert SECRET not in caplog.text
    assert [line.levelname for line in lines] == ["DEBUG", "DEBUG", "DEBUG", "DEBUG", "INFO"]
    assert all(f"id={result.id}" in line.getMessage() for line in lines)
    assert lines[0].routekit["strategy"] == "cheapest"  # type: ignore[attr-defined]
    last = lines[-1]
    assert last.routekit["deployment"] == "a"  # type: ignore[attr-defined]
    assert last.routekit["cost_usd"] == str(result.cost.usd)  # type: ignore[attr-defined]
    assert f"cost_usd={result.cost.usd}" in last.getMessage()


def test_failures_are_warnings_and_quote_nobody(caplog: pytest.LogCaptureFixture) -> None:
    error = ProviderUnavailableError(f"upstream said: {SECRET}", status=503)
    with caplog.at_level(logging.INFO, "routekit"), router(error) as routed, pytest.raises(RoutekitError):
        routed.complete("hi")
    lines = [record for record in caplog.records if record.name == "routekit"]
    assert {line.levelname for line in lines} == {"WARNING"}
    assert "attempt_ended" in lines[0].getMessage()
    assert "error=ProviderUnavailableError status=503" in lines[0].getMessage()
    assert lines[-1].getMessage().startswith("request_ended")
    assert SECRET not in caplog.text


DEPLOYMENT = Deployment(name="a", provider="p", model=Model(id="m"))
AT: dict[str, Any] = {"request_id": "r1", "at": 12.5}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (CacheHit(**AT, saved=Money(1000), tier="memory"), "cache_hit id=r1 tier=memory saved_usd=0.000001"),
        (FirstToken(**AT, deployment=DEPLOYMENT, ttft_s=0.25), "first_token id=r1 deployment=a ttft_s=0.25"),
        (
            BudgetRefused(**AT, scope="user:u", deployment=DEPLOYMENT, asked=Money(10**9)),
            "budget_refused id=r1 scope=user:u deployment=a asked_usd=1",
        ),
        (
            BudgetWarning(**AT, scope="global", limit=Money(10**9), used=Money(2 * 10**9)),
            "budget_warning id=r1 scope=global limit_usd=1 used_usd=2 threshold=1.0",
        ),
        (
            HealthChanged(request_id="", at=1, deployment=DEPLOYMENT, state="open", reason="5 failures"),
            'health_changed deployment=a state=open reason="5 failures"',
        ),
        (
            PluginBypassed(**AT, kind="cache", name="disk", error="x\nrequest_ended id=forged"),
            'plugin_bypassed id=r1 kind=cache name=disk error="x\\nrequest_ended id=forged"',
        ),
        (
            Compressed(**AT, compressor="trim", saved_tokens=7, lossless=False),
            "compressed id=r1 compressor=trim saved_tokens=7 lossless=false",
        ),
        (Event(**AT), "Event id=r1 "),
    ],
)
def test_each_event_is_one_line(event: Event, line: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "elsewhere"):
        LogObserver(logger="elsewhere")(event)
    (record,) = caplog.records
    assert record.getMessage().strip() == line.strip()
    assert "\n" not in record.getMessage()
    assert record.routekit["at"] == event.at  # type: ignore[attr-defined]
