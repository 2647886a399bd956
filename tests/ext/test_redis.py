"""The write limit in Redis, on a real server; time is the tests' own except where it says so."""

import asyncio
import gc
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol, cast

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from secoda_async import (
    ConfigurationError,
    RateLimit,
    RateLimitError,
    RetryPolicy,
    SecodaClient,
    TransportError,
)
from secoda_async._engine.limits.limiter import Permit
from secoda_async.emulator import Emulator
from secoda_async.ext.redis import LEASE, RETRY_AFTER, RedisRateLimiter
from secoda_async.ext.redis_connection import REPLY_TIMEOUT
from secoda_async.ext.redis_window import MAX_PENDING
from tests.support.approx import approx
from tests.support.clocks import ManualClock, settle
from tests.support.redis_server import RedisServer, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("RL-4")


GATE, PLACES = (f"secoda-async:{{acme}}:{part}".encode() for part in ("gate", "places"))


class Watch:
    """Shared by a client and the clients that have one of its connections reserved."""

    waiting = 0
    is_deaf = False
    """Whether it swallows a cancellation, as `asyncio.wait_for` does in an unlucky moment before Python 3.12."""


class WatchedRedis(Redis):
    """Knows when it waits for a connection or a reply."""

    calls: Watch

    @classmethod
    def at(cls, server: RedisServer) -> "WatchedRedis":
        redis = cls(port=server.port, retry=Retry(NoBackoff(), 0))
        redis.calls = Watch()
        return redis

    def client(self) -> "WatchedRedis":
        reserved = cast("WatchedRedis", super().client())
        reserved.calls = self.calls
        return reserved

    @property
    def waiting(self) -> int:
        return self.calls.waiting

    async def initialize(self) -> "WatchedRedis":
        self.calls.waiting += 1
        try:
            return await super().initialize()
        finally:
            self.calls.waiting -= 1

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        self.calls.waiting += 1
        run = cast("Callable[..., Awaitable[Any]]", super().execute_command)  # pyright: ignore[reportUnknownMemberType]
        try:
            return await run(*args, **options)
        except asyncio.CancelledError:
            if not self.calls.is_deaf:
                raise
            return await run(*args, **options)
        finally:
            self.calls.waiting -= 1


class Share(Protocol):
    def __call__(self, limit: RateLimit | None = None, **settings: Any) -> RedisRateLimiter: ...  # noqa: ANN401


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[WatchedRedis]:
    async with WatchedRedis.at(server) as redis:
        await redis.execute_command("FLUSHALL")  # not every test on this server asks for this fixture
        yield redis


@pytest.fixture
def clock(redis: WatchedRedis) -> ManualClock:
    async def come_to_rest() -> None:
        for _ in range(10):
            await wait_until(lambda: not redis.waiting)
            await asyncio.sleep(0)

    return ManualClock(come_to_rest=come_to_rest)


@pytest.fixture
def share(redis: WatchedRedis, clock: ManualClock) -> Share:
    """Make a limiter as another process would have it: nothing is shared but Redis."""

    def share(limit: RateLimit | None = None, **settings: Any) -> RedisRateLimiter:  # noqa: ANN401
        usual: dict[str, Any] = {"name": "acme", "clock": clock}
        return RedisRateLimiter(redis, limit, **usual | settings)

    return share


async def take(limiter: RedisRateLimiter, places: int = 1) -> list[Permit]:
    return [await limiter.acquire() for _ in range(places)]


async def use(limiter: RedisRateLimiter, places: int = 1) -> None:
    for permit in await take(limiter, places):
        await permit.release(sent=True)
    await asyncio.gather(*vars(limiter)["_wait_queues"].current().flush_tasks)


async def waiting(clock: ManualClock, *calls: Any) -> list["asyncio.Task[Permit]"]:  # noqa: ANN401 - coroutines
    """Start them one after the other, until each waits or is served."""
    tasks: list[asyncio.Task[Permit]] = []
    for call in calls:
        tasks.append(asyncio.create_task(call))
        await clock.advance(0)
    return tasks


