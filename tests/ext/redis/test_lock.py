"""`RedisLock` on a real server, with a manual clock."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from secoda_async import ConfigurationError, LockedError, SecodaError, TransportError
from secoda_async.cli.exit_codes import as_document
from secoda_async.ext.redis import RedisLock
from secoda_async.ext.redis_connection import REPLY_TIMEOUT
from tests.support.clocks import ManualClock
from tests.support.redis_limits import WatchedRedis, until_redis_is_idle
from tests.support.redis_server import RedisServer, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("RL-5")

KEY = "secoda-async:{acme}:lock"


def boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lock(Protocol):
    """A function that makes a lock of the name `acme`."""

    def __call__(self, **settings: Any) -> RedisLock: ...


@pytest.fixture
def lock(redis: WatchedRedis, clock: ManualClock) -> Lock:
    def lock(**settings: Any) -> RedisLock:
        return RedisLock(redis, name="acme", clock=clock, **settings)

    return lock


class TestHeldLock:
    async def test_second_run_gets_locked_error_with_holder(self, lock: Lock) -> None:
        async with lock():
            with pytest.raises(
                LockedError, match=r"another run holds 'acme': process \d+ on .* since 20.* UTC\."
            ) as caught:
                await lock().__aenter__()
            assert caught.value.holder.startswith("process ")
        async with lock() as again:
            assert not again.lost.is_set()

    async def test_locks_of_other_names_are_independent(self, lock: Lock, redis: WatchedRedis) -> None:
        async with lock(), RedisLock(redis, name="other"):
            pass

    async def test_max_wait_waits_for_release(self, lock: Lock, clock: ManualClock) -> None:
        held = lock()
        await held.__aenter__()
        next_one = lock(max_wait=10)
        waiting = asyncio.create_task(next_one.__aenter__())
        await clock.advance(2)
        assert not waiting.done()
        await held.__aexit__(None, None, None)
        await clock.advance(1)
        assert await waiting is next_one
        late = asyncio.create_task(lock(max_wait=1).__aenter__())
        await clock.advance(1.5)
        with pytest.raises(LockedError):
            await late
        await next_one.__aexit__(None, None, None)

    async def test_locked_error_names_a_key_of_another_program(self, lock: Lock, redis: WatchedRedis) -> None:
        await redis.set(KEY, "by hand")
        with pytest.raises(LockedError, match="another program"):
            await lock().__aenter__()

    async def test_lock_object_is_not_reentrant_but_reusable(self, lock: Lock, redis: WatchedRedis) -> None:
        held = lock()
        async with held:
            await redis.delete(KEY)
            with pytest.raises(ConfigurationError, match="make one for each run"):
                await held.__aenter__()
        async with held:
            assert not held.lost.is_set()
            assert await redis.exists(KEY)

    async def test_holder_describes_the_run(self, lock: Lock, server: RedisServer) -> None:
        assert await lock().holder() is None
        async with lock():
            other = RedisLock(server.url, name="acme")
            assert (await other.holder() or "").startswith("process ")

    async def test_lock_is_acquired_although_the_reply_was_lost(
        self, lock: Lock, redis: WatchedRedis, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
    ) -> None:
        given = redis.set

        async def twice(*args: Any, **options: Any) -> Any:
            await given(*args, **options)
            return await given(*args, **options)

        monkeypatch.setattr(redis, "set", twice)
        async with lock() as held:
            await clock.advance(60)
            assert not held.lost.is_set()
        assert not await redis.exists(KEY)

    def test_lock_object_works_on_another_event_loop(self, server: RedisServer) -> None:
        lock = RedisLock(server.url, name="loops")

        async def use() -> None:
            async with lock:
                with suppress(TimeoutError):
                    await asyncio.wait_for(lock.lost.wait(), 0.001)

        for _ in range(2):
            asyncio.run(use())

    async def test_borrowed_client_is_refused_on_another_event_loop(self, lock: Lock) -> None:
        held = lock()
        async with held:
            pass

        async def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="belongs to another event loop"):
                await held.__aenter__()

        await asyncio.to_thread(asyncio.run, elsewhere())

    async def test_cancelled_acquire_leaves_no_lock(self, lock: Lock, redis: WatchedRedis, clock: ManualClock) -> None:
        for turns in range(12):
            taking = asyncio.create_task(lock().__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            if not taking.cancelled():
                await taking.result().__aexit__(None, None, None)
            await clock.advance(0)
            assert not await redis.exists(KEY), turns

    async def test_lease_is_renewed_while_the_lock_is_held(
        self, lock: Lock, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        async with lock(lease_seconds=30) as held:
            for _ in range(3):
                await redis.pexpire(KEY, 19_000)
                await clock.advance(10)
                assert await redis.pttl(KEY) > 20_000
            assert not held.lost.is_set()
        assert not await redis.exists(KEY)

    async def test_release_ends_although_redis_swallows_the_cancellation_of_the_renewal(
        self, lock: Lock, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        async with lock(lease_seconds=30):
            redis.calls.is_deaf = True
            clock.fire(7.5)  # the block ends during the renewal
            await asyncio.sleep(0)
        redis.calls.is_deaf = False
        assert not await redis.exists(KEY)

    async def test_cancellation_swallowed_by_redis_during_release_is_reraised(
        self, lock: Lock, redis: WatchedRedis
    ) -> None:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def use() -> None:
            async with lock():
                entered.set()
                await leave.wait()

        task = asyncio.create_task(use())
        await entered.wait()
        redis.calls.is_deaf = True
        leave.set()
        await wait_until(lambda: redis.waiting or task.done())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await redis.exists(KEY)


class TestLostLock:
    async def test_lock_taken_by_another_run_is_lost_and_not_released(
        self, lock: Lock, redis: WatchedRedis, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with lock(lease_seconds=30) as held:
            await redis.set(KEY, "another's")
            await clock.advance(10)
            assert held.lost.is_set()
        assert await redis.get(KEY) == b"another's"
        assert "the lock of 'acme' is lost (another run has it" in caplog.text

    async def test_lock_is_lost_after_a_suspend_without_asking_redis(self, lock: Lock, clock: ManualClock) -> None:
        held = lock(lease_seconds=30)
        lost = held.lost  # read before the lock is acquired
        async with held:
            clock.jump(25)
            await clock.advance(0)
            assert lost.is_set()

    @pytest.mark.requirement("RL-8")
    async def test_lost_reads_as_set_after_a_suspend_before_any_task_could_run(
        self, lock: Lock, clock: ManualClock
    ) -> None:
        async with lock(lease_seconds=30) as held:
            clock.jump(19)
            assert not held.lost.is_set()
            clock.jump(1)
            assert held.lost.is_set()
        assert held.lost.is_set()
        async with held:
            assert not held.lost.is_set()

    @pytest.mark.requirement("RL-8")
    @pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux counts the time of a suspend")
    def test_lease_clock_counts_a_suspend(self) -> None:
        clock = vars(RedisLock("redis://127.0.0.1", name="acme"))["_clock"]
        before, now, after = (read() for read in (boot_time, clock.now, boot_time))
        assert before <= now <= after

    async def test_lock_is_lost_in_time_whatever_redis_py_raises(
        self, lock: Lock, redis: WatchedRedis, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise LookupError

        async with lock(lease_seconds=30) as held:
            monkeypatch.setattr(WatchedRedis, "execute_command", broken)
            await clock.advance(20)
            assert held.lost.is_set()
            monkeypatch.undo()
        assert not await redis.exists(KEY)

    async def test_lock_is_lost_a_third_of_the_lease_before_its_end_without_redis(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with running(tmp_path) as own:
            async with WatchedRedis.at(own) as redis:
                clock = ManualClock(wait_until_idle=until_redis_is_idle(redis))
                async with RedisLock(redis, name="acme", lease_seconds=30, clock=clock) as held:
                    own.stop()
                    await clock.advance(19.9)
                    assert not held.lost.is_set()
                    await clock.advance(0.1)
                    assert held.lost.is_set()
                with pytest.raises(TransportError, match="the lock of 'acme' can't be reached in Redis") as failed:
                    await RedisLock(redis, name="acme").__aenter__()
                assert failed.value.maybe_sent is False
            own.start()
        assert "is lost (Redis does not reply): no write may start" in caplog.text

    async def test_lock_survives_a_short_outage(self, lock: Lock, redis: WatchedRedis, clock: ManualClock) -> None:
        async with lock(lease_seconds=30) as held:
            await redis.execute_command("ACL", "SETUSER", "default", "-@scripting")
            await clock.advance(8)
            await redis.execute_command("ACL", "SETUSER", "default", "+@all")
            await redis.pexpire(KEY, 19_000)
            await clock.advance(10)
            assert await redis.pttl(KEY) > 20_000
            await clock.advance(30)
            assert not held.lost.is_set()

    @pytest.mark.requirement("ER-3")
    async def test_wrong_credentials_are_a_configuration_error_without_the_password(self, server: RedisServer) -> None:
        url = server.url.replace("//", "//someone:hidden@")
        with pytest.raises(ConfigurationError, match="Redis refuses to keep the lock of 'acme'") as refused:
            await RedisLock(url, name="acme").__aenter__()
        assert "hidden" not in repr(refused.value)
        assert refused.value.__cause__ is None

    async def test_missing_reply_is_a_transport_error(
        self, server: RedisServer, lock: Lock, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        with server.frozen():
            asking = asyncio.create_task(lock().holder())
            await wait_until(lambda: redis.waiting)
            for _ in range(50):
                await asyncio.sleep(0)
            clock.fire(REPLY_TIMEOUT)
            with pytest.raises(TransportError, match="the lock of 'acme' can't be reached in Redis: no reply in time"):
                await asking


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": ""}, "name must be text"),
        ({"max_wait": -1}, "max_wait must be a number of at least 0"),
        ({"max_wait": True}, "max_wait must be"),
        ({"lease_seconds": 0.5}, "lease_seconds must be a number of at least 1"),
        ({"url_or_client": "redis://127.0.0.1?canary=1"}, "options that redis-py knows"),
        ({"url_or_client": "rediss://127.0.0.1?ssl_cert_reqs=canary"}, "options that redis-py knows"),
        ({"lease_seconds": "30"}, "lease_seconds must be"),
    ],
)
def test_invalid_lock_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    usual: dict[str, Any] = {"url_or_client": "redis://127.0.0.1", "name": "acme"}
    with pytest.raises(ConfigurationError, match=said) as refused:
        RedisLock(**usual | settings)
    assert "canary" not in str(refused.value)


def test_locked_error_has_a_json_document() -> None:
    error = LockedError("x")
    error.holder = "process 1"
    assert as_document(error)["error"]["holder"] == "process 1"
    assert isinstance(error, SecodaError)
