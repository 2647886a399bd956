"""`SlidingWindowLimiter`: the window, the queue and `max_wait`."""

import asyncio

import pytest

from secoda_async import LimitState, RateLimit, RateLimitError, SlidingWindowLimiter
from secoda_async._engine.limits.limiter import time_left
from secoda_async._engine.limits.window import Usage
from secoda_async.config import Priority
from tests.support.clocks import ManualClock, settle
from tests.support.limits import make_limiter, start_acquiring


class TestWindow:
    @pytest.mark.requirement("RL-1")
    async def test_ninety_concurrent_writes_start_thirty_a_minute(self) -> None:
        clock = ManualClock(start=0.0)
        limit = SlidingWindowLimiter(clock=clock)
        starts: list[float] = []

        async def write() -> None:
            permit = await limit.acquire()
            starts.append(clock.now())
            await permit.release(sent=True)

        assert limit.time_for(90) == 120.0
        tasks = [asyncio.create_task(write()) for _ in range(90)]
        await clock.advance()
        await asyncio.gather(*tasks)
        assert starts == [0.0] * 30 + [60.0] * 30 + [120.0] * 30

    async def test_permit_is_free_one_window_after_the_response(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1, window=60.0)
        permit = await limit.acquire()
        waiting = await start_acquiring(limit)
        await clock.advance(100.0)
        assert not waiting.done()
        await permit.release(sent=True)
        await clock.advance(59.875)
        assert not waiting.done()
        await clock.advance(0.125)
        assert waiting.done()

    @pytest.mark.requirement("RT-7")
    async def test_permit_of_an_unsent_request_is_free_immediately(self) -> None:
        limit = make_limiter(ManualClock(), 1)
        permit = await limit.acquire()
        waiting = await start_acquiring(limit)
        await permit.release(sent=False)
        await permit.release(sent=False)  # a second release does nothing
        await settle()
        assert waiting.done()
        assert limit.state.in_flight == 1

    @pytest.mark.requirement("RL-5")
    async def test_share_leaves_permits_to_other_programs(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(30, per_seconds=60, share=0.5), clock=ManualClock())
        assert limit.state.free == 15
        assert limit.time_for(15) == 0.0
        assert limit.time_for(16) == 60.0

    async def test_defaults_are_the_documented_limit_on_the_system_clock(self) -> None:
        limit = SlidingWindowLimiter()
        await (await limit.acquire()).release(sent=False)
        assert limit.limit == RateLimit(30, per_seconds=60)
        assert limit.state == LimitState(free=30, next_free=0.0, queued=0, in_flight=0, paused=0.0)

    @pytest.mark.parametrize("writes", [0, -1])
    def test_time_for_no_writes_is_0(self, writes: int) -> None:
        assert make_limiter(ManualClock()).time_for(writes) == 0.0


class TestQueue:
    @pytest.mark.requirement("RL-4")
    async def test_interactive_priority_goes_first_and_each_priority_is_fifo(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1)
        await (await limit.acquire()).release(sent=True)
        order: list[str] = []

        async def write(name: str, priority: Priority) -> None:
            permit = await limit.acquire(priority=priority)
            order.append(name)
            await permit.release(sent=True)

        names: list[tuple[str, Priority]] = [
            ("b1", "background"), ("i1", "interactive"), ("b2", "background"), ("i2", "interactive"),
        ]  # fmt: skip
        tasks = [asyncio.create_task(write(name, priority)) for name, priority in names]
        await clock.advance()
        await asyncio.gather(*tasks)
        assert order == ["i1", "i2", "b1", "b2"]

    @pytest.mark.requirement("RL-4", "RT-7")
    async def test_cancelled_waiters_leave_no_trace(self) -> None:
        clock = ManualClock(start=0.0)
        limit = SlidingWindowLimiter(clock=clock)
        starts: list[float] = []

        async def write() -> None:
            permit = await limit.acquire()
            starts.append(clock.now())
            await permit.release(sent=True)

        tasks = [asyncio.create_task(write()) for _ in range(90)]
        await settle()
        for task in tasks[30:70:2]:
            task.cancel()
        await settle()
        assert limit.state.queued == 40
        await clock.advance()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert starts == [0.0] * 30 + [60.0] * 30 + [120.0] * 10

    async def test_waiter_cancelled_while_granted_passes_its_permit_on(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1)
        permit = await limit.acquire()
        first, second = await start_acquiring(limit), await start_acquiring(limit)
        await permit.release(sent=False)  # grants it to the first, which has not resumed yet
        first.cancel()
        await settle()
        assert first.cancelled()
        assert second.done()
        assert limit.state.in_flight == 1

    async def test_waiter_cancelled_while_refused_leaves_no_trace(self) -> None:
        limit = make_limiter(ManualClock(), 1)
        await limit.acquire()
        waiting = asyncio.create_task(limit.acquire(max_pause=5.0))
        await settle()
        await limit.pause(10.0)
        waiting.cancel()
        await settle()
        assert waiting.cancelled()
        assert (limit.state.queued, limit.state.in_flight) == (0, 1)

    async def test_last_waiter_that_is_cancelled_takes_its_timer_along(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1)
        await (await limit.acquire()).release(sent=True)
        waiting = await start_acquiring(limit)
        assert clock.pending == 1
        waiting.cancel()
        await settle()
        assert clock.pending == 0

    async def test_cancelled_waiter_that_has_not_resumed_is_skipped(self) -> None:
        limit = make_limiter(ManualClock(), 1)
        permit = await limit.acquire()
        first, second = await start_acquiring(limit), await start_acquiring(limit)
        first.cancel()
        await permit.release(sent=False)
        await settle()
        assert first.cancelled()
        assert second.done()

    async def test_cancelled_waiter_that_has_not_resumed_is_not_refused(self) -> None:
        limit = make_limiter(ManualClock(), 1)
        await limit.acquire()
        waiting = asyncio.create_task(limit.acquire(max_pause=5.0))
        await settle()
        waiting.cancel()
        await limit.pause(10.0)
        await settle()
        assert waiting.cancelled()

    async def test_all_waiters_share_one_timer(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 2)
        for _ in range(2):
            await (await limit.acquire()).release(sent=True)
        waiting = [await start_acquiring(limit) for _ in range(5)]
        await limit.pause(9.0)
        assert clock.pending == 1
        for task in waiting:
            task.cancel()

    async def test_wakeup_shortly_before_a_permit_is_free_grants_nothing(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1, window=60.0)
        await (await limit.acquire()).release(sent=True)
        waiting = [await start_acquiring(limit)]
        await clock.advance(59.5)
        waiting.append(await start_acquiring(limit))  # wakes the waiters
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()

    async def test_new_call_does_not_overtake_waiters_when_the_timer_is_late(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1, window=60.0)
        await (await limit.acquire()).release(sent=True)
        waiting = await start_acquiring(limit)
        clock.jump(60.0)  # the permit is free, but the timer has not run
        newcomer = await start_acquiring(limit)
        assert waiting.done()
        assert not newcomer.done()
        newcomer.cancel()


