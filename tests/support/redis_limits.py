"""A watched Redis client, and calls that take, use and queue for permits in Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from secoda_async import (
    RateLimit,
)
from secoda_async._engine.limits.limiter import Permit
from secoda_async.ext.redis import RedisRateLimiter
from tests.support.clocks import ManualClock
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

GATE, PLACES = (f"secoda-async:{{acme}}:{part}".encode() for part in ("gate", "places"))


class Watch:
    """Shared by a client and the clients that have one of its connections reserved."""

    waiting = 0
    is_deaf = False
    """Whether the client swallows a cancellation, as `asyncio.wait_for` may do before Python 3.12."""


class WatchedRedis(Redis):
    """A client that counts its waits for a connection or a reply."""

    calls: Watch

    @classmethod
    def at(cls, server: RedisServer) -> "WatchedRedis":
        # Only the clock of the test ends a wait: redis-py's own timeouts are those of the machine's clock.
        redis = cls(port=server.port, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=None)
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

    async def execute_command(self, *args: Any, **options: Any) -> Any:
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
    """A function that makes a limiter as another process would have it: only Redis is shared."""

    def __call__(self, limit: RateLimit | None = None, **settings: Any) -> RedisRateLimiter: ...


def until_redis_is_idle(redis: WatchedRedis) -> Callable[[], Awaitable[None]]:
    """Return a function that waits until no command of `redis` runs."""

    async def wait() -> None:
        for _ in range(10):
            await wait_until(lambda: not redis.waiting)
            await asyncio.sleep(0)

    return wait


async def take(limiter: RedisRateLimiter, places: int = 1) -> list[Permit]:
    return [await limiter.acquire() for _ in range(places)]


async def use(limiter: RedisRateLimiter, places: int = 1) -> None:
    for permit in await take(limiter, places):
        await permit.release(sent=True)
    await asyncio.gather(*vars(limiter)["_wait_queues"].current().flush_tasks)


async def start_acquiring(clock: ManualClock, *calls: Any) -> list["asyncio.Task[Permit]"]:
    """Start the calls one after the other, until each waits or has a permit."""
    tasks: list[asyncio.Task[Permit]] = []
    for call in calls:
        tasks.append(asyncio.create_task(call))
        await clock.advance(0)
    return tasks
