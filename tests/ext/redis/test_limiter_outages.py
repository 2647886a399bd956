"""`RedisRateLimiter` while Redis is unavailable or does not reply."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from secoda_async import (
    ConfigurationError,
    RateLimit,
    RetryPolicy,
    SecodaClient,
    TransportError,
)
from secoda_async.emulator import Emulator
from secoda_async.ext.redis import RETRY_AFTER, RedisRateLimiter
from secoda_async.ext.redis_connection import REPLY_TIMEOUT
from secoda_async.ext.redis_window import MAX_PENDING
from tests.support.approx import approx
from tests.support.clocks import ManualClock, settle
from tests.support.redis_limits import Share, WatchedRedis, start_acquiring, take, use
from tests.support.redis_server import RedisServer, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("RL-4")


class TestUnavailable:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[RedisServer]:
        with running(tmp_path) as server:
            yield server

    @pytest.fixture
    async def redis(self, server: RedisServer) -> AsyncIterator[WatchedRedis]:
        async with WatchedRedis.at(server) as redis:
            yield redis

    async def test_unavailable_redis_raises_and_learns_of_releases_later(
        self, share: Share, server: RedisServer, clock: ManualClock, log: Callable[[], list[str]]
    ) -> None:
        limiter = share()
        (permit,) = await take(limiter)
        server.stop()
        for _ in range(2):
            with pytest.raises(TransportError, match="write limit 'acme' can't be reached in Redis: ") as caught:
                await limiter.acquire()
            assert not caught.value.maybe_sent
        await limiter.pause(5)  # does not raise: the caller gets the 429
        await clock.advance(0)
        await permit.release(sent=True)
        await clock.advance(0)
        (line,) = log()
        assert line.startswith("the shared write limit 'acme' is unavailable: ")
        assert ".;" not in line  # redis-py's text is a sentence
        assert line.endswith("writes fail")
        server.start()
        clock.jump(RETRY_AFTER)
        (task,) = await start_acquiring(clock, limiter.acquire())
        assert log()[1:] == ["the shared write limit 'acme' is back"]
        assert not task.done()  # the cooldown was kept locally
        await clock.advance(5)
        await task.result().release(sent=True)
        await clock.advance(0)
        assert limiter.state.free == 28  # the permit released during the outage was reported

    @pytest.mark.requirement("RL-8")
    async def test_local_mode_respects_the_permits_that_redis_knew(
        self, share: Share, server: RedisServer, clock: ManualClock, log: Callable[[], list[str]]
    ) -> None:
        one, two = (share(RateLimit(4), on_unavailable="local") for _ in range(2))
        (held,) = await take(one)
        await use(two)
        await take(two)
        assert (await one.look()).free == 1
        server.stop()
        waiters = await start_acquiring(clock, *(one.acquire() for _ in range(4)))
        assert [task.done() for task in waiters] == [True, False, False, False]
        assert (one.state.in_flight, one.state.queued) == (3, 3)
        (line,) = log()
        assert line.endswith("this process keeps the limit by itself")
        await held.release(sent=False)
        await clock.advance(1)
        assert [task.done() for task in waiters] == [True, True, False, False]
        await clock.advance(58)
        assert not waiters[2].done()
        await clock.advance(2)  # the used permit is free after its window
        assert [task.done() for task in waiters] == [True, True, True, False]
        await clock.advance(28)
        assert not waiters[3].done()
        await clock.advance(2)  # the permit that was in flight, after its lease and window at the latest
        assert waiters[3].done()

    @pytest.mark.requirement("RL-8")
    async def test_permits_taken_in_local_mode_are_reported_when_redis_is_back(
        self, share: Share, server: RedisServer, clock: ManualClock, log: Callable[[], list[str]]
    ) -> None:
        one, two = (share(RateLimit(4), on_unavailable="local") for _ in range(2))
        (known,) = await take(one)
        server.stop()
        used, held = await take(one, 2)
        await used.release(sent=True)
        server.start()
        clock.jump(RETRY_AFTER)
        await one.look()
        assert log()[1:] == ["the shared write limit 'acme' is back"]
        assert ((await two.look()).free, two.state.in_flight) == (1, 2)
        await known.release(sent=False)
        await held.release(sent=True)
        await clock.advance(0)
        assert ((await two.look()).free, two.state.in_flight) == (2, 0)

    @pytest.mark.requirement("RL-7", "RL-8")
    async def test_local_mode_starts_slowly_if_redis_never_replied(
        self, share: Share, server: RedisServer, clock: ManualClock
    ) -> None:
        server.stop()
        limiter = share(on_unavailable="local")
        waiters = await start_acquiring(clock, *(limiter.acquire() for _ in range(5)))
        assert [task.done() for task in waiters] == [True, True, True, True, False]
        await waiters[0].result().release(sent=True)
        await clock.advance(1)
        assert waiters[4].done()

    @pytest.mark.requirement("RL-8")
    async def test_a_cooldown_during_an_outage_is_reported_when_redis_is_back(
        self, share: Share, server: RedisServer, clock: ManualClock
    ) -> None:
        one, two = (share(on_unavailable="local") for _ in range(2))
        server.stop()
        assert (await one.look()).paused == 0
        await one.pause(30)
        assert one.state.paused == approx(30)
        server.start()
        clock.jump(RETRY_AFTER)
        await one.look()
        assert (await two.look()).paused == approx(30 - RETRY_AFTER)

    async def test_missing_reply_is_a_transport_error(
        self, server: RedisServer, redis: WatchedRedis, share: Share, clock: ManualClock
    ) -> None:
        limiter = share(on_unavailable="raise")
        await use(limiter)
        with server.frozen():
            task = asyncio.create_task(limiter.acquire())
            await wait_until(lambda: redis.waiting)
            await settle()
            assert clock.pending == 1
            clock.fire(REPLY_TIMEOUT)
            with pytest.raises(TransportError, match="no reply in time"):
                await task

    async def test_pending_releases_are_bounded(self, share: Share, server: RedisServer) -> None:
        limiter = share()
        permits = await take(limiter, 30)
        server.stop()
        for _ in range(MAX_PENDING // 30 + 1):
            for _ in permits:
                with pytest.raises(TransportError):
                    await limiter.acquire()
        assert len(vars(vars(limiter)["_shared"])["_pending_releases"]) == MAX_PENDING

    @pytest.mark.requirement("RL-4", "ER-3")
    async def test_wrong_password_is_a_configuration_error(self, tmp_path: Path) -> None:
        with running(tmp_path, "--requirepass", "right") as server:
            url = server.url.replace("//", "//:canary@")
            async with RedisRateLimiter(url, name="acme") as limiter:
                with pytest.raises(ConfigurationError, match=r"Redis refuses .* 'acme': ") as caught:
                    await limiter.acquire()
        assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r} {limiter!r}"

    async def test_call_is_retried_and_not_sent_while_redis_is_unavailable(
        self, share: Share, server: RedisServer, clock: ManualClock
    ) -> None:
        server.stop()
        retry = RetryPolicy(attempts=2, initial=0)
        async with (
            Emulator() as emulator,
            SecodaClient(emulator.api_key, base_url=emulator.url, limiter=share(), retry=retry, clock=clock) as secoda,
        ):
            with pytest.raises(TransportError, match="can't be reached") as caught:
                await secoda.groups.create(name="A")
            assert caught.value.attempts == 0
            assert emulator.requests == []
            server.start()
            clock.jump(RETRY_AFTER)
            await secoda.groups.create(name="A")
            assert len(emulator.requests) == 1


class TestHungRedis:
    """A Redis server that accepts commands and does not reply."""

    @pytest.mark.requirement("RT-5", "RT-7")
    async def test_release_and_pause_do_not_wait_for_redis(
        self, server: RedisServer, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        limiter = share()
        (permit,) = await take(limiter)
        with server.frozen():
            await permit.release(sent=True)
            await limiter.pause(1)
            (first, *others) = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
            await wait_until(lambda: redis.waiting)
            await settle()
            clock.fire(REPLY_TIMEOUT)
            for task in (first, *others):  # concurrently, not one after the other
                with pytest.raises(TransportError, match="no reply in time"):
                    await task
        assert clock.now() == approx(1000 + REPLY_TIMEOUT)

    async def test_closing_cancels_pending_reports(self, server: RedisServer, redis: WatchedRedis) -> None:
        limiter = RedisRateLimiter(server.url, name="acme")
        permit = await limiter.acquire()
        await permit.release(sent=True)  # reported in a task
        (task,) = vars(limiter)["_wait_queues"].current().flush_tasks
        await vars(limiter)["_wait_queues"].close()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert not redis.waiting
