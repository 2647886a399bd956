"""Events for the `on_event` hook, and log lines."""

import asyncio
import logging

import pytest

from secoda_async import (
    AttemptEvent,
    Event,
    RateLimit,
    SecodaClient,
    WaitEvent,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import (
    create,
    error_of,
    get,
)
from tests.support.clients import Connect


@pytest.mark.requirement("OB-1")
async def test_hook_receives_each_attempt_and_each_wait(
    emulator: Emulator,
    connect: Connect,
) -> None:
    events: list[Event] = []
    secoda = connect(on_event=events.append, timeout=4, write_limit=RateLimit(1, per_seconds=60))
    emulator.latency = 1.5
    emulator.faults.add(stall="after")
    emulator.faults.add(status=500, headers={"Retry-After": "7"})
    emulator.faults.add(status=429, headers={"Retry-After": "5"})
    await error_of(get(secoda))
    path = "/api/v1/auth/group/g"
    attempts = [event for event in events if isinstance(event, AttemptEvent)]
    assert [(event.attempt, event.status, event.error, event.seconds) for event in attempts] == [
        (1, None, "RequestTimeoutError", approx(4)),
        (2, 500, None, approx(1.5)),
        (3, 429, None, approx(1.5)),
        (4, 404, None, approx(1.5)),
    ]
    assert {(event.method, event.path) for event in events} == {("GET", path)}
    waits = [(event.reason, event.seconds) for event in events if isinstance(event, WaitEvent)]
    assert waits[-2:] == [("backoff", approx(7)), ("gate", approx(5))]
    events.clear()
    await create(secoda)
    await create(secoda)
    waits = [(event.reason, event.seconds) for event in events if isinstance(event, WaitEvent)]
    assert waits == [("limit", approx(60))]


@pytest.mark.requirement("OB-1", "ER-1")
async def test_events_of_successes_and_failures_have_the_request_id(
    emulator: Emulator, connect: Connect, group_id: str
) -> None:
    events: list[Event] = []
    secoda = connect(on_event=events.append)
    for headers in (
        {"CF-Ray": "8f-AMS", "X-Request-Id": "r-1"},
        {"X-Amzn-Trace-Id": "Root=1-67;Self=2"},
        {"X-Request-Id": "two words status=500"},  # would look like another field
        {"X-Request-Id": "r" * 201},
        {"X-Request-Id": f"id-of-{emulator.api_key}"},
        {},
    ):
        emulator.faults.add(headers=headers)
        await secoda.groups.get(group_id)
    emulator.faults.add(status=403, headers={"X-Request-Id": "r-2"})
    error = await error_of(get(secoda))
    ids = [event.request_id for event in events if isinstance(event, AttemptEvent)]
    assert ids == ["r-1", "Root=1-67;Self=2", None, None, "id-of-***", None, "r-2"]
    assert getattr(error, "request_id", None) == "r-2"


@pytest.mark.requirement("OB-1")
async def test_hook_that_raises_does_not_end_the_call(
    connect: Connect, caplog: pytest.LogCaptureFixture, group_id: str
) -> None:
    def fail(event: Event) -> None:
        raise LookupError(event.method)

    assert (await connect(on_event=fail).groups.get(group_id)).id == group_id
    assert "the on_event hook failed" in caplog.text


@pytest.mark.requirement("OB-1")
async def test_long_wait_is_logged_once_for_all_waiting_calls(
    secoda: SecodaClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "secoda_async")
    await asyncio.gather(*(create(secoda) for _ in range(90)))
    lines = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
    assert 1 <= len(lines) <= 3
    assert all("the write limit" in line and "POST /api/v1/auth/group" in line for line in lines)


@pytest.mark.requirement("OB-1")
async def test_wait_in_a_long_limit_queue_is_logged(secoda: SecodaClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "secoda_async")
    await asyncio.gather(*(create(secoda) for _ in range(31)))
    assert "waiting 60.0 s (the write limit) before POST" in caplog.text
