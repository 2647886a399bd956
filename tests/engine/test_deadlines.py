"""`deadline` and `timeout`: what ends a call or an attempt, and what does not."""

import asyncio

import pytest

from secoda_async import (
    AutojumpClock,
    DeadlineExceededError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimit,
    RateLimitError,
    RequestTimeoutError,
    RetryPolicy,
    SecodaClient,
    ServerError,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import (
    ALL,
    Call,
    create,
    error_of,
    get,
)
from tests.support.clients import Connect
from tests.support.waiting import wait_until


@pytest.mark.requirement("RT-5")
@pytest.mark.parametrize("call", ALL)
async def test_deadline_ends_an_attempt_without_a_response(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, call: Call
) -> None:
    emulator.faults.add(stall="before", times=None)
    error = await error_of(call(connect(deadline=5)))
    assert isinstance(error, DeadlineExceededError if call is get else OutcomeUnknownError)
    assert clock.now() == approx(5)
    assert len(emulator.requests) == error.attempts == 1


@pytest.mark.requirement("RT-5")
async def test_deadline_error_names_the_last_failure(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    emulator.faults.add(stall="before", times=None)
    error = await error_of(get(connect(deadline=5, timeout=2, retry=RetryPolicy(initial=0))))
    assert isinstance(error, DeadlineExceededError)
    assert (error.attempts, clock.now()) == (3, approx(5))
    assert "the last attempt failed: no complete response within 2 s" in str(error)
    assert isinstance(error.__cause__, RequestTimeoutError)


@pytest.mark.requirement("RT-5", "RT-11", "RT-12")
@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize("status", [429, 503])
async def test_cooldown_beyond_the_deadline_raises_immediately(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, call: Call, status: int
) -> None:
    emulator.faults.add(status=status, headers={"Retry-After": "30"})
    error: BaseException | None = await error_of(call(connect(deadline=5)))
    if status == 503 and call is not get:  # the server may have executed the write
        assert isinstance(error, OutcomeUnknownError)
        error = error.__cause__
    if status == 503 and call is create:
        assert isinstance(error, ServerError)
        return
    assert isinstance(error, DeadlineExceededError)
    assert isinstance(error, TimeoutError)
    assert error.retry_after == approx(30)
    assert (clock.now(), len(emulator.requests)) == (0, 1)


@pytest.mark.requirement("RT-5")
async def test_backoff_beyond_the_deadline_raises_immediately(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    emulator.faults.add(status=500, headers={"Retry-After": "6"})
    error = await error_of(get(connect(deadline=5)))
    assert isinstance(error, DeadlineExceededError)
    assert isinstance(error.__cause__, ServerError)
    assert clock.now() == 0


@pytest.mark.requirement("RT-5")
async def test_deadline_includes_the_wait_for_the_write_limit(secoda: SecodaClient, clock: AutojumpClock) -> None:
    await asyncio.gather(*(create(secoda) for _ in range(30)))
    error = await error_of(create(secoda.with_options(deadline=59)))
    assert isinstance(error, DeadlineExceededError)
    assert error.retry_after == approx(60)
    assert clock.now() == 0
    await create(secoda.with_options(deadline=61))


@pytest.mark.requirement("RT-5", "RL-6")
async def test_error_names_the_nearer_of_deadline_and_max_wait(secoda: SecodaClient) -> None:
    await asyncio.gather(*(create(secoda) for _ in range(30)))
    assert isinstance(
        await error_of(create(secoda.with_options(deadline=5, max_wait=2))), DeadlineExceededError | RateLimitError
    )
    assert isinstance(await error_of(create(secoda.with_options(deadline=70, max_wait=2))), RateLimitError)
    assert isinstance(await error_of(create(secoda.with_options(deadline=2, max_wait=70))), DeadlineExceededError)


@pytest.mark.requirement("RT-5")
async def test_deadline_ends_the_wait_for_a_late_permit(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    secoda = connect(write_limit=RateLimit(1, per_seconds=1), timeout=50)
    emulator.latency = 20  # the estimate counts on answers that come at once
    first = asyncio.ensure_future(create(secoda))
    await wait_until(lambda: emulator.requests)
    error = await error_of(create(secoda.with_options(deadline=5)))
    assert isinstance(error, DeadlineExceededError)
    assert clock.now() == approx(5)
    error = await error_of(create(secoda.with_options(max_wait=5)))
    assert isinstance(error, RateLimitError)
    assert clock.now() == approx(10)
    await first
    assert len(emulator.requests) == 1


@pytest.mark.requirement("RT-5")
async def test_deadline_ends_the_wait_for_a_connection_slot(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    secoda = connect(max_connections=1)
    emulator.faults.add(delay=20)
    first = asyncio.ensure_future(get(secoda))
    await wait_until(lambda: emulator.requests)
    error = await error_of(get(secoda.with_options(deadline=5)))
    assert isinstance(error, DeadlineExceededError)
    assert clock.now() == approx(5)
    assert isinstance(await error_of(first), NotFoundError)
    assert len(emulator.requests) == 1


@pytest.mark.requirement("RT-6")
async def test_attempt_timeout_does_not_count_time_in_queues(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
) -> None:
    emulator.latency = 0.5
    secoda = connect(timeout=2, max_connections=10)
    await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(100)))
    assert clock.now() == approx(5)
    assert len(emulator.requests) == 100
    await asyncio.gather(*(create(secoda) for _ in range(60)))
    assert emulator.count("POST") == 60


@pytest.mark.requirement("RT-5")
async def test_deadline_ends_the_wait_for_the_key_callable(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    error = await error_of(get(connect(api_key=never, deadline=3)))
    assert isinstance(error, DeadlineExceededError)
    assert (clock.now(), error.attempts) == (approx(3), 0)
    assert emulator.requests == []
