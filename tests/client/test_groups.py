"""The calls on groups, asserted from the server's log."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from secoda_async import (
    AutojumpClock,
    DeadlineExceededError,
    Group,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseError,
    SecodaClient,
    SecodaError,
    to_dict,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.clients import Connect

Json = dict[str, Any]
Call = Callable[[SecodaClient], Awaitable[object]]


def members(emulator: Emulator, number: int) -> list[str]:
    return list(emulator.users)[:number]


def sent(emulator: Emulator, method: str) -> list[Any]:
    return [record.json for record in emulator.requests if record.method == method]


class TestBodies:
    @pytest.mark.requirement("MD-3")
    @pytest.mark.parametrize(
        ("fields", "body"),
        [
            ({}, {}),
            ({"name": "A"}, {"name": "A"}),
            ({"name": ""}, {"name": ""}),
            ({"name": "A", "icon": None, "description": None}, {"name": "A", "icon": None, "description": None}),
            ({"users": []}, {"users": []}),
            ({"users": iter(())}, {"users": []}),
            ({"name": "Ö 🧪", "description": 'a "b"\n'}, {"name": "Ö 🧪", "description": 'a "b"\n'}),
        ],
    )
    async def test_a_create_sends_what_is_given_and_no_more(
        self, emulator: Emulator, secoda: SecodaClient, fields: Json, body: Json
    ) -> None:
        group = await secoda.groups.create(**fields)
        assert sent(emulator, "POST") == [body]
        assert emulator.groups[group.id] == to_dict(group)

    @pytest.mark.requirement("MD-3")
    @pytest.mark.parametrize(
        ("fields", "body"),
        [
            ({"description": None}, {"description": None}),
            ({"icon": None}, {"icon": None}),
            ({"name": "B"}, {"name": "B"}),
            ({"users": []}, {"users": []}),
            ({"users": ()}, {"users": []}),
            ({"description": "", "users": []}, {"description": "", "users": []}),
        ],
    )
    async def test_an_update_tells_null_empty_and_left_out_apart(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, fields: Json, body: Json
    ) -> None:
        before = dict(emulator.groups[group_id])
        group = await secoda.groups.update(group_id, **fields)
        assert sent(emulator, "PATCH") == [body]
        assert len(emulator.requests) == 1
        changed = {"updated_at": emulator.groups[group_id]["updated_at"]}
        assert emulator.groups[group_id] == before | body | changed == to_dict(group)

    @pytest.mark.requirement("MD-3")
    async def test_an_update_of_nothing_sends_nothing(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        with pytest.raises(InvalidArgumentError, match="nothing to change"):
            await secoda.groups.update(group_id)
        assert emulator.requests == []
        assert secoda.limiter.state.free == 30

    @pytest.mark.requirement("MD-3")
    async def test_fetch_modify_send_writes_no_read_only_field(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        group = await secoda.groups.get(group_id)
        await secoda.groups.update(group.id, name=f"{group.name}!", users=group.users)
        await secoda.groups.add_users(group.id, members(emulator, 20))
        assert [set(body) for body in sent(emulator, "PATCH")] == [{"name", "users"}, {"users"}]

    async def test_members_are_sent_once_each_in_the_order_given(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        one, two = members(emulator, 2)
        await secoda.groups.create(users=(user for user in (two, one, two)))
        assert sent(emulator, "POST") == [{"users": [two, one]}]


BAD_FIELDS: list[Json] = [
    *({"name": None}, {"name": 5}, {"icon": 5}, {"description": ["x"]}, {"name": "\ud800"}),
    *({"users": "abc"}, {"users": 5}, {"users": None}, {"users": [""]}, {"users": [5]}, {"users": ["a", "b/c"]}),
]
BAD_IDS: list[object] = ["", ".", "..", "a/b", "a\\b", "a b", " ", "a\n", "\x7f", 5, None, b"a", Group("g", "G")]


class TestArguments:
    @pytest.mark.requirement("MD-2")
    @pytest.mark.parametrize("fields", BAD_FIELDS, ids=repr)
    async def test_invalid_field_is_refused_before_anything_is_sent(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, fields: Json
    ) -> None:
        with pytest.raises(InvalidArgumentError):
            await secoda.groups.create(**fields)
        with pytest.raises(InvalidArgumentError):
            await secoda.groups.update(group_id, **fields)
        assert emulator.requests == []

    @pytest.mark.parametrize("bad_id", BAD_IDS, ids=repr)
    async def test_an_id_that_is_no_path_segment_is_refused(
        self,
        emulator: Emulator,
        secoda: SecodaClient,
        bad_id: Any,
    ) -> None:
        calls: list[Call] = [
            lambda s: s.groups.get(bad_id),
            lambda s: s.groups.update(bad_id, name="x"),
            lambda s: s.groups.delete(bad_id),
            lambda s: s.groups.add_users(bad_id, []),
            lambda s: s.groups.remove_users(bad_id, []),
            lambda s: s.users.get(bad_id),
        ]
        for call in calls:
            with pytest.raises(InvalidArgumentError):
                await call(secoda)
        assert emulator.requests == []

    async def test_a_group_in_place_of_its_id_is_told_what_to_do(self, secoda: SecodaClient) -> None:
        with pytest.raises(InvalidArgumentError, match=r"pass group\.id"):
            await secoda.groups.get(cast("str", Group("g", "G")))

    async def test_single_id_in_place_of_a_list_is_refused_with_advice(self, secoda: SecodaClient) -> None:
        with pytest.raises(InvalidArgumentError, match="put one id in a list"):
            await secoda.groups.add_users("g", "abc")

    async def test_an_unknown_on_unknown_is_refused(self, emulator: Emulator, secoda: SecodaClient) -> None:
        with pytest.raises(InvalidArgumentError, match="on_unknown"):
            await secoda.groups.create(name="A", on_unknown=cast("Any", "retry"))
        assert emulator.requests == []

    @pytest.mark.parametrize("odd_id", ["ä", "%2F", "a?b", "a#b", "a%", "+", "..."])
    async def test_an_odd_id_stays_one_segment_on_the_wire(
        self, emulator: Emulator, secoda: SecodaClient, odd_id: str
    ) -> None:
        with pytest.raises(NotFoundError):
            await secoda.groups.get(odd_id)
        (record,) = emulator.requests
        assert record.path.count("/") == 5
        assert record.query == {}


class TestAnswers:
    async def test_a_group_is_read_as_it_is(self, emulator: Emulator, secoda: SecodaClient) -> None:
        group = await secoda.groups.create(name=" A ", users=members(emulator, 2))
        assert group == await secoda.groups.get(group.id)
        assert group.name == "A"
        assert group.created_at is not None
        assert group.created_at.tzinfo is UTC
        assert group.extra == {}

    @pytest.mark.requirement("MD-1")
    async def test_fields_unknown_missing_or_null_do_not_matter(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        emulator.faults.add(transform=lambda group: group | {"colour": {"r": 1}, "icon": None, "workspace_id": None})
        group = await secoda.groups.get(group_id)
        assert (group.extra, group.icon, group.workspace_id) == ({"colour": {"r": 1}}, None, None)
        emulator.faults.add(transform=lambda _: {"id": group_id, "name": "G"})
        assert await secoda.groups.get(group_id) == Group(group_id, "G")

    @pytest.mark.requirement("MD-2", "MD-4")
    @pytest.mark.parametrize(
        ("change", "location"),
        [
            ({"name": None}, "name"),
            ({"id": 1}, "id"),
            ({"users": "abc"}, "users"),
            ({"users": None}, "users"),
            ({"users": ["a", 5]}, r"users[1]"),
            ({"created_at": 5}, "created_at"),
            ({"created_at": "soon"}, "created_at"),
        ],
    )
    async def test_nothing_is_coerced_and_the_error_names_the_place(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, change: Json, location: str
    ) -> None:
        emulator.faults.add(transform=lambda group: group | change)
        with pytest.raises(ResponseError) as caught:
            await secoda.groups.get(group_id)
        assert caught.value.location == location
        assert str(caught.value).startswith(f"{location}: expected ")
        assert (caught.value.status, caught.value.attempts) == (200, 1)

    @pytest.mark.requirement("MD-2")
    @pytest.mark.parametrize("payload", [[], "text", 5, None, [{"id": "g", "name": "G"}]], ids=repr)
    async def test_response_that_is_no_object_is_refused(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, payload: object
    ) -> None:
        emulator.faults.add(transform=lambda _: payload)
        with pytest.raises(ResponseError, match="expected an object"):
            await secoda.groups.get(group_id)

    @pytest.mark.requirement("MD-4")
    @pytest.mark.parametrize(
        "written",
        ["2024-05-06T07:08:09Z", "2024-05-06T07:08:09.0+00:00", "2024-05-06T09:08:09+02:00", "2024-05-06T07:08:09"],
    )
    async def test_times_are_aware_and_in_utc(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, written: str
    ) -> None:
        emulator.faults.add(transform=lambda group: group | {"created_at": written})
        group = await secoda.groups.get(group_id)
        assert group.created_at is not None
        assert group.created_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
        assert group.created_at.tzinfo is UTC


class TestDelete:
    async def test_a_group_is_deleted_once(self, emulator: Emulator, secoda: SecodaClient, group_id: str) -> None:
        assert await secoda.groups.delete(group_id) is True
        assert group_id not in emulator.groups
        with pytest.raises(NotFoundError) as caught:
            await secoda.groups.delete(group_id)
        assert caught.value.attempts == 1
        assert await secoda.groups.delete(group_id, missing_ok=True) is False
        assert emulator.count("DELETE") == 3

    @pytest.mark.requirement("ER-4")
    @pytest.mark.parametrize("status", [204, 200])
    async def test_an_empty_success_is_a_success(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, status: int
    ) -> None:
        emulator.faults.add(status=status, headers={"Content-Type": "application/json"})
        assert await secoda.groups.delete(group_id) is True

    @pytest.mark.requirement("RT-3")
    @pytest.mark.parametrize(
        "fault", [{"drop": "after"}, {"stall": "after"}, {"status": 502, "carry_out": True}], ids=repr
    )
    async def test_a_delete_whose_answer_was_lost_reports_that_the_group_is_absent(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, fault: Json
    ) -> None:
        emulator.faults.add(**fault)
        assert await secoda.groups.delete(group_id) is False
        assert [record.applied for record in emulator.writes] == [True, False]

    @pytest.mark.requirement("RT-3")
    async def test_a_404_after_a_failure_that_never_arrived_is_a_404(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(status=429, headers={"Retry-After": "1"})
        with pytest.raises(NotFoundError) as caught:
            await secoda.groups.delete("nothing")
        assert caught.value.attempts == emulator.count("DELETE") == 2


class TestMembers:
    async def test_adding_reads_once_and_writes_the_whole_membership_once(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        first, second, third = members(emulator, 3)
        group = await secoda.groups.create(users=[first, second])
        emulator.requests.clear()
        group = await secoda.groups.add_users(group.id, [third, first])
        assert [record.method for record in emulator.requests] == ["GET", "PATCH"]
        assert set(sent(emulator, "PATCH")[0]["users"]) == set(group.users) == {first, second, third}

    async def test_removing_keeps_the_others(self, emulator: Emulator, secoda: SecodaClient) -> None:
        first, second, third = members(emulator, 3)
        group = await secoda.groups.create(users=[first, second])
        group = await secoda.groups.remove_users(group.id, [second, third])
        assert group.users == (first,)
        assert sent(emulator, "PATCH") == [{"users": [first]}]

    async def test_nothing_is_written_when_nothing_changes(self, emulator: Emulator, secoda: SecodaClient) -> None:
        first, second = members(emulator, 2)
        group = await secoda.groups.create(users=[first])
        emulator.requests.clear()
        for change, users in (
            (secoda.groups.add_users, [first]),
            (secoda.groups.add_users, []),
            (secoda.groups.remove_users, [second]),
            (secoda.groups.remove_users, []),
        ):
            assert await change(group.id, users) == group
        assert [record.method for record in emulator.requests] == ["GET"] * 4

    @pytest.mark.requirement("BS-6")
    async def test_concurrent_changes_of_one_group_all_end_up_in_it(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        people = members(emulator, 20)
        group = await secoda.groups.create(users=people[:1])
        copy = secoda.with_options(timeout=5)
        await asyncio.gather(
            *((copy if index % 2 else secoda).groups.add_users(group.id, [user]) for index, user in enumerate(people)),
            secoda.groups.remove_users(group.id, people[:1]),
        )
        assert set(emulator.groups[group.id]["users"]) == set(people[1:])

    @pytest.mark.requirement("BS-6")
    async def test_an_update_of_members_does_not_slip_into_an_addition(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        one, two, three = members(emulator, 3)
        group = await secoda.groups.create(users=[one])
        emulator.requests.clear()
        await asyncio.gather(secoda.groups.add_users(group.id, [two]), secoda.groups.update(group.id, users=[three]))
        assert [record.method for record in emulator.requests] == ["GET", "PATCH", "PATCH"]
        assert emulator.groups[group.id]["users"] == [three]

    async def test_other_groups_and_other_fields_do_not_wait(self, emulator: Emulator, secoda: SecodaClient) -> None:
        one, two = list(emulator.groups)[:2]
        emulator.faults.add(delay=5, method="GET")
        slow = asyncio.create_task(secoda.groups.add_users(one, members(emulator, 20)))
        await asyncio.sleep(0)
        await secoda.groups.update(one, name="x")
        await secoda.groups.add_users(two, members(emulator, 20))
        assert not slow.done()
        await slow

    @pytest.mark.requirement("RT-5")
    async def test_waiting_for_ones_turn_ends_at_the_deadline(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
    ) -> None:
        secoda = connect(deadline=2, timeout=100)
        emulator.faults.add(delay=50, method="GET")
        slow = asyncio.create_task(secoda.with_options(deadline=None).groups.add_users(group_id, members(emulator, 20)))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceededError) as caught:
            await secoda.groups.add_users(group_id, [])
        assert clock.now() == approx(2)
        assert (caught.value.method, caught.value.attempts) == ("PATCH", 0)
        assert caught.value.__cause__ is caught.value.__context__ is None
        await slow
        assert emulator.count("GET") == 1

    @pytest.mark.requirement("RT-5", "RT-12")
    async def test_the_two_requests_share_a_deadline(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
    ) -> None:
        emulator.latency = 2
        with pytest.raises(SecodaError) as caught:
            await connect(deadline=3).groups.add_users(group_id, members(emulator, 20))
        assert isinstance(caught.value, OutcomeUnknownError)
        assert isinstance(caught.value.__cause__, DeadlineExceededError)
        assert clock.now() == approx(3)
        assert emulator.count("PATCH") == 1
