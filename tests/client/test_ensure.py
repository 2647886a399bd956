"""`groups.find` and `groups.ensure`: a group by its name, with at most one write."""

import asyncio

import pytest

from secoda_async import (
    AmbiguousNameError,
    AutojumpClock,
    InvalidArgumentError,
    OutcomeUnknownError,
    RateLimit,
    SecodaClient,
)
from secoda_async.emulator import Emulator, RecordedRequest
from tests.support.clients import Connect
from tests.support.waiting import advance, wait_until


def ids_named(emulator: Emulator, name: str) -> list[str]:
    return [group["id"] for group in emulator.groups.values() if group["name"] == name]


@pytest.mark.requirement("BS-4")
async def test_find_returns_the_group_of_a_name_or_none(secoda: SecodaClient) -> None:
    found = await secoda.groups.find(name=" Group 7 ")
    assert found is not None
    assert found.id == "group-7"
    assert await secoda.groups.find(name="group 7") is None


@pytest.mark.requirement("BS-5")
async def test_find_raises_for_a_name_of_several_groups(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.groups["group-8"]["name"] = "Group 7"
    for call in (secoda.groups.find(name="Group 7"), secoda.groups.ensure(name="Group 7", icon="x")):
        with pytest.raises(AmbiguousNameError, match="2 groups are called 'Group 7'") as caught:
            await call
        assert caught.value.candidates == ("group-7", "group-8")
    assert emulator.writes == []


@pytest.mark.requirement("BS-13")
async def test_ensure_takes_a_name_that_differs_in_blanks_only(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.collapse_names = True
    created = await secoda.groups.ensure(name="Data  Team")
    again = await secoda.groups.ensure(name="Data  Team", icon="x")
    assert (created.name, again.id) == ("Data Team", created.id)
    assert [record.method for record in emulator.writes] == ["POST", "PATCH"]


@pytest.mark.requirement("BS-13")
@pytest.mark.parametrize("name", ["group 7", "Group\u200b 7", "\uff27roup 7", "Gr\u043eup 7"])
async def test_ensure_makes_no_second_group_that_looks_alike(
    emulator: Emulator, secoda: SecodaClient, name: str
) -> None:
    with pytest.raises(AmbiguousNameError, match="looks like another group's name") as caught:
        await secoda.groups.ensure(name=name)
    assert caught.value.candidates == ("group-7",)
    assert emulator.writes == []


@pytest.mark.requirement("BS-13")
async def test_ensure_takes_no_dash_or_quotation_mark_for_another_name(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    for existing, name in (("R&D - Core", "R&D \u2013 Core"), ("Ana's Team", "Ana\u2019s Team")):
        emulator.groups["group-7"]["name"] = existing
        with pytest.raises(AmbiguousNameError):
            await secoda.groups.ensure(name=name)
    assert emulator.writes == []


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize("name", ["", "  ", None, 5])
async def test_a_name_that_finds_nothing_is_refused(emulator: Emulator, secoda: SecodaClient, name: object) -> None:
    for call in (secoda.groups.find, secoda.groups.ensure):
        with pytest.raises(InvalidArgumentError):
            await call(name=name)  # type: ignore[arg-type]
    assert emulator.requests == []


@pytest.mark.requirement("BS-4")
async def test_ensure_creates_updates_and_then_writes_nothing(emulator: Emulator, secoda: SecodaClient) -> None:
    created = await secoda.groups.ensure(name="New", users=["user-1"])
    updated = await secoda.groups.ensure(name="New", icon="x", users=["user-2", "user-1"])
    equal = await secoda.groups.ensure(name=" New ", icon="x", users=["user-1", "user-2"])
    untouched = await secoda.groups.ensure(name="New")
    assert created.id == updated.id == equal.id == untouched.id
    assert set(emulator.groups[created.id]["users"]) == {"user-1", "user-2"}
    assert [record.method for record in emulator.writes] == ["POST", "PATCH"]


@pytest.mark.requirement("BS-5")
async def test_concurrent_calls_of_ensure_create_one_group(emulator: Emulator, secoda: SecodaClient) -> None:
    groups = await asyncio.gather(*(secoda.groups.ensure(name="New") for _ in range(5)))
    assert {group.id for group in groups} == set(ids_named(emulator, "New"))
    assert emulator.count("POST") == 1


@pytest.mark.requirement("BS-9")
async def test_ensure_knows_a_group_that_lists_do_not_show_yet(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.visible_after = 30
    created = await secoda.groups.create(name="New")
    assert (await secoda.groups.ensure(name="New")).id == created.id
    assert emulator.count("POST") == 1


@pytest.mark.requirement("RT-10")
@pytest.mark.parametrize("skew", [-3600.0, -3.5, 0.0, 4.0, 3600.0])
async def test_ensure_adopts_a_lost_create_whatever_the_clocks_say(
    emulator: Emulator, secoda: SecodaClient, skew: float
) -> None:
    emulator.date_skew = skew
    emulator.faults.add(drop="after", method="POST")
    group = await secoda.groups.ensure(name="New", users=["user-1"])
    assert ids_named(emulator, "New") == [group.id]
    assert emulator.count("POST") == 1


@pytest.mark.requirement("RT-10")
async def test_ensure_leaves_a_lost_create_unknown_when_others_make_the_same(
    emulator: Emulator, secoda: SecodaClient, connect: Connect
) -> None:
    other = connect()
    emulator.faults.add(drop="after", method="POST", times=2)
    results = await asyncio.gather(
        secoda.groups.ensure(name="New"), other.groups.ensure(name="New"), return_exceptions=True
    )
    assert [type(result) for result in results] == [OutcomeUnknownError, OutcomeUnknownError]
    assert emulator.count("POST") == len(ids_named(emulator, "New")) == 2
    assert {result.candidates for result in results if isinstance(result, OutcomeUnknownError)} == {
        tuple(ids_named(emulator, "New"))
    }


@pytest.mark.requirement("BS-9")
async def test_ensure_waits_for_a_create_in_flight(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(delay=5, method="POST")
    first = asyncio.ensure_future(secoda.groups.create(name="A", on_unknown="reconcile"))
    await wait_until(lambda: emulator.count("POST"))
    ensured = await secoda.groups.ensure(name="A")
    assert ensured == await first
    assert ids_named(emulator, "A") == [ensured.id]


@pytest.mark.requirement("RT-10")
async def test_ensure_finds_an_unclear_create_that_is_executed_later(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(status=504, execute_after=8, method="POST")
    with pytest.raises(OutcomeUnknownError):
        await secoda.groups.create(name="A")
    ensured = await secoda.groups.ensure(name="A")
    assert ids_named(emulator, "A") == [ensured.id]
    assert emulator.count("POST") == 1


@pytest.mark.requirement("RT-7")
async def test_ensure_that_was_cancelled_before_it_was_sent_delays_no_other(
    connect: Connect, clock: AutojumpClock
) -> None:
    secoda = connect(write_limit=RateLimit(2, per_seconds=10))
    await asyncio.gather(secoda.groups.create(name="X"), secoda.groups.create(name="Y"))
    cancelled = asyncio.ensure_future(secoda.groups.ensure(name="A"))
    await wait_until(lambda: secoda.limiter.state.queued)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    await secoda.groups.ensure(name="A")
    assert clock.now() < 20  # the write limit, without the time in which a create may still be executed


@pytest.mark.requirement("RT-10")
async def test_ensure_finds_a_group_that_another_program_creates_during_the_wait(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    await asyncio.gather(*(secoda.groups.create(name=f"g{index}") for index in range(30)))
    task = asyncio.ensure_future(secoda.groups.ensure(name="A"))
    await wait_until(lambda: secoda.limiter.state.queued)
    emulator.groups["theirs"] = emulator.groups["group-0"] | {"id": "theirs", "name": "A"}
    assert (await task).id == "theirs"
    assert ids_named(emulator, "A") == ["theirs"]


@pytest.mark.requirement("RT-10")
async def test_ensure_finds_a_group_that_another_program_creates_during_the_connection_wait(
    emulator: Emulator, connect: Connect
) -> None:
    secoda = connect(max_connections=1, timeout=100)

    def another_program_creates(record: RecordedRequest) -> bool:
        is_other = "group-7" in record.target
        if is_other:
            emulator.groups["theirs"] = emulator.groups["group-0"] | {"id": "theirs", "name": "A"}
        return is_other

    emulator.faults.add(delay=20, method="GET", match=another_program_creates)
    call = asyncio.ensure_future(secoda.groups.ensure(name="A"))
    await wait_until(lambda: emulator.count("GET") == 6)  # the last page of its snapshot
    await asyncio.gather(call, secoda.groups.get("group-7"))
    assert ids_named(emulator, "A") == ["theirs"]


@pytest.mark.requirement("RT-10")
async def test_concurrent_calls_of_ensure_end_although_connections_are_few(
    emulator: Emulator, connect: Connect
) -> None:
    secoda = connect(max_connections=2, deadline=900)
    emulator.latency = 2
    names = [f"new-{index}" for index in range(20)]
    await asyncio.gather(*(secoda.groups.ensure(name=name) for name in names))
    assert [len(ids_named(emulator, name)) for name in names] == [1] * 20


@pytest.mark.requirement("RT-10")
async def test_ensure_updates_a_group_that_another_program_creates_before_the_second_send(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    secoda = connect(write_limit=RateLimit(1, per_seconds=300))
    emulator.faults.add(drop="before", method="POST")
    task = asyncio.ensure_future(secoda.groups.ensure(name="A", description="ours"))
    await advance(clock, 60)  # the searches have ended, and the second send waits for a permit
    theirs = emulator.groups["group-0"] | {"id": "theirs", "name": "A", "description": "theirs"}
    emulator.groups["theirs"] = theirs
    group = await task
    assert (group.id, group.description) == ("theirs", "ours")
    assert [record.method for record in emulator.writes] == ["POST", "PATCH"]
