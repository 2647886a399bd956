"""`RedisRateLimiter` on several event loops and in several processes, and its settings."""

import asyncio
import gc
import subprocess
import sys
from typing import Any

import pytest

from secoda_async import (
    ConfigurationError,
    RateLimit,
    TransportError,
)
from secoda_async.emulator import Emulator
from secoda_async.ext.redis import LEASE, RedisRateLimiter
from tests.support.clocks import ManualClock
from tests.support.redis_limits import PLACES, Share, WatchedRedis, use
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.requirement("RL-4")


class TestLoopsAndProcesses:
    async def test_each_event_loop_has_its_own_connections(self, server: RedisServer, redis: WatchedRedis) -> None:
        limiter = RedisRateLimiter(server.url, RateLimit(4), name="acme")

        async def calls() -> None:
            await asyncio.gather(*(use(limiter) for _ in range(2)))

        for _ in range(2):
            await asyncio.to_thread(asyncio.run, calls())
        gc.collect()
        assert await redis.zcard(PLACES) == 4

    async def test_borrowed_client_is_refused_on_another_event_loop(self, share: Share) -> None:
        limiter = share()
        await use(limiter)

        async def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="belongs to another event loop"):
                await limiter.acquire()

        await asyncio.to_thread(asyncio.run, elsewhere())

    @pytest.mark.slow
    @pytest.mark.requirement("RL-1", "RL-2")
    async def test_processes_share_the_window_and_a_killed_one_frees_its_permits(
        self, server: RedisServer, redis: WatchedRedis
    ) -> None:
        """Runs in real time, with windows of fifty milliseconds. The end of a lease is brought forward."""
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
            async with RedisRateLimiter(server.url, limit, name="acme") as limiter:
                await use(limiter, 9)
                assert (await limiter.look()).in_flight == 1  # the killed process's
                for member in await redis.execute_command("ZRANGE", PLACES, 0, -1):
                    await redis.execute_command("ZINCRBY", PLACES, -LEASE * 1e6, member)
                for _ in range(2):
                    await use(limiter, 10)
            for process in processes:
                vars(process)["_transport"].close()


PROGRAM = """
import asyncio, os, signal, sys
from secoda_async import RateLimit, SecodaClient
from secoda_async.ext.redis import LEASE, RedisRateLimiter

redis, url, key, number, end = sys.argv[1:]
limit = RateLimit(10, per_seconds=0.05)

async def main():
    async with (
        RedisRateLimiter(redis, limit, name="acme") as limiter,
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

    def test_import_without_redis_py_names_the_extra_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis.asyncio", None)
        for name in ("redis", "redis_lock", "redis_connection"):
            monkeypatch.delitem(sys.modules, f"secoda_async.ext.{name}")
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'secoda-async\[redis\]'"):
            __import__("secoda_async.ext.redis")

    async def test_look_reads_the_state_without_taking_a_permit(self, share: Share, clock: ManualClock) -> None:
        await use(share(), 10)
        assert (await share().look()).free == 20
        assert (await share().look()).free == 20
        alone = RedisRateLimiter("redis://127.0.0.1:1", name="acme", on_unavailable="local", clock=clock)
        for _ in range(2):
            assert (await alone.look()).free == 30
        with pytest.raises(TransportError):
            await RedisRateLimiter("redis://127.0.0.1:1", name="acme", clock=clock).look()

    def test_state_before_first_use_is_free(self) -> None:
        limiter = RedisRateLimiter("redis://localhost", name="acme")
        assert (limiter.state.free, limiter.time_for(31)) == (30, 60)
