"""Locks by key, and the ids seen last."""

import asyncio
import gc
import weakref

import pytest
from clocks import settle
from hypothesis import given
from hypothesis import strategies as st

from secoda_async._engine.locks import KeyedLocks
from secoda_async._engine.recent import RecentIds


@pytest.mark.requirement("BS-6")
async def test_work_on_one_key_is_done_in_turn_and_on_another_at_once() -> None:
    locks, order = KeyedLocks(), list[str]()

    async def work(key: str, name: str) -> None:
        async with locks.of(key):
            order.append(f"{name} begins")
            await settle()
            order.append(f"{name} ends")

    await asyncio.gather(work("a", "1"), work("a", "2"), work("a", "3"), work("b", "4"))
    on_a = [entry for entry in order if not entry.startswith("4")]
    assert on_a == ["1 begins", "1 ends", "2 begins", "2 ends", "3 begins", "3 ends"]
    assert order.index("4 begins") < order.index("1 ends")


async def test_a_lock_is_kept_while_somebody_wants_it_and_no_longer() -> None:
    locks = KeyedLocks()
    lock = locks.of("a")
    assert locks.of("a") is lock
    kept = weakref.ref(lock)
    del lock
    gc.collect()
    assert kept() is None


def test_event_loops_do_not_share_a_lock() -> None:
    locks = KeyedLocks()

    async def hold() -> asyncio.Lock:
        lock = locks.of("a")
        await lock.acquire()
        return lock

    held = asyncio.run(hold())

    async def take_another() -> None:
        lock = locks.of("a")
        assert lock is not held
        async with asyncio.timeout(1):
            await lock.acquire()

    with asyncio.Runner() as runner:
        runner.run(take_another())


def test_ids_are_new_once() -> None:
    seen = RecentIds()
    assert [seen.add(item) for item in ("a", "b", "a")] == [True, True, False]
    assert "a" in seen
    assert "c" not in seen


@given(st.integers(1, 5), st.lists(st.sampled_from("abcdefgh")))
def test_only_the_oldest_are_forgotten(most: int, items: list[str]) -> None:
    seen, model = RecentIds(most), list[str]()
    for item in items:
        assert seen.add(item) is (item not in model)
        model = model if item in model else [*model, item][-most:]
    assert [item for item in "abcdefgh" if item in seen] == sorted(model)
