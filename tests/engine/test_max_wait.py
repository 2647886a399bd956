"""`max_wait`: how long a write may wait for the write limit."""

import asyncio
from collections import Counter

import pytest

from secoda_async import (
    AutojumpClock,
    RateLimitError,
    SecodaClient,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import (
    create,
    error_of,
    error_or_none,
)
from tests.support.clients import Connect
from tests.support.waiting import advance, wait_until


@pytest.mark.requirement("RL-6", "RL-7")
async def test_max_wait_bounds_the_slow_start(emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock) -> None:
    emulator.latency = 10
    writes = [asyncio.ensure_future(create(secoda)) for _ in range(4)]
    await wait_until(lambda: secoda.limiter.state.in_flight == 4)
    error = await error_of(secoda.with_options(max_wait=2).groups.create(name="A"))
    assert isinstance(error, RateLimitError)
    assert (clock.now(), error.retry_after) == (approx(2), approx(58))  # an upper bound
    await secoda.with_options(max_wait=0).groups.create(name="A")
    await asyncio.gather(*writes)


@pytest.mark.requirement("RL-6")
@pytest.mark.parametrize("max_wait", [0, 2, 59.9])
async def test_wait_above_max_wait_raises_immediately(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, max_wait: float
) -> None:
    await asyncio.gather(*(create(secoda) for _ in range(30)))
    error = await error_of(create(secoda.with_options(max_wait=max_wait)))
    assert isinstance(error, RateLimitError)
    assert 59 < (error.retry_after or 0) <= 60
    assert error.message.endswith(" s, longer than max_wait; retry after that time")
    assert (clock.now(), len(emulator.requests), error.attempts) == (0, 30, 0)
    assert (secoda.limiter.state.queued, secoda.limiter.state.in_flight) == (0, 0)
    await advance(clock, error.retry_after or 0)
    await create(secoda.with_options(max_wait=max_wait))


@pytest.mark.requirement("RL-6")
async def test_max_wait_of_zero_admits_while_a_permit_is_free(connect: Connect, clock: AutojumpClock) -> None:
    secoda = connect(max_wait=0)
    results = await asyncio.gather(*(error_or_none(create(secoda)) for _ in range(35)))
    assert Counter(type(result) for result in results) == {type(None): 30, RateLimitError: 5}
    assert clock.now() == 0


@pytest.mark.requirement("RL-6")
async def test_wait_below_max_wait_is_waited_for(connect: Connect, clock: AutojumpClock) -> None:
    await asyncio.gather(*(create(secoda) for secoda in [connect(max_wait=60.5)] for _ in range(60)))
    assert clock.now() == approx(60)


@pytest.mark.requirement("RL-6")
async def test_max_wait_bounds_the_sum_of_all_limit_waits_of_a_call(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    emulator.faults.add(status=429, headers={"Retry-After": "20"}, times=None)
    error = await error_of(create(connect(max_wait=50)))
    assert isinstance(error, RateLimitError)
    assert (len(emulator.requests), clock.now()) == (3, approx(40))
