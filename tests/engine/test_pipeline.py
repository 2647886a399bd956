"""How one call travels: retries, the limit, waits, deadlines, cancellation and redirects, from the server's log."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from secoda_async import (
    APIError,
    AttemptEvent,
    AuthenticationError,
    AutojumpClock,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    DeadlineExceededError,
    Event,
    LimitState,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    Permit,
    RateLimit,
    RateLimitError,
    RedirectError,
    RequestTimeoutError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    ServerError,
    SlidingWindowLimiter,
    TransportError,
    WaitEvent,
)
from secoda_async._engine.concurrency.timeouts import CallScopes
from secoda_async._engine.operation import Operation, OperationCancelledError
from secoda_async.emulator import Emulator
from tests.engine.test_failures import never, serving
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.waiting import advance, drain_loop, wait_until

Json = dict[str, Any]
Call = Callable[[SecodaClient], Awaitable[object]]
ONCE = RetryPolicy(attempts=1)
UNLIMITED = RetryPolicy(budget=None)


def get(secoda: SecodaClient) -> Awaitable[object]:
    return secoda.groups.get("g")


def create(secoda: SecodaClient, name: str = "A") -> Awaitable[object]:
    return secoda.groups.create(name=name)


def patch(secoda: SecodaClient) -> Awaitable[object]:
    return secoda.groups.update("g", name="A")


def delete(secoda: SecodaClient) -> Awaitable[object]:
    return secoda.groups.delete("g")


ALL: list[Call] = [get, create, patch, delete]
REPEATABLE: list[Call] = [get, patch, delete]


async def failure(call: Awaitable[object]) -> SecodaError:
    with pytest.raises(SecodaError) as caught:
        await call
    return caught.value


STATUSES: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: APIError,
    409: ConflictError,
    415: APIError,
    422: BadRequestError,
    429: RateLimitError,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    520: ServerError,
    599: ServerError,
}


class TestErrors:
    @pytest.mark.requirement("ER-1")
    @pytest.mark.parametrize(("status", "kind"), STATUSES.items())
    async def test_every_status_has_its_error_with_all_that_is_known(
        self, emulator: Emulator, connect: Connect, status: int, kind: type[APIError]
    ) -> None:
        emulator.faults.add(status=status, body={"detail": "Because."}, headers={"X-Request-ID": "r-1"}, times=None)
        error = await failure(get(connect(retry=RetryPolicy(attempts=2))))
        assert type(error) is kind
        assert isinstance(error, APIError)
        assert (error.status, error.request_id, error.body) == (status, "r-1", '{"detail":"Because."}')
        assert (error.method, error.path) == ("GET", "/api/v1/auth/group/g")
        assert error.headers["content-type"] == "application/json"
        assert error.attempts == len(emulator.requests) == (2 if status in {429, 500, 502, 503, 504, 520, 599} else 1)
        assert str(error).startswith(f"{status} Because. [GET /api/v1/auth/group/g")
        assert error.__cause__ is error.__context__ is None

    @pytest.mark.requirement("ER-1")
    async def test_a_refused_body_names_its_fields(self, secoda: SecodaClient) -> None:
        error = await failure(secoda.groups.create(users=["nobody"]))
        assert isinstance(error, BadRequestError)
        assert error.fields == {"users": ('Invalid pk "nobody" - object does not exist.',)}

    @pytest.mark.requirement("ER-4")
    @pytest.mark.parametrize("status", [429, 502, 503, 400, 404])
    @pytest.mark.parametrize("body", ["<html><h1>Sorry</h1></html>", b"", b'{"detail": "cu', b"\xff\xfe", [1], 5, "no"])
    async def test_a_body_that_is_not_json_takes_nothing_from_the_status(
        self, emulator: Emulator, connect: Connect, status: int, body: object
    ) -> None:
        emulator.faults.add(status=status, body=body)
        error = await failure(get(connect(retry=ONCE)))
        assert isinstance(error, STATUSES[status])
        assert error.status == status

    @pytest.mark.requirement("ER-1")
    async def test_the_time_spent_waiting_is_told(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.faults.add(status=502, headers={"Retry-After": "40"}, times=None)
        error = await failure(get(secoda))
        assert (error.attempts, error.waited) == (5, approx(160))
        assert clock.now() == approx(160)
        assert str(error).endswith("[GET /api/v1/auth/group/g, 5 attempts, waited 160.0 s]")


UNCLEAR: list[Json] = [
    *({"status": status} for status in (500, 502, 503, 504, 520, 524, 530)),
    *({"drop": "before"}, {"drop": "after"}, {"stall": "unread"}, {"stall": "before"}, {"stall": "after"}),
]


class TestRetries:
    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize("fault", UNCLEAR, ids=repr)
    async def test_a_create_that_may_have_happened_is_sent_once(
        self, emulator: Emulator, secoda: SecodaClient, fault: Json
    ) -> None:
        emulator.faults.add(**fault, times=None)
        error = await failure(secoda.groups.create(name="Data Stewards"))
        assert isinstance(error, OutcomeUnknownError)
        assert len(emulator.requests) == error.attempts == 1
        assert (error.name, error.method, error.path) == ("Data Stewards", "POST", "/api/v1/auth/group")
        assert "'Data Stewards'" in str(error)
        assert isinstance(error.__cause__, ServerError | TransportError)

    @pytest.mark.requirement("RT-1")
    async def test_an_unclear_post_of_another_kind_is_sent_once_too(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(status=502)
        error = await failure(secoda.request("POST", "tag", json={}))
        assert isinstance(error, OutcomeUnknownError)
        assert (error.name, len(emulator.requests)) == (None, 1)
        assert "this POST" in str(error)

    @pytest.mark.requirement("RT-1", "RT-11")
    @pytest.mark.parametrize(
        ("call", "status"), [*((call, 429) for call in ALL), *((call, 503) for call in REPEATABLE)]
    )
    async def test_a_call_that_is_refused_for_a_while_is_sent_again(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call, status: int
    ) -> None:
        emulator.faults.add(status=status, headers={"Retry-After": "9"}, times=2)
        await asyncio.gather(call(secoda), return_exceptions=True)
        assert len(emulator.requests) == 3
        assert clock.now() >= 18

    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize("call", REPEATABLE)
    @pytest.mark.parametrize("fault", UNCLEAR, ids=repr)
    async def test_what_may_be_repeated_is(
        self, emulator: Emulator, secoda: SecodaClient, call: Call, fault: Json
    ) -> None:
        emulator.faults.add(**fault, times=2)
        result = await asyncio.gather(call(secoda), return_exceptions=True)
        assert len(emulator.requests) == 3
        assert result[0] is False if call is delete else isinstance(result[0], NotFoundError)
        assert len({record.body for record in emulator.requests[1:] if not record.fault}) == 1

    @pytest.mark.parametrize("call", ALL)
    @pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 422, 501])
    async def test_a_clear_no_is_final(self, emulator: Emulator, secoda: SecodaClient, call: Call, status: int) -> None:
        emulator.faults.add(status=status, times=None)
        await failure(call(secoda))
        assert len(emulator.requests) == 1

    @pytest.mark.requirement("RT-9")
    @pytest.mark.parametrize("call", ALL)
    @pytest.mark.parametrize("fault", [*UNCLEAR, {"status": 429}], ids=repr)
    async def test_one_attempt_is_one_request_whatever_happens(
        self, emulator: Emulator, connect: Connect, call: Call, fault: Json
    ) -> None:
        emulator.faults.add(**fault, times=None)
        error = await failure(call(connect(retry=ONCE)))
        assert len(emulator.requests) == error.attempts == 1

    @pytest.mark.requirement("RT-9")
    async def test_a_call_can_have_a_policy_of_its_own(self, emulator: Emulator, connect: Connect) -> None:
        emulator.faults.add(status=500, times=None)
        secoda = connect(retry=ONCE)
        await failure(get(secoda.with_options(retry=RetryPolicy(attempts=3))))
        assert len(emulator.requests) == 3
        await failure(get(secoda))
        assert len(emulator.requests) == 4

    @pytest.mark.requirement("RT-8")
    async def test_concurrent_failures_share_nothing(self, emulator: Emulator, connect: Connect) -> None:
        emulator.faults.add(status=500, times=None)
        secoda = connect(retry=RetryPolicy(attempts=4, budget=None))
        errors = await asyncio.gather(*(failure(secoda.groups.get(f"g{index}")) for index in range(100)))
        assert [error.path for error in errors] == [f"/api/v1/auth/group/g{index}" for index in range(100)]
        assert len({id(error) for error in errors}) == 100
        assert {error.attempts for error in errors} == {4}
        assert set(Counter(record.path for record in emulator.requests).values()) == {4}

    @pytest.mark.requirement("RT-9")
    async def test_an_outage_costs_no_more_than_the_budget(
        self, emulator: Emulator, connect: Connect, group_id: str
    ) -> None:
        secoda, other = connect(retry=RetryPolicy(budget=20)), connect(retry=RetryPolicy(budget=3))
        outage = emulator.faults.add(status=503, times=None)
        await asyncio.gather(*(failure(get(secoda)) for _ in range(200)))
        assert outage.used == 220
        await failure(get(other))
        assert outage.used == 224  # a budget of its own
        emulator.faults.clear()
        for _ in range(2):
            await secoda.groups.get(group_id)
        again = emulator.faults.add(status=503, times=None)
        await failure(get(secoda))
        assert again.used == 3

    @pytest.mark.requirement("RT-9")
    async def test_a_429_costs_no_budget(self, emulator: Emulator, connect: Connect) -> None:
        emulator.faults.add(status=429, headers={"Retry-After": "1"}, times=3)
        error = await failure(get(connect(retry=RetryPolicy(budget=0))))
        assert (type(error), len(emulator.requests)) == (NotFoundError, 4)


class TestRetryAfter:
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
    async def test_a_429_is_waited_out(
        self,
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
    async def test_a_date_is_measured_by_the_servers_own_clock(self, emulator: Emulator, secoda: SecodaClient) -> None:
        dates = {"Date": "Mon, 01 Jan 2001 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2001 00:00:42 GMT"}
        emulator.faults.add(status=429, headers=dates)
        await failure(get(secoda))
        assert emulator.requests[1].at == approx(42)

    @pytest.mark.requirement("RT-4")
    async def test_of_two_the_larger_counts(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=429, headers=[("Retry-After", "3"), ("Retry-After", "8")])
        await failure(get(secoda))
        assert emulator.requests[1].at == approx(8)

    @pytest.mark.requirement("RT-4")
    @pytest.mark.parametrize("call", ALL)
    @pytest.mark.parametrize("status", [429, 503, 500])
    @pytest.mark.parametrize("value", ["121", "1e9"])
    async def test_beyond_the_cap_it_is_told_at_once(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call, status: int, value: str
    ) -> None:
        emulator.faults.add(status=status, headers={"Retry-After": value}, times=None)
        error = await failure(call(secoda))
        told = error.__cause__ if isinstance(error, OutcomeUnknownError) else error
        assert isinstance(told, APIError)
        assert (told.status, told.retry_after) == (status, float(value))
        assert (clock.now(), len(emulator.requests)) == (0, 1)

    @pytest.mark.requirement("RT-4")
    @pytest.mark.parametrize("call", ALL)
    async def test_while_a_pause_beyond_the_cap_lasts_calls_fail_at_once(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call
    ) -> None:
        emulator.faults.add(status=429, headers={"Retry-After": "300"})
        await failure(call(secoda))
        error = await failure(call(secoda))
        assert isinstance(error, RateLimitError)
        assert (error.status, error.attempts, len(emulator.requests)) == (0, 0, 1)
        assert error.retry_after == approx(300)
        await advance(clock, 200)
        await asyncio.gather(call(secoda), return_exceptions=True)
        assert emulator.requests[1].at == approx(300)

    @pytest.mark.requirement("RT-4")
    async def test_a_pause_beyond_the_cap_ends_the_wait_of_those_in_the_queue(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        secoda = connect(write_limit=RateLimit(1, per_seconds=10))
        emulator.faults.add(status=429, headers={"Retry-After": "500"}, skip=1)
        results = await asyncio.gather(*(failure_or_none(create(secoda)) for _ in range(4)))
        assert [type(result) for result in results] == [type(None), *[RateLimitError] * 3]
        assert len(emulator.requests) == 2
        assert clock.now() == approx(10)

    @pytest.mark.requirement("RL-7", "RT-4")
    @pytest.mark.parametrize("call", ALL)
    async def test_an_absurd_retry_after_stops_a_process_for_minutes_only(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call
    ) -> None:
        emulator.faults.add(status=429, headers={"Retry-After": "99999999"}, times=2)

        async def waits_after(seconds: float) -> list[float | None]:
            """What two concurrent calls raise, if anything: the seconds that they were told to wait."""
            await advance(clock, seconds)
            errors = await asyncio.gather(*(failure_or_none(call(secoda)) for _ in range(2)))
            return [error.retry_after if isinstance(error, RateLimitError) else None for error in errors]

        assert (await failure_or_none(call(secoda))).retry_after == 99999999  # type: ignore[union-attr]
        assert await waits_after(0) == [approx(300), approx(300)]
        assert await waits_after(200) == [99999999, approx(300)]  # one of them probes, and is refused
        assert len(emulator.requests) == 2
        await waits_after(200)
        assert [record.at for record in emulator.requests[:3]] == [approx(0), approx(300), approx(600)]
        assert emulator.requests[3].at >= 601  # the probe has been answered

    @pytest.mark.requirement("RL-7", "RT-4")
    async def test_a_call_that_is_patient_enough_waits_as_long_as_the_server_asks(
        self, emulator: Emulator, connect: Connect
    ) -> None:
        secoda = connect(retry=RetryPolicy(max_retry_after=2000))
        emulator.faults.add(status=429, headers={"Retry-After": "2000"})
        await create(secoda)
        assert emulator.requests[1].at == approx(2000)

    @pytest.mark.requirement("RT-4", "RL-3")
    async def test_reads_deletes_and_writes_pause_apart(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, group_id: str
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
    async def test_one_429_pauses_all_and_the_restart_is_paced(
        self,
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


async def failure_or_none(call: Awaitable[object]) -> SecodaError | None:
    try:
        await call
    except SecodaError as error:
        return error
    return None


def jitter(emulator: Emulator) -> None:
    """Up to 200 ms on the way there, and 100 ms back."""
    random_ = random.Random(3)  # noqa: S311 - no secret
    for _ in range(400):
        emulator.faults.add(delay=random_.random() * 0.2)
    emulator.latency = 0.1


class TestWriteLimit:
    @pytest.mark.requirement("RL-1")
    async def test_ninety_creates_never_exceed_the_window(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
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
    async def test_the_limit_can_be_set(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, limit: RateLimit, most: int, seconds: float
    ) -> None:
        emulator.window = limit.per_seconds
        secoda = connect(write_limit=limit)
        assert secoda.limiter.time_for(40) == approx(seconds)
        await asyncio.gather(*(create(secoda) for _ in range(40)))
        assert emulator.busiest_window() == most
        assert clock.now() == approx(seconds)

    @pytest.mark.requirement("RL-1")
    async def test_creates_updates_and_puts_share_it_and_deletes_do_not(
        self, secoda: SecodaClient, clock: AutojumpClock, group_id: str
    ) -> None:
        calls: list[Awaitable[object]] = []
        for index in range(10):
            calls += [create(secoda), secoda.groups.update(group_id, name=f"{index}")]
            calls += [failure(secoda.request("PUT", "auth/group")), secoda.groups.delete("x", missing_ok=True)]
        await asyncio.gather(*calls)
        assert clock.now() == 0
        assert secoda.limiter.state.free == 0
        await create(secoda)
        assert clock.now() == approx(60)

    @pytest.mark.requirement("RL-4")
    async def test_clients_can_share_a_limiter(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        limiter = SlidingWindowLimiter(clock=clock)
        one, two = connect(limiter=limiter), connect(limiter=limiter)
        await asyncio.gather(*(create(client) for client in (one, two) for _ in range(30)))
        assert (emulator.busiest_window(), emulator.refused) == (30, 0)

    @pytest.mark.requirement("RL-4")
    async def test_interactive_writes_go_before_background_ones(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        await create(secoda)
        await advance(clock, 60)  # the slow start is over
        emulator.requests.clear()
        background = secoda.with_options(priority="background")
        await asyncio.gather(
            *(create(background, f"b{index}") for index in range(33)),
            *(create(secoda, f"i{index}") for index in range(3)),
        )
        names = [record.json["name"] for record in emulator.requests]
        assert sorted(names[30:33]) == ["i0", "i1", "i2"]

    @pytest.mark.requirement("RL-3")
    async def test_reads_do_not_queue_behind_writes(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, group_id: str
    ) -> None:
        emulator.latency = 0.5
        writes = [asyncio.ensure_future(create(secoda)) for _ in range(300)]
        await wait_until(lambda: secoda.limiter.state.queued == 296)  # the first four are in flight: a slow start
        await secoda.groups.get(group_id)
        assert clock.now() <= 1.01
        for write in writes:
            write.cancel()
        await asyncio.gather(*writes, return_exceptions=True)

    async def test_a_write_that_never_left_gives_its_place_back(self, connect: Connect, emulator: Emulator) -> None:
        secoda = connect(retry=ONCE)
        await emulator.close()
        for _ in range(40):
            assert isinstance(await failure(create(secoda)), TransportError)
        assert secoda.limiter.state.free == 30
        await emulator.start()

    @pytest.mark.requirement("TS-2")
    async def test_thirty_writes_a_429_a_wait_and_on_with_it(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        secoda = connect(limiter=SlidingWindowLimiter(RateLimit(31), clock=clock))
        for _ in range(31):
            await create(secoda)
        assert [record.status for record in emulator.requests] == [201] * 30 + [429, 201]
        assert clock.now() == approx(60)


class TestTooLong:
    """Waits that are refused, and calls that are cut off."""

    @pytest.mark.requirement("RL-6", "RL-7")
    async def test_max_wait_bounds_the_slow_start(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.latency = 10
        writes = [asyncio.ensure_future(create(secoda)) for _ in range(4)]
        await wait_until(lambda: secoda.limiter.state.in_flight == 4)
        error = await failure(secoda.with_options(max_wait=2).groups.create(name="A"))
        assert isinstance(error, RateLimitError)
        assert (clock.now(), error.retry_after) == (approx(2), approx(58))  # an upper bound
        await secoda.with_options(max_wait=0).groups.create(name="A")
        await asyncio.gather(*writes)

    @pytest.mark.requirement("RL-6")
    @pytest.mark.parametrize("max_wait", [0, 2, 59.9])
    async def test_a_wait_beyond_max_wait_is_refused_at_once(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, max_wait: float
    ) -> None:
        await asyncio.gather(*(create(secoda) for _ in range(30)))
        error = await failure(create(secoda.with_options(max_wait=max_wait)))
        assert isinstance(error, RateLimitError)
        assert 59 < (error.retry_after or 0) <= 60
        assert (clock.now(), len(emulator.requests), error.attempts) == (0, 30, 0)
        assert (secoda.limiter.state.queued, secoda.limiter.state.in_flight) == (0, 0)
        await advance(clock, error.retry_after or 0)
        await create(secoda.with_options(max_wait=max_wait))

    @pytest.mark.requirement("RL-6")
    async def test_now_or_never_is_now_while_there_is_room(self, connect: Connect, clock: AutojumpClock) -> None:
        secoda = connect(max_wait=0)
        results = await asyncio.gather(*(failure_or_none(create(secoda)) for _ in range(35)))
        assert Counter(type(result) for result in results) == {type(None): 30, RateLimitError: 5}
        assert clock.now() == 0

    @pytest.mark.requirement("RL-6")
    async def test_a_wait_within_max_wait_is_waited(self, connect: Connect, clock: AutojumpClock) -> None:
        await asyncio.gather(*(create(secoda) for secoda in [connect(max_wait=60.5)] for _ in range(60)))
        assert clock.now() == approx(60)

    @pytest.mark.requirement("RL-6")
    async def test_max_wait_bounds_all_the_waits_of_a_call_for_the_limit(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        emulator.faults.add(status=429, headers={"Retry-After": "20"}, times=None)
        error = await failure(create(connect(max_wait=50)))
        assert isinstance(error, RateLimitError)
        assert (len(emulator.requests), clock.now()) == (3, approx(40))

    @pytest.mark.requirement("RT-5")
    @pytest.mark.parametrize("call", ALL)
    async def test_a_silent_server_is_left_at_the_deadline(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, call: Call
    ) -> None:
        emulator.faults.add(stall="before", times=None)
        error = await failure(call(connect(deadline=5)))
        assert isinstance(error, DeadlineExceededError if call is get else OutcomeUnknownError)
        assert clock.now() == approx(5)
        assert len(emulator.requests) == error.attempts == 1

    @pytest.mark.requirement("RT-5")
    async def test_a_deadline_that_ends_a_later_attempt_tells_why(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        emulator.faults.add(stall="before", times=None)
        error = await failure(get(connect(deadline=5, timeout=2, retry=RetryPolicy(initial=0))))
        assert isinstance(error, DeadlineExceededError)
        assert (error.attempts, clock.now()) == (3, approx(5))
        assert "the last attempt failed: no complete response within 2 s" in str(error)
        assert isinstance(error.__cause__, RequestTimeoutError)

    @pytest.mark.requirement("RT-5", "RT-11", "RT-12")
    @pytest.mark.parametrize("call", ALL)
    @pytest.mark.parametrize("status", [429, 503])
    async def test_a_pause_beyond_the_deadline_fails_at_once(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, call: Call, status: int
    ) -> None:
        emulator.faults.add(status=status, headers={"Retry-After": "30"})
        error: BaseException | None = await failure(call(connect(deadline=5)))
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
    async def test_a_backoff_beyond_the_deadline_fails_at_once(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        emulator.faults.add(status=500, headers={"Retry-After": "6"})
        error = await failure(get(connect(deadline=5)))
        assert isinstance(error, DeadlineExceededError)
        assert isinstance(error.__cause__, ServerError)
        assert clock.now() == 0

    @pytest.mark.requirement("RT-5")
    async def test_the_queue_counts_against_the_deadline(self, secoda: SecodaClient, clock: AutojumpClock) -> None:
        await asyncio.gather(*(create(secoda) for _ in range(30)))
        error = await failure(create(secoda.with_options(deadline=59)))
        assert isinstance(error, DeadlineExceededError)
        assert error.retry_after == approx(60)
        assert clock.now() == 0
        await create(secoda.with_options(deadline=61))

    @pytest.mark.requirement("RT-5", "RL-6")
    async def test_of_deadline_and_max_wait_the_nearer_one_is_told(self, secoda: SecodaClient) -> None:
        await asyncio.gather(*(create(secoda) for _ in range(30)))
        assert isinstance(
            await failure(create(secoda.with_options(deadline=5, max_wait=2))), DeadlineExceededError | RateLimitError
        )
        assert isinstance(await failure(create(secoda.with_options(deadline=70, max_wait=2))), RateLimitError)
        assert isinstance(await failure(create(secoda.with_options(deadline=2, max_wait=70))), DeadlineExceededError)

    @pytest.mark.requirement("RT-5")
    async def test_a_place_that_does_not_come_as_foreseen_is_given_up_at_the_deadline(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        secoda = connect(write_limit=RateLimit(1, per_seconds=1), timeout=50)
        emulator.latency = 20  # the estimate counts on answers that come at once
        first = asyncio.ensure_future(create(secoda))
        await wait_until(lambda: emulator.requests)
        error = await failure(create(secoda.with_options(deadline=5)))
        assert isinstance(error, DeadlineExceededError)
        assert clock.now() == approx(5)
        error = await failure(create(secoda.with_options(max_wait=5)))
        assert isinstance(error, RateLimitError)
        assert clock.now() == approx(10)
        await first
        assert len(emulator.requests) == 1

    @pytest.mark.requirement("RT-5")
    async def test_a_connection_that_is_not_free_in_time_ends_at_the_deadline(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        secoda = connect(max_connections=1)
        emulator.faults.add(delay=20)
        first = asyncio.ensure_future(get(secoda))
        await wait_until(lambda: emulator.requests)
        error = await failure(get(secoda.with_options(deadline=5)))
        assert isinstance(error, DeadlineExceededError)
        assert clock.now() == approx(5)
        assert isinstance(await failure(first), NotFoundError)
        assert len(emulator.requests) == 1

    @pytest.mark.requirement("RT-6")
    async def test_time_in_our_own_queues_fires_no_timeout(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
    ) -> None:
        emulator.latency = 0.5
        secoda = connect(timeout=2, max_connections=10)
        await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(500)))
        assert clock.now() == approx(25)
        assert len(emulator.requests) == 500
        await asyncio.gather(*(create(secoda) for _ in range(120)))
        assert emulator.count("POST") == 120

    @pytest.mark.requirement("RT-5")
    async def test_a_key_that_does_not_come_ends_at_the_deadline(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        async def never() -> str:
            await asyncio.Event().wait()
            raise AssertionError

        error = await failure(get(connect(api_key=never, deadline=3)))
        assert isinstance(error, DeadlineExceededError)
        assert (clock.now(), error.attempts) == (approx(3), 0)
        assert emulator.requests == []


class TestCancellation:
    @pytest.mark.requirement("RT-7")
    async def test_in_the_queue_it_leaves_no_trace(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        calls = [asyncio.ensure_future(create(secoda, f"g{index}")) for index in range(60)]
        await wait_until(lambda: len(emulator.groups) == 150)
        for call in calls[30:50]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results[30:50]] == [asyncio.CancelledError] * 20
        assert len(emulator.requests) == 40
        assert clock.now() == approx(60)
        assert (secoda.limiter.state.queued, secoda.limiter.state.in_flight) == (0, 0)

    @pytest.mark.requirement("RT-7")
    @pytest.mark.parametrize("status", [500, 429])
    async def test_in_a_wait_between_attempts_it_sends_nothing_more(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, status: int
    ) -> None:
        emulator.faults.add(status=status, headers={"Retry-After": "100"})
        call = asyncio.ensure_future(get(secoda))
        await advance(clock, 50)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await advance(clock, 200)
        assert len(emulator.requests) == 1

    @pytest.mark.requirement("RT-7")
    @pytest.mark.parametrize("call", ALL)
    async def test_in_flight_it_ends_at_once_and_frees_the_connection(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, call: Call
    ) -> None:
        secoda = connect(max_connections=1)
        emulator.faults.add(stall="before")
        task = asyncio.ensure_future(call(secoda))
        await wait_until(lambda: emulator.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await failure(get(secoda)), NotFoundError)
        assert (clock.now(), len(emulator.requests), secoda.limiter.state.in_flight) == (0, 2, 0)

    @pytest.mark.requirement("RT-7")
    async def test_while_waiting_for_a_connection_it_gives_the_place_back(
        self, emulator: Emulator, connect: Connect
    ) -> None:
        secoda = connect(max_connections=1)
        emulator.faults.add(stall="before")
        first = asyncio.ensure_future(get(secoda))
        await wait_until(lambda: emulator.requests)
        second = asyncio.ensure_future(create(secoda))
        await wait_until(lambda: secoda.limiter.state.in_flight)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert secoda.limiter.state.free == 30
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert len(emulator.requests) == 1

    @pytest.mark.requirement("SL-3")
    async def test_cancelling_a_thousand_calls_at_random_moments_leaks_nothing(
        self, emulator: Emulator, connect: Connect, group_id: str
    ) -> None:
        random_ = random.Random(7)  # noqa: S311
        secoda = connect(max_connections=5)
        emulator.writes_per_window = None
        for _ in range(50):
            calls = [asyncio.ensure_future(random_.choice(ALL)(secoda)) for _ in range(20)]
            for _ in range(random_.randrange(40)):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(50)))
        assert secoda.limiter.state.in_flight == secoda.limiter.state.queued == 0
        assert emulator.open_connections <= 5

    @pytest.mark.requirement("SL-3")
    async def test_no_connection_is_held_between_attempts(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
    ) -> None:
        secoda = connect(max_connections=1)
        emulator.faults.add(status=500, headers={"Retry-After": "50"})
        waiting = asyncio.ensure_future(failure(get(secoda)))
        await wait_until(lambda: emulator.requests)
        await secoda.groups.get(group_id)
        assert clock.now() < 50
        await waiting


class TestClosing:
    @pytest.mark.requirement("SL-2")
    async def test_calls_that_wait_end_with_it(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        events: list[Event] = []
        secoda = connect(max_connections=31, on_event=events.append)
        emulator.faults.add(status=500, headers={"Retry-After": "100"}, method="GET")
        emulator.faults.add(status=429, headers={"Retry-After": "100"}, method="DELETE")
        await asyncio.gather(*(create(secoda) for _ in range(30)))
        waiting = [asyncio.ensure_future(failure(call(secoda))) for call in (get, create, patch, delete)]
        await wait_until(lambda: {event.method for event in events} >= {"GET", "DELETE"})
        await wait_until(lambda: secoda.limiter.state.queued == 2)
        await drain_loop()
        sent = len(emulator.requests)
        await secoda.close()
        errors = await asyncio.gather(*waiting)
        assert [type(error) for error in errors] == [ClientClosedError] * 4
        assert [error.attempts for error in errors] == [1, 0, 0, 1]
        assert {error.__cause__ for error in errors} == {error.__context__ for error in errors} == {None}
        assert clock.now() == 0
        await advance(clock, 200)
        assert len(emulator.requests) == sent

    @pytest.mark.requirement("SL-2", "RT-12")
    async def test_calls_in_flight_end_with_it_and_writes_are_unclear(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.faults.add(stall="before", times=None)
        flying = [asyncio.ensure_future(failure(call(secoda))) for call in ALL]
        await wait_until(lambda: len(emulator.requests) == 4)
        await secoda.close()
        errors = dict(zip(ALL, await asyncio.gather(*flying), strict=True))
        assert type(errors.pop(get)) is ClientClosedError
        assert [type(error) for error in errors.values()] == [OutcomeUnknownError] * 3
        assert [type(error.__cause__) for error in errors.values()] == [ClientClosedError] * 3
        unknown = errors[create]
        assert isinstance(unknown, OutcomeUnknownError)
        assert unknown.name == "A"
        assert clock.now() == 0

    @pytest.mark.requirement("SL-2")
    @pytest.mark.parametrize("call", ALL)
    async def test_afterwards_a_call_is_refused(self, emulator: Emulator, secoda: SecodaClient, call: Call) -> None:
        await secoda.close()
        error = await failure(call(secoda))
        assert isinstance(error, ClientClosedError)
        assert error.attempts == 0
        assert isinstance(await failure(call(secoda.with_options(timeout=1))), ClientClosedError)
        assert emulator.requests == []

    @pytest.mark.requirement("SL-2")
    async def test_a_call_that_is_just_being_let_through_is_not_sent(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        class Slow(SlidingWindowLimiter):
            async def acquire(self, **options: Any) -> Any:  # noqa: ANN401
                await arrived
                return await super().acquire(**options)

        secoda = connect(limiter=Slow(clock=clock))
        call = asyncio.ensure_future(failure(create(secoda)))
        await drain_loop()
        arrived.set_result(None)
        await secoda.close()
        assert isinstance(await call, ClientClosedError)
        assert emulator.requests == []
        assert secoda.limiter.state.free == 30


SLASHED = "/api/v1/auth/group/"


class TestRedirects:
    @pytest.mark.requirement("SL-4")
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_slash_is_added_with_method_and_body_kept_and_remembered(
        self, emulator: Emulator, secoda: SecodaClient, status: int
    ) -> None:
        emulator.trailing_slash = True
        emulator.faults.add(status=status, redirect=SLASHED, match=lambda record: not record.path.endswith("/"))
        group = await secoda.groups.create(name="A")
        await secoda.groups.create(name="B")
        await secoda.groups.update(group.id, name="C")
        await secoda.groups.get(group.id)
        assert await secoda.groups.delete(group.id) is True
        assert [(record.method, record.path.endswith("/")) for record in emulator.requests] == [
            *(("POST", False), ("POST", True), ("POST", True)),
            *(("PATCH", False), ("PATCH", True), ("GET", True), ("DELETE", True)),
        ]
        assert [record.json for record in emulator.requests[:3]] == [{"name": "A"}, {"name": "A"}, {"name": "B"}]
        assert all(record.authorized for record in emulator.requests)

    @pytest.mark.requirement("SL-4")
    async def test_lists_keep_their_query(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.trailing_slash = True
        assert len(await secoda.groups.snapshot()) == 120
        assert [record.target for record in emulator.requests] == [
            "/api/v1/auth/group",
            *2 * (SLASHED, f"{SLASHED}?page=2", f"{SLASHED}?page=3"),
        ]

    @pytest.mark.requirement("SL-4")
    @pytest.mark.parametrize("call", ALL)
    async def test_concurrent_calls_all_learn_the_slash(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, call: Call
    ) -> None:
        emulator.trailing_slash = True
        errors = await asyncio.gather(*(failure_or_none(call(secoda)) for _ in range(8)))
        assert {type(error) for error in errors} == {type(None) if call is create else NotFoundError}
        assert (await secoda.groups.get(group_id)).id == group_id

    @pytest.mark.requirement("SL-4")
    async def test_a_slash_is_taken_away_where_that_is_asked_for(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(redirect="/api/v1/user", path="/user/")
        assert await secoda.request("GET", "user/")
        assert await secoda.request("GET", "user/")
        assert [record.path for record in emulator.requests] == ["/api/v1/user/", "/api/v1/user", "/api/v1/user"]

    @pytest.mark.requirement("SL-4")
    @pytest.mark.parametrize("call", ALL)
    async def test_going_round_is_an_error(self, emulator: Emulator, secoda: SecodaClient, call: Call) -> None:
        bare = "/api/v1/auth/group" + ("" if call is create else "/g")
        emulator.faults.add(redirect=f"{bare}/", match=lambda record: record.path == bare, times=None)
        emulator.faults.add(redirect=bare, match=lambda record: record.path == f"{bare}/", times=None)
        error = await failure(call(secoda))
        assert isinstance(error, RedirectError)
        assert len(emulator.requests) == error.attempts == 2

    @pytest.mark.requirement("SL-4")
    @pytest.mark.parametrize("call", ALL)
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        "target",
        ["{other}/api/v1/auth/group/", "/api/v1/auth/groups", "/login?next=/", "//evil.example/", "http://[::1", ""],
    )
    async def test_any_other_target_is_an_error_that_names_it(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, call: Call, status: int, target: str
    ) -> None:
        async with Emulator(api_key=emulator.api_key, clock=clock) as other:
            target = target.format(other=other.url)
            emulator.faults.add(status=status, redirect=target)
            error = await failure(call(secoda))
            assert other.requests == []
        assert isinstance(error, RedirectError)
        assert (error.status, error.target) == (status, target)
        assert target in str(error)
        assert "base_url" in str(error)
        assert len(emulator.requests) == error.attempts == 1

    @pytest.mark.requirement("SL-4")
    @pytest.mark.parametrize("call", [create, patch, delete])
    async def test_a_303_is_not_followed_for_a_write(
        self, emulator: Emulator, secoda: SecodaClient, call: Call
    ) -> None:
        path = SLASHED if call is create else f"{SLASHED}g/"
        emulator.faults.add(status=303, redirect=path, times=None)
        error = await failure(call(secoda))
        assert isinstance(error, RedirectError)
        assert len(emulator.requests) == 1

    @pytest.mark.requirement("SL-4")
    async def test_a_slash_elsewhere_is_not_followed(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        async with Emulator(api_key=emulator.api_key, clock=clock) as other:
            for origin in (other.url, emulator.url.replace("http:", "https:"), "http://evil.example"):
                emulator.faults.add(status=308, redirect=f"{origin}{SLASHED}")
                assert isinstance(await failure(create(secoda)), RedirectError)
            assert other.requests == []
        assert len(emulator.requests) == 3

    @pytest.mark.requirement("SL-4")
    async def test_a_redirect_without_a_location_is_an_error(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=301)
        error = await failure(get(secoda))
        assert isinstance(error, RedirectError)
        assert error.target == "(nowhere)"

    @pytest.mark.requirement("RL-1")
    async def test_a_followed_redirect_takes_a_place_of_its_own(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.trailing_slash = True
        await create(secoda)
        assert secoda.limiter.state.free == 28


class TestKeyFromACallable:
    @pytest.mark.requirement("ER-1")
    async def test_it_is_asked_once_and_again_once_after_a_401(
        self, emulator: Emulator, connect: Connect, group_id: str
    ) -> None:
        keys = ["old", f" {emulator.api_key}\n"]
        asked: list[str] = []

        async def provide() -> str:
            asked.append(keys[len(asked)])
            await asyncio.sleep(0)
            return asked[-1]

        secoda = connect(api_key=provide)
        await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(20)))
        assert len(asked) == 2
        assert [record.authorized for record in emulator.requests].count(True) == 20
        assert (await secoda.groups.create(name="A")).name == "A"
        assert len(asked) == 2

    async def test_the_same_key_again_is_not_tried_again(self, emulator: Emulator, connect: Connect) -> None:
        asked = 0

        async def provide() -> str:
            nonlocal asked
            asked += 1
            return "wrong"

        secoda = connect(api_key=provide)
        assert isinstance(await failure(get(secoda)), AuthenticationError)
        assert (asked, len(emulator.requests)) == (2, 1)

    async def test_a_second_refusal_is_final(self, emulator: Emulator, connect: Connect) -> None:
        keys = iter(["one", "two", "three"])

        async def provide() -> str:
            return next(keys)

        error = await failure(get(connect(api_key=provide)))
        assert isinstance(error, AuthenticationError)
        assert len(emulator.requests) == error.attempts == 2

    async def test_a_fixed_key_that_is_refused_is_not_tried_again(self, emulator: Emulator, connect: Connect) -> None:
        assert isinstance(await failure(get(connect(api_key="wrong"))), AuthenticationError)
        assert len(emulator.requests) == 1

    @pytest.mark.parametrize("answer", [None, "", "a b", 5, LookupError("secret")], ids=repr)
    async def test_what_is_no_key_is_not_sent(self, emulator: Emulator, connect: Connect, answer: object) -> None:
        async def provide() -> Any:  # noqa: ANN401
            if isinstance(answer, Exception):
                raise answer
            return answer

        error = await failure(get(connect(api_key=provide)))
        assert isinstance(error, TransportError if isinstance(answer, Exception) else ConfigurationError)
        assert "secret" not in str(error)
        assert error.__cause__ is error.__context__ is None
        assert emulator.requests == []


class TestEvents:
    @pytest.mark.requirement("OB-1")
    async def test_each_attempt_and_each_wait_is_told(
        self,
        emulator: Emulator,
        connect: Connect,
    ) -> None:
        events: list[Event] = []
        secoda = connect(on_event=events.append, timeout=4, write_limit=RateLimit(1, per_seconds=60))
        emulator.latency = 1.5
        emulator.faults.add(stall="after")
        emulator.faults.add(status=500, headers={"Retry-After": "7"})
        emulator.faults.add(status=429, headers={"Retry-After": "5"})
        await failure(get(secoda))
        path = "/api/v1/auth/group/g"
        attempts = [event for event in events if isinstance(event, AttemptEvent)]
        assert [(event.attempt, event.status, event.error, event.seconds) for event in attempts] == [
            (1, None, "RequestTimeoutError", approx(4)),
            (2, 500, None, approx(1.5)),
            (3, 429, None, approx(1.5)),
            (4, 404, None, approx(1.5)),
        ]
        assert {(event.method, event.path) for event in events} == {("GET", path)}
        waits = [(event.reason, event.seconds) for event in events if isinstance(event, WaitEvent)]
        assert waits[-2:] == [("backoff", approx(7)), ("gate", approx(5))]
        events.clear()
        await create(secoda)
        await create(secoda)
        waits = [(event.reason, event.seconds) for event in events if isinstance(event, WaitEvent)]
        assert waits == [("limit", approx(60))]

    @pytest.mark.requirement("OB-1")
    async def test_a_hook_that_fails_breaks_nothing(
        self, connect: Connect, caplog: pytest.LogCaptureFixture, group_id: str
    ) -> None:
        def fail(event: Event) -> None:
            raise LookupError(event.method)

        assert (await connect(on_event=fail).groups.get(group_id)).id == group_id
        assert "the on_event hook failed" in caplog.text

    @pytest.mark.requirement("OB-1")
    async def test_a_long_wait_is_logged_once_for_all_who_wait(
        self, secoda: SecodaClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "secoda_async")
        await asyncio.gather(*(create(secoda) for _ in range(90)))
        lines = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
        assert 1 <= len(lines) <= 3
        assert all("the write limit" in line and "POST /api/v1/auth/group" in line for line in lines)


class TestHeldBack:
    """Calls that have a place in the limit, and none on the wire yet."""

    @pytest.mark.requirement("RL-2")
    @pytest.mark.parametrize("call", [create, get])
    async def test_what_waits_for_the_wire_does_not_start_in_a_pause(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, call: Call
    ) -> None:
        secoda = connect(max_connections=4)
        emulator.latency = 0.5
        emulator.faults.add(status=429, headers={"Retry-After": "10"}, times=3)
        await asyncio.gather(*(call(secoda) for _ in range(12)), return_exceptions=True)
        paused = max(record.answered_at or 0 for record in emulator.requests if record.status == 429)
        assert not [record for record in emulator.requests if paused < record.at < paused + 9]
        assert clock.now() > 10

    @pytest.mark.requirement("RL-3")
    async def test_reads_have_places_of_their_own_beside_slow_writes(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
    ) -> None:
        secoda = connect(max_connections=4)
        emulator.faults.add(delay=5, method="POST", times=None)
        writes = [asyncio.ensure_future(create(secoda)) for _ in range(8)]
        await wait_until(lambda: emulator.count("POST") == 3)
        await secoda.groups.get(group_id)
        assert clock.now() < 5
        await asyncio.gather(*writes)

    @pytest.mark.requirement("RL-4")
    async def test_a_place_that_was_lent_is_taken_anew_after_a_long_wait_for_the_wire(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
    ) -> None:
        class Lent:
            """A limiter of somebody else's."""

            def __init__(self) -> None:
                self.own = SlidingWindowLimiter(RateLimit(1), clock=clock)
                self.taken: list[float] = []

            @property
            def state(self) -> LimitState:
                return self.own.state

            def time_for(self, writes: int) -> float:
                return self.own.time_for(writes)

            async def pause(self, seconds: float | None) -> None:
                await self.own.pause(seconds)

            async def acquire(self, **options: Any) -> Permit:  # noqa: ANN401
                if len(self.taken) == 1 and is_gone:
                    await (await self.own.acquire()).release(sent=True)
                permit = await self.own.acquire(**options)
                self.taken.append(clock.now())
                return permit

        for is_gone in (False, True):
            limiter = Lent()
            secoda = connect(max_connections=1, limiter=limiter)
            emulator.faults.add(delay=5, method="GET")
            read = asyncio.ensure_future(secoda.groups.get(group_id))
            await wait_until(lambda: emulator.count("GET") == (2 if is_gone else 1))  # noqa: B023
            began = clock.now()
            write = asyncio.ensure_future(create(secoda))
            await asyncio.gather(read, write)
            assert limiter.taken[0] == approx(began)
            assert limiter.taken[1] >= began + 5 - 0.001
            assert emulator.count("POST") == (2 if is_gone else 1)


