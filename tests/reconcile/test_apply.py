"""Plans carried out against an emulated workspace: what is written, in which order, and what becomes of the rest."""

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async import (
    UNSET,
    AutojumpClock,
    DesiredGroup,
    DesiredState,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    PaginationError,
    Plan,
    Progress,
    Report,
    ResponseError,
    SecodaClient,
    SecodaError,
    StalePlanError,
    UnsafePlanError,
)
from secoda_async.emulator import Emulator, RecordedRequest
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.waiting import advance, wait_until

TIMES = {"created_at": "2024-01-02T03:04:05.000006Z", "updated_at": "2024-02-03T04:05:06.000007Z"}


@pytest.fixture
async def emulator(clock: AutojumpClock) -> AsyncIterator[Emulator]:
    """A workspace of three groups and four users."""
    users = [{"id": f"u-{name}", "email": f"{name}@example.com"} for name in ("ana", "ben", "eve", "joe")]
    async with Emulator(users=users, clock=clock, page_size=2) as emulator:
        for name, members in (("a", ["u-ana"]), ("b", ["u-ana", "u-ben"]), ("c", [])):
            fields: dict[str, Any] = {"name": name, "icon": None, "description": None, "users": members}
            emulator.groups[name] = {"id": name, "workspace_id": "w", "snowflake_role": None} | fields | TIMES
        yield emulator


def state(*groups: DesiredGroup) -> DesiredState:
    return DesiredState.from_groups(groups)


DESIRED = state(
    DesiredGroup(name="a", description="changed", members=("ana@example.com", "eve@example.com")),
    DesiredGroup(name="b"),
    DesiredGroup(name="d", icon="i", members=("joe@example.com",)),
)


def writes(emulator: Emulator) -> list[tuple[str, str | None]]:
    """What was carried out, in order: the method and the group."""
    return [(record.method, record.group_id) for record in emulator.requests if record.applied]


def aimed_at(target: str) -> Callable[[RecordedRequest], bool]:
    return lambda record: record.target == target


def sets(stop: asyncio.Event) -> Callable[[RecordedRequest], bool]:
    """Strike each request, and ask for the stop."""

    def strikes(_: RecordedRequest) -> bool:
        stop.set()
        return True

    return strikes


async def planned(secoda: SecodaClient, desired: DesiredState = DESIRED) -> Plan:
    return await secoda.plan(desired, prune=True)


