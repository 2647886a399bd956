"""Spans and metrics, read from OpenTelemetry's in-memory exporters; and the text of events."""

import asyncio
import contextvars
import gc
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, cast

import pytest
from attrs import define
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from secoda_async import (
    AttemptEvent,
    CreateGroup,
    LimitState,
    OutcomeUnknownError,
    RateLimit,
    RateLimitError,
    RetryPolicy,
    SecodaError,
    ServerError,
    SlidingWindowLimiter,
    WaitEvent,
)
from secoda_async._engine.hooks import Hooks
from secoda_async._engine.wire.protocol import Request
from secoda_async.emulator import Emulator
from secoda_async.events import CallStart
from secoda_async.ext.opentelemetry import Telemetry, record_gauges
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.clocks import ManualClock
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("OB-1")


@define
class Watched:
    """A `Telemetry` and the exporters that it reports to."""

    telemetry: Telemetry
    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def points(self, name: str) -> list[Any]:
        data: Any = self.reader.get_metrics_data()
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def shown(self) -> str:
        data = self.reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + (data.to_json() if data else "")


@pytest.fixture
def watched() -> Iterator[Watched]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider, meter_provider = TracerProvider(), MeterProvider([reader])
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(tracer_provider=tracer_provider, meter_provider=meter_provider)
    yield Watched(telemetry, tracer_provider, meter_provider, exporter, reader)
    meter_provider.shutdown()
    tracer_provider.shutdown()


async def test_call_has_a_span_with_one_child_span_for_each_request(
    connect: Connect, emulator: Emulator, watched: Watched, group_id: str
) -> None:
    secoda = connect(on_event=watched.telemetry)
    emulator.faults.add(status=503, times=1)
    await secoda.groups.get(group_id)
    call, first, second = watched.spans
    shared = {
        "http.request.method": "GET",
        "url.template": "auth/group/{id}",
        "server.address": "127.0.0.1",
        "server.port": emulator.port or int(emulator.url.rpartition(":")[2]),
    }
    assert (call.name, call.kind, dict(call.attributes or {})) == (
        "GET auth/group/{id}",
        trace.SpanKind.INTERNAL,
        shared,
    )
    assert call.status.status_code is trace.StatusCode.UNSET
    assert dict(first.attributes or {}) == {**shared, "http.response.status_code": 503, "error.type": "503"}
    assert dict(second.attributes or {}) == {
        **shared,
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
    }
    for span in (first, second):
        assert (span.name, span.kind) == ("GET", trace.SpanKind.CLIENT)
        assert span.parent is not None
        assert call.context is not None
        assert span.parent.span_id == call.context.span_id
        assert span.start_time is not None
        assert call.start_time is not None
        assert span.start_time >= call.start_time
    assert first.status.status_code is trace.StatusCode.ERROR
    assert second.status.status_code is trace.StatusCode.UNSET
    (waited,) = call.events
    assert (waited.name, (waited.attributes or {})["secoda.wait.reason"]) == ("wait", "backoff")


async def test_call_span_is_a_child_of_the_current_span_which_is_restored(
    connect: Connect, watched: Watched, group_id: str
) -> None:
    secoda = connect(on_event=watched.telemetry)
    tracer = watched.tracer_provider.get_tracer("the caller's")
    with tracer.start_as_current_span("request handler") as outer:
        await asyncio.gather(secoda.groups.get(group_id), secoda.groups.get(group_id))
        assert trace.get_current_span() is outer
    calls = [span for span in watched.spans if span.name.startswith("GET auth")]
    assert [span.parent and span.parent.span_id for span in calls] == [outer.get_span_context().span_id] * 2
    requests = [span for span in watched.spans if span.name == "GET"]
    assert {span.parent and span.parent.span_id for span in requests} == {
        span.context and span.context.span_id for span in calls
    }


async def test_metrics_count_calls_retries_waits_and_free_permits(
    connect: Connect, emulator: Emulator, watched: Watched
) -> None:
    secoda = connect(on_event=watched.telemetry, retry=RetryPolicy(attempts=2))
    for number in range(31):
        await secoda.groups.create(name=f"Team {number}")
    emulator.faults.add(status=500, times=2)
    with pytest.raises(ServerError):
        await secoda.users.get("u1")
    emulator.faults.add(drop="after", method="POST")
    with pytest.raises(OutcomeUnknownError):
        await secoda.groups.create(name="Unknown")
    with pytest.raises(RateLimitError):
        await asyncio.gather(
            *(secoda.with_options(max_wait=0).groups.create(name=f"Late {number}") for number in range(30))
        )
    calls = {
        (point.attributes["url.template"], point.attributes["secoda.outcome"]): point.value
        for point in watched.points("secoda.client.calls")
    }
    assert calls["auth/group", "ok"] >= 31
    assert calls["user/{id}", "failed"] == 1
    assert calls["auth/group", "unknown"] == 1
    assert calls["auth/group", "refused"] >= 1
    (retried,) = watched.points("secoda.client.retries")
    assert (retried.value, retried.attributes["url.template"]) == (1, "user/{id}")
    waits = {
        point.attributes["secoda.wait.reason"]: point.sum for point in watched.points("secoda.client.wait.duration")
    }
    assert waits["limit"] == approx(60)
    assert waits["backoff"] > 0
    requests = watched.points("http.client.request.duration")
    assert sum(point.count for point in requests) == len(emulator.requests)
    (free,), (queued,) = (watched.points(f"secoda.client.limit.{name}") for name in ("free", "queued"))
    assert (free.value, queued.value) == (secoda.limiter.state.free, 0)


