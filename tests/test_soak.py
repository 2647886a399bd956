"""The soak itself: it passes when nothing is wrong, it fails when something is, and a seed is always the same."""

import asyncio
import json
import runpy
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
import soak as soak_module
from attrs import evolve
from soak import (
    ATTEMPTS,
    FAULT_RATE,
    FAULT_KINDS,
    PERMITS,
    Invocation,
    Expected,
    Finding,
    Footprint,
    Job,
    Kind,
    Memory,
    Model,
    Soak,
    grown,
    left_over,
    scenario,
    draw,
    main,
    mislabeled,
    parts_of,
    unjustified,
)

from secoda_async import (
    BadRequestError,
    CreateGroup,
    DeadlineExceededError,
    Group,
    LimitState,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    PaginationError,
    RateLimitError,
    ResponseError,
    SecodaClient,
    SecodaError,
    ServerError,
    TransportError,
)

TEAM = {"name": "Team", "icon": "🧪", "description": None, "users": ["user-1"]}
IDLE = LimitState(free=PERMITS, next_free=0.0, queued=0, in_flight=0, paused=0.0)


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


@pytest.mark.requirement("RT-1", "RT-3", "RL-1", "RL-2", "SL-3", "BS-5", "BS-6")
async def test_nothing_is_lost_nothing_is_twice_nothing_is_left() -> None:
    report = await Soak(seed=1, operations=300).run()
    assert report.findings == []
    assert (report.duplicates, report.lost) == (0, 0)
    assert report.operations >= 300
    assert report.groups > 0
    assert report.retries > 0
    assert report.searches["done"] > 0
    assert 0.1 < report.fault / sum(report.requests.values()) < 0.3
    assert len(report.memory) == 2


class TestSeed:
    def test_the_same_seed_gives_the_same_operations(self) -> None:
        assert [scenario(1, number) for number in range(50)] == [scenario(1, number) for number in range(50)]
        assert scenario(1, 0) != scenario(2, 0)

    def test_and_the_same_faults(self) -> None:
        requests = [(method, f"subject {number}", 1) for method in ("GET", "POST", "PATCH") for number in range(50)]
        assert [draw(1, *request) for request in requests] == [draw(1, *request) for request in requests]
        assert [draw(1, *request) for request in requests] != [draw(2, *request) for request in requests]

    def test_every_kind_of_operation_comes(self) -> None:
        jobs = [job for number in range(100) for step in scenario(1, number).steps for job in step]
        assert {job.kind for job in jobs} == set(get_args(Kind))
        for trait in ("is_urgent", "is_missing", "deadline", "cancel_after"):
            assert any(getattr(job, trait) for job in jobs)
        names = Counter(job.fields["name"] for job in jobs if job.kind == "create")
        assert names.most_common()[0][1] > 1

    def test_every_kind_of_fault_comes_and_one_request_in_five_is_hurt(self) -> None:
        draws = [draw(1, "GET", f"subject {number}", 1) for number in range(3000)]
        fault = Counter(drawn.fault.name for drawn in draws if drawn.fault)
        assert set(fault) == {kind.name for kind in FAULT_KINDS}
        assert abs(fault.total() / len(draws) - FAULT_RATE) < 0.03

    def test_a_write_is_never_late(self) -> None:
        draws = [draw(1, method, f"subject {number}", 1) for method in ("POST", "PATCH") for number in range(500)]
        assert not any(drawn.fault and drawn.fault.name.startswith("later") for drawn in draws)


class TestModel:
    def test_the_store_as_it_should_be(self) -> None:
        model = Model()
        model.created("a", parts_of(TEAM))
        model.may_be_created(parts_of(TEAM))
        assert model.check({"a": TEAM}) == []
        assert model.check({"a": TEAM, "b": TEAM}) == []

    def test_a_group_that_is_there_twice(self) -> None:
        model = Model()
        model.created("a", parts_of(TEAM))
        assert kinds(model.check({"a": TEAM, "b": TEAM})) == ["duplicate"]
        model.may_be_created(parts_of(TEAM))
        assert kinds(model.check({"a": TEAM, "b": TEAM, "c": TEAM})) == ["duplicate"]
        assert kinds(model.check({"a": TEAM, "b": TEAM | {"icon": None}})) == ["duplicate"]

    def test_a_group_that_is_not_there(self) -> None:
        model = Model()
        model.created("a", parts_of(TEAM))
        assert kinds(model.check({})) == ["lost"]

    def test_one_group_for_two_creates(self) -> None:
        model = Model()
        model.created("a", parts_of(TEAM))
        model.created("a", parts_of(TEAM))
        assert kinds(model.check({"a": TEAM})) == ["lost"]

    def test_a_deleted_group_that_is_there(self) -> None:
        model = Model()
        model.created("a", parts_of(TEAM))
        model.gone("a")
        assert model.check({}) == []
        assert kinds(model.check({"a": TEAM})) == ["lost"]

    def test_a_delete_that_may_have_happened(self) -> None:
        model = Model()
        model.created("a", parts_of(TEAM)).may_be_gone = True
        assert model.check({}) == []
        assert model.check({"a": TEAM}) == []

    @pytest.mark.parametrize("change", [{"icon": None}, {"users": []}, {"users": ["user-1", "user-2"]}])
    def test_an_update_that_is_lost(self, change: dict[str, Any]) -> None:
        model = Model()
        expected = model.created("a", parts_of(TEAM | change))
        parts = parts_of(TEAM)
        expected.begin(parts)
        assert model.check({"a": TEAM}) == []
        assert model.check({"a": TEAM | change}) == []
        expected.confirm(parts)
        assert model.check({"a": TEAM}) == []
        assert kinds(model.check({"a": TEAM | change})) == ["lost"]

    def test_what_was_possible_at_the_beginning_of_a_read_counts(self) -> None:
        expected = Expected.of({"name": "new"})
        assert expected.against({"name": "old"}) == "name is 'old', not 'new'"
        assert expected.against({"name": "old"}, {"name": frozenset({"old"})}) == ""


