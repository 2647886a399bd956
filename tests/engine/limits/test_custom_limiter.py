"""A limiter of the caller: its errors release what the call holds."""

import asyncio
from typing import Any

import pytest

from secoda_async import AutojumpClock, RateLimitError, RetryPolicy, TransportError
from secoda_async._engine.limits.limiter import LimitState, Permit, SlidingWindowLimiter
from secoda_async.emulator import Emulator
from tests.support.calls import error_of
from tests.support.clients import Connect
from tests.support.waiting import wait_until


class RemoteLimiter:
    """A limiter reached over a network, such as one in Redis, that fails when it must not wait."""

    def __init__(self, clock: AutojumpClock) -> None:
        self._inner = SlidingWindowLimiter(clock=clock)
        self.pause = self._inner.pause
        self.time_for = self._inner.time_for

    @property
    def state(self) -> LimitState:
        return self._inner.state

    async def acquire(self, *, max_wait: float | None = None, **options: Any) -> Permit:
        if max_wait == 0:
            raise TransportError("the limiter is unreachable")
        return await self._inner.acquire(max_wait=max_wait, **options)


@pytest.mark.requirement("RT-12")
async def test_limiter_error_after_the_wait_for_a_connection_releases_the_connection(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    secoda = connect(max_connections=1, limiter=RemoteLimiter(clock), retry=RetryPolicy(attempts=1))
    emulator.faults.add(delay=5, method="GET")
    read = asyncio.ensure_future(secoda.groups.get("group-7"))
    await wait_until(lambda: emulator.count("GET"))
    with pytest.raises(TransportError, match="unreachable"):
        await secoda.groups.update("group-0", name="New")
    await read
    assert (await secoda.groups.get("group-0")).name == "Group 0"
    assert secoda.limiter.state.in_flight == 0


class SilentLimiter(RemoteLimiter):
    """A limiter that grants nothing in time, although its estimate is that a permit is free."""

    async def acquire(self, **_: Any) -> Permit:
        await asyncio.Event().wait()
        raise AssertionError


class RefusingLimiter(RemoteLimiter):
    """A limiter that refuses, and does not know for how long."""

    async def acquire(self, **_: Any) -> Permit:
        raise RateLimitError("no permit is free")


@pytest.mark.requirement("RL-6")
@pytest.mark.parametrize("limiter", [SilentLimiter, RefusingLimiter])
async def test_refused_call_may_be_retried_in_a_second_if_the_limiter_can_not_tell(
    connect: Connect, clock: AutojumpClock, limiter: type[RemoteLimiter]
) -> None:
    error = await error_of(connect(max_wait=2, limiter=limiter(clock)).groups.create(name="A"))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 1
    assert "no permit for about 1.0 s" in error.message
