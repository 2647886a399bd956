"""The soak on the emulator: a correct client passes, each kind of damage is found, and a seed is repeatable."""

import asyncio
import json
import runpy
import sys
from asyncio import Event
from collections.abc import Awaitable, Callable

import pytest
from attrs import evolve

import tests.soak.emulated.run as soak_module
from secoda_async import (
    Group,
    NotFoundError,
    OutcomeUnknownError,
    SecodaClient,
)
from secoda_async.emulator import Emulator
from tests.soak.__main__ import main
from tests.soak.emulated.expected_state import (
    Expected,
    ExpectedStore,
    Finding,
    parts_of,
)
from tests.soak.emulated.faults import (
    GRACE,
    LONGEST_LAG,
    FaultInjector,
)
from tests.soak.emulated.invocation import Invocation
from tests.soak.emulated.run import Soak
from tests.soak.emulated.samples import TEAM, kinds, request_of
from tests.soak.emulated.scenarios import Job, Scenario

pytestmark = pytest.mark.slow


@pytest.mark.requirement(
    "RT-1", "RT-3", "RL-1", "RL-2", "SL-3", "BS-5", "BS-6", "RT-10", "RT-12", "RT-13", "RT-14", "BS-8", "BS-9", "PG-7"
)
async def test_soak_finds_no_lost_or_duplicate_group_and_no_leak() -> None:
    report = await Soak(seed=1, operations=300).run()
    assert report.findings == []
    assert (report.duplicates, report.lost, report.false_outcomes) == (0, 0, 0)
    assert report.operations >= 300
    assert report.groups > 0
    assert report.retries > 0
    assert report.searches["done"] > 0
    assert 0.1 < report.faulted / sum(report.requests.values()) < 0.3
    assert len(report.memory) == 2


async def test_peek_stops_a_list_after_fifty_groups(secoda: SecodaClient) -> None:
    for place in (1, 4):
        assert len(await soak_module._listed(secoda, Job(kind="peek", place=place))) == 50


async def duplicate_group(soak: Soak) -> None:
    group_id = min(soak.model.certain())
    soak.emulator.groups["copy"] = soak.emulator.groups[group_id] | {"id": "copy"}


async def update_undone(soak: Soak) -> None:
    soak.emulator.groups[min(soak.model.certain())]["description"] = "as it was before"


async def group_removed(soak: Soak) -> None:
    del soak.emulator.groups[min(soak.model.certain())]


async def permit_kept(soak: Soak) -> None:
    await soak.secoda.limiter.acquire()


async def limit_overrun(soak: Soak) -> None:
    soak.counters.refused = 1


async def pause_ignored(soak: Soak) -> None:
    soak.injector.breaches = 1


async def member_removed(soak: Soak) -> None:
    soak.injector.losses.append("a member was removed")


async def unreported_requests(soak: Soak) -> None:
    soak.injector.requests["POST"] += 100


async def unhandled_loop_error(soak: Soak) -> None:
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
    assert soak.findings


async def raised(_: Soak) -> None:
    raise RuntimeError("in the midst of it")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (duplicate_group, "duplicate"),
        (update_undone, "lost"),
        (group_removed, "lost"),
        (permit_kept, "left over"),
        (member_removed, "lost"),
        (limit_overrun, "limit"),
        (pause_ignored, "limit"),
        (unreported_requests, "wrong"),
        (unhandled_loop_error, "left over"),
        (raised, "wrong"),
    ],
)
async def test_soak_finds_every_kind_of_damage(damage: Callable[[Soak], Awaitable[object]], kind: str) -> None:
    report = await Soak(seed=1, operations=20, damage=damage).run()
    (finding,) = report.findings
    assert finding.startswith(f"{kind}: ")
    shown = str(report)
    assert finding in shown
    assert shown.endswith("again: python -m tests.soak emulator --seed 1 --operations 20")


async def test_soak_that_hangs_reports_operations_in_flight() -> None:
    report = await Soak(seed=1, operations=100_000, seconds=0.1).run()
    assert report.findings[0].startswith("hung: in flight after ")
    assert "{'fields': {'name':" in report.findings[0]


def set_event() -> asyncio.Event:
    event = Event()
    event.set()
    return event


