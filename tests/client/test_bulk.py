"""Many operations in, one outcome each out."""

import asyncio
import gc
import itertools
import sys
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, cast

import pytest

from secoda_async import (
    AuthenticationError,
    AutojumpClock,
    BadRequestError,
    ClientClosedError,
    CreateGroup,
    DeleteGroup,
    InvalidArgumentError,
    NotFoundError,
    Operation,
    Outcome,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    ServerError,
    UpdateGroup,
)
from secoda_async._engine.operation import Operation as SharedState
from secoda_async.emulator import Emulator, RecordedRequest
from secoda_async.worker_pool import Result, WorkerPool
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.waiting import drain_loop, wait_until

Operations = Iterable[Operation] | AsyncIterable[Operation]
GROUPS = "/auth/group"


async def outcomes_of(secoda: SecodaClient, operations: Operations, **options: Any) -> list[Outcome]:
    """The outcomes in the order of the input."""
    outcomes = [outcome async for outcome in secoda.bulk(operations, **options)]
    return sorted(outcomes, key=lambda outcome: outcome.index)


def creates(number: int) -> list[Operation]:
    return [CreateGroup(name=f"g{index}") for index in range(number)]


def creates_of(name: str) -> Callable[[RecordedRequest], bool]:
    return lambda record: record.json == {"name": name}


