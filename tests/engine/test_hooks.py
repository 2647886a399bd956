"""The `on_event` hook and the log lines of long waits: neither can break a call."""

import logging

import pytest

from secoda_async import (
    AttemptEvent,
    AutojumpClock,
    Event,
    NotFoundError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    WaitEvent,
)
from secoda_async._engine.call import Call, CallState
from secoda_async._engine.hooks import Hooks
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async.config import CallOptions
from secoda_async.emulator import Emulator
from secoda_async.events import CallStart
from tests.support.approx import approx
from tests.support.calls import ONCE
from tests.support.clients import Connect
from tests.support.clocks import ManualClock
from tests.support.waiting import advance

REQUEST = Request("POST", "/api/v1/auth/group")


def attempt(number: int = 1) -> CallState:
    """Return the state of a call during an attempt."""
    return CallState(Call(REQUEST, CallOptions(), 0.0), REQUEST, attempts=number)


@pytest.mark.requirement("OB-1")
def test_hook_receives_attempts_and_waits() -> None:
    events: list[Event] = []
    hooks = Hooks(ManualClock(), events.append)
    hooks.attempt_finished(attempt(), Reply(429, (), b""), 0.25)
    hooks.wait_finished(REQUEST, "limit", 10.0)
    hooks.wait_finished(REQUEST, "limit", 0.0)
    hooks.attempt_finished(attempt(2), RequestTimeoutError("no response"), 30.0)
    assert events == [
        AttemptEvent(method="POST", path="/api/v1/auth/group", attempt=1, status=429, seconds=0.25),
        WaitEvent(method="POST", path="/api/v1/auth/group", reason="limit", seconds=10.0),
        AttemptEvent(
            method="POST", path="/api/v1/auth/group", attempt=2, status=None, seconds=30.0, error="RequestTimeoutError"
        ),
    ]


def test_attempt_event_has_only_the_numbers_of_limit_headers() -> None:
    events: list[Event] = []
    headers = [
        (b"Retry-After", b"60"),
        (b"X-RateLimit-Remaining", b" 0 "),
        (b"RateLimit", b"secret"),
        (b"Date", b"now"),
    ]
    Hooks(ManualClock(), events.append).attempt_finished(attempt(), Reply(429, headers, b""), 0.25)
    (event,) = events
    assert isinstance(event, AttemptEvent)
    assert event.limits == {"retry-after": "60", "x-ratelimit-remaining": "0", "ratelimit": "(no number)"}


def test_no_hook_is_no_error() -> None:
    hooks = Hooks(ManualClock(), None)
    hooks.attempt_finished(attempt(), Reply(200, (), b""), 0.25)
    hooks.wait_finished(REQUEST, "limit", 10.0)


@pytest.mark.requirement("OB-1")
def test_error_of_a_hook_is_logged_and_the_call_continues(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Event) -> None:
        raise LookupError

    Hooks(ManualClock(), fail).attempt_finished(attempt(), Reply(200, (), b""), 0.25)
    assert caplog.messages == ["the on_event hook failed; the call continues"]


def test_keyboard_interrupt_of_a_hook_is_raised() -> None:
    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Hooks(ManualClock(), interrupt).wait_finished(REQUEST, "limit", 1.0)


@pytest.mark.requirement("OB-1")
async def test_long_wait_is_logged_once_for_all_waiting_calls(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "secoda_async")
    clock = ManualClock()
    hooks, state = Hooks(clock, None), attempt(0)
    hooks.wait_started(state, "limit", 0.99)
    for _ in range(100):
        hooks.wait_started(state, "limit", 50.0)
        hooks.wait_started(state, "gate", 5.0)
    assert caplog.messages == [
        "waiting 50.0 s (the write limit) before POST /api/v1/auth/group",
        "waiting 5.0 s (the server asked for a pause) before POST /api/v1/auth/group",
    ]
    caplog.clear()
    await clock.advance(50.0)
    hooks.wait_started(state, "limit", 1.0)
    hooks.wait_started(state, "backoff", 2.0)
    assert caplog.messages == [
        "waiting 1.0 s (the write limit) before POST /api/v1/auth/group",
        "waiting 2.0 s (a pause before the result is read again) for POST /api/v1/auth/group",
    ]


