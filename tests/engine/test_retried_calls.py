"""Retries of each kind of call, as the server sees them: which failure is retried, how often, at what cost."""

import asyncio
from collections import Counter

import pytest

from secoda_async import (
    AutojumpClock,
    NotFoundError,
    OutcomeUnknownError,
    RequestTimeoutError,
    RetryPolicy,
    SecodaClient,
    ServerError,
    TransportError,
)
from secoda_async.emulator import Emulator
from tests.support.calls import (
    ALL,
    ONCE,
    REPEATABLE,
    Call,
    Json,
    delete,
    error_of,
    get,
)
from tests.support.clients import Connect
from tests.support.raw_server import never, serve_with

UNCLEAR: list[Json] = [
    *({"status": status} for status in (500, 502, 503, 504, 520, 524, 530)),
    *({"drop": "before"}, {"drop": "after"}, {"stall": "unread"}, {"stall": "before"}, {"stall": "after"}),
]


@pytest.mark.requirement("RT-1")
@pytest.mark.parametrize("fault", UNCLEAR, ids=repr)
async def test_unclear_create_is_not_retried(emulator: Emulator, secoda: SecodaClient, fault: Json) -> None:
    emulator.faults.add(**fault, times=None)
    error = await error_of(secoda.groups.create(name="Data Stewards"))
    assert isinstance(error, OutcomeUnknownError)
    assert len(emulator.requests) == error.attempts == 1
    assert (error.name, error.method, error.path) == ("Data Stewards", "POST", "/api/v1/auth/group")
    assert "'Data Stewards'" in str(error)
    assert isinstance(error.__cause__, ServerError | TransportError)


@pytest.mark.requirement("RT-1")
async def test_unclear_raw_post_is_not_retried(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(status=502)
    error = await error_of(secoda.request("POST", "tag", json={}))
    assert isinstance(error, OutcomeUnknownError)
    assert (error.name, len(emulator.requests)) == (None, 1)
    assert "this POST" in str(error)


@pytest.mark.requirement("RT-1", "RT-11")
@pytest.mark.parametrize(("call", "status"), [*((call, 429) for call in ALL), *((call, 503) for call in REPEATABLE)])
async def test_throttled_call_is_retried(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call, status: int
) -> None:
    emulator.faults.add(status=status, headers={"Retry-After": "9"}, times=2)
    await asyncio.gather(call(secoda), return_exceptions=True)
    assert len(emulator.requests) == 3
    assert clock.now() >= 18


@pytest.mark.requirement("RT-1")
@pytest.mark.parametrize("call", REPEATABLE)
@pytest.mark.parametrize("fault", UNCLEAR, ids=repr)
async def test_idempotent_call_is_retried_after_an_unclear_failure(
    emulator: Emulator, secoda: SecodaClient, call: Call, fault: Json
) -> None:
    emulator.faults.add(**fault, times=2)
    result = await asyncio.gather(call(secoda), return_exceptions=True)
    assert len(emulator.requests) == 3
    assert result[0] is False if call is delete else isinstance(result[0], NotFoundError)
    assert len({record.body for record in emulator.requests[1:] if not record.fault}) == 1


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 422, 501])
async def test_client_error_status_is_not_retried(
    emulator: Emulator, secoda: SecodaClient, call: Call, status: int
) -> None:
    emulator.faults.add(status=status, times=None)
    await error_of(call(secoda))
    assert len(emulator.requests) == 1


@pytest.mark.requirement("RT-9")
@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize("fault", [*UNCLEAR, {"status": 429}], ids=repr)
async def test_retry_policy_of_one_attempt_sends_one_request(
    emulator: Emulator, connect: Connect, call: Call, fault: Json
) -> None:
    emulator.faults.add(**fault, times=None)
    error = await error_of(call(connect(retry=ONCE)))
    assert len(emulator.requests) == error.attempts == 1


@pytest.mark.requirement("RT-9")
async def test_with_options_sets_the_retry_policy_of_a_call(emulator: Emulator, connect: Connect) -> None:
    emulator.faults.add(status=500, times=None)
    secoda = connect(retry=ONCE)
    await error_of(get(secoda.with_options(retry=RetryPolicy(attempts=3))))
    assert len(emulator.requests) == 3
    await error_of(get(secoda))
    assert len(emulator.requests) == 4


@pytest.mark.requirement("RT-8")
async def test_concurrent_retries_share_no_state(emulator: Emulator, connect: Connect) -> None:
    emulator.faults.add(status=500, times=None)
    secoda = connect(retry=RetryPolicy(attempts=4, budget=None))
    errors = await asyncio.gather(*(error_of(secoda.groups.get(f"g{index}")) for index in range(100)))
    assert [error.path for error in errors] == [f"/api/v1/auth/group/g{index}" for index in range(100)]
    assert len({id(error) for error in errors}) == 100
    assert {error.attempts for error in errors} == {4}
    assert set(Counter(record.path for record in emulator.requests).values()) == {4}


@pytest.mark.requirement("RT-9")
async def test_outage_retries_stop_at_the_retry_budget(emulator: Emulator, connect: Connect, group_id: str) -> None:
    secoda, other = connect(retry=RetryPolicy(budget=20)), connect(retry=RetryPolicy(budget=3))
    outage = emulator.faults.add(status=503, times=None)
    await asyncio.gather(*(error_of(get(secoda)) for _ in range(200)))
    assert outage.used == 220
    await error_of(get(other))
    assert outage.used == 224  # a budget of its own
    emulator.faults.clear()
    for _ in range(2):
        await secoda.groups.get(group_id)
    again = emulator.faults.add(status=503, times=None)
    await error_of(get(secoda))
    assert again.used == 3


@pytest.mark.requirement("RT-9")
async def test_429_takes_nothing_from_the_retry_budget(emulator: Emulator, connect: Connect) -> None:
    emulator.faults.add(status=429, headers={"Retry-After": "1"}, times=3)
    error = await error_of(get(connect(retry=RetryPolicy(budget=0))))
    assert (type(error), len(emulator.requests)) == (NotFoundError, 4)


@pytest.mark.requirement("RT-9")
async def test_503_with_retry_after_takes_from_the_retry_budget(emulator: Emulator, connect: Connect) -> None:
    emulator.faults.add(status=503, headers={"Retry-After": "0"}, times=None)
    await error_of(get(connect(retry=RetryPolicy(budget=2))))
    assert len(emulator.requests) == 3


@pytest.mark.requirement("RT-3")
async def test_delete_that_never_connected_is_not_unclear(clock: AutojumpClock) -> None:
    async with serve_with(never) as origin:
        url = origin.replace("http:", "https:")  # nobody shakes hands
        async with SecodaClient("key", base_url=url, clock=clock, retry=ONCE, timeout=3) as secoda:
            error = await error_of(delete(secoda))
    assert isinstance(error, RequestTimeoutError)
    assert error.maybe_sent is False
