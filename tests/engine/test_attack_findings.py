"""Faults that a review of the finished code found, each at the border of two parts."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from secoda_async import (
    AutojumpClock,
    CreateGroup,
    DesiredGroup,
    DesiredState,
    Group,
    InvalidArgumentError,
    OutcomeUnknownError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    TransportError,
    UpdateGroup,
)
from secoda_async._engine.ledger import Ledger
from secoda_async._engine.limits.limiter import LimitState, Permit, SlidingWindowLimiter
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.waiting import advance, wait_until

Json = dict[str, Any]


def named(emulator: Emulator, name: str) -> list[str]:
    return [group["id"] for group in emulator.groups.values() if group["name"] == name]


class TestMembersThatCanNotBeConfirmed:
    """An answer hides a member, and the look-up of that member fails: the write was executed all the same."""

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("status", [403, 500])
    async def test_a_create_is_unknown_with_its_candidate(
        self, emulator: Emulator, connect: Connect, status: int
    ) -> None:
        emulator.hide_pending = True
        emulator.users["user-1"]["pending"] = True
        emulator.faults.add(status=status, path="/user/", times=None)
        with pytest.raises(OutcomeUnknownError) as caught:
            await connect(retry=RetryPolicy(attempts=1)).groups.create(name="New", users=["user-1"])
        assert list(caught.value.candidates) == named(emulator, "New")
        assert (caught.value.method, caught.value.path) == ("POST", "/api/v1/auth/group")

    @pytest.mark.requirement("RT-12")
    async def test_an_update_is_unknown(self, emulator: Emulator, connect: Connect) -> None:
        emulator.hide_pending = True
        emulator.users["user-1"]["pending"] = True
        emulator.faults.add(status=403, path="/user/", times=None)
        with pytest.raises(OutcomeUnknownError) as caught:
            await connect().groups.update("group-0", users=["user-1"])
        assert caught.value.method == "PATCH"

    @pytest.mark.requirement("BS-8")
    async def test_an_addition_in_a_row_loses_nobody(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.reads_lag = 20
        emulator.faults.add(status=403, path="/user/", times=None)
        emulator.hide_pending = True
        emulator.users["user-1"]["pending"] = True
        with pytest.raises(SecodaError):
            await secoda.groups.add_users("group-0", ["user-0", "user-1"])
        await secoda.groups.add_users("group-0", ["user-2"])
        assert {"user-0", "user-2"} <= set(emulator.groups["group-0"]["users"])


class Remote:
    """A limiter that is asked over a network, as one in Redis is."""

    def __init__(self, clock: AutojumpClock) -> None:
        self._inner = SlidingWindowLimiter(clock=clock)
        self.pause = self._inner.pause
        self.time_for = self._inner.time_for

    @property
    def state(self) -> LimitState:
        return self._inner.state

    async def acquire(self, *, max_wait: float | None = None, **options: Any) -> Permit:  # noqa: ANN401 - passed on
        if max_wait == 0:
            raise TransportError("the limiter is away")
        return await self._inner.acquire(max_wait=max_wait, **options)


@pytest.mark.requirement("RT-12")
async def test_a_limiter_that_fails_after_the_wait_for_a_connection_costs_no_connection(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    secoda = connect(max_connections=1, limiter=Remote(clock), retry=RetryPolicy(attempts=1))
    emulator.faults.add(delay=5, method="GET")
    read = asyncio.ensure_future(secoda.groups.get("group-7"))
    await wait_until(lambda: emulator.count("GET"))
    with pytest.raises(TransportError, match="away"):
        await secoda.groups.update("group-0", name="New")
    await read
    assert (await secoda.groups.get("group-0")).name == "Group 0"
    assert secoda.limiter.state.in_flight == 0


class TestStatuses:
    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("status", [101, 529, 561, 599, 999])
    async def test_a_create_that_a_gateway_fails_is_unknown(
        self, emulator: Emulator, secoda: SecodaClient, status: int
    ) -> None:
        answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
        emulator.faults.add(raw=answer, carry_out=True, method="POST")
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="New")


class TestStop:
    @pytest.mark.requirement("BS-11")
    async def test_a_bulk_ends_while_the_groups_are_read(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
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
    async def test_a_bulk_that_is_closed_before_it_begins_accounts_for_all(self, secoda: SecodaClient) -> None:
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
    async def test_a_bulk_ends_while_another_call_holds_the_group(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
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

    @pytest.mark.requirement("SL-6")
    async def test_closing_ends_an_apply_that_waits_for_an_unclear_create(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        plan = await secoda.plan(DesiredState.from_groups([DesiredGroup(name="A")]))
        emulator.faults.add(drop="before", method="POST")
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="A")
        task = asyncio.ensure_future(secoda.apply(plan))
        await advance(clock, 5)
        await secoda.close()
        assert (await task).counts == {"failed": 1}
        assert clock.now() < 20
        assert emulator.count("POST") == 1


class TestEnsure:
    @pytest.mark.requirement("BS-9")
    async def test_a_create_in_flight_is_not_repeated(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(delay=5, method="POST")
        first = asyncio.ensure_future(secoda.groups.create(name="A", on_unknown="reconcile"))
        await wait_until(lambda: emulator.count("POST"))
        ensured = await secoda.groups.ensure(name="A")
        assert ensured == await first
        assert named(emulator, "A") == [ensured.id]

    @pytest.mark.requirement("RT-10")
    async def test_an_unclear_create_of_the_same_name_may_still_be_executed(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(status=504, execute_after=8, method="POST")
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="A")
        ensured = await secoda.groups.ensure(name="A")
        assert named(emulator, "A") == [ensured.id]
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("RT-10")
    async def test_a_group_that_another_program_creates_during_the_wait_is_found(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        await asyncio.gather(*(secoda.groups.create(name=f"g{index}") for index in range(30)))
        task = asyncio.ensure_future(secoda.groups.ensure(name="A"))
        await wait_until(lambda: secoda.limiter.state.queued)
        emulator.groups["theirs"] = emulator.groups["group-0"] | {"id": "theirs", "name": "A"}
        assert (await task).id == "theirs"
        assert named(emulator, "A") == ["theirs"]


class TestLedger:
    @pytest.mark.requirement("BS-9")
    def test_it_forgets_old_creates_without_being_asked(self) -> None:
        clock = AutojumpClock()
        ledger = Ledger(clock)
        for number in range(100):
            clock._now = number * 2.0
            ledger.note_created(Group(id=f"g{number}", name=""))
            ledger.note_deleted(f"d{number}")
        assert len(ledger._writes) <= 2 * 32

    @pytest.mark.requirement("BS-8")
    async def test_equal_timestamps_prove_nothing(self, emulator: Emulator, secoda: SecodaClient) -> None:
        def in_whole_days(answer: Json) -> Json:
            return answer | {"updated_at": "2024-02-03T00:00:00Z"}

        emulator.reads_lag = 8
        emulator.faults.add(transform=in_whole_days, path="/group/group-0", times=None)
        await secoda.groups.add_users("group-0", ["user-1"])
        await secoda.groups.add_users("group-0", ["user-2"])
        assert set(emulator.groups["group-0"]["users"]) == {"user-1", "user-2"}


class TestArguments:
    @pytest.mark.requirement("SEC-3")
    @pytest.mark.parametrize(
        "wrong", [{"concurrency": "4"}, {"concurrency": 1.5}, {"concurrency": None}, {"stop": 5}, {"operations": 5}]
    )
    async def test_a_bulk_checks_them(self, secoda: SecodaClient, wrong: Json) -> None:
        arguments: Json = {"operations": [CreateGroup(name="A")]} | wrong
        with pytest.raises(InvalidArgumentError):
            secoda.bulk(**arguments)

    @pytest.mark.requirement("SEC-3")
    @pytest.mark.parametrize("wrong", [{"concurrency": "4"}, {"concurrency": None}, {"max_pages": None}])
    async def test_a_list_checks_them(self, secoda: SecodaClient, wrong: Json) -> None:
        with pytest.raises(InvalidArgumentError):
            async for _ in secoda.groups.list(**wrong):
                pass

    @pytest.mark.requirement("SEC-3")
    async def test_plan_apply_and_resolve_check_them_before_anything_is_sent(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        wrong: Any = 5
        plan = await secoda.plan(DesiredState.from_groups([]))
        sent = len(emulator.requests)
        for call in (
            secoda.plan(wrong),
            secoda.apply(wrong),
            secoda.apply(plan, stop=wrong),
            secoda.users.resolve(wrong),
        ):
            with pytest.raises(InvalidArgumentError):
                await call
        assert len(emulator.requests) == sent