class TestState:
    @pytest.mark.requirement("RL-2")
    async def test_limiter_is_paused_until_the_cooldown_ends(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1)
        assert limit.is_paused is False
        await limit.pause(9.0)
        assert limit.is_paused is True
        await clock.advance(9.0)
        assert limit.is_paused is False


class TestTimeLeft:
    async def test_writes_of_the_job_in_flight_are_not_counted_twice(self) -> None:
        limit = make_limiter(ManualClock(), 2, window=60.0)
        assert [time_left(limit, writes) for writes in (0, 2, 3, 5)] == [0.0, 0.0, 60.0, 120.0]
        await limit.acquire()
        assert [time_left(limit, writes) for writes in (0, 1, 2, 3)] == [0.0, 0.0, 0.0, 60.0]

    async def test_queued_writes_of_the_job_are_not_counted_twice(self) -> None:
        limit = make_limiter(ManualClock(), 1, window=60.0)
        await (await limit.acquire()).release(sent=True)
        waiting = [await start_acquiring(limit), await start_acquiring(limit)]
        assert limit.time_for(1) == 180.0
        assert time_left(limit, 3) == 180.0
        assert time_left(limit, 4) == 240.0
        assert time_left(limit, 0) == 0.0
        for task in waiting:
            task.cancel()


@pytest.mark.requirement("RL-4")
class TestSharing:
    async def test_usage_is_reported_at_each_start_end_and_pause(self) -> None:
        limit = make_limiter(ManualClock(), 2, window=60.0)
        reports: list[Usage] = []
        limit.share(Usage(), reports.append)
        permit = await limit.acquire()
        await permit.release(sent=True)
        await limit.pause(9.0)
        assert [(usage.in_flight, len(usage.free_in), usage.paused_for) for usage in reports] == [
            (1, 0, 0.0),
            (0, 1, 0.0),
            (0, 1, 9.0),
        ]

    async def test_usage_of_other_processes_takes_permits(self) -> None:
        limit = make_limiter(ManualClock(), 3, window=60.0)
        limit.share(Usage(free_in=(30.0,), in_flight=1), lambda _: None)
        assert limit.state.free == 1

    async def test_usage_of_other_processes_is_ignored_after_a_call(self) -> None:
        limit = make_limiter(ManualClock(), 3, window=60.0)
        await limit.acquire()
        limit.share(Usage(free_in=(30.0, 30.0)), lambda _: None)
        assert (limit.state.free, limit.state.in_flight) == (2, 1)


@pytest.mark.requirement("RL-6")
class TestMaxWait:
    async def test_wait_above_max_wait_is_refused_immediately(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 2, window=60.0)
        for _ in range(2):
            await (await limit.acquire(max_wait=0)).release(sent=True)
        await clock.advance(10.0)
        with pytest.raises(RateLimitError, match=r"has no free permit for about 50\.0 s") as caught:
            await limit.acquire(max_wait=49.0)
        assert (caught.value.retry_after, caught.value.status) == (50.0, 0)
        state = limit.state
        assert (state.free, state.queued, state.in_flight) == (0, 0, 0)
        await clock.advance(50.0)
        await limit.acquire(max_wait=0)

    async def test_wait_up_to_max_wait_is_allowed(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1, window=60.0)
        await (await limit.acquire()).release(sent=True)
        waiting = asyncio.create_task(limit.acquire(max_wait=60.0))
        await clock.advance(60.0)
        assert waiting.done()

    async def test_refused_wait_includes_the_waiters_ahead(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1, window=60.0)
        await (await limit.acquire()).release(sent=True)
        waiting = [await start_acquiring(limit), await start_acquiring(limit, priority="background")]
        for priority, wait in (("interactive", 120.0), ("background", 180.0)):
            with pytest.raises(RateLimitError) as caught:
                await limit.acquire(priority="interactive" if priority == "interactive" else "background", max_wait=0)
            assert caught.value.retry_after == wait
        for task in waiting:
            task.cancel()

    async def test_permit_in_flight_counts_as_one_window(self) -> None:
        limit = make_limiter(ManualClock(), 1, window=60.0)
        await limit.acquire()
        assert limit.state.next_free == 60.0
        with pytest.raises(RateLimitError) as caught:
            await limit.acquire(max_wait=59.0)
        assert caught.value.retry_after == 60.0
