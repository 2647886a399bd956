"""A create whose answer was lost: never a second group, and with on_unknown="reconcile" its result all the same."""

import asyncio
from typing import Any

import pytest

from secoda_async import (
    APIError,
    AuthenticationError,
    AutojumpClock,
    CreateGroup,
    Group,
    OutcomeUnknownError,
    ResponseError,
    SecodaClient,
    SecodaError,
    ServerError,
    TransportError,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.waiting import advance, drain_loop, wait_until

Json = dict[str, Any]
LISTING = 6
"""Requests of a complete listing of three pages: each is read twice."""
SEARCHES = 6
LOST: list[Json] = [
    {"drop": "after"},
    {"stall": "after"},
    {"status": 500, "carry_out": True},
    {"status": 504, "carry_out": True, "body": "<html>"},
    {"body": b"{broken"},
    {"cut": 10},
]
NEVER_DONE: list[Json] = [
    {"stall": "before"},
    {"status": 500},
    {"status": 502},
    {"raw": b"rubbish", "carry_out": False},
]


def named(emulator: Emulator, name: str) -> list[str]:
    return [group["id"] for group in emulator.groups.values() if group["name"] == name]


async def create(secoda: SecodaClient, name: str = "A", **fields: Any) -> Group:
    return await secoda.groups.create(name=name, on_unknown="reconcile", **fields)


class TestAdoption:
    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize("fault", LOST, ids=repr)
    async def test_group_of_a_create_with_a_lost_response_is_adopted(
        self, emulator: Emulator, secoda: SecodaClient, fault: Json
    ) -> None:
        emulator.faults.add(**fault, method="POST")
        users = list(emulator.users)[:2]
        group = await create(secoda, " A ", icon=None, description="d", users=[*users, users[0]])
        assert named(emulator, "A") == [group.id]
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize("fault", NEVER_DONE, ids=repr)
    async def test_create_is_sent_again_when_the_group_is_absent(
        self, emulator: Emulator, secoda: SecodaClient, fault: Json
    ) -> None:
        emulator.faults.add(**fault, method="POST")
        group = await create(secoda)
        assert named(emulator, "A") == [group.id]
        assert emulator.count("POST") == 2

    @pytest.mark.requirement("RT-1")
    async def test_group_of_a_second_create_with_a_lost_response_is_adopted(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(status=502, method="POST")
        emulator.faults.add(drop="after", method="POST")
        group = await create(secoda)
        assert named(emulator, "A") == [group.id]
        assert emulator.count("POST") == 2

    @pytest.mark.requirement("RT-1")
    async def test_create_is_sent_at_most_twice(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=502, method="POST", times=None)
        with pytest.raises(OutcomeUnknownError) as caught:
            await create(secoda)
        assert emulator.count("POST") == 2
        assert caught.value.name == "A"
        assert isinstance(caught.value.__cause__, ServerError)

    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize("status", [400, 403, 429])
    async def test_rejected_second_create_leaves_the_first_unknown(
        self, emulator: Emulator, secoda: SecodaClient, status: int
    ) -> None:
        emulator.visible_after = 1000
        emulator.faults.add(drop="after", method="POST")
        emulator.faults.add(status=status, headers={"Retry-After": "500"}, method="POST")
        with pytest.raises(OutcomeUnknownError, match="sending it again failed") as caught:
            await create(secoda)
        assert isinstance(caught.value.__cause__, APIError)
        assert len(emulator.groups) == 121

    @pytest.mark.requirement("RT-1")
    async def test_search_waits_for_a_lagging_replica(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.visible_after = 3.5
        emulator.faults.add(drop="after", method="POST")
        group = await create(secoda)
        assert named(emulator, "A") == [group.id]
        assert clock.now() == approx(7)
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("RT-10")
    async def test_searches_follow_after_growing_delays_until_the_settle_time(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(drop="before", method="POST")
        await create(secoda)
        methods = [record.method for record in emulator.requests]
        first = methods.index("POST")
        began = emulator.requests[first].at
        times = [round(record.at - began) for record in emulator.requests[first + 1 :]]
        assert sorted({*times}) == [0, 1, 3, 7, 15, 30]
        assert methods[-1] == "POST"

    @pytest.mark.requirement("BS-5")
    async def test_creates_of_different_names_are_concurrent(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.faults.add(delay=5, method="POST", times=None)
        await asyncio.gather(create(secoda, "A"), create(secoda, "B"))
        assert clock.now() == approx(5)

    async def test_search_reads_all_pages(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.page_size = 10
        emulator.faults.add(drop="after", method="POST")
        assert (await create(secoda)).id in emulator.groups
        assert emulator.count("POST") == 1

    async def test_clear_response_is_followed_by_no_search(self, emulator: Emulator, secoda: SecodaClient) -> None:
        await create(secoda)
        before = ["GET"] * 6  # three pages, read twice
        assert [record.method for record in emulator.requests] == [*before, "POST"]


class TestOtherGroups:
    @pytest.mark.requirement("RT-1")
    async def test_group_that_existed_before_the_create_is_not_adopted(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        old = await connect().groups.create(name="A")
        await advance(clock, 10)
        emulator.faults.add(status=502, method="POST")
        new = await create(connect())
        assert named(emulator, "A") == [old.id, new.id]

    @pytest.mark.requirement("RT-1")
    async def test_group_just_created_by_this_client_is_not_adopted(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        old = await secoda.groups.create(name="A")
        emulator.faults.add(status=502, method="POST")
        new = await create(secoda)
        assert named(emulator, "A") == [old.id, new.id]

    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize("other", [{"icon": "x"}, {"description": "e"}, {"users": []}, {"name": "a"}], ids=repr)
    async def test_group_with_a_different_field_is_not_adopted(
        self, emulator: Emulator, connect: Connect, other: Json
    ) -> None:
        fields: Json = {"name": "A", "icon": "i", "description": "d", "users": list(emulator.users)[:1]}
        await connect().groups.create(**fields | other)
        emulator.faults.add(status=502, method="POST")
        await create(connect(), **fields)
        assert emulator.count("POST") == 3

    @pytest.mark.requirement("RT-1")
    async def test_two_candidates_are_named_and_no_create_is_sent_again(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        def another_program_creates_one(_: object) -> bool:
            emulator.groups["theirs"] = emulator.groups["group-0"] | {"id": "theirs", "name": "A"}
            return True

        emulator.faults.add(drop="after", method="POST", match=another_program_creates_one)
        with pytest.raises(OutcomeUnknownError, match="2 groups may be the result") as caught:
            await create(secoda)
        assert set(caught.value.candidates) == set(named(emulator, "A"))
        assert len(caught.value.candidates) == 2
        assert all(candidate in str(caught.value) for candidate in caught.value.candidates)
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("RT-1")
    async def test_create_without_a_name_is_not_sent_again_if_the_server_chose_one(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        def choose_name(_: object) -> bool:
            emulator.groups["made"] = emulator.groups["group-0"] | {"id": "made", "name": "New group", "icon": "x"}
            return True

        emulator.faults.add(drop="before", method="POST", match=choose_name)
        with pytest.raises(OutcomeUnknownError) as caught:
            await secoda.groups.create(icon="x", on_unknown="reconcile")
        assert caught.value.candidates == ("made",)
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("body", [{"id": "made"}, {"id": "made", "name": "B", "users": []}], ids=repr)
    async def test_id_in_an_unusable_response_is_a_candidate(
        self, emulator: Emulator, secoda: SecodaClient, body: Json
    ) -> None:
        emulator.faults.add(status=201, body=body, method="POST")
        with pytest.raises(OutcomeUnknownError) as caught:
            await secoda.groups.create(name="A")
        assert caught.value.candidates == ("made",)

    @pytest.mark.requirement("RT-1", "BS-5")
    @pytest.mark.parametrize("fault", [*LOST[:2], *NEVER_DONE[:2]], ids=repr)
    async def test_concurrent_creates_of_one_name_make_one_group_each(
        self, emulator: Emulator, secoda: SecodaClient, fault: Json
    ) -> None:
        emulator.faults.add(**fault, method="POST")
        emulator.faults.add(**fault, method="POST", skip=1)
        groups = await asyncio.gather(create(secoda), create(secoda), create(secoda))
        assert sorted(group.id for group in groups) == sorted(named(emulator, "A"))
        assert len({group.id for group in groups}) == 3

    @pytest.mark.requirement("RT-1")
    async def test_list_that_keeps_changing_is_no_proof_of_absence(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(drop="after", method="POST")
        emulator.faults.add(status=404, match=lambda record: record.query.get("page") == "3", times=None)
        with pytest.raises(
            OutcomeUnknownError, match=r"searching for it failed: .*the list changed during each of 5 reads"
        ):
            await create(secoda)
        assert emulator.count("POST") == len(named(emulator, "A")) == 1

    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize("fault", [{"drop": "after"}, {"status": 502}], ids=repr)
    async def test_list_that_changes_for_a_while_is_read_again(
        self, emulator: Emulator, secoda: SecodaClient, fault: Json
    ) -> None:
        emulator.faults.add(**fault, method="POST")
        emulator.faults.add(
            status=404, match=lambda record: emulator.count("POST") and record.query.get("page") == "3", times=5
        )
        group = await create(secoda)
        assert named(emulator, "A") == [group.id]

    @pytest.mark.requirement("RT-1")
    async def test_page_with_a_missing_item_is_no_proof_of_absence(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(drop="after", method="POST")
        emulator.faults.add(
            transform=lambda page: page | {"results": page["results"][:-1]},
            match=lambda record: emulator.count("POST") and record.query.get("page") == "3",
            times=2,
        )
        group = await create(secoda)
        assert named(emulator, "A") == [group.id]

    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize(
        ("broken", "kind"),
        [
            ({"status": 500}, ServerError),
            ({"drop": "before"}, TransportError),
            ({"body": "<html>"}, ResponseError),
            ({"status": 401}, AuthenticationError),
            ({"cut": 20}, TransportError),
        ],
        ids=repr,
    )
    async def test_failing_reads_leave_the_outcome_unknown(
        self, emulator: Emulator, secoda: SecodaClient, broken: Json, kind: type[SecodaError]
    ) -> None:
        emulator.faults.add(drop="after", method="POST")
        emulator.faults.add(**broken, method="GET", match=lambda _: emulator.count("POST"), times=None)
        with pytest.raises(OutcomeUnknownError, match="searching for it failed") as caught:
            await create(secoda)
        assert emulator.count("POST") == 1
        assert (caught.value.method, caught.value.path) == ("POST", "/api/v1/auth/group")
        assert isinstance(caught.value.__cause__, kind)
        assert "the server closed the connection without a response" in str(caught.value)


class TestDeadline:
    @pytest.mark.requirement("RT-5")
    @pytest.mark.parametrize("latency", [0.7, 1.5, 2.4])
    async def test_deadline_ends_the_search(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, latency: float
    ) -> None:
        emulator.page_size, emulator.latency = 200, latency
        emulator.visible_after = 1000
        emulator.faults.add(drop="after", method="POST")
        with pytest.raises(OutcomeUnknownError):
            await create(connect(deadline=5))
        assert clock.now() <= 5.01
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("RT-5")
    async def test_create_that_lasts_until_the_deadline_is_not_searched_for(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        emulator.faults.add(stall="after", method="POST")
        with pytest.raises(OutcomeUnknownError, match="deadline of 5 s"):
            await create(connect(deadline=5))
        assert (clock.now(), emulator.count("POST")) == (approx(5), 1)
        assert emulator.requests[-1].method == "POST"

    @pytest.mark.requirement("RT-1")
    @pytest.mark.parametrize("date", ["", "soon", "Fri, 31 Dec 9999 23:59:59 -2359"])
    async def test_unusable_date_header_is_ignored(self, emulator: Emulator, secoda: SecodaClient, date: str) -> None:
        emulator.faults.add(drop="after", method="POST")
        emulator.faults.add(headers={"Date": date}, method="GET")
        group = await create(secoda)
        assert named(emulator, "A") == [group.id]

    @pytest.mark.requirement("RT-7")
    async def test_cancelled_search_sends_nothing_more(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(drop="after", method="POST")
        stalled = emulator.faults.add(stall="before", method="GET", match=lambda _: emulator.count("POST"))
        task = asyncio.create_task(create(secoda))
        await wait_until(lambda: stalled.used)
        sent = len(emulator.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await drain_loop()
        assert (len(emulator.requests), emulator.count("POST")) == (sent, 1)
        emulator.faults.clear()
        assert (await create(secoda)).name == "A"  # the name is free again


class TestSecondCreate:
    """An event between the last search and the second create."""

    @pytest.mark.requirement("RT-1", "BS-5")
    async def test_group_that_appears_during_the_limit_wait_is_adopted(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        secoda = connect()
        emulator.faults.add(delay=45, method="POST", match=lambda record: record.json == {"name": "slow"})
        calls = [create(secoda, "slow"), *(create(secoda, f"g{index}") for index in range(60))]
        first, *_ = await asyncio.gather(*calls)
        assert named(emulator, "slow") == [first.id]
        assert clock.now() >= 60

    @pytest.mark.requirement("RT-1", "BS-5")
    @pytest.mark.parametrize("groups", [1, 2])
    async def test_groups_that_appear_just_before_the_second_create_prevent_it(
        self, emulator: Emulator, secoda: SecodaClient, groups: int
    ) -> None:
        """Changes by another program."""
        emulator.faults.add(status=502, method="POST")

        def others(_: object) -> bool:
            if emulator.count("GET") != before:
                return False
            for index in range(groups):
                new = {"id": f"x{index}", "name": "A", "created_at": "2999-01-01T00:00:00Z"}
                emulator.groups[f"x{index}"] = emulator.groups["group-0"] | new
            return False

        before = LISTING + SEARCHES * LISTING + 1
        emulator.faults.add(match=others, status=500)
        if groups == 1:
            assert (await create(secoda)).id == "x0"
        else:
            with pytest.raises(
                OutcomeUnknownError, match="sending it again failed: 2 groups may be the result: x0, x1"
            ):
                await create(secoda)
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("BS-7", "RT-1", "RT-12")
    @pytest.mark.parametrize(
        ("searches", "note"),
        [
            (1, "it was not found, and the search was cancelled"),
            (SEARCHES, "it was not found, and the search was cancelled"),
            (SEARCHES + 1, "it was not sent again: the operation was cancelled"),
        ],
    )
    async def test_stop_before_the_second_create_leaves_the_outcome_unknown(
        self, emulator: Emulator, secoda: SecodaClient, searches: int, note: str
    ) -> None:
        stop = asyncio.Event()
        emulator.faults.add(status=502, method="POST")

        def last_read_of_a_search(_: object) -> bool:
            if emulator.count("GET") == LISTING + searches * LISTING:
                stop.set()
            return False

        emulator.faults.add(match=last_read_of_a_search, status=500)
        (outcome,) = [outcome async for outcome in secoda.bulk([CreateGroup(name="A")], stop=stop)]
        assert (outcome.status, emulator.count("POST")) == ("unknown", 1)
        assert note in str(outcome.error)

    @pytest.mark.requirement("BS-7", "RT-12")
    async def test_stop_ends_the_search_although_the_service_is_down(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        secoda, stop = connect(timeout=10), asyncio.Event()
        emulator.faults.add(status=502, method="POST")
        emulator.faults.add(stall="before", method="GET", match=lambda _: emulator.count("POST") > 0, times=None)
        clock.call_later(5, stop.set)
        (outcome,) = [outcome async for outcome in secoda.bulk([CreateGroup(name="A")], stop=stop)]
        assert (outcome.status, clock.now()) == ("unknown", approx(5 + 10))
        assert "the search was cancelled" in str(outcome.error)


class TestOtherCreates:
    @pytest.mark.requirement("RT-1", "BS-5")
    @pytest.mark.parametrize("other", ["A", " A "])
    async def test_group_of_another_create_in_flight_is_not_adopted(
        self, emulator: Emulator, secoda: SecodaClient, other: str
    ) -> None:
        emulator.faults.add(drop="before", method="POST")
        emulator.faults.add(stall="after", method="POST")
        found = asyncio.create_task(create(secoda, "A"))
        await wait_until(lambda: emulator.count("POST") == 1)
        plain = asyncio.create_task(secoda.with_options(timeout=2.0).groups.create(name=other))
        results = await asyncio.gather(found, plain, return_exceptions=True)
        assert isinstance(results[1], OutcomeUnknownError)
        assert emulator.count("POST") == 2 or len(named(emulator, "A")) == 2

    @pytest.mark.requirement("RT-1", "RT-10")
    async def test_group_of_a_create_in_flight_is_only_a_candidate(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(drop="before", method="POST")
        emulator.faults.add(stall="after", method="POST")
        found = asyncio.create_task(create(secoda, "A"))
        await wait_until(lambda: emulator.count("POST") == 1)
        plain = asyncio.create_task(secoda.groups.create(name="A"))
        with pytest.raises(OutcomeUnknownError, match="1 group may be the result") as caught:
            await found
        assert list(caught.value.candidates) == named(emulator, "A")
        assert emulator.count("POST") == 2
        plain.cancel()
        await asyncio.gather(plain, return_exceptions=True)