class TestDone:
    @pytest.mark.requirement("BS-4", "MD-3")
    async def test_it_writes_what_differs_and_nothing_else(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)
        assert plan.summary() == "1 to create, 1 to update, 1 to delete; 1 unchanged"
        assert emulator.count() == emulator.count("GET")  # looking changes nothing
        report = await secoda.apply(plan)
        assert (report.ok, report.verified, report.writes, report.differences) == (True, True, 3, ())
        assert report.counts == {"applied": 3}
        assert [outcome.index for outcome in report.outcomes] == [0, 1, 2]
        bodies = {record.method: record.json for record in emulator.requests if record.applied and record.body}
        assert bodies == {
            "PATCH": {"description": "changed", "users": ["u-ana", "u-eve"]},
            "POST": {"name": "d", "icon": "i", "users": ["u-joe"]},
        }
        assert sorted(group["name"] for group in emulator.groups.values()) == ["a", "b", "d"]
        assert (await planned(secoda)).is_empty

    @pytest.mark.requirement("BS-2")
    async def test_deletes_come_last(self, emulator: Emulator, secoda: SecodaClient) -> None:
        await secoda.apply(await planned(secoda))
        assert [method for method, _ in writes(emulator)][-1] == "DELETE"

    @pytest.mark.requirement("BS-5")
    async def test_each_group_is_read_again_when_it_has_its_place_in_the_limit(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        """Not when it begins to wait for one: that can be minutes before."""
        names = [f"n{index:02}" for index in range(40)]
        for name in names:
            emulator.groups[name] = emulator.groups["a"] | {"id": name, "name": name}
        plan = await secoda.plan(state(*(DesiredGroup(name=name, description="new") for name in names)))
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

    @pytest.mark.requirement("BS-5", "PG-4")
    async def test_a_look_before_a_create_does_not_mind_that_the_list_moves(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        plan = await secoda.plan(state(DesiredGroup(name="x")))
        emulator.latency = 2.0
        emulator.faults.add(
            transform=lambda page: page | {"count": 1},  # others deleted groups meanwhile
            match=lambda _: not emulator.count("POST"),
            skip=4,  # the first look, which is to be whole: two pages, each read twice
            times=None,
        )
        report = await secoda.apply(plan)
        assert (report.ok, report.counts, report.differences) == (True, {"applied": 1}, ())

    async def test_a_look_that_fails_gets_a_second_try(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await secoda.plan(state(DesiredGroup(name="x"), DesiredGroup(name="a", description="new")))
        emulator.latency = 2.0
        emulator.faults.add(status=404, match=lambda record: "page=2" in record.target, skip=1)  # it shrank
        report = await secoda.apply(plan)
        assert (report.ok, report.counts) == (True, {"applied": 2})

    async def test_an_empty_plan_sends_nothing(self, emulator: Emulator, secoda: SecodaClient) -> None:
        report = await secoda.apply(Plan(changes=()))
        assert (report, report.ok) == (Report(outcomes=(), verified=True), True)
        assert emulator.requests == []

    async def test_progress_tells_what_is_left(self, secoda: SecodaClient) -> None:
        told: list[Progress] = []
        desired = state(*(DesiredGroup(name=f"n{index:02}") for index in range(40)))
        await secoda.apply(await secoda.plan(desired), on_progress=told.append)
        assert [progress.done for progress in told] == list(range(1, 41))
        assert {progress.total for progress in told} == {40}
        assert told[0].seconds_left == approx(60)
        assert (told[-1].seconds_left, told[-1].failed) == (0, 0)

    async def test_a_hook_that_fails_breaks_nothing(
        self, secoda: SecodaClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        def hook(_: Progress) -> None:
            raise RuntimeError("mine")

        assert (await secoda.apply(await planned(secoda), on_progress=hook)).ok
        assert "on_progress callback failed" in caplog.text

    @pytest.mark.requirement("BS-4")
    async def test_run_again_it_writes_nothing(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)
        await secoda.apply(plan)
        done = writes(emulator)
        report = await secoda.apply(plan)
        assert (report.ok, report.counts, report.writes) == (True, {"unchanged": 3}, 0)
        assert writes(emulator) == done

    async def test_the_journal_says_what_was_meant_and_how_it_ended(self, secoda: SecodaClient, tmp_path: Path) -> None:
        plan = await planned(secoda)
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

    async def test_a_journal_that_cannot_be_written_is_told_of_before_the_first_write(
        self, emulator: Emulator, secoda: SecodaClient, tmp_path: Path
    ) -> None:
        plan = await planned(secoda)
        with pytest.raises(InvalidArgumentError, match="can't be written: No such file"):
            await secoda.apply(plan, log=tmp_path / "no" / "log.jsonl")
        assert writes(emulator) == []

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
    async def test_what_cannot_be_logged_is_not_written(self, emulator: Emulator, secoda: SecodaClient) -> None:
        report = await secoda.apply(await planned(secoda), log="/dev/full")
        assert [outcome.status for outcome in report.outcomes] == ["failed", "failed", "not_attempted"]
        assert "so the change was not sent: No space left" in str(report.outcomes[0].error)
        assert writes(emulator) == []

    async def test_a_log_that_breaks_in_the_middle_ends_it_with_all_accounted_for(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        log = io.StringIO()
        report = await secoda.apply(await planned(secoda), log=log, on_progress=lambda _: log.close())
        assert report.counts["applied"] == len(writes(emulator)) > 0
        assert not report.ok
        assert "closed file" in str([outcome.error for outcome in report.outcomes])


class TestRefused:
    @pytest.mark.requirement("BS-3")
    async def test_an_unsafe_plan_needs_its_own_approval(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda, state(DesiredGroup(name="a")))
        with pytest.raises(UnsafePlanError, match="2 of 3 groups would be deleted; the limit is 1") as caught:
            await secoda.apply(plan)
        assert (caught.value.digest, len(caught.value.breaches)) == (plan.digest, 1)
        with pytest.raises(UnsafePlanError, match="is for another plan"):
            await secoda.apply(plan, approve="0123456789abcdef")
        assert writes(emulator) == []
        assert (await secoda.apply(plan, approve=plan.digest)).ok
        assert list(emulator.groups) == ["a"]

    async def test_once_it_is_done_an_old_approval_does_no_harm(self, secoda: SecodaClient) -> None:
        assert (await secoda.apply(Plan(changes=()), approve="0123456789abcdef")).ok

    async def test_an_approval_must_fit_a_safe_plan_too(self, secoda: SecodaClient) -> None:
        with pytest.raises(UnsafePlanError, match="is for another plan"):
            await secoda.apply(await planned(secoda), approve="0")

    async def test_there_are_two_ways_with_drift(self, secoda: SecodaClient) -> None:
        with pytest.raises(InvalidArgumentError, match="on_drift must be"):
            await secoda.apply(await planned(secoda), on_drift="ignore")  # type: ignore[arg-type]

    @pytest.mark.requirement("BS-2")
    @pytest.mark.parametrize("page", [1, 2])
    @pytest.mark.parametrize("fault", ["status", "short", "empty", "cut"])
    async def test_a_read_that_is_not_whole_is_no_absence(
        self, emulator: Emulator, connect: Connect, page: int, fault: str
    ) -> None:
        def spoilt(document: dict[str, Any]) -> dict[str, Any]:
            return document | {"results": document["results"][:-1] if fault == "short" else []}

        faults: dict[str, Any] = {"status": {"status": 500}, "cut": {"cut": 20}}.get(fault, {"transform": spoilt})
        emulator.faults.add(**faults, match=lambda record: record.query.get("page", "1") == str(page), times=None)
        with pytest.raises(SecodaError) as caught:
            await connect().plan(DESIRED, prune=True)
        assert isinstance(caught.value, PaginationError) or fault in ("status", "cut")
        assert writes(emulator) == []

    @pytest.mark.requirement("BS-2", "MD-2")
    async def test_members_that_are_not_shown_are_not_taken_for_none(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        def hidden(document: dict[str, Any]) -> dict[str, Any]:
            groups = document.get("results", [document])
            shown = [{key: value for key, value in group.items() if key != "users"} for group in groups]
            return document | {"results": shown} if "results" in document else shown[0]

        plan = await planned(secoda)
        emulator.faults.add(transform=hidden, method="GET", path="/auth/group", times=None)
        with pytest.raises(ResponseError, match=r"results\[0\]\.users: missing"):
            await planned(secoda)
        with pytest.raises(ResponseError, match=r"results\[0\]\.users: missing"):
            await secoda.apply(plan)
        with pytest.raises(ResponseError, match="users: missing"):
            await secoda.groups.add_users("a", ["u-ben"])
        assert (await secoda.groups.get("a")).users == ()  # reading alone does no harm
        assert writes(emulator) == []

    @pytest.mark.requirement("BS-2", "PG-3")
    @pytest.mark.parametrize("fault", ["status", "short", "empty", "cut", "none left"])
    async def test_nothing_is_lost_whichever_read_goes_wrong(
        self, emulator: Emulator, connect: Connect, fault: str
    ) -> None:
        def spoilt(document: dict[str, Any]) -> dict[str, Any]:
            results = document.get("results")
            if results is None or fault == "none left":
                return document | {"results": [], "links": {"next": None}, "count": len(results or ()) + 9}
            return document | {"results": results[:-1] if fault == "short" else []}

        how: dict[str, Any] = {"status": {"status": 500}, "cut": {"cut": 20}}.get(fault, {"transform": spoilt})
        await connect().plan(DESIRED, prune=True)
        reads = [record.target for record in emulator.requests]
        before = {group_id: dict(group) for group_id, group in emulator.groups.items()}
        assert len(set(reads)) >= 4  # two pages of groups, two of users
        for target in dict.fromkeys(reads):
            emulator.faults.clear()
            emulator.faults.add(**how, match=aimed_at(target), times=None)
            with pytest.raises(SecodaError):
                await connect().plan(DESIRED, prune=True)
        assert emulator.groups == before
        emulator.faults.clear()
        plan = await connect().plan(DESIRED, prune=True)
        for target in dict.fromkeys(target for target in reads if "group" in target):  # apply looks at these again
            emulator.faults.clear()
            emulator.faults.add(**how, match=aimed_at(target), times=None)
            with pytest.raises(SecodaError):
                await connect().apply(plan)
        assert emulator.groups == before
        assert emulator.count() == emulator.count("GET")


class TestDrift:
    @pytest.fixture
    async def plan(self, secoda: SecodaClient) -> Plan:
        return await planned(secoda)

    @pytest.mark.requirement("BS-3")
    @pytest.mark.parametrize(
        ("group", "fields", "says"),
        [
            ("a", {"description": "theirs"}, "'a' has changed since the plan was made"),
            ("a", {"users": ["u-joe"]}, "'a' has changed since the plan was made"),
            ("a", None, "'a' does not exist any more"),
            ("c", {"users": ["u-joe"]}, "'c' has changed since the plan was made"),
            ("d", {"name": "d"}, "'d' exists already, and not as planned"),
        ],
    )
    async def test_it_is_found_before_the_first_write(
        self,
        emulator: Emulator,
        secoda: SecodaClient,
        plan: Plan,
        group: str,
        fields: dict[str, Any] | None,
        says: str,
    ) -> None:
        if fields is None:
            del emulator.groups[group]
        else:
            emulator.groups[group] = emulator.groups.get(group, emulator.groups["b"] | {"id": group}) | fields
        with pytest.raises(StalePlanError, match=says) as caught:
            await secoda.apply(plan)
        assert caught.value.names == (group,)
        assert writes(emulator) == []
        report = await secoda.apply(plan, on_drift="skip")
        assert (report.ok, report.counts.get("failed")) == (False, 1)
        assert isinstance(next(outcome.error for outcome in report.outcomes if outcome.error), StalePlanError)
        assert "c" in emulator.groups  # a failure, and so nothing is deleted

    async def test_a_name_that_the_plan_frees_can_be_given_anew(self, emulator: Emulator, secoda: SecodaClient) -> None:
        report = await secoda.apply(await secoda.plan(state(DesiredGroup(name="z", id="a"), DesiredGroup(name="a"))))
        assert (report.ok, report.counts) == (True, {"applied": 2})
        assert sorted(group["name"] for group in emulator.groups.values()) == ["a", "b", "c", "z"]

    async def test_what_is_not_planned_may_change(self, emulator: Emulator, secoda: SecodaClient, plan: Plan) -> None:
        emulator.groups["a"]["icon"] = "theirs"
        assert (await secoda.apply(plan)).ok
        assert emulator.groups["a"]["icon"] == "theirs"

    async def test_what_somebody_did_already_is_fine(
        self, emulator: Emulator, secoda: SecodaClient, plan: Plan
    ) -> None:
        emulator.groups["a"] |= {"description": "changed", "users": ["u-eve", "u-ana"]}
        emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "d", "icon": "i", "users": ["u-joe"]}
        del emulator.groups["c"]
        report = await secoda.apply(plan)
        assert (report.ok, report.counts) == (True, {"unchanged": 3})
        assert writes(emulator) == []

    async def test_a_group_that_went_meanwhile_is_left_alone(
        self, emulator: Emulator, secoda: SecodaClient, plan: Plan
    ) -> None:
        for group in ("a", "c"):
            emulator.faults.add(status=404, body={"detail": "Not found."}, method="GET", path=f"/auth/group/{group}")
        report = await secoda.apply(plan)
        assert [outcome.status for outcome in report.outcomes] == ["applied", "failed", "not_attempted"]
        assert "'a' does not exist any more" in str(report.outcomes[1].error)

    @pytest.mark.requirement("RT-13")
    async def test_a_404_of_a_gateway_to_a_delete_is_a_failure(
        self, emulator: Emulator, secoda: SecodaClient, plan: Plan
    ) -> None:
        emulator.faults.add(status=404, body="<html>nginx</html>", method="DELETE")
        report = await secoda.apply(plan)
        assert [outcome.status for outcome in report.outcomes] == ["applied", "applied", "failed"]
        assert "c" in emulator.groups

    async def test_a_plan_that_names_no_workspace_is_applied(self, secoda: SecodaClient, plan: Plan) -> None:
        assert (await secoda.apply(evolve(plan, workspace=None))).ok

    @pytest.mark.requirement("RT-13")
    async def test_a_404_of_a_gateway_is_not_the_absence_of_a_group(
        self, emulator: Emulator, secoda: SecodaClient, plan: Plan
    ) -> None:
        for group in ("a", "c"):
            emulator.faults.add(status=404, body="<html>nginx</html>", method="GET", path=f"/auth/group/{group}")
        report = await secoda.apply(plan)
        assert [outcome.status for outcome in report.outcomes] == ["applied", "failed", "not_attempted"]
        assert isinstance(report.outcomes[1].error, NotFoundError)

    @pytest.mark.parametrize(
        "fields", [{"description": "theirs"}, {"description": "changed", "users": ["u-ana", "u-eve"]}]
    )
    async def test_it_is_found_just_before_the_write_too(
        self, emulator: Emulator, secoda: SecodaClient, plan: Plan, fields: dict[str, Any]
    ) -> None:
        def meanwhile(document: dict[str, Any]) -> dict[str, Any]:
            emulator.groups["a"] |= fields
            return document | fields

        emulator.faults.add(transform=meanwhile, method="GET", path="/auth/group/a")
        report = await secoda.apply(plan)
        statuses = {outcome.status for outcome in report.outcomes if outcome.index == 1}
        assert statuses == {"unchanged" if "users" in fields else "failed"}
        assert emulator.count("PATCH") == 0


class TestGoingWrong:
    @pytest.mark.requirement("BS-1", "BS-2")
    async def test_after_a_failure_nothing_is_deleted(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=400, body={"name": ["no"]}, method="POST")
        report = await secoda.apply(await planned(secoda))
        assert (report.ok, report.verified) == (False, True)
        assert [outcome.status for outcome in report.outcomes] == ["failed", "applied", "not_attempted"]
        assert "c" in emulator.groups

    @pytest.mark.requirement("BS-5", "RT-1")
    async def test_lost_answers_make_no_second_group(self, emulator: Emulator, secoda: SecodaClient) -> None:
        for method in ("POST", "PATCH", "DELETE"):
            emulator.faults.add(drop="after", method=method)
        assert (await secoda.apply(await planned(secoda))).ok
        assert sorted(group["name"] for group in emulator.groups.values()) == ["a", "b", "d"]

    @pytest.mark.requirement("BS-2")
    async def test_a_group_that_is_gone_when_its_update_arrives_is_a_failure(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        plan = await planned(secoda)
        emulator.faults.add(status=404, body={"detail": "Not found."}, method="PATCH")
        report = await secoda.apply(plan)
        assert [outcome.status for outcome in report.outcomes] == ["applied", "failed", "not_attempted"]
        assert isinstance(report.outcomes[1].error, NotFoundError)

    @pytest.mark.requirement("BS-4")
    async def test_a_group_that_is_gone_when_its_delete_arrives_is_unchanged(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        plan = await planned(secoda)
        emulator.faults.add(
            status=404, body={"detail": "Not found."}, method="DELETE", match=lambda _: emulator.groups.pop("c", None)
        )
        report = await secoda.apply(plan)
        assert [outcome.status for outcome in report.outcomes] == ["applied", "applied", "unchanged"]
        assert report.ok

    async def test_an_answer_that_shows_something_else_is_a_failure(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(transform=lambda group: group | {"users": []}, method="PATCH")
        report = await secoda.apply(await planned(secoda))
        (failed,) = [outcome for outcome in report.outcomes if outcome.error]
        assert failed.status == "unknown"
        assert isinstance(failed.error, ResponseError)
        assert "the response lacks 2 of the members that were sent" in str(failed.error)

    @pytest.mark.requirement("BS-4")
    async def test_the_last_read_shows_what_did_not_stay(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)

        def undone(_: object) -> None:
            emulator.groups["a"]["description"] = "theirs"
            emulator.groups["c"] = emulator.groups["b"] | {"id": "c", "name": "c"}
            for group_id in [key for key, group in emulator.groups.items() if group["name"] == "d"]:
                del emulator.groups[group_id]

        report = await secoda.apply(plan, on_progress=lambda now: undone(now) if now.done == now.total else None)
        assert (report.ok, report.verified) == (False, False)
        assert report.differences == ("'d' does not exist", "'a' is not as it was written", "'c' still exists")

    @pytest.mark.requirement("BS-4")
    async def test_a_list_that_lags_behind_is_given_time(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.visible_after = 2.5
        report = await secoda.apply(await planned(secoda))
        assert (report.ok, report.verified) == (True, True)

    @pytest.mark.requirement("BS-5")
    async def test_the_last_read_shows_what_somebody_else_made_too(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        def theirs(_: Progress) -> None:
            emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": " d"}

        report = await secoda.apply(await planned(secoda), on_progress=theirs)
        assert not report.ok
        assert "'d' exists 2 times" in report.differences[0]

    async def test_a_last_read_that_fails_verifies_nothing(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)

        def broken(now: Progress) -> None:
            if now.done == now.total:
                emulator.faults.add(status=403, times=None)

        report = await secoda.apply(plan, on_progress=broken)
        assert (report.ok, report.verified) == (False, False)
        assert report.differences[0].startswith("the verification failed: ")

    async def test_conflicts_are_no_success(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.groups["c"]["name"] = "a"
        report = await secoda.apply(await planned(secoda))
        assert (report.ok, report.verified, report.conflicts) == (False, True, 1)
        empty = await secoda.apply(await secoda.plan(state(DesiredGroup(name="a"))))
        assert (empty.ok, empty.conflicts) == (False, 1)

    async def test_a_refused_key_stops_it(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await secoda.plan(state(*(DesiredGroup(name=f"n{index}") for index in range(50))))
        emulator.faults.add(status=403, method="POST", times=None)
        report = await secoda.apply(plan)
        assert report.counts["not_attempted"] >= 20
        assert report.counts["failed"] + report.counts["not_attempted"] == 50


class TestSecondTry:
    """What stays unclear, or fails in passing, is looked at again when the rest is done."""

    @pytest.mark.requirement("BS-5", "RT-1")
    async def test_a_group_that_shows_late_is_taken(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)
        emulator.faults.add(drop="after", method="POST")
        emulator.faults.add(status=500, method="GET", match=lambda _: emulator.count("POST"), times=5)
        report = await secoda.apply(plan)
        assert (report.ok, report.counts) == (True, {"applied": 3})
        assert emulator.count("POST") == 1

    @pytest.mark.requirement("BS-5")
    async def test_what_failed_in_passing_is_sent_again(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=502, method="PATCH", path="group/a", times=5)
        plan = await planned(secoda, state(*DESIRED.groups, DesiredGroup(name="c", icon="x")))
        log, told = io.StringIO(), list[Progress]()
        report = await secoda.apply(plan, log=log, on_progress=told.append)
        assert (report.ok, report.counts) == (True, {"applied": 3})
        assert [now.done for now in told] == [1, 2, 3, 3]
        assert (told[2].failed, told[-1].failed) == (1, 0)
        assert (emulator.count("PATCH"), len(emulator.groups)) == (7, 4)
        ends = [line["status"] for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "outcome"]
        assert sorted(ends) == ["applied"] * 3 + ["unknown"]

    @pytest.mark.requirement("RT-1")
    async def test_a_create_that_stays_unknown_is_not_sent_again(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.visible_after = 1000
        emulator.faults.add(drop="after", method="POST", times=2)  # sent, looked for, sent once more, looked for
        report = await secoda.apply(await planned(secoda))
        assert [outcome.status for outcome in report.outcomes] == ["unknown", "applied", "not_attempted"]
        assert emulator.count("POST") == 2
        assert "was sent twice, searched for after each, and not found" in str(report.outcomes[0].error)
        assert "look for it before you repeat it" not in str(report.outcomes[0].error)

    @pytest.mark.requirement("BS-5", "RT-10")
    @pytest.mark.parametrize(("icon", "status"), [("i", "applied"), ("theirs", "unknown")])
    async def test_a_group_that_appears_before_the_second_create_prevents_it(
        self, emulator: Emulator, secoda: SecodaClient, icon: str, status: str
    ) -> None:
        plan = await secoda.plan(state(DesiredGroup(name="d", icon="i")))
        emulator.faults.add(status=502, method="POST")
        searches = 6 * 2 * 2  # reads of two pages, each twice
        reads = 0

        def another_program_creates_it(_: object) -> bool:
            nonlocal reads
            reads += emulator.count("POST")
            if reads == searches + 1:
                emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "d", "icon": icon}
            return False

        emulator.faults.add(status=500, method="GET", match=another_program_creates_it)
        report = await secoda.apply(plan)
        assert report.counts == {status: 1}
        assert (emulator.count("POST"), reads > searches) == (1, True)

    async def test_stopped_before_it_the_first_outcome_stands(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan, stop = await planned(secoda), asyncio.Event()
        emulator.faults.add(status=502, method="PATCH", times=5)

        def look(_: object) -> bool:
            if emulator.count("PATCH") == 5:
                stop.set()
            return False

        emulator.faults.add(status=500, method="GET", match=look)
        report = await secoda.apply(plan, stop=stop)
        assert [outcome.status for outcome in report.outcomes] == ["applied", "unknown", "not_attempted"]
        assert emulator.count("PATCH") == 5

    async def test_a_stop_during_the_reread_keeps_the_first_outcome(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        plan, stop = await planned(secoda), asyncio.Event()
        emulator.faults.add(status=502, method="PATCH", times=5)

        def stops(_: object) -> bool:
            if emulator.count("PATCH") == 5:
                stop.set()
            return stop.is_set()

        emulator.faults.add(stall="before", method="GET", match=stops)
        report = await secoda.apply(plan, stop=stop)
        assert [outcome.status for outcome in report.outcomes] == ["applied", "unknown", "not_attempted"]
        assert emulator.count("PATCH") == 5

    async def test_there_is_none_when_nothing_went_well(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)
        emulator.faults.add(status=503, match=lambda record: record.method != "GET", times=None)
        report = await secoda.apply(plan)
        assert [outcome.status for outcome in report.outcomes] == ["unknown", "unknown", "not_attempted"]
        assert emulator.count("PATCH") == 5  # the attempts of one call

    async def test_there_is_none_without_a_look(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)
        emulator.faults.add(status=502, method="PATCH", times=5)
        emulator.faults.add(status=403, path="/auth/group?", match=lambda _: emulator.count("PATCH") == 5)
        report = await secoda.apply(plan)
        assert [outcome.status for outcome in report.outcomes] == ["applied", "unknown", "not_attempted"]


class TestSomebodyElse:
    """What others write while a plan is carried out."""

    @pytest.mark.requirement("BS-5")
    async def test_a_group_that_they_create_is_not_created_again(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        plan = await secoda.plan(state(*(DesiredGroup(name=f"n{index:02}") for index in range(70))))

        def theirs(now: Progress) -> None:
            if now.done == 30:
                emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "n69"}

        report = await secoda.apply(plan, on_progress=theirs)
        last = report.outcomes[-1]
        assert (report.writes, emulator.count("POST")) == (69, 69)
        assert last.status == "unchanged"
        assert last.group is not None
        assert last.group.id == "x"

    @pytest.mark.requirement("BS-5")
    async def test_nor_is_one_that_is_otherwise_than_planned(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await secoda.plan(state(*(DesiredGroup(name=f"n{index:02}", icon="i") for index in range(70))))

        def theirs(now: Progress) -> None:
            if now.done == 30:
                emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "n69"}

        report = await secoda.apply(plan, on_progress=theirs)
        assert report.counts == {"applied": 69, "failed": 1}
        assert "exists already, and not as planned" in str(report.outcomes[-1].error)

    @pytest.mark.requirement("BS-5")
    async def test_two_applies_of_one_client_go_one_after_the_other(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        plan = await planned(secoda)
        first, second = await asyncio.gather(secoda.apply(plan), secoda.apply(plan))
        assert (first.counts, second.counts) == ({"applied": 3}, {"unchanged": 3})
        assert len(writes(emulator)) == 3

    async def test_a_new_name_that_they_took_meanwhile_is_drift(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await secoda.plan(state(DesiredGroup(name="z", id="a")))
        emulator.groups["x"] = emulator.groups["b"] | {"id": "x", "name": "z"}
        with pytest.raises(StalePlanError, match="'z' exists already, and not as planned"):
            await secoda.apply(plan)

    async def test_a_plan_of_another_workspace_is_refused(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)
        assert plan.workspace == "w"
        with pytest.raises(StalePlanError, match="was made for another workspace"):
            await secoda.apply(evolve(plan, workspace="v"))
        assert writes(emulator) == []


class TestStopping:
    @pytest.mark.requirement("BS-7")
    async def test_what_is_on_the_wire_ends_and_the_rest_is_accounted_for(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        stop = asyncio.Event()
        plan = await planned(secoda, state(*(DesiredGroup(name=f"n{index:02}") for index in range(50))))
        plan = evolve(plan, breaches=())

        def enough(now: Progress) -> None:
            if now.done == 30:
                stop.set()

        report = await secoda.apply(plan, stop=stop, on_progress=enough)
        assert report.counts == {"applied": 30, "not_attempted": 23}
        assert emulator.count("POST") == 30
        assert clock.now() < 60  # nobody waited for the next window
        assert (report.ok, report.verified) == (False, True)
        assert secoda.limiter.state.queued == 0

    @pytest.mark.requirement("BS-7")
    @pytest.mark.parametrize("fault", ["429", "500", "stall"])
    async def test_once_stopped_no_write_is_tried_again(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, fault: str
    ) -> None:
        groups = [DesiredGroup(name=name, icon="x") for name in ("a", "b", "c")]
        plan, stop = await secoda.plan(state(*groups)), asyncio.Event()
        faults: dict[str, dict[str, Any]] = {
            "429": {"status": 429, "headers": {"Retry-After": "100"}},
            "500": {"status": 500},
            "stall": {"stall": "before"},
        }
        emulator.faults.add(**faults[fault], method="PATCH", times=None, match=sets(stop))
        report = await secoda.apply(plan, stop=stop)
        assert emulator.count("PATCH") == 1  # the others were about to be sent
        assert clock.now() <= 30  # the timeout of one attempt
        assert report.counts == ({"not_attempted": 3} if fault == "429" else {"unknown": 1, "not_attempted": 2})
        assert (report.ok, report.verified) == (False, False)

    @pytest.mark.requirement("BS-7")
    async def test_the_first_look_can_be_stopped(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        plan, stop = await planned(secoda), asyncio.Event()
        emulator.faults.add(stall="before", times=None, match=sets(stop))
        report = await secoda.apply(plan, stop=stop)
        assert report.counts == {"not_attempted": 3}
        assert (report.ok, report.verified, clock.now()) == (False, False, 0)

    @pytest.mark.requirement("BS-7")
    async def test_after_a_stop_the_last_read_has_ten_seconds(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        plan, stop = await planned(secoda), asyncio.Event()

        def last(now: Progress) -> None:
            if now.done == now.total:
                stop.set()
                emulator.faults.add(stall="before", times=None)

        report = await secoda.apply(plan, stop=stop, on_progress=last)
        assert report.differences == ("the verification took more than 10 s after the stop, and was cancelled",)
        assert (report.counts, report.verified, clock.now()) == ({"applied": 3}, False, 10)

    @pytest.mark.requirement("BS-1")
    @pytest.mark.slow
    async def test_a_service_that_is_down_is_given_up(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await secoda.plan(state(*(DesiredGroup(name=f"n{index:03}") for index in range(150))))
        emulator.faults.add(status=503, method="POST", skip=20, times=None)
        report = await secoda.apply(plan)
        assert report.counts["applied"] == 20
        assert report.counts["unknown"] <= 40
        assert emulator.count("POST") <= 20 + 2 * 40
        assert sum(report.counts.values()) == 150

    @pytest.mark.requirement("BS-7")
    async def test_cancelled_the_journal_says_what_is_not_known(self, emulator: Emulator, secoda: SecodaClient) -> None:
        plan = await planned(secoda)
        emulator.faults.add(stall="after", method="PATCH")
        log = io.StringIO()
        task = asyncio.create_task(secoda.apply(plan, log=log))
        await wait_until(lambda: emulator.count("PATCH"))
        await wait_until(lambda: '"applied"' in log.getvalue())  # the client has read the answer to the POST
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        ends = {line["index"]: line["status"] for line in lines if line["event"] == "outcome"}
        assert ends == {0: "applied", 1: "unknown", 2: "not_attempted"}
        assert (await secoda.apply(await planned(secoda))).ok


class TestKilled:
    """Ended at any request, and run again by somebody new: it goes on."""

    @pytest.mark.requirement("BS-5")
    @pytest.mark.parametrize("is_carried_out", [False, True])
    async def test_run_again_the_end_is_the_same(
        self, emulator: Emulator, connect: Connect, *, is_carried_out: bool
    ) -> None:
        start = {group_id: dict(group) for group_id, group in emulator.groups.items()}
        secoda = connect()
        assert (await secoda.apply(await planned(secoda))).ok
        done = end_of(emulator)
        for number in range(1, len(emulator.requests) + 1):
            emulator.groups.clear()
            emulator.groups.update({group_id: dict(group) for group_id, group in start.items()})
            first = len(emulator.requests)
            emulator.faults.clear()
            fault = emulator.faults.add(stall="after" if is_carried_out else "before", skip=number - 1, times=None)
            doomed = asyncio.create_task(run(connect()))
            await wait_until(partial(getattr, fault, "used"))
            doomed.cancel()
            with pytest.raises(asyncio.CancelledError):
                await doomed
            emulator.faults.clear()
            await run(connect())
            assert end_of(emulator) == done
            carried_out = Counter(record.method for record in emulator.requests[first:] if record.applied)
            assert carried_out == {"POST": 1, "PATCH": 1, "DELETE": 1}


async def run(secoda: SecodaClient) -> None:
    assert (await secoda.apply(await planned(secoda))).ok


def end_of(emulator: Emulator) -> list[tuple[str, str | None, str | None, frozenset[str]]]:
    """The workspace, apart from ids and times."""
    return sorted(
        (group["name"], group["icon"], group["description"], frozenset(group["users"]))
        for group in emulator.groups.values()
    )


# --- over the wire, whatever the two sides hold ----------------------------------------------------------------

NAMES = st.sampled_from("abcdef")
TEXTS = st.sampled_from([None, "", "x", "y"])
MEMBERS = st.lists(st.sampled_from(["u-ana", "u-ben", "u-eve"]), unique=True)
PRESENT = st.lists(
    st.fixed_dictionaries({"name": NAMES, "icon": TEXTS, "description": TEXTS, "users": MEMBERS}),
    max_size=6,
)
WANTED = st.lists(
    st.builds(
        DesiredGroup,
        name=NAMES,
        icon=st.just(UNSET) | TEXTS,
        description=st.just(UNSET) | TEXTS,
        members=st.just(UNSET) | MEMBERS.map(tuple),
    ),
    unique_by=lambda group: group.name,
    max_size=6,
)


@pytest.mark.requirement("BS-4", "BS-2")
@settings(max_examples=60, deadline=None)
@given(present=PRESENT, wanted=WANTED, prune=st.booleans())
def test_after_an_apply_the_plan_is_empty_and_no_write_was_wasted(
    present: list[dict[str, Any]], wanted: list[DesiredGroup], *, prune: bool
) -> None:
    async def main() -> None:
        users = [{"id": f"u-{name}", "email": f"{name}@example.com"} for name in ("ana", "ben", "eve")]
        clock = AutojumpClock(patience=40)
        async with (
            Emulator(users=users, groups=present, clock=clock) as emulator,
            SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock) as secoda,
        ):
            plan = await secoda.plan(state(*wanted), prune=prune)
            assert emulator.count() == emulator.count("GET")
            report = await secoda.apply(plan, approve=plan.digest)
            assert (report.verified, report.ok) == (True, not plan.conflicts)
            again = await secoda.plan(state(*wanted), prune=prune)
            assert (again.is_empty, again.conflicts) == (True, plan.conflicts)
            carried_out = writes(emulator)
            assert len(carried_out) == plan.writes == emulator.count() - emulator.count("GET")
            assert len({group_id for _, group_id in carried_out}) == plan.writes  # one a group

    asyncio.run(main())


@pytest.mark.requirement("SL-6")
async def test_close_ends_an_apply_that_waits_for_an_unclear_create(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    plan = await secoda.plan(DesiredState.from_groups([DesiredGroup(name="Unclear")]))
    emulator.faults.add(drop="before", method="POST")
    with pytest.raises(OutcomeUnknownError):
        await secoda.groups.create(name="Unclear")
    task = asyncio.ensure_future(secoda.apply(plan))
    await advance(clock, 5)
    await secoda.close()
    assert (await task).counts == {"failed": 1}
    assert clock.now() < 20
    assert emulator.count("POST") == 1
