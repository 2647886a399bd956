"""Locks by key, and the recently seen ids."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from secoda_async._engine.concurrency.keyed_locks import KeyedLocks, LockHandle
from tests.support.clocks import settle


@pytest.mark.requirement("BS-6")
async def test_lock_serializes_one_key_and_not_another() -> None:
    locks, order = KeyedLocks(), list[str]()

    async def work(key: str, name: str) -> None:
        with await locks.acquire(key):
            order.append(f"{name} begins")
            await settle()
            order.append(f"{name} ends")

    await asyncio.gather(work("a", "1"), work("a", "2"), work("a", "3"), work("b", "4"))
    on_a = [entry for entry in order if not entry.startswith("4")]
    assert on_a == ["1 begins", "1 ends", "2 begins", "2 ends", "3 begins", "3 ends"]
    assert order.index("4 begins") < order.index("1 ends")


async def test_lock_entry_exists_only_while_it_is_held() -> None:
    locks = KeyedLocks()
    with await locks.acquire("a"):
        assert locks.acquire_nowait("a") is None
        assert list(locks._holders) == ["a"]
        waiting = asyncio.create_task(locks.acquire("a"))
        await settle()
        assert list(locks._waiters) == ["a"]
    with await waiting:
        assert locks._waiters == {}
    assert locks._holders == {}


@pytest.mark.requirement("BS-6", "SL-1")
def test_threads_share_a_lock() -> None:
    locks, inside = KeyedLocks(), list[int]()

    async def work() -> None:
        for _ in range(50):
            with await locks.acquire("a"):
                inside.append(1)
                await asyncio.sleep(0)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == []


def test_lock_of_a_closed_event_loop_is_free() -> None:
    locks = KeyedLocks()
    abandoned = asyncio.new_event_loop()
    handle = abandoned.run_until_complete(locks.acquire("a"))
    waiting = abandoned.create_task(locks.acquire("a"))
    abandoned.run_until_complete(settle())
    abandoned.close()

    async def take() -> None:
        async with asyncio.timeout(60):
            mine = await locks.acquire("a")
        locks.release(handle)  # released with its loop
        other = asyncio.create_task(locks.acquire("a"))
        await settle()
        assert not other.done()
        locks.release(mine)
        await settle()
        locks.release(other.result())

    asyncio.run(take())
    del waiting
    gc.collect()


async def test_cancelled_waiter_passes_the_lock_on() -> None:
    locks = KeyedLocks()
    handle = await locks.acquire("a")
    tasks = [asyncio.create_task(locks.acquire("a")) for _ in range(3)]
    await settle()
    tasks[0].cancel()
    await settle()
    locks.release(handle)
    tasks[1].cancel()  # while the lock is handed over
    await settle()
    assert [task.cancelled() for task in tasks] == [True, True, False]
    locks.release(tasks[2].result())


class _Interrupted(dict[str, Any]):
    """A dict after whose next lookup other code runs once, as when garbage collection closes a task."""

    def __init__(self, run: Callable[[], object]) -> None:
        super().__init__()
        self.run: Callable[[], object] | None = run

    def get(self, key: str, default: Any = None) -> Any:
        found = super().get(key, default)
        run, self.run = self.run, None
        if run is not None:
            run()
        return found


def release_after_next_lookup(locks: KeyedLocks, handle: LockHandle, table: str) -> None:
    """Release a handle right after the next lookup in one of the dicts of the locks."""
    interrupted = _Interrupted(lambda: locks.release(handle))
    interrupted.update(getattr(locks, table))
    setattr(locks, table, interrupted)


@pytest.mark.parametrize("table", ["_holders", "_waiters"])
@pytest.mark.parametrize("waiters", [1, 2])
async def test_holder_released_while_a_waiter_is_cancelled_leaves_a_free_lock(table: str, waiters: int) -> None:
    locks = KeyedLocks()
    handle = await locks.acquire("a")
    tasks = [asyncio.create_task(locks.acquire("a")) for _ in range(waiters)]
    await settle()
    release_after_next_lookup(locks, handle, table)
    tasks[0].cancel()
    await settle()
    for task in tasks[1:]:
        locks.release(task.result())
    assert locks.acquire_nowait("a") is not None


@pytest.mark.parametrize("table", ["_holders", "_waiters"])
@pytest.mark.parametrize("waiters", [0, 1])
async def test_holder_released_while_a_waiter_arrives_passes_the_lock_on(table: str, waiters: int) -> None:
    locks = KeyedLocks()
    handle = await locks.acquire("a")
    first = [asyncio.create_task(locks.acquire("a")) for _ in range(waiters)]
    await settle()
    release_after_next_lookup(locks, handle, table)
    last = asyncio.create_task(locks.acquire("a"))
    await settle()
    for task in (*first, last):
        locks.release(task.result())
        await settle()
    assert locks.acquire_nowait("a") is not None