class TestWindow:
    @pytest.mark.requirement("RL-1")
    async def test_a_place_is_free_again_a_window_after_the_answer(self, share: Share, clock: ManualClock) -> None:
        limiter = share()
        permits = await take(limiter, 30)
        clock.jump(5)
        for permit in permits:
            await permit.release(sent=True)
            await clock.advance(0)
        (task,) = await waiting(clock, limiter.acquire())
        await clock.advance(59.9)
        assert not task.done()
        await clock.advance(0.2)
        assert task.done()

    async def test_all_who_use_the_name_share_it(self, share: Share, clock: ManualClock) -> None:
        one, two, three = share(), share(), share()
        await use(one, 20)
        await use(two, 10)
        (task,) = await waiting(clock, three.acquire())
        assert not task.done()
        assert three.state.free == 0
        assert three.state.next_free == approx(60)
        await use(share(name="other"), 30)
        await clock.advance(60)
        assert task.done()

    async def test_what_was_not_sent_is_free_at_once(self, share: Share, clock: ManualClock) -> None:
        one, two = share(RateLimit(1)), share(RateLimit(1))
        (permit,) = await take(one)
        (task,) = await waiting(clock, two.acquire())
        await permit.release(sent=False)
        await clock.advance(0)
        await permit.release(sent=False)
        await clock.advance(0)
        await clock.advance(1)  # it looks once in a while
        assert task.done()

    @pytest.mark.requirement("RL-2")
    async def test_a_place_whose_process_died_comes_back(self, share: Share, clock: ManualClock) -> None:
        await take(share(RateLimit(1)))
        (task,) = await waiting(clock, share(RateLimit(1)).acquire())
        await clock.advance(60 + LEASE - 0.1)
        assert not task.done()
        await clock.advance(0.2)
        assert task.done()

    async def test_an_answer_that_took_longer_than_the_lease_counts(self, share: Share, clock: ManualClock) -> None:
        one, two = share(RateLimit(1), lease_seconds=1), share(RateLimit(1), lease_seconds=1)
        (permit,) = await take(one)
        clock.jump(100)
        await permit.release(sent=True)
        await clock.advance(0)
        (task,) = await waiting(clock, two.acquire())
        await clock.advance(59)
        assert not task.done()
        await clock.advance(1)
        assert task.done()

    async def test_the_servers_own_clock_decides(self, server: RedisServer, redis: WatchedRedis) -> None:
        """In real time: three windows of twenty milliseconds."""
        limit = RateLimit(2, per_seconds=0.02)
        async with RedisRateLimiter(server.url, limit, name="acme") as limiter:
            for _ in range(8):
                await use(limiter)
        (token,) = await redis.execute_command("ZRANGE", PLACES, -1, -1)
        free_at = await redis.execute_command("ZSCORE", PLACES, token)
        seconds, micros = await redis.execute_command("TIME")
        assert float(free_at) == pytest.approx(int(seconds) * 1e6 + int(micros), abs=5e6)

    async def test_nothing_is_left_behind(self, share: Share, redis: WatchedRedis, clock: ManualClock) -> None:
        limiter = share()
        await use(limiter, 2)
        await limiter.pause(None)
        await clock.advance(0)
        keys = await redis.execute_command("KEYS", "*")
        assert sorted(keys) == [GATE, PLACES]
        for key in keys:
            assert 0 < await redis.pttl(key) <= 120_000
        assert clock.pending == 0

    async def test_a_server_that_forgot_the_script_is_told_again(self, share: Share, redis: WatchedRedis) -> None:
        limiter = share()
        await use(limiter)
        await redis.script_flush()
        await use(limiter)
        assert limiter.state.free == 28


