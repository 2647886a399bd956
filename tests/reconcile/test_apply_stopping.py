"""An apply that is stopped, closed or killed, and the next apply."""

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import pytest
from attrs import evolve

from secoda_async import (
    AutojumpClock,
    DesiredGroup,
    DesiredState,
    OutcomeUnknownError,
    Progress,
    RateLimit,
    SecodaClient,
)
from secoda_async.emulator import Emulator
from tests.support.applies import desired_state, make_plan, set_when_sent
from tests.support.clients import Connect
from tests.support.waiting import advance, wait_until


@pytest.mark.requirement("BS-7")
async def test_stop_finishes_writes_in_flight_and_reports_the_rest(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    stop = asyncio.Event()
    plan = await make_plan(secoda, desired_state(*(DesiredGroup(name=f"n{index:02}") for index in range(50))))
    plan = evolve(plan, breaches=())

    def stop_after_30(now: Progress) -> None:
        if now.done == 30:
            stop.set()

    report = await secoda.apply(plan, stop=stop, on_progress=stop_after_30)
    assert (report.counts, report.stopped) == ({"applied": 30, "not_attempted": 23}, "stopped")
    assert emulator.count("POST") == 30
    assert clock.now() < 60  # no write waited for the next window
    assert (report.ok, report.verified) == (False, True)
    assert secoda.limiter.state.queued == 0


@pytest.mark.requirement("BS-7")
@pytest.mark.parametrize("fault", ["429", "500", "stall"])
async def test_stop_prevents_retries_of_writes(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, fault: str
) -> None:
    groups = [DesiredGroup(name=name, icon="x") for name in ("a", "b", "c")]
    plan, stop = await secoda.plan(desired_state(*groups)), asyncio.Event()
    faults: dict[str, dict[str, Any]] = {
        "429": {"status": 429, "headers": {"Retry-After": "100"}},
        "500": {"status": 500},
        "stall": {"stall": "before"},
    }
    emulator.faults.add(**faults[fault], method="PATCH", times=None, match=set_when_sent(stop))
    report = await secoda.apply(plan, stop=stop)
    assert emulator.count("PATCH") == 1  # the others were about to be sent
    assert clock.now() <= 30  # the timeout of one attempt
    assert report.counts == ({"not_attempted": 3} if fault == "429" else {"unknown": 1, "not_attempted": 2})
    assert (report.ok, report.verified) == (False, False)


@pytest.mark.requirement("BS-7")
async def test_stop_ends_the_reads_before_writes(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    groups = [DesiredGroup(name=name, icon="x") for name in ("a", "b", "c")]
    plan, stop = await secoda.plan(desired_state(*groups)), asyncio.Event()
    emulator.faults.add(stall="before", method="GET", path="/auth/group/", times=None, match=set_when_sent(stop))
    report = await secoda.apply(plan, stop=stop)
    assert (report.counts, emulator.writes) == ({"not_attempted": 3}, [])
    assert clock.now() < 1  # no read was repeated or waited for


@pytest.mark.requirement("BS-7")
async def test_service_that_is_down_ends_the_reads_before_creates(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    emulator.writes_per_window = None
    secoda = connect(write_limit=RateLimit(1000))
    plan = await secoda.plan(desired_state(*(DesiredGroup(name=f"n{index:02}") for index in range(60))))
    emulator.faults.add(stall="before", times=None, match=lambda _: emulator.count("POST", status=201) >= 20)
    report = await secoda.apply(plan)
    assert report.stopped == "20 changes in a row failed: the service seems to be down"
    assert set(report.counts) == {"applied", "unknown", "not_attempted"}
    assert clock.now() < 400  # the creates, one search for each, and the last read


@pytest.mark.requirement("BS-7")
async def test_stop_cancels_the_drift_detection(emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock) -> None:
    plan, stop = await make_plan(secoda), asyncio.Event()
    emulator.faults.add(stall="before", times=None, match=set_when_sent(stop))
    report = await secoda.apply(plan, stop=stop)
    assert report.counts == {"not_attempted": 3}
    assert (report.ok, report.verified, clock.now()) == (False, False, 0)


@pytest.mark.requirement("SL-6")
async def test_close_ends_an_apply_that_waits_for_an_unclear_create(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    plan = await secoda.plan(DesiredState.from_groups([DesiredGroup(name="Unclear")]))
    emulator.faults.add(drop="before", method="POST")
    with pytest.raises(OutcomeUnknownError):
        await secoda.groups.create(name="Unclear")
    task = asyncio.ensure_future(secoda.apply(plan))
    await advance(clock, 5)
    await secoda.close()
    assert (await task).counts == {"failed": 1}
    assert clock.now() < 20
    assert emulator.count("POST") == 1


async def apply_desired(secoda: SecodaClient) -> None:
    assert (await secoda.apply(await make_plan(secoda))).ok


def contents(emulator: Emulator) -> list[tuple[str, str | None, str | None, frozenset[str]]]:
    """Return the groups without their ids and times."""
    return sorted(
        (group["name"], group["icon"], group["description"], frozenset(group["users"]))
        for group in emulator.groups.values()
    )


@pytest.mark.slow
@pytest.mark.requirement("BS-5")
@pytest.mark.parametrize("is_executed", [False, True])
async def test_apply_converges_when_killed_at_any_request(
    emulator: Emulator, connect: Connect, *, is_executed: bool
) -> None:
    start = {group_id: dict(group) for group_id, group in emulator.groups.items()}
    secoda = connect()
    assert (await secoda.apply(await make_plan(secoda))).ok
    done = contents(emulator)
    for number in range(1, len(emulator.requests) + 1):
        emulator.groups.clear()
        emulator.groups.update({group_id: dict(group) for group_id, group in start.items()})
        offset = len(emulator.requests)
        emulator.faults.clear()
        fault = emulator.faults.add(stall="after" if is_executed else "before", skip=number - 1, times=None)
        doomed = asyncio.create_task(apply_desired(connect()))
        await wait_until(partial(getattr, fault, "used"))
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        emulator.faults.clear()
        await apply_desired(connect())
        assert contents(emulator) == done
        executed = Counter(record.method for record in emulator.requests[offset:] if record.applied)
        assert executed == {"POST": 1, "PATCH": 1, "DELETE": 1}
