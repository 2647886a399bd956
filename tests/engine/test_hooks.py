"""Events for the hook, one log line for each long wait, and neither can break a call."""

import logging

import pytest

from secoda_async import AttemptEvent, Event, RequestTimeoutError, WaitEvent
from secoda_async._engine.hooks import Hooks
from secoda_async._engine.wire.protocol import Reply, Request
from tests.support.clocks import ManualClock

REQUEST = Request("POST", "/api/v1/auth/group")


@pytest.mark.requirement("OB-1")
def test_the_hook_is_told_of_attempts_and_waits() -> None:
    events: list[Event] = []
    hooks = Hooks(ManualClock(), events.append)
    hooks.attempt_finished(REQUEST, 1, Reply(429, (), b""), 0.25)
    hooks.wait_finished(REQUEST, "limit", 10.0)
    hooks.wait_finished(REQUEST, "limit", 0.0)
    hooks.attempt_finished(REQUEST, 2, RequestTimeoutError("no response"), 30.0)
    assert events == [
        AttemptEvent(method="POST", path="/api/v1/auth/group", attempt=1, status=429, seconds=0.25),
        WaitEvent(method="POST", path="/api/v1/auth/group", reason="limit", seconds=10.0),
        AttemptEvent(
            method="POST", path="/api/v1/auth/group", attempt=2, status=None, seconds=30.0, error="RequestTimeoutError"
        ),
    ]


def test_an_event_has_the_headers_about_limits_and_no_text_of_them() -> None:
    events: list[Event] = []
    headers = [
        (b"Retry-After", b"60"),
        (b"X-RateLimit-Remaining", b" 0 "),
        (b"RateLimit", b"secret"),
        (b"Date", b"now"),
    ]
    Hooks(ManualClock(), events.append).attempt_finished(REQUEST, 1, Reply(429, headers, b""), 0.25)
    (event,) = events
    assert isinstance(event, AttemptEvent)
    assert event.limits == {"retry-after": "60", "x-ratelimit-remaining": "0", "ratelimit": "(no number)"}


def test_without_a_hook_nothing_happens() -> None:
    hooks = Hooks(ManualClock(), None)
    hooks.attempt_finished(REQUEST, 1, Reply(200, (), b""), 0.25)
    hooks.wait_finished(REQUEST, "limit", 10.0)


@pytest.mark.requirement("OB-1")
def test_a_hook_that_fails_is_logged_and_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Event) -> None:
        raise LookupError

    Hooks(ManualClock(), fail).attempt_finished(REQUEST, 1, Reply(200, (), b""), 0.25)
    assert caplog.messages == ["the on_event hook failed; the call continues"]


def test_a_hook_may_interrupt_the_program() -> None:
    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Hooks(ManualClock(), interrupt).wait_finished(REQUEST, "limit", 1.0)


@pytest.mark.requirement("OB-1")
async def test_a_long_wait_is_logged_once_for_all_who_wait(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "secoda_async")
    clock = ManualClock()
    hooks = Hooks(clock, None)
    hooks.wait_started(REQUEST, "limit", 0.99)
    for _ in range(100):
        hooks.wait_started(REQUEST, "limit", 50.0)
        hooks.wait_started(REQUEST, "gate", 5.0)
    assert caplog.messages == [
        "waiting 50.0 s (the write limit) before POST /api/v1/auth/group",
        "waiting 5.0 s (the server asked for a pause) before POST /api/v1/auth/group",
    ]
    caplog.clear()
    await clock.advance(50.0)
    hooks.wait_started(REQUEST, "limit", 1.0)
    hooks.wait_started(REQUEST, "backoff", 2.0)
    assert caplog.messages == [
        "waiting 1.0 s (the write limit) before POST /api/v1/auth/group",
        "waiting 2.0 s (backing off after a failure) before POST /api/v1/auth/group",
    ]