class TestGate:
    @pytest.mark.requirement("RL-2")
    async def test_a_429_closes_it_for_all_and_spaces_what_comes_after(self, share: Share, clock: ManualClock) -> None:
        one, two = share(), share()
        await use(one)
        await one.pause(7)
        await clock.advance(0)
        assert one.state.paused == approx(7)
        tasks = await waiting(clock, two.acquire(), two.acquire(), one.acquire())
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
    async def test_without_a_time_it_is_closed_for_a_window(self, share: Share, clock: ManualClock) -> None:
        one, two = share(), share()
        await one.pause(None)
        await clock.advance(0)
        with pytest.raises(RateLimitError):
            await two.acquire(max_pause=59)
        assert two.state.paused == approx(60)
        assert two.time_for(2) == approx(62)

    @pytest.mark.requirement("RL-2")
    async def test_a_cooldown_that_starts_during_a_report_is_reported_next(
        self, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        one, two = share(), share()
        await one.look()
        await redis.execute_command("CLIENT", "PAUSE", 20)
        await one.pause(5)
        await wait_until(lambda: redis.waiting)
        for _ in range(5):
            await settle()
        await one.pause(9)
        await clock.advance(0)
        assert (await two.look()).paused == approx(9)

    async def test_after_a_window_without_another_it_is_open(self, share: Share, clock: ManualClock) -> None:
        one, two = share(), share()
        await one.pause(5)
        await clock.advance(0)
        clock.jump(65)
        await use(two, 30)
        assert clock.now() == approx(1065)

    @pytest.mark.requirement("RL-6")
    async def test_who_does_not_want_so_long_a_pause_is_told(self, share: Share, clock: ManualClock) -> None:
        one, two = share(), share()
        await take(one, 30)
        (task,) = await waiting(clock, two.acquire(max_pause=10))
        await one.pause(20)
        await clock.advance(0)
        await clock.advance(1)
        with pytest.raises(RateLimitError) as caught:
            task.result()
        assert caught.value.retry_after == approx(19)


class TestLine:
    @pytest.mark.requirement("RL-4")
    async def test_interactive_writes_go_first_and_else_who_came_first(self, share: Share, clock: ManualClock) -> None:
        limiter = share(RateLimit(1))
        (permit,) = await take(limiter)
        order: list[str] = []

        async def write(name: str, **settings: Any) -> Permit:  # noqa: ANN401
            permit = await limiter.acquire(**settings)
            order.append(name)
            await permit.release(sent=False)
            await clock.advance(0)
            return permit

        tasks = await waiting(
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
    async def test_a_wait_that_is_too_long_is_refused_at_once(self, share: Share, clock: ManualClock) -> None:
        one, two = share(RateLimit(2)), share(RateLimit(2))
        await use(one, 2)
        for limiter in (one, two):
            with pytest.raises(RateLimitError) as caught:
                await limiter.acquire(max_wait=59)
            assert caught.value.retry_after == approx(60)
        tasks = await waiting(clock, *(two.acquire(max_wait=61) for _ in range(2)))
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
        tasks = await waiting(clock, *(limiter.acquire() for _ in range(3)))
        for task in tasks[:2]:
            task.cancel()
        await permit.release(sent=False)
        await clock.advance(0)
        await clock.advance(1)
        await tasks[2].result().release(sent=False)
        await clock.advance(0)
        assert (limiter.state.free, limiter.state.queued, clock.pending) == (1, 0, 0)

    @pytest.mark.requirement("RT-7")
    async def test_a_place_whose_answer_nobody_waited_for_is_given_back(
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
    async def test_no_cancellation_is_lost(self, share: Share, redis: WatchedRedis, clock: ManualClock) -> None:
        limiter = share(RateLimit(1))
        redis.calls.is_deaf = True
        await redis.execute_command("CLIENT", "PAUSE", 20)
        task = asyncio.create_task(limiter.acquire())
        await wait_until(lambda: redis.waiting)
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await take(limiter)
        await settle()
        assert (limiter.state.in_flight, clock.pending) == (1, 0)

    async def test_closing_tells_what_is_still_to_tell(self, share: Share, redis: WatchedRedis) -> None:
        async with share(RateLimit(1)) as limiter:
            (permit,) = await take(limiter)
            task = asyncio.create_task(permit.release(sent=False))
            await wait_until(lambda: redis.waiting)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await take(share(RateLimit(1)))
        await redis.execute_command("FLUSHALL")  # it stays its owner's


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "secoda_async")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "secoda_async"]


class TestAway:
    @pytest.fixture
    def server(self, tmp_path: Any) -> Iterator[RedisServer]:  # noqa: ANN401
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
        await limiter.pause(5)  # the 429 is what the caller hears of
        await clock.advance(0)
        await permit.release(sent=True)
        await clock.advance(0)
        (line,) = log()
        assert line.startswith("the shared write limit 'acme' is unavailable: ")
        assert line.endswith("writes fail")
        server.start()
        clock.jump(RETRY_AFTER)
        (task,) = await waiting(clock, limiter.acquire())
        assert log()[1:] == ["the shared write limit 'acme' is back"]
        assert not task.done()  # it still knows of the pause, if Redis doesn't
        await clock.advance(5)
        await task.result().release(sent=True)
        await clock.advance(0)
        assert limiter.state.free == 28  # also the one that was over meanwhile

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
        waiters = await waiting(clock, *(one.acquire() for _ in range(4)))
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
        waiters = await waiting(clock, *(limiter.acquire() for _ in range(5)))
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
        self, redis: WatchedRedis, share: Share, clock: ManualClock
    ) -> None:
        limiter = share(on_unavailable="raise")
        await use(limiter)
        await redis.execute_command("CLIENT", "PAUSE", 1000)
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
    async def test_wrong_password_is_a_configuration_error(self, tmp_path: Any) -> None:  # noqa: ANN401
        with running(tmp_path, "--requirepass", "right") as server:
            url = server.url.replace("//", "//:canary@")
            async with RedisRateLimiter(url, name="acme") as limiter:
                with pytest.raises(ConfigurationError, match=r"Redis refuses .* 'acme': ") as caught:
                    await limiter.acquire()
        assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r} {limiter!r}"

    async def test_a_call_is_tried_again_and_nothing_is_sent(
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


class TestWhere:
    async def test_each_event_loop_has_connections_of_its_own(self, server: RedisServer, redis: WatchedRedis) -> None:
        limiter = RedisRateLimiter(server.url, RateLimit(4), name="acme")

        async def calls() -> None:
            await asyncio.gather(*(use(limiter) for _ in range(2)))

        for _ in range(2):
            await asyncio.to_thread(asyncio.run, calls())
        gc.collect()
        assert await redis.zcard(PLACES) == 4

    async def test_a_client_stays_on_its_event_loop(self, share: Share) -> None:
        limiter = share()
        await use(limiter)

        async def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="belongs to another event loop"):
                await limiter.acquire()

        await asyncio.to_thread(asyncio.run, elsewhere())

    @pytest.mark.requirement("RL-1", "RL-2")
    async def test_processes_share_it_and_may_die(self, server: RedisServer) -> None:
        """In real time: some windows of fifty milliseconds."""
        limit = RateLimit(10, per_seconds=0.05)
        async with Emulator(writes_per_window=10, window=0.05) as emulator:
            command = [sys.executable, "-c", PROGRAM, server.url, emulator.url, emulator.api_key]
            processes = [
                await asyncio.create_subprocess_exec(*command, *arguments, stdout=subprocess.PIPE)
                for arguments in (["15", "live"], ["15", "live"], ["3", "die"])
            ]
            ends = [await process.wait() for process in processes]
            assert ends == [0, 0, -9]
            assert len(emulator.groups) == 33
            assert emulator.refused == 0
            async with RedisRateLimiter(server.url, limit, name="acme", lease_seconds=0.05) as limiter:
                for _ in range(2):
                    await use(limiter, 10)  # the places of the dead are free again
            for process in processes:
                vars(process)["_transport"].close()


