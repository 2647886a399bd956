"""Cancelling the task of a call at any moment: nothing leaks, and a sent write leaves a note."""

import asyncio
import random

import pytest

from secoda_async import (
    AttemptEvent,
    AutojumpClock,
    Event,
    NotFoundError,
    SecodaClient,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import (
    ALL,
    Call,
    create,
    error_of,
    get,
)
from tests.support.clients import Connect
from tests.support.waiting import advance, drain_loop, wait_until


@pytest.mark.requirement("RT-7")
async def test_cancellation_in_the_limit_queue_leaves_no_waiter(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    calls = [asyncio.ensure_future(create(secoda, f"g{index}")) for index in range(60)]
    await wait_until(lambda: len(emulator.groups) == 150)
    for call in calls[30:50]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results[30:50]] == [asyncio.CancelledError] * 20
    assert len(emulator.requests) == 40
    assert clock.now() == approx(60)
    assert (secoda.limiter.state.queued, secoda.limiter.state.in_flight) == (0, 0)


@pytest.mark.requirement("RT-7")
@pytest.mark.parametrize("status", [500, 429])
async def test_cancellation_during_a_backoff_sends_nothing_more(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, status: int
) -> None:
    emulator.faults.add(status=status, headers={"Retry-After": "100"})
    call = asyncio.ensure_future(get(secoda))
    await advance(clock, 50)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await advance(clock, 200)
    assert len(emulator.requests) == 1


@pytest.mark.requirement("RT-7")
@pytest.mark.parametrize("call", ALL)
async def test_cancellation_in_flight_releases_the_connection(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, call: Call
) -> None:
    secoda = connect(max_connections=1)
    emulator.faults.add(stall="before")
    task = asyncio.ensure_future(call(secoda))
    await wait_until(lambda: emulator.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(await error_of(get(secoda)), NotFoundError)
    assert (clock.now(), len(emulator.requests), secoda.limiter.state.in_flight) == (0, 2, 0)


@pytest.mark.requirement("RT-7")
async def test_cancellation_while_waiting_for_a_connection_returns_the_permit(
    emulator: Emulator, connect: Connect
) -> None:
    secoda = connect(max_connections=1)
    emulator.faults.add(stall="before")
    first = asyncio.ensure_future(get(secoda))
    await wait_until(lambda: emulator.requests)
    second = asyncio.ensure_future(create(secoda))
    await wait_until(lambda: secoda.limiter.state.in_flight)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert secoda.limiter.state.free == 30
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert len(emulator.requests) == 1


@pytest.mark.requirement("SL-3")
async def test_cancellation_of_a_thousand_calls_leaks_nothing(
    emulator: Emulator, connect: Connect, group_id: str
) -> None:
    random_ = random.Random(7)
    secoda = connect(max_connections=5)
    emulator.writes_per_window = None
    for _ in range(50):
        calls = [asyncio.ensure_future(random_.choice(ALL)(secoda)) for _ in range(20)]
        for _ in range(random_.randrange(40)):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(50)))
    assert secoda.limiter.state.in_flight == secoda.limiter.state.queued == 0
    assert emulator.open_connections <= 5


@pytest.mark.requirement("SL-3")
async def test_no_connection_is_held_between_attempts(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
) -> None:
    secoda = connect(max_connections=1)
    emulator.faults.add(status=500, headers={"Retry-After": "50"})
    waiting = asyncio.ensure_future(error_of(get(secoda)))
    await wait_until(lambda: emulator.requests)
    await secoda.groups.get(group_id)
    assert clock.now() < 50
    await waiting


@pytest.mark.requirement("RT-7", "OB-1")
async def test_cancellation_of_a_write_in_flight_is_logged(
    emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    secoda = connect(on_event=events.append)
    emulator.faults.add(stall="after", times=None)
    for call in (create, get):
        events.clear()
        task = asyncio.ensure_future(call(secoda))
        await wait_until(lambda: emulator.requests)
        await drain_loop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (event,) = [event for event in events if isinstance(event, AttemptEvent)]
        assert (event.error, event.status) == ("CancelledError", None)
        emulator.requests.clear()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "secoda_async"]
    assert line == (
        "POST /api/v1/auth/group of 'A' was cancelled after it was sent: whether it was executed is not known, "
        "check before you repeat it"
    )


@pytest.mark.requirement("RT-7", "RT-12")
@pytest.mark.parametrize("stage", ["backoff", "search", "second create", "look-up of a hidden member"])
async def test_cancellation_after_an_unclear_write_is_logged_once(
    emulator: Emulator, secoda: SecodaClient, caplog: pytest.LogCaptureFixture, group_id: str, stage: str
) -> None:
    if stage == "backoff":
        emulator.faults.add(status=502, headers={"Retry-After": "9"})
        call, sent = secoda.groups.update(group_id, name="A"), f"PATCH /api/v1/auth/group/{group_id}"
    elif stage == "search":
        emulator.faults.add(drop="after", method="POST")
        emulator.visible_after = 1000
        call, sent = secoda.groups.ensure(name="A"), "POST /api/v1/auth/group of 'A'"
    elif stage == "second create":
        emulator.faults.add(drop="before", method="POST")
        emulator.faults.add(stall="after", method="POST")
        call, sent = secoda.groups.ensure(name="A"), "POST /api/v1/auth/group of 'A'"
    else:
        emulator.faults.add(transform=lambda group: group | {"users": []}, method="POST")
        emulator.faults.add(stall="before", path="/user/")
        call, sent = secoda.groups.create(name="A", users=["user-1"]), "POST /api/v1/auth/group of 'A'"
    task = asyncio.ensure_future(call)
    if stage == "second create":
        await wait_until(lambda: emulator.count("POST") == 2)
    else:
        await wait_until(lambda: emulator.writes and not secoda.limiter.state.in_flight)
    await drain_loop()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(f"{sent} was cancelled after it was sent: ")
    assert caught.value.__notes__ == [line]
