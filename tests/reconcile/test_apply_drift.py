"""Drift: changes of others between the plan and its writes."""

import asyncio
import itertools
from typing import Any

import pytest
from attrs import evolve

from secoda_async import (
    AutojumpClock,
    Change,
    DesiredGroup,
    NotFoundError,
    Plan,
    Progress,
    SecodaClient,
    StalePlanError,
)
from secoda_async.emulator import Emulator
from secoda_async.models import GroupFields
from tests.support.applies import desired_state, make_plan, mutations
from tests.support.waiting import advance, wait_until


@pytest.fixture
async def plan(secoda: SecodaClient) -> Plan:
    return await make_plan(secoda)


@pytest.mark.requirement("BS-3")
@pytest.mark.parametrize(
    ("group", "fields", "message"),
    [
        ("a", {"description": "theirs"}, "'a' has changed since the plan was made"),
        ("a", {"users": ["u-joe"]}, "'a' has changed since the plan was made"),
        ("a", None, "'a' does not exist any more"),
        ("c", {"users": ["u-joe"]}, "'c' has changed since the plan was made"),
        ("d", {"name": "d"}, "'d' exists already, and not as planned"),
    ],
)
async def test_drift_is_detected_before_the_first_write(
    emulator: Emulator,
    secoda: SecodaClient,
    plan: Plan,
    group: str,
    fields: dict[str, Any] | None,
    message: str,
) -> None:
    if fields is None:
        del emulator.groups[group]
    else:
        emulator.groups[group] = emulator.groups.get(group, emulator.groups["b"] | {"id": group}) | fields
    with pytest.raises(StalePlanError, match=message) as caught:
        await secoda.apply(plan)
    assert caught.value.names == (group,)
    assert mutations(emulator) == []
    report = await secoda.apply(plan, on_drift="skip")
    assert (report.ok, report.counts.get("failed")) == (False, 1)
    assert isinstance(next(outcome.error for outcome in report.outcomes if outcome.error), StalePlanError)
    assert "c" in emulator.groups  # the failure prevents deletes


@pytest.mark.parametrize("fields", [{"description": "theirs"}, {"description": "changed", "users": ["u-ana", "u-eve"]}])
async def test_drift_is_detected_immediately_before_a_write(
    emulator: Emulator, secoda: SecodaClient, plan: Plan, fields: dict[str, Any]
) -> None:
    def change_group(document: dict[str, Any]) -> dict[str, Any]:
        emulator.groups["a"] |= fields
        return document | fields

    emulator.faults.add(transform=change_group, method="GET", path="/auth/group/a")
    report = await secoda.apply(plan)
    statuses = {outcome.status for outcome in report.outcomes if outcome.index == 1}
    assert statuses == {"unchanged" if "users" in fields else "failed"}
    assert emulator.count("PATCH") == 0


@pytest.mark.requirement("BS-5")
async def test_drift_is_checked_after_the_wait_for_the_write_limit(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    # The wait for the write limit can take minutes.
    names = [f"n{index:02}" for index in range(40)]
    for name in names:
        emulator.groups[name] = emulator.groups["a"] | {"id": name, "name": name}
    plan = await secoda.plan(desired_state(*(DesiredGroup(name=name, description="new") for name in names)))
    work = asyncio.create_task(secoda.apply(plan))
    await wait_until(lambda: emulator.count("PATCH") == 30)
    await advance(clock, 5.0)
    emulator.groups["n39"]["description"] = "theirs"
    report = await work
    assert report.counts == {"applied": 39, "failed": 1}
    assert [str(outcome.error) for outcome in report.outcomes if not outcome.ok] == [
        "'n39' has changed since the plan was made: skipped, plan again"
    ]
    assert (emulator.groups["n39"]["description"], emulator.count("PATCH")) == ("theirs", 39)


async def test_name_that_the_plan_frees_is_not_drift(emulator: Emulator, secoda: SecodaClient) -> None:
    report = await secoda.apply(
        await secoda.plan(desired_state(DesiredGroup(name="z", id="a"), DesiredGroup(name="a")))
    )
    assert (report.ok, report.counts) == (True, {"applied": 2})
    assert sorted(group["name"] for group in emulator.groups.values()) == ["a", "b", "c", "z"]


async def test_new_name_taken_by_another_group_is_drift(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(DesiredGroup(name="z", id="a")))
    emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "z"}
    with pytest.raises(StalePlanError, match="'z' exists already, and not as planned"):
        await secoda.apply(plan)


@pytest.mark.requirement("BS-13")
@pytest.mark.parametrize("group_id", ["a", None], ids=["rename", "create"])
async def test_new_name_with_blanks_is_taken_by_the_same_name_without(
    emulator: Emulator, secoda: SecodaClient, group_id: str | None
) -> None:
    before, after = (GroupFields(name="a") if group_id else GroupFields()), GroupFields(name="b ", icon="other")
    change = Change(kind="update" if group_id else "create", name="b ", id=group_id, before=before, after=after)
    with pytest.raises(StalePlanError, match="exists already, and not as planned"):
        await secoda.apply(Plan(changes=(change,)))
    assert mutations(emulator) == []


