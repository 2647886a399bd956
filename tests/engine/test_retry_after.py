"""Retry-After and cooldowns, as the server sees them."""

import asyncio

import pytest

from secoda_async import (
    APIError,
    AutojumpClock,
    OutcomeUnknownError,
    RateLimit,
    RateLimitError,
    RetryPolicy,
    SecodaClient,
    SlidingWindowLimiter,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import (
    ALL,
    Call,
    create,
    delete,
    error_of,
    error_or_none,
    get,
)
from tests.support.clients import Connect
from tests.support.waiting import advance, wait_until


@pytest.mark.requirement("RT-4")
@pytest.mark.parametrize("call", [get, create, delete])
@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        *(("5", 5, 5), ("60", 60, 60), ("61", 61, 61), ("2.5", 2.5, 2.5), ("0", 0, 2.1), ("120", 120, 120)),
        *(("nan", 60, 60), ("-1", 60, 60), ("abc", 60, 60), ("inf", 60, 60), ("", 60, 60), (None, 60, 60)),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0, 2.1),
    ],
)
async def test_retry_after_of_a_429_is_waited_for(
    emulator: Emulator,
    secoda: SecodaClient,
    call: Call,
    value: str | None,
    least: float,
    most: float,
) -> None:
    emulator.faults.add(status=429, headers={} if value is None else {"Retry-After": value})
    await asyncio.gather(call(secoda), return_exceptions=True)
    first, second = emulator.requests
    assert least <= second.at - first.at <= most


@pytest.mark.requirement("RT-4")
async def test_retry_after_date_counts_from_the_date_header(emulator: Emulator, secoda: SecodaClient) -> None:
    dates = {"Date": "Mon, 01 Jan 2001 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2001 00:00:42 GMT"}
    emulator.faults.add(status=429, headers=dates)
    await error_of(get(secoda))
    assert emulator.requests[1].at == approx(42)


@pytest.mark.requirement("RT-4")
async def test_larger_of_two_retry_after_headers_counts(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(status=429, headers=[("Retry-After", "3"), ("Retry-After", "8")])
    await error_of(get(secoda))
    assert emulator.requests[1].at == approx(8)


@pytest.mark.requirement("RT-4")
@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize("status", [429, 503, 500])
@pytest.mark.parametrize("value", ["121", "1e9"])
async def test_retry_after_above_max_retry_after_raises_immediately(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call, status: int, value: str
) -> None:
    emulator.faults.add(status=status, headers={"Retry-After": value}, times=None)
    error = await error_of(call(secoda))
    told = error.__cause__ if isinstance(error, OutcomeUnknownError) else error
    assert isinstance(told, APIError)
    assert (told.status, told.retry_after) == (status, float(value))
    assert (clock.now(), len(emulator.requests)) == (0, 1)


@pytest.mark.requirement("RT-4")
@pytest.mark.parametrize("call", ALL)
async def test_calls_during_a_cooldown_above_max_retry_after_raise_immediately(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call
) -> None:
    emulator.faults.add(status=429, headers={"Retry-After": "300"})
    await error_of(call(secoda))
    error = await error_of(call(secoda))
    assert isinstance(error, RateLimitError)
    assert (error.status, error.attempts, len(emulator.requests)) == (0, 0, 1)
    assert error.retry_after == approx(300)
    assert error.message.endswith("300.0 s, longer than max_retry_after; retry after that time")
    await advance(clock, 200)
    await asyncio.gather(call(secoda), return_exceptions=True)
    assert emulator.requests[1].at == approx(300)


@pytest.mark.requirement("RT-4")
async def test_cooldown_above_max_retry_after_ends_the_queued_waits(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    secoda = connect(write_limit=RateLimit(1, per_seconds=10))
    emulator.faults.add(status=429, headers={"Retry-After": "500"}, skip=1)
    results = await asyncio.gather(*(error_or_none(create(secoda)) for _ in range(4)))
    assert [type(result) for result in results] == [type(None), *[RateLimitError] * 3]
    assert len(emulator.requests) == 2
    assert clock.now() == approx(10)


@pytest.mark.requirement("RL-7", "RT-4")
@pytest.mark.parametrize("call", ALL)
async def test_absurd_retry_after_is_capped_and_then_probed(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call
) -> None:
    emulator.faults.add(status=429, headers={"Retry-After": "99999999"}, times=2)

    async def waits_after(seconds: float) -> list[float | None]:
        """Return the `retry_after` that each of two concurrent calls raises, or None."""
        await advance(clock, seconds)
        errors = await asyncio.gather(*(error_or_none(call(secoda)) for _ in range(2)))
        return [error.retry_after if isinstance(error, RateLimitError) else None for error in errors]

    assert (await error_or_none(call(secoda))).retry_after == 99999999  # type: ignore[union-attr]
    assert await waits_after(0) == [approx(300), approx(300)]
    assert await waits_after(200) == [99999999, approx(300)]  # one of them probes, and is refused
    assert len(emulator.requests) == 2
    await waits_after(200)
    assert [record.at for record in emulator.requests[:3]] == [approx(0), approx(300), approx(600)]
    assert emulator.requests[3].at >= 601  # the probe has been answered


@pytest.mark.requirement("RL-7", "RT-4")
async def test_retry_after_below_max_retry_after_is_waited_in_full(emulator: Emulator, connect: Connect) -> None:
    secoda = connect(retry=RetryPolicy(max_retry_after=2000))
    emulator.faults.add(status=429, headers={"Retry-After": "2000"})
    await create(secoda)
    assert emulator.requests[1].at == approx(2000)


@pytest.mark.requirement("RT-4", "RL-3")
async def test_cooldowns_of_get_delete_and_writes_are_separate(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, group_id: str
) -> None:
    for method in ("GET", "POST", "DELETE"):
        emulator.faults.add(status=429, headers={"Retry-After": "30"}, method=method)
        paused = {"GET": get, "POST": create, "DELETE": delete}[method](secoda)
        task = asyncio.ensure_future(paused)
        await wait_until(lambda: emulator.refused)
        if method != "GET":
            await secoda.groups.get(group_id)
        if method != "POST":
            await secoda.groups.update(group_id, name="x")
        if method != "DELETE":
            await secoda.groups.delete("nothing", missing_ok=True)
        assert not task.done()
        await asyncio.gather(task, return_exceptions=True)
        assert clock.now() % 30 == approx(0)
        emulator.requests.clear()
        await advance(clock, 120)  # so that writes are not evenly spaced any more


@pytest.mark.requirement("RL-2")
async def test_cooldown_stops_all_writes_and_the_restart_is_paced(
    emulator: Emulator,
    connect: Connect,
    clock: AutojumpClock,
) -> None:
    emulator.latency = 0.1
    secoda = connect(retry=RetryPolicy(attempts=2))
    other = connect(limiter=SlidingWindowLimiter(clock=clock))  # as another process, on the same budget
    await asyncio.gather(*(other.groups.create() for _ in range(10)))
    await asyncio.gather(*(create(secoda, f"g{index}") for index in range(100)))
    assert len(emulator.groups) == 230
    assert emulator.refused <= 11
    refusals = [record.at for record in emulator.requests if record.status == 429]
    paused = [record for record in emulator.requests if refusals[-1] + 0.2 < record.at < refusals[0] + 59]
    assert paused == []
