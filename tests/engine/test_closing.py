"""Closing the client while calls wait or are in flight."""

import asyncio
from typing import Any

import pytest

from secoda_async import (
    AutojumpClock,
    ClientClosedError,
    Event,
    OutcomeUnknownError,
    SecodaClient,
    SlidingWindowLimiter,
)
from secoda_async._engine.concurrency.timeouts import CallScopes
from secoda_async.emulator import Emulator
from tests.support.calls import (
    ALL,
    Call,
    create,
    delete,
    error_of,
    get,
    patch,
)
from tests.support.clients import Connect
from tests.support.waiting import advance, drain_loop, wait_until


@pytest.mark.requirement("SL-2")
async def test_close_ends_waiting_calls(emulator: Emulator, connect: Connect, clock: AutojumpClock) -> None:
    events: list[Event] = []
    secoda = connect(max_connections=31, on_event=events.append)
    emulator.faults.add(status=500, headers={"Retry-After": "100"}, method="GET")
    emulator.faults.add(status=429, headers={"Retry-After": "100"}, method="DELETE")
    await asyncio.gather(*(create(secoda) for _ in range(30)))
    waiting = [asyncio.ensure_future(error_of(call(secoda))) for call in (get, create, patch, delete)]
    await wait_until(lambda: {event.method for event in events} >= {"GET", "DELETE"})
    await wait_until(lambda: secoda.limiter.state.queued == 2)
    await drain_loop()
    sent = len(emulator.requests)
    await secoda.close()
    errors = await asyncio.gather(*waiting)
    assert [type(error) for error in errors] == [ClientClosedError] * 4
    assert [error.attempts for error in errors] == [1, 0, 0, 1]
    assert {error.__cause__ for error in errors} == {error.__context__ for error in errors} == {None}
    assert clock.now() == 0
    await advance(clock, 200)
    assert len(emulator.requests) == sent


@pytest.mark.requirement("SL-2", "RT-12")
async def test_close_ends_calls_in_flight_and_writes_are_unclear(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    emulator.faults.add(stall="before", times=None)
    flying = [asyncio.ensure_future(error_of(call(secoda))) for call in ALL]
    await wait_until(lambda: len(emulator.requests) == 4)
    await secoda.close()
    errors = dict(zip(ALL, await asyncio.gather(*flying), strict=True))
    assert type(errors.pop(get)) is ClientClosedError
    assert [type(error) for error in errors.values()] == [OutcomeUnknownError] * 3
    assert [type(error.__cause__) for error in errors.values()] == [ClientClosedError] * 3
    unknown = errors[create]
    assert isinstance(unknown, OutcomeUnknownError)
    assert unknown.name == "A"
    assert clock.now() == 0


@pytest.mark.requirement("SL-2")
@pytest.mark.parametrize("call", ALL)
async def test_call_after_close_raises_client_closed_error(
    emulator: Emulator, secoda: SecodaClient, call: Call
) -> None:
    await secoda.close()
    error = await error_of(call(secoda))
    assert isinstance(error, ClientClosedError)
    assert error.attempts == 0
    assert isinstance(await error_of(call(secoda.with_options(timeout=1))), ClientClosedError)
    assert emulator.requests == []


@pytest.mark.requirement("SL-2")
async def test_call_that_is_admitted_during_close_is_not_sent(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Slow(SlidingWindowLimiter):
        async def acquire(self, **options: Any) -> Any:
            await arrived
            return await super().acquire(**options)

    secoda = connect(limiter=Slow(clock=clock))
    call = asyncio.ensure_future(error_of(create(secoda)))
    await drain_loop()
    arrived.set_result(None)
    await secoda.close()
    assert isinstance(await call, ClientClosedError)
    assert emulator.requests == []
    assert secoda.limiter.state.free == 30


@pytest.mark.requirement("SL-2")
async def test_wait_after_close_raises_client_closed_error(clock: AutojumpClock) -> None:
    scopes = CallScopes(clock)
    scopes.close()
    for work in (asyncio.sleep(9), asyncio.ensure_future(asyncio.sleep(0))):
        with pytest.raises(ClientClosedError):
            await scopes.run_with_timeout(work, None)


async def test_hook_that_closes_the_client_at_a_success_does_not_cancel_the_task(
    connect: Connect, group_id: str
) -> None:
    # The same happens if `close` runs in a task that starts eagerly.
    secoda: SecodaClient = connect(on_event=lambda _: vars(secoda)["_pipeline"].scopes.close())
    assert (await secoda.groups.get(group_id)).id == group_id
    await asyncio.sleep(0)  # not cancelled
