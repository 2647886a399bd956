"""Members and groups that this client or another program writes are never lost or made twice: reads may lag."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from secoda_async import (
    AutojumpClock,
    BadRequestError,
    DeadlineExceededError,
    DesiredGroup,
    DesiredState,
    Group,
    NotFoundError,
    OutcomeUnknownError,
    ResponseError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
)
from secoda_async.emulator import Emulator, RecordedRequest
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.waiting import advance, drain_loop, wait_until

Json = dict[str, Any]
START = ["user-0", "user-1"]
WAITS: dict[str, Json] = {
    "backoff": {"status": 502, "headers": {"Retry-After": "9"}},
    "lost answer": {"drop": "before"},
    "cooldown": {"status": 429, "headers": {"Retry-After": "9"}},
    "unavailable": {"status": 503, "headers": {"Retry-After": "9"}},
    "timeout": {"stall": "before"},
}


@pytest.fixture
def members(emulator: Emulator, group_id: str) -> Callable[[], set[str]]:
    emulator.groups[group_id]["users"] = list(START)
    return lambda: set(emulator.groups[group_id]["users"])


def without_times(answer: Json) -> Json:
    if "results" in answer:
        return answer | {"results": [without_times(group) for group in answer["results"]]}
    return {key: value for key, value in answer.items() if key not in ("created_at", "updated_at")}


def change(secoda: SecodaClient, group_id: str, verb: str) -> Awaitable[Group]:
    if verb == "add":
        return secoda.groups.add_users(group_id, ["user-2"])
    return secoda.groups.remove_users(group_id, ["user-1"])


EXPECTED = {"add": {"user-0", "user-1", "user-2"}, "remove": {"user-0"}}


@pytest.mark.requirement("RT-12")
async def test_update_that_ends_in_flight_is_unclear(emulator: Emulator, connect: Connect, group_id: str) -> None:
    secoda = connect()
    pipeline: Any = vars(secoda)["_pipeline"]
    unsent = secoda.groups.update(group_id, users=[])
    unsent.send(None)  # it waits for its connection
    unsent.close()  # as garbage collection does
    assert pipeline.ledger.update_settles_in(group_id) == 0
    emulator.faults.add(stall="after", method="PATCH")
    task = asyncio.ensure_future(secoda.groups.update(group_id, users=[]))
    await wait_until(lambda: emulator.count("PATCH"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pipeline.ledger.update_settles_in(group_id) > 0


class TestOthers:
    """Another program adds a member while the call waits."""

    @pytest.mark.requirement("BS-8")
    @pytest.mark.parametrize("verb", ["add", "remove"])
    async def test_member_added_by_others_during_the_limit_wait_stays(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, members: Callable[[], set[str]], verb: str
    ) -> None:
        await asyncio.gather(*(secoda.groups.create(name=f"g{index}") for index in range(30)))
        task = asyncio.ensure_future(change(secoda, group_id, verb))
        await wait_until(lambda: secoda.limiter.state.queued)
        emulator.groups[group_id]["users"].append("user-9")
        await task
        assert members() == EXPECTED[verb] | {"user-9"}
        assert emulator.count("PATCH") == 1

    @pytest.mark.requirement("BS-8")
    @pytest.mark.parametrize("verb", ["add", "remove"])
    @pytest.mark.parametrize("wait", WAITS)
    async def test_member_added_by_others_before_a_retry_stays(
        self,
        emulator: Emulator,
        secoda: SecodaClient,
        group_id: str,
        members: Callable[[], set[str]],
        verb: str,
        wait: str,
    ) -> None:
        def another_program_adds(_: object) -> bool:
            emulator.groups[group_id]["users"].append("user-9")
            return True

        emulator.faults.add(**WAITS[wait], method="PATCH", match=another_program_adds)
        await change(secoda, group_id, verb)
        assert members() == EXPECTED[verb] | {"user-9"}
        assert emulator.count("PATCH") == 2

    @pytest.mark.requirement("BS-8")
    @pytest.mark.parametrize("verb", ["add", "remove"])
    async def test_member_added_by_others_during_a_cooldown_stays(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, members: Callable[[], set[str]], verb: str
    ) -> None:
        emulator.faults.add(status=429, headers={"Retry-After": "50"}, method="POST")
        other = asyncio.create_task(secoda.groups.create(name="A"))
        await wait_until(lambda: secoda.limiter.state.paused)
        task = asyncio.ensure_future(change(secoda, group_id, verb))
        await wait_until(lambda: secoda.limiter.state.queued == 2)
        emulator.groups[group_id]["users"].append("user-9")
        await asyncio.gather(task, other)
        assert members() == EXPECTED[verb] | {"user-9"}

    @pytest.mark.requirement("BS-8")
    async def test_member_added_by_others_during_the_connection_wait_stays(
        self, emulator: Emulator, connect: Connect, group_id: str, members: Callable[[], set[str]]
    ) -> None:
        secoda = connect(max_connections=1, timeout=100)

        def another_program_adds(record: RecordedRequest) -> bool:
            is_other = "group-7" in record.target
            if is_other:
                emulator.groups[group_id]["users"].append("user-9")
            return is_other

        emulator.faults.add(delay=20, method="GET", match=another_program_adds)
        call = asyncio.ensure_future(change(secoda, group_id, "add"))
        await wait_until(lambda: emulator.count("GET"))
        await asyncio.gather(
            call, secoda.groups.get("group-7")
        )  # it takes the connection between the read and the write
        assert members() == EXPECTED["add"] | {"user-9"}
        assert [record.method for record in emulator.requests] == ["GET", "GET", "GET", "PATCH"]

    @pytest.mark.requirement("BS-8")
    async def test_change_that_another_program_made_is_not_written_again(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, members: Callable[[], set[str]]
    ) -> None:
        await asyncio.gather(*(secoda.groups.create(name=f"g{index}") for index in range(30)))
        task = asyncio.ensure_future(change(secoda, group_id, "add"))
        await wait_until(lambda: secoda.limiter.state.queued)
        emulator.groups[group_id]["users"].append("user-2")
        assert set((await task).users) == members() == EXPECTED["add"]
        assert emulator.count("PATCH") == 0
        assert secoda.limiter.state.in_flight == 0


class TestLaggingReplica:
    @pytest.mark.requirement("BS-8")
    @pytest.mark.parametrize("lag", [0.5, 1.0, 3.0, 8.0, 20.0])
    @pytest.mark.parametrize("number", [2, 4])
    @pytest.mark.parametrize("has_times", [True, False])
    async def test_consecutive_additions_keep_all_members_on_a_lagging_replica(
        self,
        emulator: Emulator,
        secoda: SecodaClient,
        group_id: str,
        members: Callable[[], set[str]],
        lag: float,
        number: int,
        *,
        has_times: bool,
    ) -> None:
        if not has_times:
            emulator.faults.add(transform=without_times, path="/auth/group", times=None)
        emulator.reads_lag = lag
        added = [f"user-{index}" for index in range(5, 5 + number)]
        for user in added:
            group = await secoda.groups.add_users(group_id, [user])
            assert user in group.users
        assert members() == {*START, *added}
        assert emulator.count("PATCH") == number

    @pytest.mark.requirement("BS-8")
    @pytest.mark.parametrize("lag", [1.0, 8.0])
    @pytest.mark.parametrize("has_times", [True, False])
    async def test_removal_after_an_addition_is_kept_on_a_lagging_replica(
        self,
        emulator: Emulator,
        secoda: SecodaClient,
        group_id: str,
        members: Callable[[], set[str]],
        lag: float,
        *,
        has_times: bool,
    ) -> None:
        if not has_times:
            emulator.faults.add(transform=without_times, path="/auth/group", times=None)
        emulator.reads_lag = lag
        await secoda.groups.add_users(group_id, ["user-5"])
        await secoda.groups.remove_users(group_id, ["user-0"])
        await secoda.groups.add_users(group_id, ["user-6"])
        assert members() == {"user-1", "user-5", "user-6"}
        await secoda.groups.add_users(group_id, ["user-0"])
        await secoda.groups.remove_users(group_id, ["user-6"])
        assert members() == {"user-0", "user-1", "user-5"}

    @pytest.mark.requirement("BS-8")
    async def test_members_set_by_an_update_are_kept_on_a_lagging_replica(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, members: Callable[[], set[str]]
    ) -> None:
        emulator.reads_lag = 8.0
        await secoda.groups.update(group_id, users=["user-0", "user-5"])
        await secoda.groups.add_users(group_id, ["user-6"])
        assert members() == {"user-0", "user-5", "user-6"}

    @pytest.mark.requirement("BS-8")
    async def test_members_removed_by_an_update_are_not_added_again(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, members: Callable[[], set[str]]
    ) -> None:
        emulator.reads_lag = 20.0
        await secoda.groups.update(group_id, users=["user-5"])
        await secoda.groups.add_users(group_id, ["user-6"])
        await secoda.groups.update(group_id, icon="x")
        await secoda.groups.remove_users(group_id, ["user-6"])
        assert members() == {"user-5"}

    @pytest.mark.requirement("BS-8")
    async def test_member_added_by_another_program_stays_on_a_lagging_replica(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, group_id: str
    ) -> None:
        emulator.reads_lag = 3.0
        await secoda.groups.add_users(group_id, ["user-5"])
        emulator.groups[group_id]["users"].append("user-9")
        await advance(clock, 4)
        await secoda.groups.add_users(group_id, ["user-6"])
        assert set(emulator.groups[group_id]["users"]) == {"user-5", "user-6", "user-9"}

    @pytest.mark.requirement("BS-8")
    async def test_new_group_can_be_changed_before_it_is_readable(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.visible_after = 8.0
        group = await secoda.groups.create(name="A", users=["user-0"])
        group = await secoda.groups.add_users(group.id, ["user-1"])
        assert set(emulator.groups[group.id]["users"]) == {"user-0", "user-1"}
        with pytest.raises(NotFoundError):
            await secoda.groups.add_users("missing", ["user-1"])

    @pytest.mark.requirement("BS-8")
    async def test_deleted_group_that_is_still_readable_is_not_changed(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        emulator.reads_lag = 8.0
        await secoda.groups.delete(group_id)
        with pytest.raises(NotFoundError):
            await secoda.groups.add_users(group_id, ["user-1"])
        assert group_id not in emulator.groups


def desired(*names: str, icon: str = "x") -> DesiredState:
    return DesiredState.from_groups([DesiredGroup(name=name, icon=icon) for name in names])


def named(emulator: Emulator, name: str) -> list[str]:
    return [group["id"] for group in emulator.groups.values() if group["name"] == name]


class TestUnclearUpdates:
    """The server executes an update and its answer is lost; then reads lag behind it."""

    @pytest.mark.requirement("BS-8", "RT-12")
    @pytest.mark.parametrize("first", ["remove", "update"])
    async def test_addition_is_written_although_a_lagging_read_shows_the_member(
        self, emulator: Emulator, connect: Connect, group_id: str, members: Callable[[], set[str]], first: str
    ) -> None:
        emulator.reads_lag = 8
        secoda = connect(retry=RetryPolicy(attempts=1))
        emulator.faults.add(status=504, carry_out=True, method="PATCH")
        removal = secoda.groups.remove_users(group_id, ["user-1"])
        update = secoda.groups.update(group_id, users=["user-0"])
        lost, other = (removal, update) if first == "remove" else (update, removal)
        other.close()
        with pytest.raises(OutcomeUnknownError):
            await lost
        assert members() == {"user-0"}
        group = await secoda.groups.add_users(group_id, ["user-1"])
        assert set(group.users) == members() == {"user-0", "user-1"}

    @pytest.mark.requirement("BS-6")
    @pytest.mark.parametrize("lost", [{"status": 504}, {"stall": "before"}], ids=repr)
    async def test_addition_waits_until_an_unclear_one_can_no_longer_be_executed(
        self, emulator: Emulator, connect: Connect, group_id: str, members: Callable[[], set[str]], lost: Json
    ) -> None:
        secoda = connect(retry=RetryPolicy(attempts=1), timeout=5)
        emulator.faults.add(**lost, execute_after=12, method="PATCH")
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.add_users(group_id, ["user-2"])
        await secoda.groups.add_users(group_id, ["user-3"])
        assert members() == {*START, "user-2", "user-3"}

    @pytest.mark.requirement("BS-6")
    async def test_addition_waits_until_an_earlier_attempt_can_no_longer_be_executed(
        self,
        emulator: Emulator,
        secoda: SecodaClient,
        clock: AutojumpClock,
        group_id: str,
        members: Callable[[], set[str]],
    ) -> None:
        emulator.faults.add(status=504, execute_after=12, method="PATCH")
        await secoda.groups.add_users(group_id, ["user-2"])  # the second attempt succeeds
        await secoda.groups.add_users(group_id, ["user-3"])
        await advance(clock, 20)
        assert members() == {*START, "user-2", "user-3"}

    @pytest.mark.requirement("RT-12")
    async def test_update_that_the_server_refuses_after_a_lost_response_delays_no_addition(
        self,
        emulator: Emulator,
        secoda: SecodaClient,
        clock: AutojumpClock,
        group_id: str,
        members: Callable[[], set[str]],
    ) -> None:
        emulator.faults.add(drop="before", method="PATCH")
        with pytest.raises(BadRequestError):
            await secoda.groups.update(group_id, users=["nobody"])
        refused = clock.now()
        await secoda.groups.add_users(group_id, ["user-2"])
        assert (clock.now(), members()) == (refused, {*START, "user-2"})

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize(("method", "write"), [("PATCH", "update of the group"), ("POST", "create of this name")])
    async def test_deadline_and_log_name_the_unclear_write_as_the_cause_of_a_wait(
        self,
        emulator: Emulator,
        connect: Connect,
        group_id: str,
        method: str,
        write: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def call(client: SecodaClient) -> Awaitable[Group]:
            return client.groups.ensure(name="A") if method == "POST" else change(client, group_id, "add")

        secoda = connect(retry=RetryPolicy(attempts=1))
        emulator.faults.add(drop="before", method=method)
        with pytest.raises(OutcomeUnknownError):
            await (secoda.groups.create(name="A") if method == "POST" else call(secoda))
        cause = f"an earlier {write} may still be executed"
        with pytest.raises(DeadlineExceededError, match=f"have to wait [23][0-9.]+ s more, because {cause}"):
            await call(secoda.with_options(deadline=5))
        with caplog.at_level("INFO", logger="secoda_async"):
            await call(secoda)
        assert f"s ({cause}) before {method} /api/v1/auth/group" in caplog.text

    @pytest.mark.requirement("RT-7", "RT-12")
    async def test_addition_that_was_cancelled_before_it_was_sent_is_not_unclear(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, clock: AutojumpClock
    ) -> None:
        await asyncio.gather(*(secoda.groups.create(name=f"g{index}") for index in range(30)))
        task = asyncio.ensure_future(secoda.groups.add_users(group_id, ["user-2"]))
        await wait_until(lambda: secoda.limiter.state.queued)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        began = clock.now()
        await secoda.groups.add_users(group_id, [])
        assert (clock.now(), emulator.count("PATCH")) == (began, 0)


class TestLists:
    @pytest.mark.requirement("BS-9")
    @pytest.mark.parametrize("lag", [3.0, 8.0, 20.0])
    async def test_plan_does_not_create_a_group_just_created(
        self, emulator: Emulator, secoda: SecodaClient, lag: float
    ) -> None:
        emulator.lists_lag = lag
        await secoda.groups.create(name="A", icon="x")
        plan = await secoda.plan(desired("A"))
        assert plan.is_empty
        assert (await secoda.apply(plan)).ok

    @pytest.mark.requirement("BS-9")
    async def test_apply_does_not_create_a_group_created_after_the_plan(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.lists_lag = 20.0
        plan = await secoda.plan(desired("A", "B"))
        group = await secoda.groups.create(name="A", icon="x")
        report = await secoda.apply(plan)
        assert [outcome.status for outcome in report.outcomes] == ["unchanged", "applied"]
        assert named(emulator, "A") == [group.id]

    @pytest.mark.requirement("BS-9")
    async def test_apply_does_not_create_a_group_that_ensure_creates_meanwhile(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        plan = await secoda.plan(desired("A", "B"))
        emulator.faults.add(delay=0.5, method="POST", times=None)  # shorter than creates of apply share a list
        ensured = asyncio.gather(*(secoda.groups.ensure(name=name, icon="x") for name in ("A", "B")))
        await wait_until(lambda: emulator.count("POST") == 2)
        report = await secoda.apply(plan)
        groups = await ensured
        assert report.counts == {"unchanged": 2}
        assert named(emulator, "A") + named(emulator, "B") == [group.id for group in groups]

    @pytest.mark.requirement("BS-9")
    @pytest.mark.parametrize("lag", [3.0, 20.0])
    async def test_same_plan_applied_again_writes_nothing(
        self, emulator: Emulator, secoda: SecodaClient, lag: float
    ) -> None:
        emulator.lists_lag = lag
        plan = await secoda.plan(desired("A", "B", "Group 0"))
        first, second = await asyncio.gather(secoda.apply(plan), secoda.apply(plan))
        third = await secoda.apply(plan)
        assert first.counts == {"applied": 3}
        assert second.counts == third.counts == {"unchanged": 3}
        assert (emulator.count("POST"), emulator.count("PATCH")) == (2, 1)

    @pytest.mark.requirement("BS-9")
    @pytest.mark.parametrize("lag", [3.0, 20.0])
    async def test_apply_interrupted_and_run_again_creates_no_duplicate(
        self, emulator: Emulator, connect: Connect, lag: float
    ) -> None:
        emulator.lists_lag, emulator.latency = lag, 0.1
        secoda = connect()
        names = [f"n{index:02}" for index in range(50)]
        plan = await secoda.plan(desired(*names))
        done = asyncio.Event()
        task = asyncio.create_task(
            secoda.apply(plan, on_progress=lambda now: done.set() if now.done == 12 else None, stop=done)
        )
        await task
        report = await secoda.apply(await secoda.plan(desired(*names)))
        assert report.counts.keys() <= {"applied", "unchanged"}
        assert [len(named(emulator, name)) for name in names] == [1] * 50
        assert emulator.count("POST") == 50

    @pytest.mark.requirement("BS-9", "RT-10")
    @pytest.mark.parametrize("lag", [0.0, 3.0, 8.0, 20.0])
    async def test_apply_interrupted_during_a_create_and_run_again_makes_one_group(
        self, emulator: Emulator, secoda: SecodaClient, lag: float
    ) -> None:
        emulator.lists_lag = lag
        stalled = emulator.faults.add(stall="after", method="POST")
        task = asyncio.create_task(secoda.apply(await secoda.plan(desired("A"))))
        await wait_until(lambda: stalled.used and named(emulator, "A"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        report = await secoda.apply(await secoda.plan(desired("A")))
        assert report.counts.keys() <= {"unchanged"}
        assert len(named(emulator, "A")) == emulator.count("POST") == 1

    @pytest.mark.requirement("BS-9", "RT-10")
    async def test_apply_after_an_unclear_create_makes_one_group(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.lists_lag = 20.0
        emulator.faults.add(drop="after", method="POST")
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name=" a", icon="x")
        plan = await secoda.plan(desired("a", "B"))
        report = await secoda.apply(plan)
        changes = zip(report.outcomes, (change.name for change in plan.changes), strict=True)
        assert {name: outcome.status for outcome, name in changes} == {"a": "unchanged", "B": "applied"}
        assert len(named(emulator, "a")) == 1
        assert clock.now() < 60

    @pytest.mark.requirement("BS-9", "RT-10")
    async def test_apply_waits_for_a_create_that_becomes_unclear_meanwhile(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        plan = await secoda.plan(desired("A"))
        emulator.lists_lag = 20.0
        emulator.faults.add(stall="after", method="POST")
        ensuring = asyncio.ensure_future(secoda.groups.ensure(name="A", icon="x"))
        await wait_until(lambda: emulator.count("POST"))
        applying = asyncio.ensure_future(secoda.apply(plan))
        await drain_loop()
        ensuring.cancel()
        report = await applying
        await asyncio.gather(ensuring, return_exceptions=True)
        assert report.counts == {"unchanged": 1}
        assert len(named(emulator, "A")) == emulator.count("POST") == 1

    @pytest.mark.requirement("BS-9", "BS-7")
    async def test_stop_ends_the_wait_for_an_unclear_create(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        stop = asyncio.Event()
        emulator.faults.add(drop="before", method="POST")
        plan = await secoda.plan(desired("A"))
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="A", icon="x")
        report = await secoda.apply(plan, stop=stop, on_progress=None)
        assert report.counts == {"applied": 1}
        emulator.faults.add(drop="before", method="POST")
        plan = await secoda.plan(desired("B"))
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="B", icon="x")
        began = clock.now()
        clock.call_later(10, stop.set)
        report = await secoda.apply(plan, stop=stop)
        assert report.counts == {"not_attempted": 1}
        assert clock.now() - began == approx(10)

    @pytest.mark.requirement("BS-9")
    async def test_plan_counts_own_updates_and_deletes_as_made(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.lists_lag = 8.0
        await secoda.groups.update("group-0", icon="x")
        await secoda.groups.delete("group-1")
        plan = await secoda.plan(desired("Group 0", "Group 1"))
        assert [(change.kind, change.name) for change in plan.changes] == [("create", "Group 1")]

    @pytest.mark.requirement("BS-9")
    async def test_own_writes_older_than_a_minute_do_not_override_the_list(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        group = await secoda.groups.create(name="A", icon="x")
        del emulator.groups[group.id]
        assert (await secoda.plan(desired("A"))).is_empty
        await advance(clock, 61)
        assert len((await secoda.plan(desired("A"))).changes) == 1


class TestLocks:
    @pytest.mark.requirement("SL-6")
    @pytest.mark.parametrize("group_id", ["apply", "group", "create"])
    async def test_group_id_like_a_lock_name_does_not_deadlock(
        self, emulator: Emulator, connect: Connect, group_id: str
    ) -> None:
        emulator.groups[group_id] = emulator.groups["group-0"] | {"id": group_id, "name": "A"}
        secoda = connect(deadline=30)
        wanted = DesiredState.from_groups([DesiredGroup(name="A", icon="x", members=("user-1@example.com",))])
        assert (await secoda.apply(await secoda.plan(wanted))).ok
        await asyncio.gather(
            secoda.groups.create(name="A", on_unknown="reconcile"), secoda.groups.add_users(group_id, ["user-2"])
        )
        assert set(emulator.groups[group_id]["users"]) == {"user-1", "user-2"}

    @pytest.mark.requirement("SL-6")
    async def test_two_spellings_of_a_group_id_share_a_lock(self, emulator: Emulator, connect: Connect) -> None:
        emulator.groups["GROUP-0"] = emulator.groups["group-0"]  # one group, two spellings
        emulator.latency = 0.5
        secoda = connect(retry=RetryPolicy(attempts=1))
        calls = [asyncio.ensure_future(secoda.groups.add_users("group-0", ["user-1"]))]
        await drain_loop()
        calls.append(asyncio.ensure_future(secoda.groups.add_users("GROUP-0", ["user-2"])))
        await asyncio.gather(*calls)
        assert set(emulator.groups["group-0"]["users"]) == {"user-1", "user-2"}


class TestSpellings:
    """UUIDs in another letter case mean the same users."""

    @pytest.mark.requirement("SL-6", "BS-4")
    async def test_letter_case_of_user_ids_does_not_matter(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, members: Callable[[], set[str]]
    ) -> None:
        name = emulator.groups[group_id]["name"]
        await secoda.groups.add_users(group_id, ["USER-0"])
        await secoda.groups.ensure(name=name, users=["USER-0", "user-1"])
        assert emulator.writes == []
        emulator.groups[group_id]["users"] = ["User-0", "user-1"]
        await secoda.groups.remove_users(group_id, ["USER-0"])
        assert members() == {"user-1"}


class TestDeadlines:
    @pytest.mark.requirement("SL-6")
    async def test_deadline_bounds_the_whole_health_check(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        emulator.faults.add(status=404, body={"detail": "Not found."}, path="healthcheck", delay=3)
        emulator.faults.add(status=200, body={"status": "OK"}, path="healthcheck", delay=3)
        with pytest.raises(TimeoutError):
            await connect(deadline=5).health()
        assert clock.now() == approx(5)

    @pytest.mark.requirement("SL-6")
    async def test_deadline_bounds_the_whole_plan(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        emulator.page_size, emulator.latency = 200, 3
        wanted = DesiredState.from_groups([DesiredGroup(name="A", members=("user-1@example.com",))])
        with pytest.raises(TimeoutError):
            await connect(deadline=5).plan(wanted)
        assert clock.now() == approx(5)
        plan = await connect(deadline=9.5).plan(wanted)
        assert clock.now() <= 5 + 9.5
        assert len(plan.changes) == 1


@pytest.mark.requirement("BS-8")
async def test_add_users_keeps_members_whose_addition_could_not_be_confirmed(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    emulator.reads_lag = 20
    emulator.faults.add(status=403, path="/user/", times=None)
    emulator.hide_pending = True
    emulator.users["user-1"]["pending"] = True
    with pytest.raises(SecodaError):
        await secoda.groups.add_users("group-0", ["user-0", "user-1"])
    await secoda.groups.add_users("group-0", ["user-2"])
    assert {"user-0", "user-2"} <= set(emulator.groups["group-0"]["users"])


@pytest.mark.requirement("BS-8")
async def test_add_users_keeps_members_when_updated_at_is_the_same_in_two_reads(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    def round_to_days(body: Json) -> Json:
        return body | {"updated_at": "2024-02-03T00:00:00Z"}

    emulator.reads_lag = 8
    emulator.faults.add(transform=round_to_days, path="/group/group-0", times=None)
    await secoda.groups.add_users("group-0", ["user-1"])
    await secoda.groups.add_users("group-0", ["user-2"])
    assert set(emulator.groups["group-0"]["users"]) == {"user-1", "user-2"}


class TestHiddenMembers:
    """A response without the key `users` does not say that the group has no members."""

    @pytest.mark.requirement("BS-6", "RT-13")
    @pytest.mark.parametrize("hidden", [("users",), ("users", "updated_at")])
    async def test_response_to_an_update_without_members_loses_none(
        self, emulator: Emulator, secoda: SecodaClient, hidden: tuple[str, ...]
    ) -> None:
        emulator.faults.add(
            transform=lambda group: {key: group[key] for key in group if key not in hidden}, method="PATCH"
        )
        group = await secoda.groups.create(name="Team", users=START)
        with pytest.raises(ResponseError, match="users: missing"):
            await secoda.groups.update(group.id, description="New.")
        await secoda.groups.add_users(group.id, ["user-2"])
        assert set(emulator.groups[group.id]["users"]) == {*START, "user-2"}

    @pytest.mark.requirement("BS-6")
    async def test_apply_writes_no_members_over_those_that_a_read_hides(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        wanted = DesiredGroup(name=emulator.groups[group_id]["name"], members=("user-2",))
        plan = await secoda.plan(DesiredState.from_groups([wanted]))

        def add_member(group: Json) -> Json:
            emulator.groups[group_id]["users"] = list(START)
            return {key: value for key, value in group.items() if key != "users"}

        emulator.faults.add(transform=add_member, method="GET", path=f"/{group_id}", times=None)
        report = await secoda.apply(plan)
        assert not report.ok
        assert emulator.groups[group_id]["users"] == START
