"""A Redis server for the tests, a client of it, a clock, and limiters and locks that share both."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from secoda_async import RateLimit
from secoda_async.ext.redis import RedisRateLimiter
from tests.support.clocks import ManualClock
from tests.support.redis_limits import Share, WatchedRedis, until_redis_is_idle
from tests.support.redis_server import RedisServer, running


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
    return ManualClock(wait_until_idle=until_redis_is_idle(redis))


@pytest.fixture
def share(redis: WatchedRedis, clock: ManualClock) -> Share:
    """Make a limiter as another process would have it: only Redis is shared."""

    def share(limit: RateLimit | None = None, **settings: Any) -> RedisRateLimiter:
        usual: dict[str, Any] = {"name": "acme", "clock": clock}
        return RedisRateLimiter(redis, limit, **usual | settings)

    return share


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "secoda_async")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "secoda_async"]
