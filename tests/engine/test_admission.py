"""Admission: permits, cooldowns and connection slots together."""

import asyncio
from typing import Any

import pytest

from secoda_async import (
    AutojumpClock,
    CreateGroup,
    Event,
    LimitState,
    Permit,
    RateLimit,
    SecodaClient,
    SlidingWindowLimiter,
    WaitEvent,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import (
    Call,
    create,
    delete,
    get,
)
from tests.support.clients import Connect
from tests.support.waiting import advance, wait_until


@pytest.mark.requirement("RL-2")
@pytest.mark.parametrize("call", [create, get, delete])
async def test_call_with_a_late_connection_slot_waits_for_the_cooldown(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, call: Call
) -> None:
    secoda = connect(max_connections=4)
    emulator.latency = 0.5
    emulator.faults.add(status=429, headers={"Retry-After": "10"}, times=3)
    await asyncio.gather(*(call(secoda) for _ in range(12)), return_exceptions=True)
    paused = max(record.answered_at or 0 for record in emulator.requests if record.status == 429)
    assert not [record for record in emulator.requests if paused < record.at < paused + 9]
    assert clock.now() > 10


@pytest.mark.requirement("RL-3")
async def test_reads_have_connection_slots_beside_slow_writes(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
) -> None:
    secoda = connect(max_connections=4)
    emulator.faults.add(delay=5, method="POST", times=None)
    writes = [asyncio.ensure_future(create(secoda)) for _ in range(8)]
    await wait_until(lambda: emulator.count("POST") == 3)
    await secoda.groups.get(group_id)
    assert clock.now() < 5
    await asyncio.gather(*writes)


async def test_a_client_has_a_hundred_connections(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
) -> None:
    secoda = connect()
    emulator.latency = 5
    began = clock.now()
    await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(101)))
    late = [record.at - began for record in emulator.requests if record.at - began >= 5]
    assert late == [approx(5)]


@pytest.mark.requirement("RL-4")
async def test_permit_is_renewed_after_a_long_wait_for_a_connection_slot(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
) -> None:
    class Lent:
        """A limiter of another package."""

        def __init__(self) -> None:
            self.own = SlidingWindowLimiter(RateLimit(1), clock=clock)
            self.taken: list[float] = []

        @property
        def state(self) -> LimitState:
            return self.own.state

        def time_for(self, writes: int) -> float:
            return self.own.time_for(writes)

        async def pause(self, seconds: float | None) -> None:
            await self.own.pause(seconds)

        async def acquire(self, **options: Any) -> Permit:
            if len(self.taken) == 1 and is_gone:
                await (await self.own.acquire()).release(sent=True)
            permit = await self.own.acquire(**options)
            self.taken.append(clock.now())
            return permit

    for is_gone in (False, True):
        limiter = Lent()
        secoda = connect(max_connections=1, limiter=limiter)
        emulator.faults.add(delay=5, method="GET")
        read = asyncio.ensure_future(secoda.groups.get(group_id))
        await wait_until(lambda: emulator.count("GET") == (2 if is_gone else 1))  # noqa: B023
        began = clock.now()
        write = asyncio.ensure_future(create(secoda))
        await asyncio.gather(read, write)
        assert limiter.taken[0] == approx(began)
        assert limiter.taken[1] >= began + 5 - 0.001
        assert emulator.count("POST") == (2 if is_gone else 1)


@pytest.mark.requirement("RT-7")
async def test_write_that_is_stopped_while_it_waits_for_a_connection_slot_is_not_sent(
    emulator: Emulator, connect: Connect, group_id: str
) -> None:
    secoda = connect(max_connections=1, write_limit=RateLimit(2))
    emulator.latency = 5
    stop = asyncio.Event()

    async def write() -> list[str]:
        creates = [CreateGroup(name="A"), CreateGroup(name="B")]
        return [outcome.status async for outcome in secoda.bulk(creates, stop=stop)]

    writing = asyncio.ensure_future(write())
    await wait_until(lambda: emulator.count("POST") == 1 and secoda.limiter.state.in_flight == 2)
    stop.set()
    assert sorted(await writing) == ["applied", "not_attempted"]
    assert emulator.count("POST") == 1
    assert secoda.limiter.state.in_flight == 0
    await secoda.groups.get(group_id)  # the slot is free again


@pytest.mark.requirement("OB-1")
async def test_wait_event_has_the_seconds_from_the_start_of_the_wait(connect: Connect, clock: AutojumpClock) -> None:
    events: list[Event] = []
    secoda = connect(on_event=events.append, write_limit=RateLimit(1, per_seconds=10))
    await advance(clock, 100)
    await create(secoda)
    await create(secoda)
    (wait,) = [event for event in events if isinstance(event, WaitEvent)]
    assert (wait.reason, wait.seconds) == ("limit", approx(10))


@pytest.mark.requirement("RT-10")
async def test_request_is_sent_unchanged_if_its_precondition_returns_none(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    emulator.faults.add(status=502, method="POST")
    await secoda.groups.create(name="A", on_unknown="reconcile")  # searches just before the second create
    assert [record.json for record in emulator.writes] == [{"name": "A"}] * 2


@pytest.mark.requirement("SL-3", "OB-1")
async def test_hook_that_ends_the_call_returns_the_permit(emulator: Emulator, connect: Connect) -> None:
    class EndError(BaseException):
        """A BaseException, as `pytest.fail` raises."""

    def hook(event: Event) -> None:
        if isinstance(event, WaitEvent):
            raise EndError

    secoda = connect(on_event=hook, write_limit=RateLimit(1, per_seconds=1))
    await create(secoda)
    with pytest.raises(EndError):  # with a permit
        await create(secoda)
    emulator.latency = 20
    first = asyncio.ensure_future(create(secoda))
    await wait_until(lambda: emulator.count("POST") == 2)
    with pytest.raises(EndError):  # and without
        await create(secoda.with_options(deadline=5))
    await first
    assert (secoda.limiter.state.in_flight, secoda.limiter.state.queued) == (0, 0)
