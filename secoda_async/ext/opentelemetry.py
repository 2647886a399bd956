"""Spans and metrics for OpenTelemetry.

    async with SecodaClient(on_event=Telemetry()) as secoda:
        ...

Each call has a span, and each of its requests a child span. Names follow OpenTelemetry's conventions for HTTP clients
(https://opentelemetry.io/docs/specs/semconv/http/). Spans and metrics never contain a key, query, body, id, e-mail
address or error message.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from attrs import define, field, frozen

from secoda_async._engine.limits.limiter import RateLimiter
from secoda_async._version import __version__
from secoda_async.errors import OutcomeUnknownError
from secoda_async.events import AttemptEvent, CallStart, Event

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        f"{_missing.name} is missing: pip install 'secoda-async[otel]' for telemetry", name=_missing.name
    ) from _missing

__all__ = ["Telemetry", "record_gauges"]

Attributes = dict[str, str | int]


@define(eq=False)
class _Call:
    """A call in progress, and its span."""

    span: Span
    attributes: Attributes
    token: Any
    outer: "_Call | None"
    started_ns: int = field(factory=time.time_ns)
    attempts: int = 0


_CALL: ContextVar[_Call | None] = ContextVar("secoda_async_call", default=None)


class Telemetry:
    """An `on_event` hook that reports to OpenTelemetry. One instance can serve several clients.

    Spans: a call has an internal span such as `POST auth/group`, and each of its requests a client span such as `POST`
    below it, with `http.request.method`, `http.response.status_code`, `http.request.resend_count`, `server.address`,
    `server.port`, `url.template`, `error.type` and `secoda.request_id` (the server's id for the request). A wait is an
    event of the call's span. Spans of other instrumentation, such as aiohttp's, are children of the call's span too.

    Metrics:

    - `http.client.request.duration`
    - `secoda.client.calls` by outcome: `ok`, `failed`, `refused` (an error before a request was sent), `not_sent` (no
      request was necessary, or the operation was stopped), `unknown` (a write that may have been executed), `cancelled`
    - `secoda.client.retries`
    - `secoda.client.wait.duration` by reason: `limit`, `gate`, `backoff`
    - `secoda.client.limit.free` and `secoda.client.limit.queued`: the current state of the write limit, for each host
    """

    def __init__(
        self,
        *,
        workspace: str | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Create the instruments.

        Args:
            workspace: The attribute `secoda.workspace` of all spans and metrics, to distinguish workspaces on one host.
            tracer_provider: The provider of the spans; None: the global provider.
            meter_provider: The provider of the metrics; None: the global provider.
        """
        self._tracer = trace.get_tracer("secoda_async", __version__, tracer_provider)
        meter = metrics.get_meter("secoda_async", __version__, meter_provider)
        self._requests = meter.create_histogram(
            "http.client.request.duration", "s", "Duration of HTTP client requests."
        )
        self._calls = meter.create_counter("secoda.client.calls", "{call}", "Finished calls, by outcome.")
        self._retries = meter.create_counter(
            "secoda.client.retries", "{retry}", "Requests after the first request of a call."
        )
        self._waits = meter.create_histogram(
            "secoda.client.wait.duration", "s", "Time that calls wait before a request is sent, by reason."
        )
        self._workspace = workspace
        self._common = _workspace_attributes(workspace)
        self._provider = meter_provider
        for name, unit, description in (
            ("free", "{place}", "Writes that could start now."),
            ("queued", "{call}", "Writes that wait for a permit."),
        ):
            meter.create_observable_gauge(
                f"secoda.client.limit.{name}", [_Gauge(meter_provider, name)], unit, description
            )

    def call_begins(self, start: CallStart) -> object:
        """Start the span of a call."""
        with suppress(TypeError):  # a custom limiter may not be hashable or weakly referenceable
            _LIMITERS.add(cast("RateLimiter", start.limiter), _Label(self._provider, self._workspace, start.address))
        attributes: Attributes = {
            **self._common,
            "http.request.method": start.method,
            "url.template": start.template,
            "server.address": start.address,
            "server.port": start.port,
        }
        span = self._tracer.start_span(f"{start.method} {start.template}", attributes=attributes)
        token = context.attach(trace.set_span_in_context(span))
        call = _Call(span, attributes, token, _CALL.get())
        _CALL.set(call)
        return call

    def call_ends(self, began: object, error: BaseException | None) -> None:
        """End the span of a call, and count the call."""
        call = cast("_Call", began)
        if _CALL.get() is call:  # false for a garbage-collected coroutine, which is closed in another task's context
            _CALL.set(call.outer)
            context.detach(call.token)
        counted = call.attributes | {"secoda.outcome": _outcome(call, error)}
        if error is not None:
            counted["error.type"] = type(error).__name__
            call.span.set_attribute("error.type", type(error).__name__)
            call.span.set_status(Status(StatusCode.ERROR))
        call.span.end()
        self._calls.add(1, counted)

    def __call__(self, event: Event) -> None:
        """Report a request or a wait."""
        call = _CALL.get()
        shared = {**self._common, "http.request.method": event.method} if call is None else call.attributes
        if isinstance(event, AttemptEvent):
            self._report_attempt(event, call, dict(shared))
            return
        self._waits.record(event.seconds, {**shared, "secoda.wait.reason": event.reason})
        if call is not None:
            call.span.add_event("wait", {"secoda.wait.reason": event.reason, "secoda.wait.seconds": event.seconds})

    def _report_attempt(self, event: AttemptEvent, call: _Call | None, attributes: Attributes) -> None:
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if event.error is not None:
            attributes["error.type"] = event.error
        elif not event.ok:
            attributes["error.type"] = str(event.status)
        self._requests.record(event.seconds, attributes)
        if event.attempt > 1:
            self._retries.add(1, attributes)
        if call is None:
            return
        call.attempts = event.attempt
        details = dict(attributes)  # a metric keeps its own, and would get a new series for each request id
        if event.attempt > 1:
            details["http.request.resend_count"] = event.attempt - 1
        if event.request_id is not None:
            details["secoda.request_id"] = event.request_id
        ended = time.time_ns()
        span = self._tracer.start_span(
            event.method,
            kind=SpanKind.CLIENT,
            attributes=details,
            start_time=max(call.started_ns, ended - round(event.seconds * 1e9)),
        )
        if "error.type" in attributes:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)