def statuses(outcomes: Iterable[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


async def stream(operations: Iterable[Operation]) -> AsyncGenerator[Operation, None]:
    for operation in operations:
        await asyncio.sleep(0)
        yield operation


class TestOutcomes:
    @pytest.mark.requirement("BS-1")
    async def test_each_operation_has_one_outcome(self, emulator: Emulator, secoda: SecodaClient) -> None:
        first, second, third = list(emulator.groups)[:3]
        users = list(emulator.users)[:2]
        operations: list[Operation] = [
            CreateGroup(name="new", icon="i", description=None, users=users),
            UpdateGroup(first, name="changed"),
            DeleteGroup(second),
            DeleteGroup("missing"),
            DeleteGroup("missing", missing_ok=True),
            UpdateGroup("missing", name="x"),
            UpdateGroup(third),
            CreateGroup(users=["nobody"]),
            DeleteGroup(third, missing_ok=True),
        ]
        outcomes = await outcomes_of(secoda, operations)
        assert [outcome.operation for outcome in outcomes] == operations
        assert [outcome.index for outcome in outcomes] == list(range(9))
        assert statuses(outcomes) == [
            *("applied", "applied", "applied", "failed", "unchanged", "failed", "failed", "failed", "applied")
        ]
        new, changed, *rest = (outcome.group for outcome in outcomes)
        assert new is not None
        assert (new.name, set(new.users)) == ("new", set(users))
        assert changed is not None
        assert changed.name == "changed"
        assert rest == [None] * 7
        assert [type(outcome.error) for outcome in outcomes[2:]] == [
            *(type(None), NotFoundError, type(None), NotFoundError, InvalidArgumentError, BadRequestError, type(None))
        ]
        assert [outcome.attempts for outcome in outcomes] == [1, 1, 1, 1, 1, 1, 0, 1, 1]

    @pytest.mark.requirement("BS-1")
    async def test_failures_do_not_stop_the_others(self, emulator: Emulator, connect: Connect) -> None:
        emulator.writes_per_window = None
        secoda = connect(retry=RetryPolicy(attempts=1), limiter=connect().limiter)
        failing = {"g3": 400, "g11": 409, "g17": 404, "g23": 422}
        for name, status in failing.items():
            emulator.faults.add(status=status, match=creates_of(name))
        emulator.faults.add(status=500, match=creates_of("g5"), times=None)
        outcomes = await outcomes_of(secoda, creates(40))
        assert Counter(statuses(outcomes)) == {"applied": 35, "failed": 4, "unknown": 1}
        assert {f"g{outcome.index}" for outcome in outcomes if outcome.status == "failed"} == set(failing)
        assert isinstance(outcomes[5].error, OutcomeUnknownError)
        assert outcomes[5].error.name == "g5"
        again = [outcome.operation for outcome in outcomes if outcome.status == "failed"]
        assert statuses(await outcomes_of(secoda, again)) == ["applied"] * 4

    async def test_create_with_a_lost_response_is_searched_for(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(drop="after", method="POST", times=3)
        outcomes = await outcomes_of(secoda, creates(6))
        assert statuses(outcomes) == ["applied"] * 6
        assert emulator.count("POST") == 6
        assert len(emulator.groups) == 126

    async def test_outcome_counts_its_own_attempts_and_waits(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        group_id = next(iter(emulator.groups))
        emulator.faults.add(status=429, headers={"Retry-After": "7"}, method="DELETE", times=2)
        outcomes = await outcomes_of(connect(), [DeleteGroup(group_id), CreateGroup(name="A")], concurrency=1)
        assert [(outcome.attempts, outcome.waited) for outcome in outcomes] == [(3, approx(14)), (1, 0.0)]
        assert clock.now() == approx(14)

    async def test_an_iterators_ids_are_kept(self, emulator: Emulator, secoda: SecodaClient) -> None:
        users = list(emulator.users)[:2]
        operation = CreateGroup(name="A", users=iter(users))
        assert operation == CreateGroup(name="A", users=tuple(users))
        for _ in range(2):
            assert statuses(await outcomes_of(secoda, [operation])) == ["applied"]
            assert emulator.writes[-1].json["users"] == users
        assert statuses(await outcomes_of(secoda, [CreateGroup(users="abc")])) == ["failed"]

    async def test_item_that_is_no_operation_fails_alone(self, secoda: SecodaClient) -> None:
        operations = cast("list[Operation]", [5, None, CreateGroup(name="A")])
        assert statuses(await outcomes_of(secoda, operations)) == ["failed", "failed", "applied"]

    async def test_nothing_in_is_nothing_out(self, emulator: Emulator, secoda: SecodaClient) -> None:
        assert await outcomes_of(secoda, []) == []
        assert emulator.requests == []

    async def test_interactive_write_goes_before_those_of_a_bulk(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        secoda = connect(write_limit=RateLimit(1, per_seconds=2))  # no two writes are concurrent
        task = asyncio.create_task(outcomes_of(secoda, creates(5)))
        await wait_until(lambda: (secoda.limiter.state.free, secoda.limiter.state.queued) == (0, 4))
        await secoda.groups.create(name="urgent")
        assert clock.now() == approx(2)
        assert [record.json["name"] for record in emulator.writes] == ["g0", "urgent"]
        await task


class TestStopping:
    @pytest.mark.requirement("BS-1")
    async def test_fail_fast_ends_what_is_under_way_and_attempts_no_more(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(status=400, match=creates_of("g2"))
        outcomes = await outcomes_of(secoda, creates(12), concurrency=3, fail_fast=True)
        assert outcomes[2].status == "failed"
        assert set(statuses(outcomes[6:])) == {"not_attempted"}
        assert statuses(outcomes).count("applied") == len(emulator.groups) - 120
        assert all(outcome.attempts == 0 for outcome in outcomes if outcome.status == "not_attempted")

    @pytest.mark.requirement("BS-1")
    @pytest.mark.parametrize(("method", "failed"), [("GET", 1), ("POST", 4)])  # one listing serves all creates
    async def test_a_refused_key_stops_early(
        self, emulator: Emulator, secoda: SecodaClient, method: str, failed: int
    ) -> None:
        emulator.faults.add(status=401, method=method, times=None)
        outcomes = await outcomes_of(secoda, creates(100), concurrency=4)
        assert Counter(statuses(outcomes)) == {"failed": failed, "not_attempted": 100 - failed}
        assert emulator.count("POST") == (failed if method == "POST" else 0)
        assert [outcome.index for outcome in outcomes] == list(range(100))

    @pytest.mark.requirement("BS-11")
    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_key_that_may_write_nothing_stops_after_20_refusals_in_a_row(
        self, emulator: Emulator, secoda: SecodaClient, concurrency: int
    ) -> None:
        emulator.faults.add(status=403, method="POST", times=None)
        counts = Counter(statuses(await outcomes_of(secoda, creates(100), concurrency=concurrency)))
        assert 20 <= counts["failed"] <= 19 + concurrency  # the others were in flight
        assert emulator.count("POST") == counts["failed"] == 100 - counts["not_attempted"]

    @pytest.mark.requirement("BS-11")
    async def test_403s_with_a_success_between_them_stop_nothing(self, emulator: Emulator, connect: Connect) -> None:
        emulator.writes_per_window = None
        for index in (*range(19), *range(20, 39)):
            emulator.faults.add(status=403, match=creates_of(f"g{index}"))
        outcomes = await outcomes_of(connect(), creates(45), concurrency=1)
        assert Counter(statuses(outcomes)) == {"failed": 38, "applied": 7}

    @pytest.mark.requirement("BS-7")
    async def test_a_stop_event_lets_what_is_in_flight_finish(self, emulator: Emulator, secoda: SecodaClient) -> None:
        stop = asyncio.Event()
        emulator.latency = 1.0
        outcomes: list[Outcome] = []
        async for outcome in secoda.bulk(creates(10), concurrency=3, stop=stop):
            outcomes.append(outcome)
            stop.set()
        applied = statuses(outcomes).count("applied")
        assert applied == emulator.count("POST") == len(emulator.groups) - 120
        assert 3 <= applied <= 5  # the first outcome's worker may have begun its next
        assert statuses(outcomes).count("not_attempted") == 10 - applied

    @pytest.mark.requirement("BS-7", "RT-12")
    @pytest.mark.parametrize(("status", "end"), [(401, "failed"), (503, "unknown")])
    async def test_a_delete_is_not_sent_again_after_a_stop(
        self, emulator: Emulator, connect: Connect, status: int, end: str
    ) -> None:
        async def renewed() -> str:
            return emulator.api_key

        stop = asyncio.Event()
        emulator.latency = 1.0
        emulator.faults.add(status=status, headers={"Retry-After": "0"}, method="DELETE", times=None)
        secoda = connect(api_key=renewed)
        work = asyncio.create_task(outcomes_of(secoda, [DeleteGroup(next(iter(emulator.groups)))], stop=stop))
        await wait_until(lambda: emulator.requests)
        stop.set()
        (outcome,) = await work
        assert (outcome.status, emulator.count("DELETE")) == (end, 1)

    async def test_an_event_that_is_set_before_attempts_nothing(self, emulator: Emulator, secoda: SecodaClient) -> None:
        stop = asyncio.Event()
        stop.set()
        assert statuses(await outcomes_of(secoda, creates(3), stop=stop)) == ["not_attempted"] * 3
        assert emulator.requests == []

    async def test_closing_the_client_ends_it(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.latency = 5.0
        task = asyncio.create_task(outcomes_of(secoda, creates(8), concurrency=2))
        await wait_until(lambda: emulator.count("POST") == 2)
        await secoda.close()
        outcomes = await task
        assert statuses(outcomes) == ["unknown"] * 2 + ["failed"] * 6
        assert all(isinstance(outcome.error, ClientClosedError) for outcome in outcomes[2:])

    @pytest.mark.parametrize("ends", ["break", "cancel"])
    async def test_leaving_early_leaves_no_task_and_writes_no_more(
        self, emulator: Emulator, secoda: SecodaClient, ends: str
    ) -> None:
        emulator.faults.add(
            stall="before", match=lambda record: record.json in ({"name": "g1"}, {"name": "g2"}), times=None
        )
        before = asyncio.all_tasks()

        async def run() -> None:
            async with aclosing(secoda.bulk(stream(creates(50)), concurrency=3)) as outcomes:
                async for outcome in outcomes:
                    if outcome.index == 5 and ends == "break":
                        break

        task = asyncio.create_task(run())
        if ends == "cancel":
            await wait_until(lambda: len(emulator.requests) >= 10)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() is (ends == "cancel")
        del task
        sent = len(emulator.requests)
        await drain_loop()
        gc.collect()
        assert len(emulator.requests) == sent
        left = asyncio.all_tasks() - before
        assert [task for task in left if "secoda_async/bulk" in repr(task)] == []
        assert secoda.limiter.state.in_flight == 0


class TestSources:
    @pytest.mark.parametrize("source", [list, tuple, iter, stream])
    async def test_any_iterable_or_async_iterable_will_do(
        self, secoda: SecodaClient, source: Callable[[list[Operation]], Operations]
    ) -> None:
        outcomes = await outcomes_of(secoda, source(creates(7)), concurrency=3)
        assert [outcome.group.name for outcome in outcomes if outcome.group] == [f"g{index}" for index in range(7)]

    @pytest.mark.requirement("BS-1")
    @pytest.mark.parametrize("concurrency", [1, 3])
    async def test_a_source_that_fails_raises_after_what_came_before(
        self, emulator: Emulator, secoda: SecodaClient, concurrency: int
    ) -> None:
        def source() -> Iterator[Operation]:
            yield from creates(5)
            raise LookupError("no more")

        got: list[Outcome] = []

        async def run() -> None:
            async for outcome in secoda.bulk(source(), concurrency=concurrency):
                got.append(outcome)  # noqa: PERF401 - it raises

        with pytest.raises(LookupError, match="no more"):
            await run()
        assert sorted(outcome.index for outcome in got) == list(range(5))
        assert {outcome.group.id for outcome in got if outcome.group} == set(list(emulator.groups)[120:])

    @pytest.mark.requirement("BS-7")
    async def test_the_concurrency_is_kept(self, emulator: Emulator, connect: Connect) -> None:
        emulator.writes_per_window, emulator.latency = None, 1.0
        under_way = most = 0
        secoda = connect()
        deletes: list[Operation] = [DeleteGroup(group_id) for group_id in emulator.groups]

        def entering() -> Iterator[Operation]:
            nonlocal under_way, most
            for operation in deletes:
                under_way += 1
                most = max(most, under_way)
                yield operation

        async for outcome in secoda.bulk(entering(), concurrency=7):
            assert outcome.status == "applied"
            under_way -= 1
        windows = [sum(r.at == at for r in emulator.requests) for at in {r.at for r in emulator.requests}]
        assert max(windows) == 7
        assert most <= 7 + 7 + 1  # in flight, queued, and the operation just yielded

    @pytest.mark.slow
    @pytest.mark.requirement("BS-7")
    async def test_neither_operations_nor_outcomes_pile_up(self, secoda: SecodaClient) -> None:
        alive: weakref.WeakSet[DeleteGroup] = weakref.WeakSet()
        most = 0

        def endless() -> Iterator[Operation]:
            for index in range(3000):
                operation = DeleteGroup(f"a/{index}")  # refused before it is sent
                alive.add(operation)
                yield operation

        async for outcome in secoda.bulk(endless(), concurrency=5):
            assert outcome.status == "failed"
            if outcome.index % 500 == 0:
                gc.collect()  # errors hold their frames, and those the errors
                most = max(most, len(alive))
        assert most <= 20

    @pytest.mark.requirement("BS-7")
    @pytest.mark.slow
    async def test_ten_thousand_take_no_more_memory_than_two_thousand(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        ids = itertools.cycle(emulator.groups)
        operations = (UpdateGroup(next(ids), description=f"{number}") for number in range(10_000))
        tasks: set[int] = set()
        blocks: dict[int, int] = {}
        done = 0
        async with aclosing(secoda.bulk(stream(operations))) as outcomes:
            async for outcome in outcomes:
                assert outcome.ok
                done += 1
                if done % 2_000 == 0:
                    emulator.requests.clear()
                    gc.collect()
                    tasks.add(sum(not task.done() for task in asyncio.all_tasks()))
                    blocks[done] = sys.getallocatedblocks()
        assert done == 10_000
        assert clock.now() == approx(333 * 60)  # five and a half hours
        assert max(tasks) <= 20 + 50  # the workers, and the emulator's side of their connections
        assert blocks[10_000] - blocks[2_000] < 8_000  # an operation that stays would be a dozen blocks

    @pytest.mark.parametrize("concurrency", [0, -1])
    async def test_no_concurrency_is_refused(self, secoda: SecodaClient, concurrency: int) -> None:
        with pytest.raises(InvalidArgumentError, match="concurrency"):
            await outcomes_of(secoda, creates(1), concurrency=concurrency)


@pytest.mark.requirement("RL-1")
async def test_a_large_load_takes_no_longer_than_the_limit_asks(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    outcomes = await outcomes_of(secoda, creates(90))
    assert statuses(outcomes) == ["applied"] * 90
    assert (clock.now(), emulator.busiest_window(), emulator.refused) == (approx(120), 30, 0)


async def test_error_of_the_first_401_is_reported(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(status=401)
    (outcome,) = await outcomes_of(secoda, [DeleteGroup(next(iter(emulator.groups)))])
    assert isinstance(outcome.error, AuthenticationError)


class TestCuttingOff:
    @pytest.mark.requirement("BS-7")
    async def test_stop_leaves_writes_that_wait_for_the_limit_not_attempted(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        stop = asyncio.Event()
        outcomes: list[Outcome] = []
        async for outcome in secoda.bulk(creates(200), stop=stop):
            outcomes.append(outcome)
            if sum(outcome.status == "applied" for outcome in outcomes) == 30:
                stop.set()
        assert Counter(statuses(outcomes)) == {"applied": 30, "not_attempted": 170}
        assert (clock.now() < 60, emulator.count("POST")) == (True, 30)

    @pytest.mark.requirement("BS-1", "BS-7")
    async def test_closed_bulk_accounts_for_all_operations(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(stall="after", method="POST", match=creates_of("g1"))
        run = secoda.bulk(creates(40), concurrency=3)
        seen = [await anext(run) for _ in range(5)]
        await run.aclose()
        every = [*seen, *run.rest]
        assert sorted(outcome.index for outcome in every) == list(range(40))
        assert {outcome.status for outcome in every if outcome.index == 1} == {"unknown"}
        assert Counter(statuses(every))["not_attempted"] >= 30

    @pytest.mark.requirement("BS-1")
    async def test_cancelled_source_ends_the_bulk(self, secoda: SecodaClient) -> None:
        async def source() -> AsyncGenerator[Operation, None]:
            yield CreateGroup(name="a")
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await outcomes_of(secoda, source(), concurrency=2)

    @pytest.mark.requirement("BS-1")
    async def test_401_to_a_second_create_stops_the_bulk(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=502, method="POST")
        emulator.faults.add(status=401, method="POST", times=None)
        outcomes = await outcomes_of(secoda, creates(5), concurrency=1)
        assert statuses(outcomes) == ["unknown", *["not_attempted"] * 4]


class TestPool:
    @pytest.mark.requirement("BS-1")
    async def test_pool_stops_after_max_consecutive_failures(self) -> None:
        down, refused = ServerError("503", status=503), BadRequestError("400", status=400)  # refused: the service is up
        script: list[SecodaError | None] = [down, down, None, down, down, refused, down, down, down, None]

        async def execute(job: int, _: SharedState) -> Result:
            await asyncio.sleep(0)
            if (error := script[job]) is not None:
                raise error
            return "applied", None

        pool = WorkerPool(execute, lambda job: DeleteGroup(str(job)), max_consecutive_failures=3)
        outcomes = [*[outcome async for outcome in pool.run(range(len(script)), 1)], *pool.rest]
        assert [outcome.error for outcome in outcomes] == script
        assert (outcomes[2].status, outcomes[-1].status) == ("applied", "not_attempted")
