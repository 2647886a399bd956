"""`RedisRateLimiter`: the window, the cooldown and the queue, on a manual clock."""

import asyncio

import pytest

from secoda_async import (
    RateLimit,
    RateLimitError,
    SecodaClient,
)
from secoda_async._engine.limits.limiter import Permit
from secoda_async.config import Priority
from secoda_async.emulator import Emulator
from secoda_async.ext.redis import LEASE, RedisRateLimiter
from tests.support.approx import approx
from tests.support.clocks import ManualClock, settle
from tests.support.redis_limits import GATE, PLACES, Share, WatchedRedis, start_acquiring, take, use
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("RL-4")


class TestWindow:
    @pytest.mark.requirement("RL-1")
    async def test_permit_is_free_one_window_after_the_response(self, share: Share, clock: ManualClock) -> None:
        limiter = share()
        permits = await take(limiter, 30)
        clock.jump(5)
        for permit in permits:
            await permit.release(sent=True)
            await clock.advance(0)
        (task,) = await start_acquiring(clock, limiter.acquire())
        await clock.advance(59.9)
        assert not task.done()
        await clock.advance(0.2)
        assert task.done()

    async def test_limiters_of_one_name_share_the_window(self, share: Share, clock: ManualClock) -> None:
        one, two, three = share(), share(), share()
        await use(one, 20)
        await use(two, 10)
        (task,) = await start_acquiring(clock, three.acquire())
        assert not task.done()
        assert three.state.free == 0
        assert three.state.next_free == approx(60)
        await use(share(name="other"), 30)
        await clock.advance(60)
        assert task.done()

    async def test_permit_of_an_unsent_request_is_free_immediately(self, share: Share, clock: ManualClock) -> None:
        one, two = share(RateLimit(1)), share(RateLimit(1))
        (permit,) = await take(one)
        (task,) = await start_acquiring(clock, two.acquire())
        await permit.release(sent=False)
        await clock.advance(0)
        await permit.release(sent=False)
        await clock.advance(0)
        await clock.advance(1)  # the poll interval
        assert task.done()

    @pytest.mark.requirement("RL-2")
    async def test_permit_of_a_dead_process_is_free_after_its_lease(self, share: Share, clock: ManualClock) -> None:
        await take(share(RateLimit(1)))
        (task,) = await start_acquiring(clock, share(RateLimit(1)).acquire())
        await clock.advance(60 + LEASE - 0.1)
        assert not task.done()
        await clock.advance(0.2)
        assert task.done()

    async def test_response_after_the_end_of_the_lease_counts(self, share: Share, clock: ManualClock) -> None:
        one, two = share(RateLimit(1), lease_seconds=1), share(RateLimit(1), lease_seconds=1)
        (permit,) = await take(one)
        clock.jump(100)
        await permit.release(sent=True)
        await clock.advance(0)
        (task,) = await start_acquiring(clock, two.acquire())
        await clock.advance(59)
        assert not task.done()
        await clock.advance(1)
        assert task.done()

    async def test_window_uses_the_clock_of_the_redis_server(self, server: RedisServer, redis: WatchedRedis) -> None:
        """Runs in real time, with windows of twenty milliseconds."""
        limit = RateLimit(2, per_seconds=0.02)
        async with RedisRateLimiter(server.url, limit, name="acme") as limiter:
            for _ in range(8):
                await use(limiter)
        (token,) = await redis.execute_command("ZRANGE", PLACES, -1, -1)
        free_at = await redis.execute_command("ZSCORE", PLACES, token)
        seconds, micros = await redis.execute_command("TIME")
        assert float(free_at) == pytest.approx(
            int(seconds) * 1e6 + int(micros), abs=3600e6
        )  # both in microseconds since 1970

    async def test_keys_expire_and_no_timer_is_left(
        self, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        limiter = share()
        await use(limiter, 2)
        await limiter.pause(None)
        await clock.advance(0)
        keys = await redis.execute_command("KEYS", "*")
        assert sorted(keys) == [GATE, PLACES]
        for key in keys:
            assert 0 < await redis.pttl(key) <= 120_000
        assert clock.pending == 0

    async def test_script_is_sent_again_after_script_flush(self, share: Share, redis: WatchedRedis) -> None:
        limiter = share()
        await use(limiter)
        await redis.script_flush()
        await use(limiter)
        assert limiter.state.free == 28


class TestCooldown:
    @pytest.mark.requirement("RL-2")
    async def test_429_starts_a_cooldown_for_all_and_paces_later_writes(self, share: Share, clock: ManualClock) -> None:
        one, two = share(), share()
        await use(one)
        await one.pause(7)
        await clock.advance(0)
        assert one.state.paused == approx(7)
        tasks = await start_acquiring(clock, two.acquire(), two.acquire(), one.acquire())
        await clock.advance(6.9)
        assert not any(task.done() for task in tasks)
        starts: list[float] = []
        for step in range(80):
            await clock.advance(0.1)
            for task in [task for task in tasks if task.done()]:
                tasks.remove(task)
                await task.result().release(sent=True)
                await clock.advance(0)
                starts.append(7 + step * 0.1)
        assert starts == pytest.approx([7, 9, 11])

    @pytest.mark.requirement("RL-2")
    async def test_cooldown_without_retry_after_lasts_a_window(self, share: Share, clock: ManualClock) -> None:
        one, two = share(), share()
        await one.pause(None)
        await clock.advance(0)
        with pytest.raises(RateLimitError):
            await two.acquire(max_pause=59)
        assert two.state.paused == approx(60)
        assert two.time_for(2) == approx(62)

    @pytest.mark.requirement("RL-2")
    async def test_a_cooldown_that_starts_during_a_report_is_reported_next(
        self, server: RedisServer, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        one, two = share(), share()
        await one.look()
        with server.frozen():
            await one.pause(5)
            await wait_until(lambda: redis.waiting)
            for _ in range(5):
                await settle()
            await one.pause(9)
        await clock.advance(0)
        assert (await two.look()).paused == approx(9)

    async def test_pacing_ends_after_a_window_without_another_429(self, share: Share, clock: ManualClock) -> None:
        one, two = share(), share()
        await one.pause(5)
        await clock.advance(0)
        clock.jump(65)
        await use(two, 30)
        assert clock.now() == approx(1065)

    @pytest.mark.requirement("RL-6")
    async def test_cooldown_above_max_pause_raises_rate_limit_error(self, share: Share, clock: ManualClock) -> None:
        one, two = share(), share()
        await take(one, 30)
        (task,) = await start_acquiring(clock, two.acquire(max_pause=10))
        await one.pause(20)
        await clock.advance(0)
        await clock.advance(1)
        with pytest.raises(RateLimitError) as caught:
            task.result()
        assert caught.value.retry_after == approx(19)


class TestQueue:
    @pytest.mark.requirement("RL-4")
    async def test_interactive_priority_goes_first_and_each_priority_is_fifo(
        self, share: Share, clock: ManualClock
    ) -> None:
        limiter = share(RateLimit(1))
        (permit,) = await take(limiter)
        order: list[str] = []

        async def write(name: str, priority: Priority = "interactive") -> Permit:
            permit = await limiter.acquire(priority=priority)
            order.append(name)
            await permit.release(sent=False)
            await clock.advance(0)
            return permit

        tasks = await start_acquiring(
            clock,
            write("background 1", priority="background"),
            write("background 2", priority="background"),
            write("interactive 1"),
            write("interactive 2"),
        )
        assert limiter.state.queued == 4
        await permit.release(sent=False)
        await clock.advance(0)
        await clock.advance(10)
        await asyncio.gather(*tasks)
        assert order == ["interactive 1", "interactive 2", "background 1", "background 2"]
        assert limiter.state.queued == 0

    @pytest.mark.requirement("RL-6")
    async def test_wait_above_max_wait_is_refused_immediately(self, share: Share, clock: ManualClock) -> None:
        one, two = share(RateLimit(2)), share(RateLimit(2))
        await use(one, 2)
        for limiter in (one, two):
            with pytest.raises(RateLimitError) as caught:
                await limiter.acquire(max_wait=59)
            assert caught.value.retry_after == approx(60)
        tasks = await start_acquiring(clock, *(two.acquire(max_wait=61) for _ in range(2)))
        with pytest.raises(RateLimitError) as caught:
            await two.acquire(max_wait=61)
        assert caught.value.retry_after == approx(120)
        assert two.time_for(1) == approx(120)
        assert two.time_for(0) == 0
        await clock.advance(60)
        assert all(task.done() for task in tasks)

    @pytest.mark.requirement("RL-4", "RT-7")
    async def test_cancelled_waiter_leaves_no_trace(self, share: Share, clock: ManualClock) -> None:
        limiter = share(RateLimit(1))
        (permit,) = await take(limiter)
        tasks = await start_acquiring(clock, *(limiter.acquire() for _ in range(3)))
        for task in tasks[:2]:
            task.cancel()
        await permit.release(sent=False)
        await clock.advance(0)
        await clock.advance(1)
        await tasks[2].result().release(sent=False)
        await clock.advance(0)
        assert (limiter.state.free, limiter.state.queued, clock.pending) == (1, 0, 0)

    @pytest.mark.requirement("RT-7")
    async def test_permit_granted_to_a_cancelled_waiter_is_released(
        self, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        limiter = share(RateLimit(2))
        task = asyncio.create_task(limiter.acquire())
        await wait_until(lambda: redis.waiting)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await take(limiter, 2)
        await settle()
        assert (limiter.state.in_flight, clock.pending) == (2, 0)

    @pytest.mark.requirement("RT-7")
    async def test_cancellation_swallowed_by_redis_during_acquire_is_reraised(
        self, server: RedisServer, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        limiter = share(RateLimit(1))
        redis.calls.is_deaf = True
        with server.frozen():
            task = asyncio.create_task(limiter.acquire())
            await wait_until(lambda: redis.waiting)
            await settle()
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await take(limiter)
        await settle()
        assert (limiter.state.in_flight, clock.pending) == (1, 0)

    async def test_aclose_reports_pending_releases(self, share: Share, redis: WatchedRedis) -> None:
        async with share(RateLimit(1)) as limiter:
            (permit,) = await take(limiter)
            task = asyncio.create_task(permit.release(sent=False))
            await wait_until(lambda: redis.waiting)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await take(share(RateLimit(1)))
        await redis.execute_command("FLUSHALL")  # the client was not closed


@pytest.mark.requirement("RL-6")
async def test_max_wait_0_gets_a_free_permit(server: RedisServer, redis: WatchedRedis) -> None:
    async with (
        RedisRateLimiter(server.url, name="acme") as limiter,
        Emulator() as emulator,
        SecodaClient(emulator.api_key, base_url=emulator.url, limiter=limiter, max_wait=0) as secoda,
    ):
        for _ in range(3):
            await secoda.groups.create(name="A")
    assert await redis.zcard(PLACES) == 3
