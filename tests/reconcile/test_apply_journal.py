"""The journal of an apply: an intent before each write, and an outcome for each change."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from secoda_async import DesiredGroup, InvalidArgumentError, SecodaClient
from secoda_async.emulator import Emulator
from tests.support.applies import desired_state, make_plan, mutations
from tests.support.waiting import wait_until


async def test_journal_has_intent_and_outcome_of_each_change(secoda: SecodaClient, tmp_path: Path) -> None:
    plan = await make_plan(secoda)
    await secoda.apply(plan, log=tmp_path / "log.jsonl")
    stream = io.StringIO()
    await secoda.apply(plan, log=stream)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert {line["plan"] for line in lines} == {plan.digest}
    for index, change in enumerate(plan.changes):
        intent, outcome = [line for line in lines if line["index"] == index]
        assert (intent["event"], intent["name"], intent["kind"]) == ("intent", change.name, change.kind)
        assert (outcome["event"], outcome["status"], outcome["error"]) == ("outcome", "applied", None)
        assert outcome["id"]
    update = next(line for line in lines if line["kind"] == "update")
    assert update["before"] == {"description": None, "users": ["u-ana"]}
    assert update["after"] == {"description": "changed", "users": ["u-ana", "u-eve"]}
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == ["unchanged"] * 3
    assert not stream.closed


async def test_journal_that_can_not_be_opened_is_refused_before_the_first_write(
    emulator: Emulator, secoda: SecodaClient, tmp_path: Path
) -> None:
    plan = await make_plan(secoda)
    with pytest.raises(InvalidArgumentError, match=r"can't be written: No such file or directory\. Name another file"):
        await secoda.apply(plan, log=tmp_path / "no" / "log.jsonl")
    assert mutations(emulator) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_change_is_not_sent_when_its_intent_is_not_in_the_journal(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    report = await secoda.apply(await make_plan(secoda), log="/dev/full")
    assert [outcome.status for outcome in report.outcomes] == ["failed", "failed", "not_attempted"]
    assert "so the change was not sent: No space left" in str(report.outcomes[0].error)
    assert mutations(emulator) == []


async def test_journal_that_fails_during_the_apply_leaves_an_outcome_for_each_change(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    log = io.StringIO()
    report = await secoda.apply(await make_plan(secoda), log=log, on_progress=lambda _: log.close())
    assert report.counts["applied"] == len(mutations(emulator)) > 0
    assert not report.ok
    assert "closed file" in str([outcome.error for outcome in report.outcomes])


@pytest.mark.requirement("BS-7")
async def test_journal_has_unknown_outcomes_after_a_cancellation(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    emulator.faults.add(stall="after", method="PATCH")
    log = io.StringIO()
    task = asyncio.create_task(secoda.apply(plan, log=log))
    await wait_until(lambda: emulator.count("PATCH"))
    await wait_until(lambda: '"applied"' in log.getvalue())  # the client has read the response to the POST
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    ends = {line["index"]: line["status"] for line in lines if line["event"] == "outcome"}
    assert ends == {0: "applied", 1: "unknown", 2: "not_attempted"}
    assert (await secoda.apply(await make_plan(secoda))).ok


@pytest.mark.requirement("BS-12")
async def test_journal_and_report_name_the_held_members_of_a_plan_without_changes(secoda: SecodaClient) -> None:
    desired = desired_state(DesiredGroup(name="b", members=("x@example.com", "u-ana"), place="groups.csv:2"))
    plan = await secoda.plan(desired, unknown_members="hold")
    assert plan.is_empty
    log = io.StringIO()
    report = await secoda.apply(plan, log=log)
    assert (report.ok, report.held) == (True, plan.held)
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["event"], line["plan"], line["group"], line["member"]) == ("held", plan.digest, "b", "x@example.com")
    reason = "is not a user of this workspace"
    assert (line["place"], line["reason"], line["kept"]) == ("groups.csv:2", reason, ["u-ben"])


@pytest.mark.requirement("BS-12")
async def test_journal_names_held_members_before_the_first_write(secoda: SecodaClient) -> None:
    desired = desired_state(DesiredGroup(name="b", icon="i", members=("x@example.com", "u-ana")))
    log = io.StringIO()
    report = await secoda.apply(await secoda.plan(desired, unknown_members="hold"), log=log)
    assert report.held
    assert [json.loads(line)["event"] for line in log.getvalue().splitlines()] == ["held", "intent", "outcome"]