async def test_cancelled_call_has_the_outcome_cancelled(connect: Connect, emulator: Emulator, watched: Watched) -> None:
    secoda = connect(on_event=watched.telemetry)
    emulator.faults.add(stall="before")
    call = asyncio.create_task(secoda.groups.create(name="A"))
    await wait_until(lambda: emulator.requests)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (point,) = watched.points("secoda.client.calls")
    assert (point.attributes["secoda.outcome"], point.attributes["error.type"]) == ("cancelled", "CancelledError")
    whole, request = watched.spans
    assert (request.attributes or {})["error.type"] == "CancelledError"
    assert whole.status.status_code is trace.StatusCode.ERROR


@pytest.mark.requirement("ER-3")
async def test_spans_and_metrics_contain_no_key_ids_names_or_queries(
    connect: Connect, emulator: Emulator, watched: Watched
) -> None:
    secoda = connect(on_event=watched.telemetry)
    await secoda.groups.create(name="Canary group")
    for method, path in (("GET", "user/canary@example.com/x"), ("GET", "tag"), ("GET", "canary@example.com")):
        with pytest.raises(SecodaError):
            await secoda.request(method, path, params={"q": "canary"})
    shown = watched.shown()
    assert emulator.api_key not in shown
    assert "anary" not in shown
    assert {span.name for span in watched.spans} == {
        "POST auth/group",
        "POST",
        "GET user/...",
        "GET",
        "GET tag",
        "GET ...",
    }


def test_events_outside_of_a_call_and_unhashable_limiters_are_accepted(watched: Watched) -> None:
    watched.telemetry(WaitEvent(method="GET", path="/", reason="backoff", seconds=1.0))
    watched.telemetry(AttemptEvent(method="GET", path="/", attempt=1, status=200, seconds=0.1))
    assert not watched.spans

    class Own(SlidingWindowLimiter):
        __hash__ = None  # type: ignore[assignment]

    start = CallStart(method="GET", template="user", address="127.0.0.1", port=80, limiter=Own())
    watched.telemetry.call_ends(watched.telemetry.call_begins(start), None)
    assert not watched.points("secoda.client.limit.free")


async def test_stopped_operation_has_the_outcome_not_sent(
    connect: Connect, emulator: Emulator, watched: Watched
) -> None:
    secoda = connect(on_event=watched.telemetry)
    stop = asyncio.Event()
    bulk = secoda.bulk((CreateGroup(name=f"Team {number}") for number in range(40)), stop=stop)
    async for _ in bulk:
        if len(emulator.groups) >= 30:
            stop.set()
    outcomes = {point.attributes["secoda.outcome"] for point in watched.points("secoda.client.calls")}
    assert outcomes == {"ok", "not_sent"}
    assert not [point for point in watched.points("secoda.client.calls") if "error.type" in point.attributes]


