"""The end of a bulk: a stop or a close ends it whatever its source does. A bulk counts only its own requests."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from math import inf
from typing import Any

import anyio
import pytest

from secoda_async import (
    AutojumpClock,
    CreateGroup,
    DeleteGroup,
    Operation,
    Outcome,
    Permit,
    SecodaClient,
    SlidingWindowLimiter,
    UpdateGroup,
)
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.waiting import drain_loop, wait_until

Source = Callable[[list[Operation], asyncio.Event], Any]
REFUSED = UpdateGroup("group-0", name="refused")


async def waiting(operations: list[Operation], _: asyncio.Event) -> AsyncGenerator[Operation, None]:
    """Yield the operations, and then wait for more that never come."""
    for operation in operations:
        yield operation
    await asyncio.Event().wait()


async def endless(operations: list[Operation], _: asyncio.Event) -> AsyncGenerator[Operation, None]:
    for operation in operations:
        yield operation
    while True:
        await asyncio.sleep(0)
        yield UpdateGroup("group-1", name="x")


def endless_iterator(operations: list[Operation], _: asyncio.Event) -> Iterator[Operation]:
    yield from operations
    while True:
        yield UpdateGroup("group-1", name="x")


class Stubborn(AsyncIterator[Operation]):
    """A source without `aclose` that takes its time to be cancelled."""

    def __init__(self, operations: list[Operation], _: asyncio.Event) -> None:
        self.operations = iter(operations)

    async def __anext__(self) -> Operation:
        for operation in self.operations:
            return operation
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
        raise AssertionError


SOURCES: list[Source] = [waiting, endless, endless_iterator, Stubborn]


async def consumed(secoda: SecodaClient, source: AsyncIterable[Operation], **options: Any) -> list[Outcome]:
    outcomes = [outcome async for outcome in secoda.bulk(source, **options)]
    return sorted(outcomes, key=lambda outcome: outcome.index)


class TestEnding:
    @pytest.mark.requirement("BS-11")
    @pytest.mark.parametrize("concurrency", [1, 4])
    @pytest.mark.parametrize("source", SOURCES)
    @pytest.mark.parametrize("reason", ["fail_fast", "401"])
    async def test_a_refusal_ends_it(
        self, emulator: Emulator, secoda: SecodaClient, reason: str, source: Source, concurrency: int
    ) -> None:
        emulator.faults.add(status=401 if reason == "401" else 400, path="group-0", times=None)
        operations: list[Operation] = [UpdateGroup("group-2", name="x"), REFUSED]
        outcomes = await consumed(
            secoda,
            source(operations, asyncio.Event()),
            concurrency=concurrency,
            fail_fast=reason == "fail_fast",
        )
        assert [outcome.status for outcome in outcomes[:2]] == ["applied", "failed"]
        assert [outcome.index for outcome in outcomes] == list(range(len(outcomes)))
        assert Counter(outcome.status for outcome in outcomes)["failed"] == 1
        assert len(outcomes) <= 2 + 2 * concurrency

    @pytest.mark.requirement("BS-11")
    @pytest.mark.parametrize("concurrency", [1, 4])
    @pytest.mark.parametrize("source", SOURCES)
    async def test_a_stop_ends_it(
        self, emulator: Emulator, secoda: SecodaClient, source: Source, concurrency: int
    ) -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(
            consumed(secoda, source([UpdateGroup("group-2", name="x")], stop), concurrency=concurrency, stop=stop)
        )
        await wait_until(lambda: emulator.count("PATCH"))
        await drain_loop()
        stop.set()
        outcomes = await task
        assert outcomes[0].status == "applied"
        assert {outcome.status for outcome in outcomes} <= {"applied", "not_attempted"}
        assert [outcome.index for outcome in outcomes] == list(range(len(outcomes)))
        sent = emulator.count("PATCH")
        await drain_loop()
        assert emulator.count("PATCH") == sent == sum(outcome.status == "applied" for outcome in outcomes)

    @pytest.mark.requirement("BS-11")
    @pytest.mark.parametrize("source", SOURCES)
    async def test_a_stop_before_the_first_job_ends_it(
        self, emulator: Emulator, secoda: SecodaClient, source: Source
    ) -> None:
        stop = asyncio.Event()
        stop.set()
        outcomes = await consumed(secoda, source([REFUSED], stop), stop=stop)
        assert {outcome.status for outcome in outcomes} <= {"not_attempted"}
        assert emulator.requests == []

    @pytest.mark.requirement("BS-11")
    async def test_a_stop_during_the_first_listing_ends_it(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        stop = asyncio.Event()
        emulator.faults.add(stall="before", method="GET", times=None)
        creates: list[Operation] = [CreateGroup(name=f"g{index}") for index in range(5)]
        task = asyncio.create_task(consumed(secoda, waiting(creates, stop), concurrency=3, stop=stop))
        await wait_until(lambda: emulator.requests)
        stop.set()
        outcomes = await task
        assert {outcome.status for outcome in outcomes} == {"not_attempted"}
        assert (clock.now(), emulator.count("POST")) == (0, 0)

    @pytest.mark.requirement("BS-11")
    async def test_a_source_that_stops_itself_is_asked_no_more(self, emulator: Emulator, secoda: SecodaClient) -> None:
        stop = asyncio.Event()

        async def source() -> AsyncGenerator[Operation, None]:
            yield UpdateGroup("group-0", name="x")
            await wait_until(lambda: emulator.count("PATCH"))
            stop.set()
            await asyncio.Event().wait()

        outcomes = await consumed(secoda, source(), stop=stop)
        assert [outcome.status for outcome in outcomes] == ["applied"]

    @pytest.mark.requirement("BS-11")
    async def test_an_error_of_a_source_that_is_left_is_raised(self, secoda: SecodaClient) -> None:
        stop = asyncio.Event()

        async def source() -> AsyncGenerator[Operation, None]:
            try:
                yield UpdateGroup("group-0", name="x")
                await asyncio.Event().wait()
            finally:
                raise LookupError("cannot close the file")

        async def run() -> None:
            async for outcome in secoda.bulk(source(), stop=stop):
                assert outcome.status == "applied"
                stop.set()

        with pytest.raises(LookupError, match="cannot close the file"):
            await run()


class TestRest:
    @pytest.mark.requirement("BS-11")
    @pytest.mark.parametrize("ending", ["cancel", "cancel often", "anyio", "break"])
    @pytest.mark.parametrize("concurrency", [1, 5])
    async def test_the_rest_is_complete(
        self, emulator: Emulator, secoda: SecodaClient, ending: str, concurrency: int
    ) -> None:
        emulator.latency = 1.0
        run = secoda.bulk([CreateGroup(name=f"g{index}") for index in range(40)], concurrency=concurrency)
        seen: list[Outcome] = []
        scope = anyio.move_on_after(inf)

        async def iterate() -> None:
            with scope:
                async with aclosing(run) as outcomes:
                    async for outcome in outcomes:
                        seen.append(outcome)
                        if ending == "break" and len(seen) == 7:
                            break

        task = asyncio.create_task(iterate())
        await wait_until(lambda: len(seen) >= 7)
        if ending == "anyio":
            scope.cancel()
        elif ending != "break":
            task.cancel()
        for _ in range(3 if ending == "cancel often" else 0):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        every = sorted([*seen, *run.rest], key=lambda outcome: outcome.index)
        assert [outcome.index for outcome in every] == list(range(40))
        unknown = {outcome.index for outcome in every if outcome.status == "unknown"}
        applied = {outcome.index for outcome in every if outcome.status == "applied"}
        made = {int(group["name"][1:]) for group in emulator.groups.values() if group["name"].startswith("g")}
        assert applied <= made <= applied | unknown
        assert len(unknown) <= concurrency
        assert not [task for task in asyncio.all_tasks() if "bulk.py" in repr(task)]

    @pytest.mark.requirement("BS-11", "RT-12")
    @pytest.mark.parametrize("ending", ["cancel often", "anyio"])
    async def test_workers_that_take_long_to_end_are_waited_for(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, ending: str
    ) -> None:
        """A limiter that many processes share gives its permits back over a network."""
        secoda = connect(limiter=SlowLimiter(clock=clock), timeout=1000)
        emulator.faults.add(stall="after", method="PATCH", times=None)
        run = secoda.bulk([UpdateGroup(f"group-{index}", name="x") for index in range(9)], concurrency=3)
        scope = anyio.move_on_after(inf)

        async def iterate() -> None:
            with scope:
                async with aclosing(run) as outcomes:
                    await anext(outcomes)

        task = asyncio.create_task(iterate())
        await wait_until(lambda: sum(group["name"] == "x" for group in emulator.groups.values()) == 3)
        if ending == "anyio":
            scope.cancel()
        for _ in range(0 if ending == "anyio" else 4):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(task, return_exceptions=True)
        ends = {outcome.index: outcome.status for outcome in run.rest}
        assert ends == {index: "unknown" if index < 3 else "not_attempted" for index in range(9)}
        assert secoda.limiter.state.in_flight == 0


class SlowPermit(Permit):
    def __init__(self, permit: Permit) -> None:
        self._permit = permit

    async def release(self, *, sent: bool) -> None:
        for _ in range(30):
            await asyncio.sleep(0)
        await self._permit.release(sent=sent)


class SlowLimiter(SlidingWindowLimiter):
    async def acquire(self, **options: Any) -> Permit:
        return SlowPermit(await super().acquire(**options))


class TestCosts:
    @pytest.mark.requirement("BS-11")
    async def test_a_create_with_a_clear_answer_is_one_attempt(self, secoda: SecodaClient) -> None:
        outcomes = [outcome async for outcome in secoda.bulk([CreateGroup(name=name) for name in "abc"])]
        assert [outcome.attempts for outcome in outcomes] == [1, 1, 1]

    @pytest.mark.requirement("BS-11")
    @pytest.mark.parametrize("concurrency", [1, 3])
    async def test_calls_of_the_source_are_not_charged(
        self, emulator: Emulator, secoda: SecodaClient, concurrency: int
    ) -> None:
        async def source() -> AsyncGenerator[Operation, None]:
            for index in range(6):
                await secoda.groups.get("group-5")
                created = await secoda.groups.create(name=f"own {index}")
                yield DeleteGroup(created.id)

        outcomes = await consumed(secoda, source(), concurrency=concurrency)
        assert [(outcome.status, outcome.attempts) for outcome in outcomes] == [("applied", 1)] * 6
        assert emulator.count("POST") == 6

    @pytest.mark.requirement("BS-11")
    async def test_a_call_of_the_source_that_waits_for_the_limit_is_not_stopped(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        """The cancelled source ends the call; the bulk adds no error of its own."""
        stop = asyncio.Event()
        ends: list[str] = []

        async def source() -> AsyncGenerator[Operation, None]:
            yield DeleteGroup("group-0")
            try:
                for index in range(31):
                    await secoda.groups.create(name=f"own {index}")
            except BaseException as error:
                ends.append(type(error).__name__)
                raise

        task = asyncio.create_task(consumed(secoda, source(), stop=stop))
        await wait_until(lambda: secoda.limiter.state.queued)
        stop.set()
        outcomes = await task
        assert [outcome.status for outcome in outcomes] == ["applied"]
        assert (ends, emulator.count("POST")) == (["CancelledError"], 30)

    @pytest.mark.requirement("BS-11")
    async def test_calls_of_a_key_callable_are_neither_charged_nor_stopped(
        self, emulator: Emulator, connect: Connect
    ) -> None:
        inner = connect()
        stop = asyncio.Event()

        async def key() -> str:
            stop.set()  # the operation is cancelled while its key is looked up
            await inner.groups.create(name="from the callable")
            return emulator.api_key

        secoda = connect(api_key=key)
        (outcome,) = [outcome async for outcome in secoda.bulk([DeleteGroup("group-0")], stop=stop)]
        assert (outcome.status, outcome.attempts) == ("not_attempted", 0)
        assert [group["name"] for group in emulator.groups.values()].count("from the callable") == 1
        (outcome,) = [outcome async for outcome in secoda.bulk([DeleteGroup("group-0")])]
        assert (outcome.status, outcome.attempts) == ("applied", 1)


@pytest.mark.requirement("BS-11")
async def test_bulk_stops_while_it_reads_the_groups(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    emulator.faults.add(stall="before", method="GET", times=None)
    stop = asyncio.Event()
    bulk = secoda.bulk([CreateGroup(name="A"), CreateGroup(name="B")], stop=stop)
    clock.call_later(1.0, stop.set)
    async with aclosing(bulk) as outcomes:
        seen = [outcome.status async for outcome in outcomes]
    assert seen == ["not_attempted"] * 2
    assert clock.now() < 2


@pytest.mark.requirement("BS-11")
async def test_bulk_closed_before_it_begins_reports_every_operation(secoda: SecodaClient) -> None:
    operations = [CreateGroup(name="A"), CreateGroup(name="B")]
    bulk = secoda.bulk(operations)
    await bulk.aclose()
    await bulk.aclose()
    assert [(outcome.index, outcome.status) for outcome in bulk.rest] == [
        (0, "not_attempted"),
        (1, "not_attempted"),
    ]
    assert [outcome async for outcome in bulk] == []


@pytest.mark.requirement("BS-11")
async def test_bulk_stops_while_another_call_locks_the_group(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    emulator.faults.add(stall="before", method="PATCH")
    other = asyncio.ensure_future(secoda.groups.update("group-0", users=["user-1"]))
    await wait_until(lambda: emulator.count("PATCH"))
    stop = asyncio.Event()
    clock.call_later(1.0, stop.set)
    async with aclosing(secoda.bulk([UpdateGroup("group-0", users=[])], stop=stop)) as outcomes:
        seen = [outcome.status async for outcome in outcomes]
    assert seen == ["not_attempted"]
    assert clock.now() < 2
    await other
