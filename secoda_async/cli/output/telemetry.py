"""OpenTelemetry in `plan` and `apply`: spans, metrics of calls and metrics of the run, if an OTEL_ variable is set.

The extra `otel` installs the API of OpenTelemetry, and `opentelemetry-instrument` sets up its SDK and the exporters.
Without the API, or without a variable, nothing is reported.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from types import ModuleType

from attrs import frozen

from secoda_async import Event
from secoda_async.events import CallHook, CallStart

__all__ = ["Measurement", "event_hook", "export"]

Measurement = tuple[str, float, Mapping[str, str]]
"""The name of a metric, a value and its attributes."""


def event_hook(*hooks: Callable[[Event], object]) -> Callable[[Event], object]:
    """Return a hook that passes events to all hooks, and to OpenTelemetry if that is set up."""
    extension = _extension()
    if extension is None:
        return _Hooks(hooks)
    telemetry: CallHook = extension.Telemetry()
    return _CallHooks((*hooks, telemetry), telemetry)


def export(measurements: Iterable[Measurement]) -> None:
    """Report values to OpenTelemetry, if that is set up."""
    extension = _extension()
    if extension is not None:
        extension.record_gauges(measurements)


def _extension() -> ModuleType | None:
    """Return the module of the extra, if an OTEL_ variable is set and the extra is installed."""
    if not any(name.startswith("OTEL_") for name in os.environ):
        return None
    try:
        return import_module("secoda_async.ext.opentelemetry")
    except ModuleNotFoundError:
        return None


@frozen
class _Hooks:
    """Passes events to several hooks."""

    hooks: Sequence[Callable[[Event], object]]

    def __call__(self, event: Event) -> None:
        """Pass on an event."""
        for hook in self.hooks:
            hook(event)


@frozen
class _CallHooks(_Hooks):
    """Passes events to several hooks, and calls to one of them."""

    calls: CallHook

    def call_begins(self, start: CallStart) -> object:
        """Pass on the start of a call."""
        return self.calls.call_begins(start)

    def call_ends(self, began: object, error: BaseException | None) -> None:
        """Pass on the end of a call."""
        self.calls.call_ends(began, error)