@pytest.mark.requirement("OB-1")
def test_wait_before_a_retry_names_the_cause_and_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "secoda_async")
    state = attempt()
    state.last_failure = TransportError("could not connect to 127.0.0.1:80: connection refused")
    Hooks(ManualClock(), None).wait_started(state, "backoff", 1.9)
    state.last_failure = ServerError("503 \x1b[2J\u202eevil\n")  # as a server may write it
    Hooks(ManualClock(), None).wait_started(state, "backoff", 1.9)
    state.last_failure = ServerError("x" * 1000)
    Hooks(ManualClock(), None).wait_started(state, "backoff", 1.9)
    assert caplog.messages == [
        (
            "waiting 1.9 s (could not connect to 127.0.0.1:80: connection refused) before attempt 2 of 5: "
            "POST /api/v1/auth/group"
        ),
        "waiting 1.9 s (503 [2Jevil) before attempt 2 of 5: POST /api/v1/auth/group",
        f"waiting 1.9 s ({'x' * 120}) before attempt 2 of 5: POST /api/v1/auth/group",
    ]


@pytest.mark.requirement("OB-1")
async def test_short_wait_is_logged_after_a_timeout_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "secoda_async")
    clock = ManualClock()
    hooks, state = Hooks(clock, None), attempt()
    state.last_failure = TransportError("could not connect to 127.0.0.1:80: connection refused")
    hooks.wait_started(state, "backoff", 0.2)
    state.last_failure = RequestTimeoutError("no complete response within 30 s (timeout)")
    hooks.wait_started(state, "limit", 0.2)
    for _ in range(20):
        hooks.wait_started(state, "backoff", 0.2)
        await clock.advance(0.04)
    assert caplog.messages == [
        "waiting 0.2 s (no complete response within 30 s (timeout)) before attempt 2 of 5: POST /api/v1/auth/group"
    ]


@pytest.mark.requirement("OB-1")
async def test_call_hook_receives_start_and_end_and_the_call_returns_its_result(
    emulator: Emulator, connect: Connect
) -> None:
    class Spans:
        """A hook of whole calls."""

        def __init__(self) -> None:
            self.seen: list[object] = []

        def __call__(self, event: Event, /) -> None:
            self.seen.append(type(event).__name__)

        def call_begins(self, start: CallStart, /) -> str:
            self.seen.append((start.method, start.template))
            return "span"

        def call_ends(self, token: object, error: BaseException | None, /) -> None:
            self.seen.append((token, type(error).__name__))

    spans = Spans()
    secoda = connect(on_event=spans)
    assert (await secoda.groups.get("group-0")).name == emulator.groups["group-0"]["name"]
    with pytest.raises(NotFoundError):
        await secoda.groups.get("missing")
    start = ("GET", "auth/group/{id}")
    assert spans.seen == [
        start, "AttemptEvent", ("span", "NoneType"),
        start, "AttemptEvent", ("span", "NotFoundError"),
    ]  # fmt: skip


@pytest.mark.requirement("OB-1")
async def test_attempt_event_has_the_seconds_of_the_attempt_and_its_failure(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    events: list[Event] = []
    secoda = connect(on_event=events.append, retry=ONCE)
    await advance(clock, 100)
    emulator.latency = 0.5
    await secoda.groups.get("group-0")
    emulator.faults.add(drop="before")
    with pytest.raises(TransportError):
        await secoda.groups.get("group-0")
    attempts = [event for event in events if isinstance(event, AttemptEvent)]
    assert [(event.status, event.error, event.ok) for event in attempts] == [
        (200, None, True),
        (None, "TransportError", False),
    ]
    assert attempts[0].seconds == approx(0.5)