async def test_garbage_collected_call_does_not_end_the_span_of_another_call(
    connect: Connect, watched: Watched, group_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    secoda = connect(on_event=watched.telemetry)
    abandoned = cast("Coroutine[Any, Any, object]", secoda.groups.get(group_id))
    contextvars.copy_context().run(abandoned.send, None)  # as far as its first wait
    abandoned.close()
    await secoda.groups.get(group_id)
    assert [span.name for span in watched.spans if span.name == "GET"]
    assert not [record for record in caplog.records if "detach" in record.message]


def test_limit_gauge_sums_the_limiters_of_a_host_and_workspace() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    telemetry = Telemetry(workspace="acme", meter_provider=provider)

    class Broken(SlidingWindowLimiter):
        @property
        def state(self) -> LimitState:
            raise LookupError

    limits = [SlidingWindowLimiter(RateLimit(7)), SlidingWindowLimiter(RateLimit(30)), Broken()]
    for limiter in limits:
        start = CallStart(method="GET", template="user", address="api.secoda.co", port=443, limiter=limiter)
        telemetry.call_ends(telemetry.call_begins(start), None)
    watched = Watched(telemetry, TracerProvider(), provider, InMemorySpanExporter(), reader)
    (free,) = watched.points("secoda.client.limit.free")
    assert (free.value, dict(free.attributes)) == (37, {"server.address": "api.secoda.co", "secoda.workspace": "acme"})
    (calls,) = watched.points("secoda.client.calls")
    assert calls.attributes["secoda.workspace"] == "acme"
    provider.shutdown()


def watch(telemetry: Telemetry, limiter: SlidingWindowLimiter) -> None:
    """Report one call of a client with this limiter."""
    start = CallStart(method="GET", template="user", address="api.secoda.co", port=443, limiter=limiter)
    telemetry.call_ends(telemetry.call_begins(start), None)


def shown(watched: Watched) -> dict[object, float]:
    """Return the free permits by workspace, as the gauge shows them."""
    return {
        point.attributes.get("secoda.workspace"): point.value for point in watched.points("secoda.client.limit.free")
    }


def test_limit_gauge_includes_every_telemetry_of_its_meter_provider(watched: Watched) -> None:
    provider = MeterProvider()
    acme, globex, same, other = (SlidingWindowLimiter(RateLimit(number)) for number in (29, 17, 5, 3))
    for workspace, limiter in (("acme", acme), ("globex", globex)):
        watch(Telemetry(workspace=workspace, meter_provider=watched.meter_provider), limiter)
    watch(watched.telemetry, same)
    watch(Telemetry(meter_provider=watched.meter_provider), same)  # counted once
    watch(Telemetry(workspace="elsewhere", meter_provider=provider), other)
    assert shown(watched) == {"acme": 29, "globex": 17, None: 5}
    del globex, limiter
    gc.collect()
    assert shown(watched) == {"acme": 29, None: 5}
    provider.shutdown()


def test_limit_gauge_includes_a_telemetry_created_before_the_global_meter_provider(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = SlidingWindowLimiter(RateLimit(29)), SlidingWindowLimiter(RateLimit(17))
    first = Telemetry(workspace="acme")
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: watched.meter_provider)
    second = Telemetry(workspace="globex", meter_provider=watched.meter_provider)
    watch(first, early)
    watch(first, late)
    watch(second, late)
    assert shown(watched) == {"acme": 29 + 17, "globex": 17}


def test_call_hook_that_fails_at_the_start_is_not_called_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __call__(self, _event: object, /) -> None: ...

        def call_begins(self, _start: object, /) -> None:
            raise LookupError

        def call_ends(self, _began: object, _error: BaseException | None, /) -> None:
            raise AssertionError

    hook = Broken()
    with Hooks(ManualClock(), hook).call(hook, Request("GET", "/x"), "https://secoda.example", SlidingWindowLimiter()):
        pass
    assert caplog.messages == ["the on_event hook failed; the call continues"]


async def test_request_id_is_in_the_span_and_in_no_metric(
    watched: Watched, connect: Connect, emulator: Emulator, group_id: str
) -> None:
    secoda = connect(on_event=watched.telemetry)
    emulator.faults.add(headers={"X-Request-Id": "r-1"})
    await secoda.groups.get(group_id)
    await secoda.groups.get(group_id)
    ids = [(span.attributes or {}).get("secoda.request_id") for span in watched.spans if span.name == "GET"]
    assert sorted(ids, key=str) == [None, "r-1"]
    for name in ("http.client.request.duration", "secoda.client.calls"):
        assert "r-1" not in str(watched.points(name))


def test_events_as_text_are_lines_of_key_and_value() -> None:
    assert str(AttemptEvent(method="GET", path="/api/v1/user", attempt=2, status=503, seconds=0.25)) == (
        "attempt method=GET path=/api/v1/user attempt=2 status=503 seconds=0.250"
    )
    failed = AttemptEvent(method="GET", path="/u", attempt=1, status=None, seconds=30, error="RequestTimeoutError")
    assert str(failed) == "attempt method=GET path=/u attempt=1 error=RequestTimeoutError seconds=30.000"
    found = AttemptEvent(method="GET", path="/u", attempt=1, status=200, seconds=0.5, request_id="r-1")
    assert str(found) == "attempt method=GET path=/u attempt=1 status=200 seconds=0.500 request_id=r-1"
    assert str(WaitEvent(method="POST", path="/g", reason="limit", seconds=12)) == (
        "wait method=POST path=/g reason=limit seconds=12.000"
    )


def test_import_without_opentelemetry_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "secoda_async.ext.opentelemetry")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'secoda-async\[otel\]'"):
        __import__("secoda_async.ext.opentelemetry")


def test_gauges_are_set_once(watched: Watched) -> None:
    record_gauges([("secoda.apply.exit_code", 3.0, {"source": "g.yaml"})], watched.meter_provider)
    (point,) = watched.points("secoda.apply.exit_code")
    assert (point.value, dict(point.attributes)) == (3.0, {"source": "g.yaml"})
