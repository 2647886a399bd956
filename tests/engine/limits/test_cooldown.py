"""The cooldown after a 429, the pacing after it, and the slow start."""

import asyncio

import pytest

from secoda_async import LimitState, RateLimit, RateLimitError, SlidingWindowLimiter
from tests.support.clocks import ManualClock, settle
from tests.support.limits import make_limiter, start_acquiring


@pytest.mark.requirement("RL-2")
class TestCooldown:
    async def test_no_write_starts_in_a_cooldown_and_later_writes_are_paced(self) -> None:
        clock = ManualClock(start=0.0)
        limit = SlidingWindowLimiter(RateLimit(30, per_seconds=60), clock=clock)
        starts: list[float] = []

        async def write() -> None:
            permit = await limit.acquire()
            starts.append(clock.now())
            await permit.release(sent=True)

        await limit.pause(10.0)
        assert limit.state == LimitState(free=30, next_free=10.0, queued=0, in_flight=0, paused=10.0)
        assert limit.time_for(3) == 14.0
        tasks = [asyncio.create_task(write()) for _ in range(40)]
        await clock.advance()
        await asyncio.gather(*tasks)
        assert starts[:5] == [10.0, 12.0, 14.0, 16.0, 18.0]
        assert starts[29:32] == [68.0, 70.0, 72.0]

    @pytest.mark.requirement("RT-4")
    @pytest.mark.parametrize(("seconds", "paused"), [(None, 60.0), (0, 0.0), (5.5, 5.5), (61.0, 61.0)])
    async def test_cooldown_lasts_retry_after_or_one_window(self, seconds: float | None, paused: float) -> None:
        limit = make_limiter(ManualClock(), 1, window=60.0)
        await limit.pause(seconds)
        assert limit.state.paused == paused
        assert limit.is_paused is (paused > 0)

    async def test_second_429_never_shortens_the_cooldown(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock)
        await limit.pause(30.0)
        await clock.advance(1.0)
        await limit.pause(5.0)
        assert limit.state.paused == 29.0

    async def test_pacing_ends_after_a_window_without_another_429(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 2, window=60.0)
        await limit.pause(10.0)
        assert limit.time_for(2) == 40.0
        await clock.advance(70.0)
        assert limit.time_for(2) == 0.0

    async def test_cooldown_above_max_pause_is_refused_immediately(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 1)
        await limit.acquire()
        patient = asyncio.create_task(limit.acquire(max_pause=99.5, priority="background"))
        careless = await start_acquiring(limit)
        impatient = asyncio.create_task(limit.acquire(max_pause=99.0))
        await settle()
        await limit.pause(99.5)
        with pytest.raises(RateLimitError) as caught:
            await impatient
        assert caught.value.retry_after == 99.5
        assert not patient.done()
        assert not careless.done()
        with pytest.raises(RateLimitError, match=r"about 99\.5 s"):
            await limit.acquire(max_pause=99.0)
        for task in (patient, careless):
            task.cancel()

    async def test_late_permit_delays_the_estimate_of_all_after_it(self) -> None:
        clock = ManualClock()
        limit = make_limiter(clock, 3, window=60.0)
        for _ in range(3):
            await (await limit.acquire()).release(sent=True)
        await clock.advance(10.0)
        await limit.pause(0.0)
        assert limit.time_for(1) == 50.0
        assert limit.time_for(2) == 70.0


@pytest.mark.requirement("RL-7")
class TestSlowStart:
    """While the permits that other processes used in the last window are unknown."""

    async def test_few_calls_are_in_flight_until_a_window_has_passed(self) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(clock=clock)
        tasks = [await start_acquiring(limit) for _ in range(10)]
        assert [task.done() for task in tasks] == [True] * 4 + [False] * 6
        assert limit.state == LimitState(free=26, next_free=60.0, queued=6, in_flight=4, paused=0.0)
        await clock.advance(59.0)
        assert limit.state.queued == 6
        await clock.advance(1.0)
        assert limit.state.queued == 0

    async def test_each_response_lets_one_more_call_start(self) -> None:
        limit = SlidingWindowLimiter(clock=ManualClock())
        tasks = [await start_acquiring(limit) for _ in range(6)]
        for count, task in enumerate(tasks[:2], 5):
            await task.result().release(sent=True)
            await settle()
            assert sum(task.done() for task in tasks) == count

    async def test_429_stops_the_calls_that_wait_for_the_slow_start(self) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(clock=clock)
        tasks = [await start_acquiring(limit) for _ in range(10)]
        await limit.pause(30.0)
        for task in tasks[:4]:
            await task.result().release(sent=True)
        await clock.advance(29.0)
        assert limit.state.queued == 6
        await clock.advance(3.0)
        assert limit.state.queued == 4  # evenly spaced

    async def test_slow_start_ends_after_one_window(self) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(clock=clock)
        await (await limit.acquire()).release(sent=True)
        await clock.advance(60.0)
        for _ in range(30):
            await limit.acquire()

    async def test_slow_start_of_a_large_limit_is_an_eighth(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(800), clock=ManualClock())
        for _ in range(100):
            await limit.acquire()
        waiting = await start_acquiring(limit)
        assert not waiting.done()
        waiting.cancel()

    @pytest.mark.requirement("RL-6")
    async def test_max_wait_0_is_exempt_from_slow_start(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(10), clock=ManualClock())
        tasks = [await start_acquiring(limit) for _ in range(6)]
        assert not tasks[-1].done()
        for _ in range(4):
            await limit.acquire(max_wait=0)
        with pytest.raises(RateLimitError):
            await limit.acquire(max_wait=0)  # the last permits belong to the waiters
        for task in tasks:
            task.cancel()

    async def test_tightened_window_prolongs_the_slow_start(self) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(RateLimit(30, per_seconds=60), clock=clock)
        for _ in range(4):
            await limit.acquire()
        limit.tighten(RateLimit(30, per_seconds=100))
        waiting = await start_acquiring(limit)
        await clock.advance(99.0)
        assert not waiting.done()
        await clock.advance(1.0)
        assert waiting.done()
