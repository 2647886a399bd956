"""`SlidingWindowLimiter` on several event loops, on closed ones, and after a fork."""

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Generator

import pytest

from secoda_async import RateLimit, SlidingWindowLimiter
from tests.support.clocks import ManualClock, ManualTimer, settle

READS: list[tuple[Callable[[SlidingWindowLimiter], object], object]] = [
    (lambda limit: limit.state.queued, 0),
    (lambda limit: limit.time_for(1), 60.0),  # one window for the permit in flight, and none for the waiter
    (lambda limit: limit.acquire_nowait() is None, True),
]


class TestLoops:
    """A limiter with waiters on several event loops."""

    @pytest.fixture
    def loops(self) -> Generator[list[asyncio.AbstractEventLoop], None, None]:
        loops = [asyncio.new_event_loop() for _ in range(2)]
        yield loops
        for loop in loops:
            loop.close()

    @pytest.mark.requirement("SL-1", "RL-4")
    def test_release_on_one_loop_grants_a_permit_on_another(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(1), clock=ManualClock())
        has_taken, is_waiting = threading.Event(), threading.Event()

        async def holder() -> None:
            permit = await limit.acquire()
            has_taken.set()
            await asyncio.to_thread(is_waiting.wait)
            while not limit.state.queued:  # noqa: ASYNC110 - an asyncio.Event is of one event loop
                await asyncio.sleep(0)
            await permit.release(sent=False)

        async def waiter() -> None:
            is_waiting.set()
            await (await limit.acquire()).release(sent=False)

        thread = threading.Thread(target=asyncio.run, args=(holder(),))
        thread.start()
        has_taken.wait()
        asyncio.run(waiter())
        thread.join()
        assert (limit.state.free, limit.state.queued) == (1, 0)

    @pytest.mark.requirement("SL-1")
    def test_waiter_of_a_stopped_loop_is_skipped_and_granted_later(
        self, loops: list[asyncio.AbstractEventLoop]
    ) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(RateLimit(1), clock=clock)
        permit = loops[0].run_until_complete(limit.acquire())
        asleep = loops[0].create_task(limit.acquire())
        loops[0].run_until_complete(settle())

        async def others() -> None:
            await permit.release(sent=False)
            assert not asleep.done()
            await (await limit.acquire(max_wait=60)).release(sent=False)

        loops[1].run_until_complete(others())
        assert not asleep.done()
        loops[0].run_until_complete(clock.advance(60))
        assert asleep.done()

    @pytest.mark.requirement("SL-1", "SL-3")
    def test_waiter_garbage_collected_with_its_loop_leaves_no_trace(
        self, loops: list[asyncio.AbstractEventLoop]
    ) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(RateLimit(1), clock=clock)
        permit = loops[0].run_until_complete(limit.acquire())

        async def abandoned() -> None:
            await limit.acquire()

        waiting = abandoned()
        task = loops[0].create_task(waiting)
        loops[0].run_until_complete(settle())
        assert limit.state.queued == 1
        loops[0].close()
        del task
        loops[1].run_until_complete(permit.release(sent=False))
        waiting.close()
        assert (limit.state.free, limit.state.queued) == (1, 0)
        assert limit._timers == {}

    @pytest.mark.parametrize(("read", "expected"), READS, ids=["state", "time_for", "acquire_nowait"])
    def test_each_read_drops_the_waiters_of_a_closed_loop(
        self, read: Callable[[SlidingWindowLimiter], object], expected: object
    ) -> None:
        limit = SlidingWindowLimiter(RateLimit(1, per_seconds=60), clock=ManualClock())
        ended = asyncio.new_event_loop()
        ended.run_until_complete(limit.acquire())
        waiting = ended.create_task(limit.acquire())
        ended.run_until_complete(settle())
        ended.close()
        assert read(limit) == expected
        assert not limit._waiters
        del waiting
        gc.collect()

    def test_waiters_of_a_closed_loop_are_dropped(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(1), clock=ManualClock())
        ended = asyncio.new_event_loop()
        permit = ended.run_until_complete(limit.acquire())
        waiting = ended.create_task(limit.acquire())
        ended.run_until_complete(settle())
        ended.close()
        assert limit.state.queued == 0

        async def now() -> None:
            await permit.release(sent=False)
            await (await limit.acquire(max_wait=0)).release(sent=False)

        asyncio.run(now())
        del waiting
        gc.collect()
        assert (limit.state.free, limit.state.queued) == (1, 0)

    def test_forked_process_counts_requests_in_flight_as_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limit = SlidingWindowLimiter(RateLimit(2), clock=ManualClock())

        async def calls() -> None:
            await limit.acquire()
            await limit.acquire()
            waiting = asyncio.create_task(limit.acquire())
            await settle()
            assert limit.state.queued == 1
            waiting.cancel()
            await settle()

        asyncio.run(calls())
        monkeypatch.setattr(os, "getpid", lambda: 0)  # as in a child
        assert (limit.state.in_flight, limit.state.queued, limit.state.next_free) == (0, 0, 60)


def test_release_by_garbage_collection_during_a_wakeup_grants_once_more() -> None:
    """Garbage collection can close a task that holds a permit while waiters are woken."""
    collected: list[Callable[[], object]] = []

    class Clock(ManualClock):
        def call_later(self, delay: float, callback: Callable[[], object]) -> ManualTimer:
            while collected:
                collected.pop()()
            return super().call_later(delay, callback)

    async def calls() -> None:
        limit = SlidingWindowLimiter(RateLimit(2), clock=Clock())
        first, second = await limit.acquire(), await limit.acquire()
        waiting = [asyncio.create_task(limit.acquire()) for _ in range(3)]
        await settle()

        def collect() -> None:
            with pytest.raises(StopIteration):
                second.release(sent=False).send(None)

        collected.append(collect)
        await first.release(sent=True)
        await settle()
        assert sum(task.done() for task in waiting) == 1  # immediately, not one window later
        assert limit.state.in_flight == 1
        for task in waiting:
            task.cancel()
        await settle()

    asyncio.run(calls())