def record_gauges(
    values: Iterable[tuple[str, float, Mapping[str, str]]], meter_provider: MeterProvider | None = None
) -> None:
    """Set gauges once, such as those of a run of a command: each has a name, a value and attributes."""
    meter = metrics.get_meter("secoda_async", __version__, meter_provider)
    for name, value, attributes in values:
        meter.create_gauge(name).set(value, attributes)


def _outcome(call: _Call, error: BaseException | None) -> str:
    if error is None:
        return "ok" if call.attempts else "not_sent"
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, OutcomeUnknownError):
        return "unknown"
    return "failed" if call.attempts else "refused"


@frozen
class _Label:
    """The gauge that shows a limiter, and the attributes."""

    provider: MeterProvider | None
    """None: the global provider, which may be set after the `Telemetry` was created."""
    workspace: str | None
    address: str

    def belongs_to(self, provider: MeterProvider | None) -> bool:
        """Return whether the gauges of this provider show the limiter."""
        return (self.provider or metrics.get_meter_provider()) is (provider or metrics.get_meter_provider())


class _Limiters:
    """The limiters of all clients with a `Telemetry`.

    OpenTelemetry keeps the first gauge of a name and ignores the callbacks of later gauges. Hence each gauge shows the
    limiters of all `Telemetry` objects with its meter provider.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._labels: WeakKeyDictionary[RateLimiter, set[_Label]] = WeakKeyDictionary()

    def add(self, limiter: RateLimiter, label: _Label) -> None:
        """Show a limiter until it is garbage-collected."""
        with self._lock:  # the SDK collects metrics in a thread
            self._labels.setdefault(limiter, set()).add(label)

    def shown_by(self, provider: MeterProvider | None) -> list[tuple[RateLimiter, set[tuple[str | None, str]]]]:
        """Return each limiter of this provider's gauges, with its workspaces and addresses."""
        with self._lock:
            return [
                (limiter, {(label.workspace, label.address) for label in labels if label.belongs_to(provider)})
                for limiter, labels in self._labels.items()
            ]


_LIMITERS: Final = _Limiters()


@frozen(eq=False)
class _Gauge:
    """The callback of a gauge, which shows one field of the state of each limiter."""

    provider: MeterProvider | None
    name: str

    def __call__(self, _: CallbackOptions) -> Iterable[Observation]:
        """Return one observation for each workspace and host: the sum over its limiters."""
        sums: Counter[tuple[str | None, str]] = Counter()
        for limiter, labels in _LIMITERS.shown_by(self.provider):
            for label in labels:
                with suppress(Exception):  # a custom limiter may fail; the others are still shown
                    sums[label] += getattr(limiter.state, self.name)
        return [
            Observation(number, {**_workspace_attributes(workspace), "server.address": address})
            for (workspace, address), number in sums.items()
        ]


def _workspace_attributes(workspace: str | None) -> Attributes:
    return {} if workspace is None else {"secoda.workspace": workspace}
