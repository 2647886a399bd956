"""OpenTelemetry in `plan` and `apply`."""

import sys

import pytest

from secoda_async import AttemptEvent, Event
from secoda_async.cli.output.telemetry import Measurement, event_hook, export
from secoda_async.events import CallHook, CallStart

EVENT = AttemptEvent(method="GET", path="/group", attempt=1, status=200, seconds=0.1)


class Seen(list[Event]):
    """A hook that keeps the events."""

    def __call__(self, event: Event) -> None:
        self.append(event)


def test_events_reach_all_hooks_without_opentelemetry() -> None:
    first, second = Seen(), Seen()
    hook = event_hook(first, second)
    hook(EVENT)
    assert first == second == [EVENT]
    assert not isinstance(hook, CallHook)


def test_calls_reach_opentelemetry_if_a_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "groups")
    seen = Seen()
    hook = event_hook(seen)
    assert isinstance(hook, CallHook)
    start = CallStart(method="GET", template="auth/group", address="127.0.0.1", port=80, limiter=object())
    began = hook.call_begins(start)
    hook(EVENT)
    hook.call_ends(began, None)
    assert seen == [EVENT]


def test_run_is_exported_if_a_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    exported = list[Measurement]()
    monkeypatch.setattr("secoda_async.ext.opentelemetry.record_gauges", exported.extend)
    values = [("secoda.apply.exit_code", 3.0, {"source": "g.yaml"})]
    export(values)
    assert exported == []
    monkeypatch.setenv("OTEL_SERVICE_NAME", "groups")
    export(values)
    assert exported == values


def test_missing_extra_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "groups")
    monkeypatch.setitem(sys.modules, "secoda_async.ext.opentelemetry", None)
    export([("secoda.apply.exit_code", 3.0, {})])
    assert not isinstance(event_hook(Seen()), CallHook)
