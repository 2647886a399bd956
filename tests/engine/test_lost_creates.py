"""A create whose answer is lost makes one group, whatever the clocks, the lists and the names of the server do."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from secoda_async import (
    AutojumpClock,
    CreateGroup,
    DesiredGroup,
    DesiredState,
    Group,
    OutcomeUnknownError,
    SecodaClient,
    SecodaError,
)
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.combinations import combinations
from tests.support.waiting import advance

Json = dict[str, Any]
Create = Callable[[SecodaClient, str], Awaitable[Group]]


async def by_create(secoda: SecodaClient, name: str) -> Group:
    return await secoda.groups.create(name=name, on_unknown="reconcile")


async def by_bulk(secoda: SecodaClient, name: str) -> Group:
    (outcome,) = [outcome async for outcome in secoda.bulk([CreateGroup(name=name)])]
    if outcome.error is not None:
        assert outcome.status == "unknown"
        raise outcome.error
    assert outcome.status == "applied"
    assert outcome.group is not None
    return outcome.group


async def by_apply(secoda: SecodaClient, name: str) -> Group:
    plan = await secoda.plan(DesiredState.from_groups([DesiredGroup(name=name)]))
    if plan.is_empty:
        group = await secoda.groups.find(name=name)
        assert group is not None
        return group
    (outcome,) = (await secoda.apply(plan)).outcomes
    if outcome.error is not None:
        assert outcome.status == "unknown"
        raise outcome.error
    assert outcome.ok
    assert outcome.group is not None
    return outcome.group


async def by_ensure(secoda: SecodaClient, name: str) -> Group:
    return await secoda.groups.ensure(name=name)


WAYS: list[Create] = [by_create, by_bulk, by_apply, by_ensure]
LOST: list[Json] = [
    {"drop": "after"},
    {"status": 502, "carry_out": True},
    {"status": 503, "headers": {"Retry-After": "5"}, "carry_out": True},
    {"status": 504, "execute_after": 8.0},
    {"stall": "before", "execute_after": 8.0},
]
TROUBLE: list[Json] = [
    *({"date_skew": skew} for skew in (-3600.0, -60.0, -5.0, -3.0, 3.0, 5.0, 60.0, 3600.0, None)),
    *({"created_at_shown": shown} for shown in ("null", "absent", "local")),
    *({"lists_lag": seconds} for seconds in (3.0, 8.0, 20.0)),
    {"lists_lag": 20.0, "date_skew": -60.0, "created_at_shown": "null"},
    {"visible_after": 20.0},
]


def set_up(emulator: Emulator, switches: Json) -> None:
    for name, value in switches.items():
        setattr(emulator, name, value)


def made(emulator: Emulator) -> list[Json]:
    return [group for group in emulator.groups.values() if not group["name"].startswith("Group ")]


class TestOneGroup:
    @pytest.mark.requirement("RT-10")
    @pytest.mark.parametrize(("trouble", "lost", "create"), combinations(TROUBLE, LOST, WAYS))
    async def test_lost_create_makes_one_group(
        self, emulator: Emulator, connect: Connect, trouble: Json, lost: Json, create: Create
    ) -> None:
        set_up(emulator, trouble)
        emulator.faults.add(**lost, method="POST")
        group = await create(connect(timeout=1), "A")
        assert [group.id] == [one["id"] for one in made(emulator)]
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("RT-10")
    @pytest.mark.parametrize("create", WAYS[:2])
    @pytest.mark.parametrize("skew", [-3600.0, -5.0, 0.0, 5.0, 3600.0, None])
    async def test_existing_group_of_the_same_name_is_not_adopted(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, create: Create, skew: float | None
    ) -> None:
        emulator.date_skew = skew
        old = await connect().groups.create(name="A")
        await advance(clock, 1)
        emulator.faults.add(drop="before", method="POST")
        new = await create(connect(), "A")
        assert [group["id"] for group in made(emulator)] == [old.id, new.id]

    @pytest.mark.requirement("RT-10")
    @pytest.mark.parametrize("create", WAYS)
    @pytest.mark.parametrize(("sent", "stored"), [(" A ", "A"), ("A  B", "A B"), (" A \t B ", "A B")])
    async def test_name_with_other_white_space_is_the_same(
        self, emulator: Emulator, secoda: SecodaClient, create: Create, sent: str, stored: str
    ) -> None:
        emulator.collapse_names = True
        emulator.faults.add(drop="after", method="POST")
        group = await create(secoda, sent)
        assert (group.name, emulator.count("POST")) == (stored, 1)
        assert [one["id"] for one in made(emulator)] == [group.id]

    @pytest.mark.requirement("RT-10")
    @pytest.mark.parametrize("create", WAYS)
    async def test_name_in_another_letter_case_is_a_candidate(
        self, emulator: Emulator, secoda: SecodaClient, create: Create
    ) -> None:
        def lowered(page: Json) -> Json:
            if "results" not in page:
                return page | {"name": page["name"].lower()}
            return page | {"results": [group | {"name": group["name"].lower()} for group in page["results"]]}

        emulator.faults.add(drop="after", method="POST")
        emulator.faults.add(transform=lowered, method="GET", path="/auth/group", times=None)
        with pytest.raises(OutcomeUnknownError) as caught:
            await create(secoda, "NEW")
        assert [one["id"] for one in made(emulator)] == list(caught.value.candidates)
        assert emulator.count("POST") == 1


class TestUnknown:
    @pytest.mark.requirement("RT-10")
    @pytest.mark.parametrize("create", WAYS[:2])
    async def test_no_group_is_adopted_without_a_listing_before_the_create(
        self, emulator: Emulator, secoda: SecodaClient, create: Create
    ) -> None:
        emulator.faults.add(status=500, method="GET", match=lambda _: not emulator.count("POST"), times=None)
        emulator.faults.add(drop="after", method="POST")
        with pytest.raises(OutcomeUnknownError) as caught:
            await create(secoda, "A")
        assert [one["id"] for one in made(emulator)] == list(caught.value.candidates)
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("RT-10")
    @pytest.mark.parametrize("create", WAYS[:2])
    async def test_rejected_api_key_prevents_the_create(
        self, emulator: Emulator, secoda: SecodaClient, create: Create
    ) -> None:
        emulator.faults.add(status=401, method="GET", times=None)
        emulator.faults.add(drop="after", method="POST")
        with pytest.raises((SecodaError, AssertionError)) as caught:
            await create(secoda, "A")
        assert not isinstance(caught.value, OutcomeUnknownError)
        assert (emulator.count("POST"), made(emulator)) == (0, [])

    @pytest.mark.requirement("RT-10")
    async def test_unclear_create_of_a_name_contests_the_next_create(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.lists_lag = 8.0
        emulator.faults.add(drop="after", method="POST")
        emulator.faults.add(drop="before", method="POST")
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="A")
        with pytest.raises(OutcomeUnknownError) as caught:
            await by_create(secoda, "A")
        assert [one["id"] for one in made(emulator)] == list(caught.value.candidates)
        await advance(clock, 61)  # after a minute it is a group like any other
        emulator.faults.add(drop="after", method="POST")
        assert (await by_create(secoda, "A")).id not in caught.value.candidates


class TestNextCall:
    @pytest.mark.requirement("RT-10", "BS-9")
    @pytest.mark.parametrize(("lost", "lag", "again"), combinations(LOST, [0.0, 3.0, 20.0], [by_apply, by_ensure]))
    async def test_unclear_create_is_found_by_the_next_call_for_its_name(
        self, emulator: Emulator, connect: Connect, lost: Json, lag: float, again: Create
    ) -> None:
        emulator.lists_lag = lag
        secoda = connect(timeout=1)
        emulator.faults.add(**lost, method="POST")
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="A")
        group = await again(secoda, "A")
        assert [one["id"] for one in made(emulator)] == [group.id]
        assert emulator.count("POST") == 1


class TestServiceUnavailable:
    @pytest.mark.requirement("RT-11")
    @pytest.mark.parametrize("retry_after", ["0", "5", "500", "soon"])
    @pytest.mark.parametrize("is_executed", [False, True])
    async def test_503_to_a_create_is_unclear(
        self, emulator: Emulator, secoda: SecodaClient, retry_after: str, *, is_executed: bool
    ) -> None:
        emulator.faults.add(
            status=503, headers={"Retry-After": retry_after}, carry_out=is_executed, method="POST", times=None
        )
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="A")
        assert (emulator.count("POST"), len(made(emulator))) == (1, is_executed)

    @pytest.mark.requirement("RT-11")
    @pytest.mark.parametrize("create", WAYS)
    @pytest.mark.parametrize("is_executed", [False, True])
    async def test_503_to_a_create_is_followed_by_a_search(
        self, emulator: Emulator, secoda: SecodaClient, create: Create, *, is_executed: bool
    ) -> None:
        emulator.faults.add(status=503, headers={"Retry-After": "5"}, carry_out=is_executed, method="POST")
        group = await create(secoda, "A")
        assert [one["id"] for one in made(emulator)] == [group.id]
        assert emulator.count("POST") == (1 if is_executed else 2)
