"""The verification: a complete read after the writes shows each change."""

import asyncio

import pytest

from secoda_async import AutojumpClock, DesiredGroup, Progress, SecodaClient
from secoda_async.emulator import Emulator
from tests.support.applies import desired_state, make_plan


@pytest.mark.requirement("BS-4")
async def test_verification_reports_changes_that_were_undone(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)

    def undo(_: object) -> None:
        emulator.groups["a"]["description"] = "theirs"
        emulator.groups["c"] = emulator.groups["b"] | {"id": "c", "name": "c"}
        for group_id in [key for key, group in emulator.groups.items() if group["name"] == "d"]:
            del emulator.groups[group_id]

    report = await secoda.apply(plan, on_progress=lambda now: undo(now) if now.done == now.total else None)
    assert (report.ok, report.verified) == (False, False)
    assert report.differences == ("'d' does not exist", "'a' is not as it was written", "'c' still exists")


@pytest.mark.requirement("BS-4")
async def test_verification_waits_for_a_list_that_lags(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.visible_after = 2.5
    report = await secoda.apply(await make_plan(secoda))
    assert (report.ok, report.verified) == (True, True)


@pytest.mark.requirement("BS-5")
async def test_verification_reports_a_duplicate_created_by_others(emulator: Emulator, secoda: SecodaClient) -> None:
    def create_duplicate(_: Progress) -> None:
        emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": " d"}

    report = await secoda.apply(await make_plan(secoda), on_progress=create_duplicate)
    assert not report.ok
    assert "'d' exists 2 times" in report.differences[0]


@pytest.mark.requirement("BS-5", "BS-13")
@pytest.mark.parametrize(
    ("name", "says"),
    [("z", "'z' exists 2 times (a, x): rename or delete all but one"), ("Z\u200b", "'z' looks like 'Z\\u200b' (x)")],
    ids=["same", "similar"],
)
async def test_verification_reports_a_second_group_of_a_new_name(
    emulator: Emulator, secoda: SecodaClient, name: str, says: str
) -> None:
    def create_duplicate(_: Progress) -> None:
        emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": name}

    plan = await secoda.plan(desired_state(DesiredGroup(name="z", id="a")))
    report = await secoda.apply(plan, on_progress=create_duplicate)
    assert (report.ok, report.differences) == (False, (says,))


@pytest.mark.requirement("BS-5", "BS-13")
async def test_verification_reports_a_created_group_whose_name_another_keeps(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    emulator.faults.add(status=400, body={"detail": "no"}, method="PATCH", path="/auth/group/a", times=None)
    plan = await secoda.plan(desired_state(DesiredGroup(name="z", id="a"), DesiredGroup(name="a")))
    report = await secoda.apply(plan)
    assert report.counts == {"applied": 1, "failed": 1}
    (difference,) = report.differences
    assert difference.startswith("'a' exists 2 times (")


@pytest.mark.requirement("BS-5")
async def test_groups_that_should_share_a_name_are_no_difference(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.groups["c"]["name"] = "z"
    desired = [DesiredGroup(name="z", id="a"), DesiredGroup(name="z", id="b"), DesiredGroup(name="z", id="c", icon="i")]
    assert (await secoda.apply(await secoda.plan(desired_state(*desired)))).ok


async def test_failed_verification_is_reported(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)

    def break_reads(now: Progress) -> None:
        if now.done == now.total:
            emulator.faults.add(status=403, times=None)

    report = await secoda.apply(plan, on_progress=break_reads)
    assert (report.ok, report.verified) == (False, False)
    assert report.differences[0].startswith("the verification failed: ")


@pytest.mark.requirement("BS-7")
async def test_verification_after_a_stop_is_limited_to_ten_seconds(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    plan, stop = await make_plan(secoda), asyncio.Event()

    def stop_at_the_end(now: Progress) -> None:
        if now.done == now.total:
            stop.set()
            emulator.faults.add(stall="before", times=None)

    report = await secoda.apply(plan, stop=stop, on_progress=stop_at_the_end)
    assert report.differences == ("the verification took more than 10 s after the stop, and was cancelled",)
    assert (report.counts, report.verified, clock.now()) == ({"applied": 3}, False, 10)