class TestResults:
    """Results of operations, compared with the expected state."""

    @pytest.fixture
    def soak(self) -> Soak:
        soak = Soak(seed=1, operations=10)
        soak.emulator = Emulator()
        soak.injector = FaultInjector(seed=1, emulator=soak.emulator)
        return soak

    def test_create_that_returns_another_group_is_wrong(self, soak: Soak) -> None:
        soak._succeed(Invocation(Job(kind="create", fields={"name": "a"})), Group("id", "b"))
        assert kinds(soak.findings) == ["wrong"]

    def test_get_that_returns_another_group_is_wrong(self, soak: Soak) -> None:
        job = Job(kind="get")
        soak._succeed(Invocation(job, "id", Expected.of(parts_of({"name": "a"}))), Group("id", "a"))
        assert soak.findings == []
        soak._succeed(Invocation(job, "id", Expected.of(parts_of({"name": "a"}))), Group("id", "b"))
        assert kinds(soak.findings) == ["wrong"]

    @pytest.mark.requirement("RT-12")
    def test_read_that_shows_a_failed_write_is_a_false_outcome(self, soak: Soak) -> None:
        expected = Expected.of(parts_of({"name": "a"}))
        expected.begin({"icon": "📊"})
        expected.deny({"icon": "📊"})
        soak._succeed(Invocation(Job(kind="get"), "id", expected), Group("id", "a", "📊"))
        assert kinds(soak.findings) == ["false outcome"]

    def test_change_missing_from_the_result_is_wrong(self, soak: Soak) -> None:
        invocation = Invocation(Job(kind="add_users", users=("user-1",)), "id", Expected.of(parts_of({"name": "a"})))
        invocation.before = invocation.expected.possible() if invocation.expected else {}
        soak._succeed(invocation, Group("id", "a"))
        assert kinds(soak.findings) == ["wrong"]

    def test_read_of_a_deleted_group_is_wrong(self, soak: Soak) -> None:
        soak._fail(Invocation(Job(kind="get", is_missing=True), "id"), NotFoundError("gone"))
        soak._succeed(Invocation(Job(kind="delete", is_missing=True), "id"), result=False)
        assert soak.findings == []
        soak._succeed(Invocation(Job(kind="get", is_missing=True), "id"), Group("id", "a"))
        assert kinds(soak.findings) == ["wrong"]

    def test_lagging_reads_are_permitted_for_a_while(self, soak: Soak) -> None:
        began = soak.clock.now()
        expected = soak.model.created("id", parts_of(TEAM), began)
        soak._fail(Invocation(Job(kind="get"), "id", expected, began=began), NotFoundError("not yet"))
        soak.model.gone("id", began)
        soak._succeed(Invocation(Job(kind="get", is_missing=True), "id", began=began), Group("id", "Team"))
        assert soak.findings == []
        later = began + LONGEST_LAG + 2 * GRACE
        soak._fail(Invocation(Job(kind="get"), "id", expected, began=later), NotFoundError("lost"))
        soak._succeed(Invocation(Job(kind="get", is_missing=True), "id", began=later), Group("id", "Team"))
        assert kinds(soak.findings) == ["wrong", "wrong"]

    @pytest.mark.requirement("BS-9")
    def test_ensure_that_returns_another_group_is_a_duplicate(self, soak: Soak) -> None:
        expected = Expected.of(parts_of(TEAM))
        ensure = Invocation(Job(kind="ensure"), "a", expected, expected.possible())
        found = Group("a", "Team", "🧪", users=("user-1",))
        soak._succeed(ensure, found)
        assert soak.findings == []
        soak._succeed(ensure, evolve(found, id="b"))
        assert kinds(soak.findings) == ["duplicate"]

    @pytest.mark.requirement("RT-12")
    async def test_unknown_write_that_was_never_sent_is_a_false_outcome(self, soak: Soak) -> None:
        update = Invocation(Job(kind="update", fields={"icon": ""}), "a", Expected.of(parts_of(TEAM)))
        soak._begin(update)
        soak._fail(update, OutcomeUnknownError("no"))
        await soak._settle([update], {0: "a"})
        assert kinds(soak.findings) == ["false outcome"]
        soak.injector.choose(request_of("PATCH", "group/a", icon=""))
        await soak._settle([update], {0: "a"})
        assert len(soak.findings) == 1

    @pytest.mark.requirement("RT-12")
    async def test_bulk_with_missing_outcomes_is_wrong(self, soak: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
        soak.secoda = SecodaClient("key", base_url="http://127.0.0.1:9")
        jobs = [Job(kind="create", fields={"name": name}) for name in "ab"]
        stopped = Scenario(0, (tuple(jobs),), is_bulk=True)
        monkeypatch.setattr(asyncio, "Event", set_event)
        await soak._run_bulk(stopped, [Invocation(job) for job in jobs])
        assert soak.findings == []
        assert soak.counters.ends["create", "not_attempted"] == 2
        monkeypatch.setattr(Soak, "_take", lambda *_, **__: None)
        await soak._run_bulk(stopped, [Invocation(job) for job in jobs])
        assert kinds(soak.findings) == ["wrong"]
        await soak.secoda.close()

    def test_list_with_missing_deleted_or_duplicate_groups_is_wrong(self, soak: Soak) -> None:
        soak.model.created("a", parts_of(TEAM))
        soak._succeed(Invocation(Job(kind="list"), certain={"a"}, deleted={"b"}), [])
        soak._succeed(Invocation(Job(kind="snapshot"), certain={"a"}, deleted={"b"}), ["a", "c"])
        assert soak.findings == []
        soak._succeed(Invocation(Job(kind="snapshot"), certain={"a"}, deleted={"b"}), [])
        soak._succeed(Invocation(Job(kind="list"), certain={"a"}, deleted={"b"}), ["a", "b"])
        soak._succeed(Invocation(Job(kind="list"), certain={"a"}, deleted={"b"}), ["a", "a"])
        assert kinds(soak.findings) == ["wrong", "wrong", "wrong"]

    def test_unexplained_error_is_wrong(self, soak: Soak) -> None:
        soak._fail(Invocation(Job(kind="get")), KeyError("name"))
        assert kinds(soak.findings) == ["wrong"]


class TestCommand:
    def test_command_prints_a_report_for_each_seed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["emulator", "--seed", "1", "--seed", "2", "--operations", "10"]) == 0
        shown = capsys.readouterr().out
        assert "seed 1: " in shown
        assert "seed 2: " in shown
        assert shown.count("duplicates 0, lost 0, false outcomes 0\n") == 2

    def test_command_prints_json_and_exits_1_after_a_finding(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ExpectedStore, "check", lambda *_: [Finding("lost", "a group")])
        assert main(["emulator", "--operations", "10", "--json"]) == 1
        document = json.loads(capsys.readouterr().out)
        assert document["ok"] is False
        assert document["seeds"][0]["seed"] == 1
        assert document["seeds"][0]["findings"] == ["lost: a group"]

    def test_command_runs_as_a_module(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["soak", "emulator", "--operations", "5", "--json"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(main.__code__.co_filename), run_name="__main__")
        assert ended.value.code == 0
        assert json.loads(capsys.readouterr().out)["ok"] is True