def error(kind: type[SecodaError], attempts: int = ATTEMPTS) -> SecodaError:
    made = kind("no")
    made.attempts = attempts
    return made


@pytest.mark.parametrize(
    ("job", "ending", "fits"),
    [
        (Job(kind="create"), error(OutcomeUnknownError), True),
        (Job(kind="update"), error(OutcomeUnknownError), False),
        (Job(kind="get"), error(ResponseError, 1), True),
        (Job(kind="snapshot"), error(PaginationError, 1), True),
        (Job(kind="create"), error(ResponseError, 1), False),
        (Job(kind="get"), error(ServerError), True),
        (Job(kind="get"), error(TransportError, ATTEMPTS - 1), False),
        (Job(kind="create"), error(RateLimitError), True),
        (Job(kind="get", deadline=1.0), error(DeadlineExceededError), True),
        (Job(kind="get"), error(DeadlineExceededError), False),
        (Job(kind="get", cancel_after=1.0), asyncio.CancelledError(), True),
        (Job(kind="get"), asyncio.CancelledError(), False),
        (Job(kind="update"), error(BadRequestError, 1), False),
        (Job(kind="get"), KeyError("name"), False),
    ],
)
def test_only_what_the_faults_explain_is_a_fair_end(job: Job, ending: BaseException, *, fits: bool) -> None:
    assert (unjustified(job, ending) is None) is fits


def test_a_bulk_that_gives_an_outcome_another_name() -> None:
    outcome = Outcome(operation=CreateGroup(name="a"), index=0, status="unknown", error=OutcomeUnknownError("no"))
    assert mislabeled(outcome) == []
    assert kinds(mislabeled(evolve(outcome, status="failed"))) == ["wrong"]
    assert mislabeled(evolve(outcome, status="applied", error=None)) == []


async def test_a_list_is_left_early_in_the_midst_of_its_pages(secoda: SecodaClient) -> None:
    for place in (1, 4):
        assert len(await soak_module._listed(secoda, Job(kind="peek", place=place))) == 50


class TestLeftOver:
    async def test_nothing(self) -> None:
        assert left_over(Footprint.now(), Footprint.now(), IDLE, 0) == []

    async def test_a_task(self) -> None:
        before = Footprint.now()
        task = asyncio.create_task(asyncio.sleep(0))
        assert kinds(left_over(before, Footprint.now(), IDLE, 0)) == ["left over"]
        await task

    def test_a_socket_and_a_connection(self) -> None:
        before, after = Footprint(frozenset(), 3), Footprint(frozenset(), 4)
        assert kinds(left_over(before, after, IDLE, 1)) == ["left over", "left over"]

    @pytest.mark.parametrize("field", [{"free": PERMITS - 1}, {"in_flight": 1}, {"queued": 1}])
    def test_a_place_of_the_limit(self, field: dict[str, int]) -> None:
        nothing = Footprint(frozenset(), 0)
        assert kinds(left_over(nothing, nothing, evolve(IDLE, **field), 0)) == ["left over"]

    def test_memory(self) -> None:
        early = Memory(1000, 50.0)
        assert grown(early, Memory(30_000, 60.0), 10_000) == []
        assert kinds(grown(early, Memory(90_000, 60.0), 10_000)) == ["memory"]
        assert kinds(grown(early, Memory(30_000, 70.0), 10_000)) == ["memory"]


async def twice(soak: Soak) -> None:
    group_id = min(soak.model.certain())
    soak.emulator.groups["copy"] = soak.emulator.groups[group_id] | {"id": "copy"}


async def undone(soak: Soak) -> None:
    soak.emulator.groups[min(soak.model.certain())]["description"] = "as it was before"


async def vanished(soak: Soak) -> None:
    del soak.emulator.groups[min(soak.model.certain())]


async def place_kept(soak: Soak) -> None:
    await soak.secoda.limiter.acquire()


async def limit_overrun(soak: Soak) -> None:
    soak.counters.refused = 1


