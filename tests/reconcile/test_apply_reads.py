"""Incomplete reads: neither a plan nor an apply takes them for an absence of groups or members."""

from typing import Any

import pytest

from secoda_async import DesiredGroup, PaginationError, ResponseError, SecodaClient, SecodaError
from secoda_async.emulator import Emulator
from tests.support.applies import DESIRED, desired_state, has_target, make_plan, mutations
from tests.support.clients import Connect


@pytest.mark.requirement("BS-2")
@pytest.mark.parametrize("page", [1, 2])
@pytest.mark.parametrize("fault", ["status", "short", "empty", "cut"])
async def test_incomplete_read_is_not_an_absence_of_groups(
    emulator: Emulator, connect: Connect, page: int, fault: str
) -> None:
    def incomplete(document: dict[str, Any]) -> dict[str, Any]:
        return document | {"results": document["results"][:-1] if fault == "short" else []}

    faults: dict[str, Any] = {"status": {"status": 500}, "cut": {"cut": 20}}.get(fault, {"transform": incomplete})
    emulator.faults.add(**faults, match=lambda record: record.query.get("page", "1") == str(page), times=None)
    with pytest.raises(SecodaError) as caught:
        await connect().plan(DESIRED, prune=True)
    assert isinstance(caught.value, PaginationError) or fault in ("status", "cut")
    assert mutations(emulator) == []


@pytest.mark.requirement("BS-2", "MD-2")
async def test_missing_users_key_is_not_an_empty_group(emulator: Emulator, secoda: SecodaClient) -> None:
    def hidden(document: dict[str, Any]) -> dict[str, Any]:
        groups = document.get("results", [document])
        shown = [{key: value for key, value in group.items() if key != "users"} for group in groups]
        return document | {"results": shown} if "results" in document else shown[0]

    plan = await make_plan(secoda)
    emulator.faults.add(transform=hidden, method="GET", path="/auth/group", times=None)
    with pytest.raises(ResponseError, match=r"results\[0\]\.users: missing"):
        await make_plan(secoda)
    with pytest.raises(ResponseError, match=r"results\[0\]\.users: missing"):
        await secoda.apply(plan)
    with pytest.raises(ResponseError, match="users: missing"):
        await secoda.groups.add_users("a", ["u-ben"])
    assert (await secoda.groups.get("a")).users == ()  # a plain read accepts it
    assert mutations(emulator) == []


@pytest.mark.requirement("BS-2", "PG-3")
@pytest.mark.parametrize("fault", ["status", "short", "empty", "cut", "none left"])
async def test_failure_of_any_read_prevents_every_write(emulator: Emulator, connect: Connect, fault: str) -> None:
    def incomplete(document: dict[str, Any]) -> dict[str, Any]:
        results = document.get("results")
        if results is None or fault == "none left":
            return document | {"results": [], "links": {"next": None}, "count": len(results or ()) + 9}
        return document | {"results": results[:-1] if fault == "short" else []}

    faults: dict[str, Any] = {"status": {"status": 500}, "cut": {"cut": 20}}.get(fault, {"transform": incomplete})
    await connect().plan(DESIRED, prune=True)
    reads = [record.target for record in emulator.requests]
    before = {group_id: dict(group) for group_id, group in emulator.groups.items()}
    assert len(set(reads)) >= 4  # two pages of groups, two of users
    for target in dict.fromkeys(reads):
        emulator.faults.clear()
        emulator.faults.add(**faults, match=has_target(target), times=None)
        with pytest.raises(SecodaError):
            await connect().plan(DESIRED, prune=True)
    assert emulator.groups == before
    emulator.faults.clear()
    plan = await connect().plan(DESIRED, prune=True)
    for target in dict.fromkeys(target for target in reads if "group" in target):  # apply reads these again
        emulator.faults.clear()
        emulator.faults.add(**faults, match=has_target(target), times=None)
        with pytest.raises(SecodaError):
            await connect().apply(plan)
    assert emulator.groups == before
    assert emulator.count() == emulator.count("GET")


@pytest.mark.requirement("BS-5", "PG-4")
async def test_reread_before_a_create_accepts_a_list_that_changes(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(DesiredGroup(name="x")))
    emulator.latency = 2.0
    emulator.faults.add(
        transform=lambda page: page | {"count": 1},  # others deleted groups meanwhile
        match=lambda _: not emulator.count("POST"),
        skip=4,  # the drift detection: two pages, each read twice
        times=None,
    )
    report = await secoda.apply(plan)
    assert (report.ok, report.counts, report.differences) == (True, {"applied": 1}, ())


async def test_failed_reread_before_a_create_gets_a_second_attempt(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(DesiredGroup(name="x"), DesiredGroup(name="a", description="new")))
    emulator.latency = 2.0
    emulator.faults.add(status=404, match=lambda record: "page=2" in record.target, skip=1)  # the list became shorter
    report = await secoda.apply(plan)
    assert (report.ok, report.counts) == (True, {"applied": 2})