class TestTold:
    @pytest.mark.requirement("RT-7", "OB-1")
    async def test_a_write_that_is_cancelled_on_the_wire_leaves_a_trace(
        self, emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        events: list[Event] = []
        secoda = connect(on_event=events.append)
        emulator.faults.add(stall="after", times=None)
        for call in (create, get):
            events.clear()
            task = asyncio.ensure_future(call(secoda))
            await wait_until(lambda: emulator.requests)
            await drain_loop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            (event,) = [event for event in events if isinstance(event, AttemptEvent)]
            assert (event.error, event.status) == ("CancelledError", None)
            emulator.requests.clear()
        (line,) = [record.getMessage() for record in caplog.records if record.name == "secoda_async"]
        assert line == (
            "POST /api/v1/auth/group of 'A' was cancelled after it was sent: whether it was executed is not known, "
            "check before you repeat it"
        )

    @pytest.mark.requirement("SL-3", "OB-1")
    async def test_a_hook_that_ends_the_call_takes_no_place_along(self, emulator: Emulator, connect: Connect) -> None:
        class EndError(BaseException):
            """As `pytest.fail` raises."""

        def hook(event: Event) -> None:
            if isinstance(event, WaitEvent):
                raise EndError

        secoda = connect(on_event=hook, write_limit=RateLimit(1, per_seconds=1))
        await create(secoda)
        with pytest.raises(EndError):  # with a place
            await create(secoda)
        emulator.latency = 20
        first = asyncio.ensure_future(create(secoda))
        await wait_until(lambda: emulator.count("POST") == 2)
        with pytest.raises(EndError):  # and without
            await create(secoda.with_options(deadline=5))
        await first
        assert (secoda.limiter.state.in_flight, secoda.limiter.state.queued) == (0, 0)

    @pytest.mark.requirement("OB-1")
    async def test_a_wait_in_a_long_queue_is_logged(
        self, secoda: SecodaClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "secoda_async")
        await asyncio.gather(*(create(secoda) for _ in range(31)))
        assert "waiting 60.0 s (the write limit) before POST" in caplog.text

    @pytest.mark.requirement("SL-2")
    async def test_a_wait_that_begins_after_the_close_does_not(self, clock: AutojumpClock) -> None:
        scopes = CallScopes(clock)
        scopes.close()
        for work in (asyncio.sleep(9), asyncio.ensure_future(asyncio.sleep(0))):
            with pytest.raises(ClientClosedError):
                await scopes.run_with_timeout(work, None)

    @pytest.mark.requirement("RT-9")
    async def test_a_503_with_retry_after_costs_budget(self, emulator: Emulator, connect: Connect) -> None:
        emulator.faults.add(status=503, headers={"Retry-After": "0"}, times=None)
        await failure(get(connect(retry=RetryPolicy(budget=2))))
        assert len(emulator.requests) == 3

    @pytest.mark.requirement("RT-3")
    async def test_a_delete_that_never_connected_is_not_unclear(self, clock: AutojumpClock) -> None:
        async with serving(never) as origin:
            url = origin.replace("http:", "https:")  # nobody shakes hands
            async with SecodaClient("key", base_url=url, clock=clock, retry=ONCE, timeout=3) as secoda:
                error = await failure(delete(secoda))
        assert isinstance(error, RequestTimeoutError)
        assert error.maybe_sent is False


class TestOperation:
    """What a bulk knows of its operations."""

    @pytest.mark.requirement("BS-7")
    async def test_an_operation_that_is_stopped_begins_no_wait(self) -> None:
        operation = Operation()
        operation.cancel_unsent()
        for work in (asyncio.sleep(9), asyncio.ensure_future(asyncio.sleep(0))):
            with pytest.raises(OperationCancelledError):
                await operation.run_unless_cancelled(work)

    async def test_a_timeout_of_the_works_own_stays_one(self) -> None:
        async def work() -> None:
            raise TimeoutError("mine")

        with pytest.raises(TimeoutError, match="mine"):
            await Operation().run_unless_cancelled(work())
