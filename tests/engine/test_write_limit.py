"""The write limit and priority, as the server sees them."""

import asyncio
import random

import pytest

from secoda_async import (
    AutojumpClock,
    RateLimit,
    SecodaClient,
    SlidingWindowLimiter,
    TransportError,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import (
    ONCE,
    create,
    error_of,
)
from tests.support.clients import Connect
from tests.support.waiting import advance, wait_until


def jitter(emulator: Emulator) -> None:
    """Up to 200 ms on the way there, and 100 ms back."""
    random_ = random.Random(3)
    for _ in range(400):
        emulator.faults.add(delay=random_.random() * 0.2)
    emulator.latency = 0.1


@pytest.mark.requirement("RL-1")
async def test_concurrent_creates_never_exceed_the_write_limit(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    jitter(emulator)
    await asyncio.gather(*(create(secoda, f"g{index}") for index in range(90)))
    assert emulator.busiest_window() == 30
    assert emulator.refused == 0
    assert 120 <= clock.now() <= 122
    began = clock.now()
    await asyncio.gather(*(create(secoda) for _ in range(30)))  # a second batch right after
    assert (emulator.busiest_window(), emulator.refused) == (30, 0)
    assert clock.now() - began <= 62
    await advance(clock, 600)
    await asyncio.gather(*(create(secoda) for _ in range(90)))  # and after ten idle minutes
    assert (emulator.busiest_window(), emulator.refused) == (30, 0)


@pytest.mark.requirement("RL-1", "RL-5")
@pytest.mark.parametrize(
    ("limit", "most", "seconds"),
    [
        (RateLimit(30, per_seconds=60, share=0.5), 15, 120),
        (RateLimit(10, per_seconds=60), 10, 180),
        (RateLimit(5, per_seconds=10), 5, 70),
    ],
)
async def test_write_limit_can_be_configured(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, limit: RateLimit, most: int, seconds: float
) -> None:
    emulator.window = limit.per_seconds
    secoda = connect(write_limit=limit)
    assert secoda.limiter.time_for(40) == approx(seconds)
    await asyncio.gather(*(create(secoda) for _ in range(40)))
    assert emulator.busiest_window() == most
    assert clock.now() == approx(seconds)


@pytest.mark.requirement("RL-1")
async def test_post_patch_and_put_share_the_write_limit_and_delete_does_not(
    secoda: SecodaClient, clock: AutojumpClock, group_id: str
) -> None:
    creates = [create(secoda) for _ in range(10)]
    updates = [secoda.groups.update(group_id, name=f"{index}") for index in range(10)]
    puts = [error_of(secoda.request("PUT", "auth/group")) for _ in range(10)]
    deletes = [secoda.groups.delete("x", missing_ok=True) for _ in range(10)]
    await asyncio.gather(*creates, *updates, *puts, *deletes)
    assert clock.now() == 0
    assert secoda.limiter.state.free == 0
    await create(secoda)
    assert clock.now() == approx(60)


@pytest.mark.requirement("RL-4")
async def test_clients_share_a_limiter_that_is_passed(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    limiter = SlidingWindowLimiter(clock=clock)
    one, two = connect(limiter=limiter), connect(limiter=limiter)
    await asyncio.gather(*(create(client) for client in (one, two) for _ in range(30)))
    assert (emulator.busiest_window(), emulator.refused) == (30, 0)


@pytest.mark.requirement("RL-4")
async def test_interactive_priority_goes_before_background_priority(emulator: Emulator, connect: Connect) -> None:
    secoda = connect(write_limit=RateLimit(1, per_seconds=2))  # no two writes are concurrent
    background = secoda.with_options(priority="background")
    await asyncio.gather(
        *(create(background, f"b{index}") for index in range(4)),
        *(create(secoda, f"i{index}") for index in range(3)),
    )
    names = [record.json["name"] for record in emulator.requests]
    assert names == ["b0", "i0", "i1", "i2", "b1", "b2", "b3"]


@pytest.mark.requirement("RL-3")
async def test_reads_do_not_wait_for_the_write_limit(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, group_id: str
) -> None:
    emulator.latency = 0.5
    writes = [asyncio.ensure_future(create(secoda)) for _ in range(300)]
    await wait_until(lambda: secoda.limiter.state.queued == 296)  # the first four are in flight: a slow start
    await secoda.groups.get(group_id)
    assert clock.now() <= 1.01
    for write in writes:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)


async def test_unsent_write_returns_its_permit(connect: Connect, emulator: Emulator) -> None:
    secoda = connect(retry=ONCE)
    await emulator.close()
    for _ in range(40):
        assert isinstance(await error_of(create(secoda)), TransportError)
    assert secoda.limiter.state.free == 30
    await emulator.start()


@pytest.mark.requirement("TS-2")
async def test_429_at_the_write_limit_delays_the_next_write(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    secoda = connect(limiter=SlidingWindowLimiter(RateLimit(31), clock=clock))
    for _ in range(31):
        await create(secoda)
    assert [record.status for record in emulator.requests] == [201] * 30 + [429, 201]
    assert clock.now() == approx(60)
