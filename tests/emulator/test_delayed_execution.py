"""Requests that are executed late: `delay` and `execute_after`."""

import asyncio
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from tests.support.emulator_calls import call_json, exchange, post
from tests.support.waiting import wait_until


async def test_delay_comes_before_the_execution(
    emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
) -> None:
    emulator.faults.add(delay=3.0)
    task = asyncio.create_task(post(session))
    await wait_until(lambda: clock.timers)
    assert emulator.groups == {}
    clock.advance(3.0)
    assert (await task)[0] == 201


@pytest.mark.parametrize("status", [None, 503])
async def test_delayed_write_is_executed_after_its_client_disconnected(
    emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession, status: int | None
) -> None:
    emulator.faults.add(status, delay=3.0)
    task = asyncio.create_task(post(session))
    await wait_until(lambda: clock.timers)
    task.cancel()
    await wait_until(lambda: not emulator.open_connections)
    clock.advance(3.0)
    await wait_until(lambda: not clock.timers)
    await asyncio.sleep(0)
    (record,) = emulator.requests
    assert (record.applied, record.status) == (status is None, None)
    assert len(emulator.groups) == (1 if status is None else 0)


async def test_drop_before_can_be_delayed(emulator: Emulator, clock: ManualClock) -> None:
    emulator.faults.add(drop="before", delay=3.0)
    task = asyncio.create_task(exchange(emulator))
    await wait_until(lambda: clock.timers)
    assert emulator.open_connections == 1
    clock.advance(3.0)
    assert await task in {b"", b"reset"}
    assert emulator.groups == {}


@pytest.mark.requirement("RT-10")
async def test_execute_after_executes_after_the_status_was_sent(
    emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
) -> None:
    emulator.faults.add(504, method="POST", execute_after=8.0)
    assert await call_json(session, "POST", name="a") == 504
    (record,) = emulator.requests
    assert (record.applied, emulator.groups, emulator.busiest_window()) == (False, {}, 1)
    clock.advance(7.9)
    await asyncio.sleep(0)
    assert emulator.groups == {}
    clock.advance(0.1)
    await wait_until(lambda: emulator.groups)
    assert (record.applied, [record.group_id]) == (True, list(emulator.groups))
    created = datetime.fromisoformat(emulator.groups[record.group_id or ""]["created_at"])
    assert (emulator._calendar.now() - created).total_seconds() == pytest.approx(0.0, abs=1e-3)


@pytest.mark.requirement("RT-10")
@pytest.mark.parametrize("fault", [{"drop": "after"}, {"stall": "before"}, {"stall": "after"}, {"raw": b"?"}])
async def test_execute_after_executes_after_the_response_was_lost(
    emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession, fault: dict[str, Any]
) -> None:
    emulator.faults.add(**fault, execute_after=8.0)
    task = asyncio.create_task(call_json(session, "POST", name="a"))
    await wait_until(lambda: clock.timers)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or isinstance(task.exception(), aiohttp.ClientError)
    await wait_until(lambda: not emulator.open_connections)
    assert emulator.groups == {}
    clock.advance(8.0)
    await wait_until(lambda: emulator.groups)
    assert emulator.requests[0].applied


async def test_execute_after_does_not_execute_a_throttled_request(
    emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
) -> None:
    emulator.faults.add(504, execute_after=8.0, times=None)
    emulator.writes_per_window = 1
    assert [await call_json(session, "POST", name=name) for name in "ab"] == [504, 504]
    clock.advance(8.0)
    await wait_until(lambda: emulator.groups)
    assert [group["name"] for group in emulator.groups.values()] == ["a"]


async def test_close_cancels_pending_executions(
    emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
) -> None:
    emulator.faults.add(504, execute_after=8.0)
    assert await call_json(session, "POST", name="a") == 504
    await emulator.close()
    clock.advance(8.0)
    assert (emulator.groups, clock.timers) == ({}, [])