async def pause_ignored(soak: Soak) -> None:
    soak.chaos.breaches = 1


async def sent_behind_our_back(soak: Soak) -> None:
    soak.chaos.requests["POST"] += 100


async def error_nobody_saw(soak: Soak) -> None:
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
    assert soak.findings


async def raised(_: Soak) -> None:
    raise RuntimeError("in the midst of it")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (twice, "duplicate"),
        (undone, "lost"),
        (vanished, "lost"),
        (place_kept, "left over"),
        (limit_overrun, "limit"),
        (pause_ignored, "limit"),
        (sent_behind_our_back, "wrong"),
        (error_nobody_saw, "left over"),
        (raised, "wrong"),
    ],
)
async def test_every_kind_of_damage_is_found(damage: Callable[[Soak], Awaitable[object]], kind: str) -> None:
    report = await Soak(seed=1, operations=20, meddle=damage).run()
    (finding,) = report.findings
    assert finding.startswith(f"{kind}: ")
    shown = str(report)
    assert finding in shown
    assert shown.endswith("again: python tests/soak.py --seed 1 --operations 20")


async def test_a_soak_that_hangs_says_what_is_under_way() -> None:
    report = await Soak(seed=1, operations=100_000, seconds=0.1).run()
    assert report.findings[0].startswith("hung: under way after ")
    assert "{'fields': {'name':" in report.findings[0]


class TestAnswers:
    """What an operation is answered, held against the model."""

    @pytest.fixture
    def soak(self) -> Soak:
        return Soak(seed=1, operations=10)

    def test_another_group_than_was_created(self, soak: Soak) -> None:
        soak._done(Invocation(Job(kind="create", fields={"name": "a"})), Group("id", "b"))
        assert kinds(soak.findings) == ["wrong"]

    def test_another_group_than_was_read(self, soak: Soak) -> None:
        job = Job(kind="get")
        soak._done(Invocation(job, "id", Expected.of(parts_of({"name": "a"}))), Group("id", "a"))
        assert soak.findings == []
        soak._done(Invocation(job, "id", Expected.of(parts_of({"name": "a"}))), Group("id", "b"))
        assert kinds(soak.findings) == ["wrong"]

    def test_a_change_that_is_not_shown(self, soak: Soak) -> None:
        invocation = Invocation(Job(kind="add_users", users=("user-1",)), "id", Expected.of(parts_of({"name": "a"})))
        invocation.before = dict(invocation.expected.may_be) if invocation.expected else {}
        soak._done(invocation, Group("id", "a"))
        assert kinds(soak.findings) == ["wrong"]

    def test_a_deleted_group(self, soak: Soak) -> None:
        soak._failed(Invocation(Job(kind="get", is_missing=True), "id"), NotFoundError("gone"))
        soak._done(Invocation(Job(kind="delete", is_missing=True), "id"), result=False)
        assert soak.findings == []
        soak._done(Invocation(Job(kind="get", is_missing=True), "id"), Group("id", "a"))
        assert kinds(soak.findings) == ["wrong"]

    def test_a_list(self, soak: Soak) -> None:
        soak.model.created("a", parts_of(TEAM))
        soak._done(Invocation(Job(kind="list"), certain={"a"}, deleted={"b"}), [])
        soak._done(Invocation(Job(kind="snapshot"), certain={"a"}, deleted={"b"}), ["a", "c"])
        assert soak.findings == []
        soak._done(Invocation(Job(kind="snapshot"), certain={"a"}, deleted={"b"}), [])
        soak._done(Invocation(Job(kind="list"), certain={"a"}, deleted={"b"}), ["a", "b"])
        soak._done(Invocation(Job(kind="list"), certain={"a"}, deleted={"b"}), ["a", "a"])
        assert kinds(soak.findings) == ["wrong", "wrong", "wrong"]

    def test_an_end_that_nothing_explains(self, soak: Soak) -> None:
        soak._failed(Invocation(Job(kind="get")), KeyError("name"))
        assert kinds(soak.findings) == ["wrong"]


class TestCommand:
    def test_it_prints_what_happened(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--seed", "1", "--seed", "2", "--operations", "10"]) == 0
        shown = capsys.readouterr().out
        assert "seed 1: " in shown
        assert "seed 2: " in shown
        assert shown.count("duplicates 0, lost 0") == 2

    def test_as_one_json_document_and_with_1_when_something_is_wrong(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Model, "check", lambda *_: [Finding("lost", "a group")])
        assert main(["--operations", "10", "--json"]) == 1
        document = json.loads(capsys.readouterr().out)
        assert document["ok"] is False
        assert document["seeds"][0]["seed"] == 1
        assert document["seeds"][0]["findings"] == ["lost: a group"]

    def test_as_a_script(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(sys, "argv", ["soak.py", "--operations", "5", "--json"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(soak_module.__file__), run_name="__main__")
        assert ended.value.code == 0
        assert json.loads(capsys.readouterr().out)["ok"] is True