PROGRAM = """
import asyncio, os, signal, sys
from secoda_async import RateLimit, SecodaClient
from secoda_async.ext.redis import RedisRateLimiter

redis, url, key, number, end = sys.argv[1:]
limit = RateLimit(10, per_seconds=0.05)

async def main():
    async with (
        RedisRateLimiter(redis, limit, name="acme", lease_seconds=0.05) as limiter,
        SecodaClient(key, base_url=url, limiter=limiter) as secoda,
    ):
        await asyncio.gather(*(secoda.groups.create(name=f"{end} {index}") for index in range(int(number))))
        if end == "die":
            await limiter.acquire()
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"url_or_client": "http://:canary@host"}, "the URL of Redis must be"),
            ({"url_or_client": 5}, "give the URL of Redis or a redis.asyncio.Redis, not int"),
            ({"name": ""}, "name must be text"),
            ({"name": "a{b}"}, "name must be text"),
            ({"name": None}, "name must be text"),
            ({"on_unavailable": "wait"}, "on_unavailable must be"),
            ({"lease_seconds": 0}, "lease_seconds must be a number"),
            ({"lease_seconds": True}, "lease_seconds must be a number"),
            ({"lease_seconds": "30"}, "lease_seconds must be a number"),
            ({"lease_seconds": float("nan")}, "lease_seconds must be a number"),
        ],
    )
    def test_invalid_settings_are_refused(self, wrong: dict[str, Any], says: str) -> None:
        settings: dict[str, Any] = {"url_or_client": "redis://localhost", "name": "acme"}
        with pytest.raises(ConfigurationError, match=says) as caught:
            RedisRateLimiter(**settings | wrong)
        assert "canary" not in str(caught.value)

    def test_without_redis_py_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis.asyncio", None)
        for name in ("redis", "redis_lock", "redis_connection"):
            monkeypatch.delitem(sys.modules, f"secoda_async.ext.{name}")
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'secoda-async\[redis\]'"):
            __import__("secoda_async.ext.redis")

    async def test_one_who_looks_takes_no_place(self, share: Share, clock: ManualClock) -> None:
        await use(share(), 10)
        assert (await share().look()).free == 20
        assert (await share().look()).free == 20
        alone = RedisRateLimiter("redis://127.0.0.1:1", name="acme", on_unavailable="local", clock=clock)
        for _ in range(2):
            assert (await alone.look()).free == 30
        with pytest.raises(TransportError):
            await RedisRateLimiter("redis://127.0.0.1:1", name="acme", clock=clock).look()

    def test_before_it_was_used_all_is_free(self) -> None:
        limiter = RedisRateLimiter("redis://localhost", name="acme")
        assert (limiter.state.free, limiter.time_for(31)) == (30, 60)


class TestHung:
    """A Redis that takes commands and does not answer."""

    @pytest.mark.requirement("RT-5", "RT-7")
    async def test_release_and_pause_do_not_wait_for_redis(
        self, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        limiter = share()
        (permit,) = await take(limiter)
        await redis.execute_command("CLIENT", "PAUSE", 200)
        await permit.release(sent=True)
        await limiter.pause(1)
        (first, *others) = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
        await wait_until(lambda: redis.waiting)
        await settle()
        clock.fire(REPLY_TIMEOUT)
        for task in (first, *others):  # all at once, not one after the other
            with pytest.raises(TransportError, match="no reply in time"):
                await task
        assert clock.now() == approx(1000 + REPLY_TIMEOUT)

    async def test_closing_does_not_wait_for_it_for_ever(self, server: RedisServer, redis: WatchedRedis) -> None:
        limiter = RedisRateLimiter(server.url, name="acme")
        permit = await limiter.acquire()
        await permit.release(sent=True)  # told in a task
        (task,) = vars(limiter)["_wait_queues"].current().flush_tasks
        await vars(limiter)["_wait_queues"].close()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert not redis.waiting


@pytest.mark.requirement("RL-6")
async def test_now_or_never_is_now_when_there_is_a_place(server: RedisServer, redis: WatchedRedis) -> None:
    async with (
        RedisRateLimiter(server.url, name="acme") as limiter,
        Emulator() as emulator,
        SecodaClient(emulator.api_key, base_url=emulator.url, limiter=limiter, max_wait=0) as secoda,
    ):
        for _ in range(3):
            await secoda.groups.create(name="A")
    assert await redis.zcard(PLACES) == 3
