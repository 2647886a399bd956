"""Connection slots: requests in flight on one event loop, and the queue before them."""

import asyncio

import pytest

from secoda_async._engine.concurrency.connection_limit import ConnectionLimit
from tests.support.waiting import drain_loop


@pytest.mark.requirement("RL-3")
async def test_free_slot_is_acquired_without_a_wait() -> None:
    slots = ConnectionLimit(2)
    await slots.acquire("GET")
    await slots.acquire("GET")
    assert not slots.acquire_nowait("GET")


@pytest.mark.requirement("RL-3")
async def test_writes_leave_slots_to_reads() -> None:
    slots = ConnectionLimit(4)
    assert [slots.acquire_nowait("PATCH") for _ in range(4)] == [True, True, True, False]
    assert slots.acquire_nowait("GET")


@pytest.mark.requirement("SL-3")
async def test_waiters_are_served_in_order_and_a_cancelled_one_loses_nothing() -> None:
    slots = ConnectionLimit(1)
    await slots.acquire("GET")
    served: list[int] = []

    async def wait(number: int) -> None:
        await slots.acquire("GET")
        served.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(3)]
    await drain_loop()
    tasks[0].cancel()
    for _ in range(2):
        slots.release("GET")
        await drain_loop()
    assert served == [1, 2]
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.requirement("SL-3")
async def test_waiter_cancelled_while_granted_passes_its_slot_on() -> None:
    slots = ConnectionLimit(1)
    await slots.acquire("GET")
    first, second = (asyncio.create_task(slots.acquire("GET")) for _ in range(2))
    await drain_loop()
    slots.release("GET")  # grants it to the first, which has not resumed yet
    first.cancel()
    await drain_loop()
    assert (first.cancelled(), second.done()) == (True, True)
    assert not slots.acquire_nowait("GET")


@pytest.mark.requirement("SL-3")
async def test_cancelled_waiter_leaves_the_queue_and_releases_nothing() -> None:
    slots = ConnectionLimit(1)
    await slots.acquire("GET")
    waiting = asyncio.create_task(slots.acquire("GET"))
    await drain_loop()
    waiting.cancel()
    await drain_loop()
    assert not slots.acquire_nowait("GET")
    slots.release("GET")
    assert slots.acquire_nowait("GET")