@pytest.mark.requirement("BS-13")
@pytest.mark.parametrize("desired", [DesiredGroup(name="Z"), DesiredGroup(name="Z", id="a")], ids=["create", "rename"])
async def test_group_that_looks_like_the_new_name_and_appeared_since_is_drift(
    emulator: Emulator, secoda: SecodaClient, desired: DesiredGroup
) -> None:
    plan = await secoda.plan(desired_state(desired))
    emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "z\u200b"}
    with pytest.raises(StalePlanError, match=r"'Z' looks like 'z\\u200b' \(x\), which did not exist when the plan"):
        await secoda.apply(plan)
    assert (await secoda.apply(plan, on_drift="skip")).counts == {"failed": 1}
    assert mutations(emulator) == []


@pytest.mark.requirement("BS-13")
async def test_names_that_look_alike_are_written_when_they_were_approved(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    names = ["".join(letters) for letters in itertools.product("zZ", repeat=4)]
    emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "B "}
    for desired in (["b\u200b"], ["q", "Q"], names):
        plan = await secoda.plan(desired_state(*(DesiredGroup(name=name) for name in desired)))
        report = await secoda.apply(plan, approve=plan.digest)
        assert (report.ok, report.counts) == (True, {"applied": len(desired)})


async def test_change_of_an_unplanned_field_is_not_drift(emulator: Emulator, secoda: SecodaClient, plan: Plan) -> None:
    emulator.groups["a"]["icon"] = "theirs"
    assert (await secoda.apply(plan)).ok
    assert emulator.groups["a"]["icon"] == "theirs"


async def test_change_that_is_done_already_is_unchanged(emulator: Emulator, secoda: SecodaClient, plan: Plan) -> None:
    emulator.groups["a"] |= {"description": "changed", "users": ["u-eve", "u-ana"]}
    emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "d", "icon": "i", "users": ["u-joe"]}
    del emulator.groups["c"]
    report = await secoda.apply(plan)
    assert (report.ok, report.counts) == (True, {"unchanged": 3})
    assert mutations(emulator) == []


async def test_group_deleted_by_others_is_drift(emulator: Emulator, secoda: SecodaClient, plan: Plan) -> None:
    for group in ("a", "c"):
        emulator.faults.add(status=404, body={"detail": "Not found."}, method="GET", path=f"/auth/group/{group}")
    report = await secoda.apply(plan)
    assert [outcome.status for outcome in report.outcomes] == ["applied", "failed", "not_attempted"]
    assert "'a' does not exist any more" in str(report.outcomes[1].error)


@pytest.mark.requirement("RT-13")
async def test_404_of_a_gateway_is_not_an_absence_of_a_group(
    emulator: Emulator, secoda: SecodaClient, plan: Plan
) -> None:
    for group in ("a", "c"):
        emulator.faults.add(status=404, body="<html>nginx</html>", method="GET", path=f"/auth/group/{group}")
    report = await secoda.apply(plan)
    assert [outcome.status for outcome in report.outcomes] == ["applied", "failed", "not_attempted"]
    assert isinstance(report.outcomes[1].error, NotFoundError)


@pytest.mark.requirement("RT-13")
async def test_404_of_a_gateway_fails_a_delete(emulator: Emulator, secoda: SecodaClient, plan: Plan) -> None:
    emulator.faults.add(status=404, body="<html>nginx</html>", method="DELETE")
    report = await secoda.apply(plan)
    assert [outcome.status for outcome in report.outcomes] == ["applied", "applied", "failed"]
    assert "c" in emulator.groups


@pytest.mark.requirement("BS-5")
async def test_group_created_by_others_is_not_created_again(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(*(DesiredGroup(name=f"n{index:02}") for index in range(70))))

    def create_last_group(now: Progress) -> None:
        if now.done == 30:
            emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "n69"}

    report = await secoda.apply(plan, on_progress=create_last_group)
    last = report.outcomes[-1]
    assert (report.writes, emulator.count("POST")) == (69, 69)
    assert last.status == "unchanged"
    assert last.group is not None
    assert last.group.id == "x"


@pytest.mark.requirement("BS-5")
async def test_different_group_created_by_others_is_drift(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(*(DesiredGroup(name=f"n{index:02}", icon="i") for index in range(70))))

    def create_last_group(now: Progress) -> None:
        if now.done == 30:
            emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "n69"}

    report = await secoda.apply(plan, on_progress=create_last_group)
    assert report.counts == {"applied": 69, "failed": 1}
    assert "exists already, and not as planned" in str(report.outcomes[-1].error)


async def test_plan_of_another_workspace_is_refused(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    assert plan.workspace == "w"
    with pytest.raises(StalePlanError, match="was made for another workspace"):
        await secoda.apply(evolve(plan, workspace="v"))
    assert mutations(emulator) == []


async def test_plan_without_a_workspace_is_applied(secoda: SecodaClient, plan: Plan) -> None:
    assert (await secoda.apply(evolve(plan, workspace=None))).ok
