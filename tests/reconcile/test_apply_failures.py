"""Failed and unclear writes, and the second attempt at them."""

import asyncio
import io
import json

import pytest

from secoda_async import DesiredGroup, NotFoundError, PermissionDeniedError, Progress, ResponseError, SecodaClient
from secoda_async.emulator import Emulator
from tests.support.applies import DESIRED, desired_state, make_plan


@pytest.mark.requirement("BS-1", "BS-2")
async def test_failure_prevents_deletes(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(status=400, body={"name": ["no"]}, method="POST")
    report = await secoda.apply(await make_plan(secoda))
    assert (report.ok, report.verified) == (False, True)
    assert [outcome.status for outcome in report.outcomes] == ["failed", "applied", "not_attempted"]
    assert report.stopped == "groups are deleted only after every other change has succeeded"
    assert "c" in emulator.groups


@pytest.mark.requirement("BS-5", "RT-1")
async def test_lost_responses_create_no_second_group(emulator: Emulator, secoda: SecodaClient) -> None:
    for method in ("POST", "PATCH", "DELETE"):
        emulator.faults.add(drop="after", method=method)
    assert (await secoda.apply(await make_plan(secoda))).ok
    assert sorted(group["name"] for group in emulator.groups.values()) == ["a", "b", "d"]


@pytest.mark.requirement("BS-2")
async def test_update_of_a_group_deleted_meanwhile_fails(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    emulator.faults.add(status=404, body={"detail": "Not found."}, method="PATCH")
    report = await secoda.apply(plan)
    assert [outcome.status for outcome in report.outcomes] == ["applied", "failed", "not_attempted"]
    assert isinstance(report.outcomes[1].error, NotFoundError)


@pytest.mark.requirement("BS-4")
async def test_delete_of_a_group_deleted_meanwhile_is_unchanged(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    emulator.faults.add(
        status=404, body={"detail": "Not found."}, method="DELETE", match=lambda _: emulator.groups.pop("c", None)
    )
    report = await secoda.apply(plan)
    assert [outcome.status for outcome in report.outcomes] == ["applied", "applied", "unchanged"]
    assert report.ok


async def test_response_that_contradicts_the_update_is_an_unknown_outcome(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    emulator.faults.add(transform=lambda group: group | {"users": []}, method="PATCH")
    report = await secoda.apply(await make_plan(secoda))
    (failed,) = [outcome for outcome in report.outcomes if outcome.error]
    assert failed.status == "unknown"
    assert isinstance(failed.error, ResponseError)
    assert "the response lacks 2 of the members that were sent" in str(failed.error)


async def test_forbidden_write_stops_the_apply(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(*(DesiredGroup(name=f"n{index}") for index in range(50))))
    emulator.faults.add(status=403, method="POST", times=None)
    report = await secoda.apply(plan)
    assert report.counts["not_attempted"] >= 20
    assert report.counts["failed"] + report.counts["not_attempted"] == 50
    assert report.stopped == "20 changes in a row were refused: the key may not change groups"


async def test_refused_key_stops_the_apply(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(*(DesiredGroup(name=f"n{index}") for index in range(50))))
    emulator.faults.add(status=401, method="POST", times=None)
    report = await secoda.apply(plan)
    assert report.counts["not_attempted"] >= 20
    assert report.stopped == "the key was refused"


@pytest.mark.requirement("BS-1")
async def test_repeated_failures_of_the_service_stop_the_apply(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(*(DesiredGroup(name=f"n{index:02}") for index in range(75))))
    emulator.faults.add(status=503, method="GET", match=lambda _: emulator.count("POST") == 30, times=None)
    seen = list[Progress]()
    report = await secoda.apply(plan, on_progress=seen.append)
    assert report.counts["applied"] == 30
    assert report.counts["failed"] + report.counts["not_attempted"] == 45
    assert (seen[-1].failed, seen[-1].unknown) == (report.counts["failed"], 0)
    assert report.stopped == "20 changes in a row failed: the service seems to be down"


@pytest.mark.requirement("BS-1")
@pytest.mark.slow
async def test_apply_gives_up_when_the_service_is_down(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await secoda.plan(desired_state(*(DesiredGroup(name=f"n{index:03}") for index in range(150))))
    emulator.faults.add(status=503, method="POST", skip=20, times=None)
    report = await secoda.apply(plan)
    assert report.counts["applied"] == 20
    assert report.counts["unknown"] <= 40
    assert emulator.count("POST") <= 20 + 2 * 40
    assert sum(report.counts.values()) == 150


# --- second attempt ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("BS-5")
async def test_second_attempt_sends_a_change_with_a_transient_error(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(status=502, method="PATCH", path="group/a", times=5)
    plan = await make_plan(secoda, desired_state(*DESIRED.groups, DesiredGroup(name="c", icon="x")))
    log, seen = io.StringIO(), list[Progress]()
    report = await secoda.apply(plan, log=log, on_progress=seen.append)
    assert (report.ok, report.counts) == (True, {"applied": 3})
    assert [now.done for now in seen] == [1, 2, 3, 3]
    assert (seen[2].failed, seen[2].unknown, seen[-1].failed) == (1, 1, 0)
    assert (emulator.count("PATCH"), len(emulator.groups)) == (7, 4)
    ends = [line["status"] for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "outcome"]
    assert sorted(ends) == ["applied"] * 3 + ["unknown"]


@pytest.mark.requirement("BS-5")
async def test_refused_second_attempt_keeps_the_unknown_outcome(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda, desired_state(*DESIRED.groups, DesiredGroup(name="c", icon="x")))
    emulator.faults.add(status=502, method="PATCH", path="group/a", times=5)
    emulator.faults.add(status=403, method="PATCH", path="group/a")
    log = io.StringIO()
    report = await secoda.apply(plan, log=log)
    assert report.counts == {"applied": 2, "unknown": 1}
    assert isinstance(report.outcomes[1].error, PermissionDeniedError)
    assert json.loads(log.getvalue().splitlines()[-1])["status"] == "unknown"


@pytest.mark.requirement("BS-5", "RT-1")
async def test_second_attempt_finds_a_created_group_that_is_listed_late(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    plan = await make_plan(secoda)
    emulator.faults.add(drop="after", method="POST")
    emulator.faults.add(status=500, method="GET", match=lambda _: emulator.count("POST"), times=5)
    report = await secoda.apply(plan)
    assert (report.ok, report.counts) == (True, {"applied": 3})
    assert emulator.count("POST") == 1


@pytest.mark.requirement("RT-1")
async def test_second_attempt_does_not_send_an_unknown_create(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.visible_after = 1000
    emulator.faults.add(drop="after", method="POST", times=2)  # sent, searched for, sent again, searched for
    report = await secoda.apply(await make_plan(secoda))
    assert [outcome.status for outcome in report.outcomes] == ["unknown", "applied", "not_attempted"]
    assert emulator.count("POST") == 2
    assert "was sent twice, searched for after each, and not found" in str(report.outcomes[0].error)
    assert "look for it before you repeat it" not in str(report.outcomes[0].error)


@pytest.mark.requirement("BS-5", "RT-10")
@pytest.mark.parametrize(("icon", "status"), [("i", "applied"), ("theirs", "unknown")])
async def test_group_created_by_others_prevents_the_retry_of_a_create(
    emulator: Emulator, secoda: SecodaClient, icon: str, status: str
) -> None:
    plan = await secoda.plan(desired_state(DesiredGroup(name="d", icon="i")))
    emulator.faults.add(status=502, method="POST")
    searches = 6 * 2 * 2  # reads of two pages, each twice
    reads = 0

    def create_during_last_search(_: object) -> bool:
        nonlocal reads
        reads += emulator.count("POST")
        if reads == searches + 1:
            emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "d", "icon": icon}
        return False

    emulator.faults.add(status=500, method="GET", match=create_during_last_search)
    report = await secoda.apply(plan)
    assert report.counts == {status: 1}
    assert (emulator.count("POST"), reads > searches) == (1, True)


@pytest.mark.parametrize("stalls", [False, True], ids=["before the second attempt", "during the re-read"])
async def test_stop_keeps_the_first_outcome(emulator: Emulator, secoda: SecodaClient, *, stalls: bool) -> None:
    plan, stop = await make_plan(secoda), asyncio.Event()
    emulator.faults.add(status=502, method="PATCH", times=5)

    def stops(_: object) -> bool:
        if emulator.count("PATCH") == 5:
            stop.set()
        return stalls and stop.is_set()

    emulator.faults.add(stall="before", method="GET", match=stops)
    report = await secoda.apply(plan, stop=stop)
    assert [outcome.status for outcome in report.outcomes] == ["applied", "unknown", "not_attempted"]
    assert emulator.count("PATCH") == 5


async def test_no_second_attempt_when_no_write_succeeded(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    emulator.faults.add(status=503, match=lambda record: record.method != "GET", times=None)
    report = await secoda.apply(plan)
    assert [outcome.status for outcome in report.outcomes] == ["unknown", "unknown", "not_attempted"]
    assert emulator.count("PATCH") == 5  # the attempts of one call


async def test_no_second_attempt_when_the_reread_fails(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    emulator.faults.add(status=502, method="PATCH", times=5)
    emulator.faults.add(status=403, path="/auth/group?", match=lambda _: emulator.count("PATCH") == 5)
    report = await secoda.apply(plan)
    assert [outcome.status for outcome in report.outcomes] == ["applied", "unknown", "not_attempted"]
