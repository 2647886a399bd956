"""The soak on the emulator: a correct client passes, each kind of damage is found, and a seed is repeatable."""

import asyncio
import json
import runpy
import sys
from asyncio import Event
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
from attrs import evolve

import tests.soak.emulated.run as soak_module
from secoda_async import (
    APIError,
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
from secoda_async.emulator import Emulator
from secoda_async.emulator.request_log import RecordedRequest
from tests.soak.__main__ import main
from tests.soak.emulated.expected_state import (
    ATTEMPTS,
    Expected,
    ExpectedStore,
    Finding,
    mislabeled,
    parts_of,
    unjustified,
)
from tests.soak.emulated.faults import (
    FAULT_KINDS,
    FAULT_RATE,
    GRACE,
    LATEST,
    LONGEST_LAG,
    SEARCHED,
    START,
    FaultInjector,
    conditions,
    draw,
)
from tests.soak.emulated.leaks import PERMITS, Footprint, Memory, grown, left_over
from tests.soak.emulated.run import Invocation, Soak
from tests.soak.emulated.scenarios import Job, Kind, Scenario, scenario

TEAM = {"name": "Team", "icon": "🧪", "description": None, "users": ["user-1"]}
IDLE = LimitState(free=PERMITS, next_free=0.0, queued=0, in_flight=0, paused=0.0)


METHODS = ("GET", "POST", "PATCH", "DELETE")


def request_of(method: str, path: str, *, number: int = 0, **fields: object) -> RecordedRequest:
    path = f"/api/v1/auth/{path}"
    body = json.dumps(fields).encode() if fields else b""
    return RecordedRequest(
        number=number, method=method, path=path, query={}, headers={}, authorized=True, connection=1,
        at=START, target=path, body=body,
    )  # fmt: skip


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


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


class TestSeed:
    def test_scenarios_are_the_same_for_the_same_seed(self) -> None:
        assert [scenario(1, number) for number in range(50)] == [scenario(1, number) for number in range(50)]
        assert scenario(1, 0) != scenario(2, 0)

    def test_faults_are_the_same_for_the_same_seed(self) -> None:
        requests = [(method, f"subject {number}", 1) for method in ("GET", "POST", "PATCH") for number in range(50)]
        assert [draw(1, *request) for request in requests] == [draw(1, *request) for request in requests]
        assert [draw(1, *request) for request in requests] != [draw(2, *request) for request in requests]

    def test_scenarios_have_every_kind_of_operation(self) -> None:
        jobs = [job for number in range(100) for step in scenario(1, number).steps for job in step]
        assert {job.kind for job in jobs} == set(get_args(Kind))
        for trait in ("is_urgent", "is_missing", "deadline", "cancel_after"):
            assert any(getattr(job, trait) for job in jobs)
        names = Counter(job.fields["name"] for job in jobs if job.kind == "create")
        assert names.most_common()[0][1] > 1

    def test_faults_are_of_every_kind_in_one_request_of_five(self) -> None:
        draws = [draw(1, method, f"subject {number}", 1) for method in METHODS for number in range(1000)]
        draws += [draw(1, "GET", f"page {number}", 1, is_list=True) for number in range(1000)]
        faults = Counter(drawn.fault.name for drawn in draws if drawn.fault)
        assert set(faults) == {kind.name for kind in FAULT_KINDS}
        assert abs(faults.total() / len(draws) - FAULT_RATE) < 0.03

    def test_late_executions_have_bounded_delays(self) -> None:
        draws = [draw(1, method, f"subject {number}", 1) for method in METHODS for number in range(500)]
        late = [drawn for drawn in draws if drawn.fault and drawn.fault.is_late]
        assert {drawn.delay for drawn in late} == {3.0, 8.0, LATEST}
        assert not any(drawn.delay for drawn in draws if drawn not in late)

    def test_conditions_have_every_value(self) -> None:
        drawn = [conditions(1, phase) for phase in range(200)]
        assert drawn == [conditions(1, phase) for phase in range(200)]
        assert {one.date_skew for one in drawn} == {0.0, 3.0, -3.0, 5.0, -5.0, 60.0, -60.0, None}
        for name in ("lists_lag", "reads_lag", "visible_after"):
            assert {getattr(one, name) for one in drawn} == {0.0, 3.0, 8.0, LONGEST_LAG}
        assert {one.created_at_shown for one in drawn} == {"full", "null", "absent", "local"}
        for name in ("hide_pending", "next_link", "collapse_names", "idle_408"):
            assert len({getattr(one, name) for one in drawn}) == 2

    def test_scenarios_stop_some_bulks_and_leave_others(self) -> None:
        bulks = [one for number in range(500) if (one := scenario(1, number)).is_bulk]
        for trait in ("stop_after", "leave_after", "fail_fast"):
            assert 0 < sum(bool(getattr(one, trait)) for one in bulks) < len(bulks)


class TestFaultInjector:
    """Writes that remove a member or a group without an operation that requested it."""

    @pytest.fixture
    def injector(self) -> FaultInjector:
        users = [{"id": user, "email": f"{user}@example.com"} for user in ("user-1", "outsider-1")]
        emulator = Emulator(users=users, groups=[{"id": "a", "name": "A", "users": ["user-1"]}])
        return FaultInjector(seed=1, emulator=emulator)

    def test_late_execution_plus_list_lag_is_within_the_search_time(self, injector: FaultInjector) -> None:
        for number in range(3000):
            fault = injector.choose(request_of("POST", "group", number=number, name=f"Team {number}"))
            if fault is not None and fault.execute_after is not None:
                assert fault.execute_after + injector.conditions.lag <= SEARCHED
        assert injector.injected["504 HTML, executed later"] > 0

    def test_memberships_are_never_executed_late(self, injector: FaultInjector) -> None:
        for number in range(1000):
            fault = injector.choose(request_of("PATCH", "group/a", number=number, users=["user-1"]))
            assert fault is None or fault.execute_after is None

    @pytest.mark.requirement("BS-8")
    def test_removal_of_a_member_of_another_program_is_a_loss(self, injector: FaultInjector) -> None:
        injector.choose(request_of("GET", "group/a"))
        injector.join("a", "outsider-1", START)
        injector.join("a", "outsider-1", START + 50)  # who is a member already
        injector.join("missing", "outsider-1", START)
        write = request_of("PATCH", "group/a", users=["user-1"])
        injector.choose(write)  # in the moment of the addition: a race that nobody can win
        assert injector.losses == []
        write.at = START + LONGEST_LAG + 2 * GRACE
        injector.choose(write)
        assert len(injector.losses) == 1
        injector.replacing["a"] += 1
        injector.choose(write)
        assert len(injector.losses) == 1

    def test_delete_without_a_request_is_a_loss(self, injector: FaultInjector) -> None:
        injector.deleting.add("a")
        injector.choose(request_of("DELETE", "group/a"))
        assert injector.losses == []
        injector.forget("a")
        injector.choose(request_of("DELETE", "group/a"))
        assert injector.losses == ["group a was deleted, and nobody asked for that"]


class TestExpectedStore:
    def test_expected_store_without_differences(self) -> None:
        model = ExpectedStore()
        model.created("a", parts_of(TEAM))
        model.may_be_created(parts_of(TEAM))
        assert model.check({"a": TEAM}) == []
        assert model.check({"a": TEAM, "b": TEAM}) == []

    def test_duplicate_group_is_found(self) -> None:
        model = ExpectedStore()
        model.created("a", parts_of(TEAM))
        assert kinds(model.check({"a": TEAM, "b": TEAM})) == ["duplicate"]
        model.may_be_created(parts_of(TEAM))
        assert kinds(model.check({"a": TEAM, "b": TEAM, "c": TEAM})) == ["duplicate"]
        assert kinds(model.check({"a": TEAM, "b": TEAM | {"icon": None}})) == ["duplicate"]

    def test_lost_group_is_found(self) -> None:
        model = ExpectedStore()
        model.created("a", parts_of(TEAM))
        assert kinds(model.check({})) == ["lost"]

    def test_one_group_for_two_creates_is_lost(self) -> None:
        model = ExpectedStore()
        model.created("a", parts_of(TEAM))
        model.created("a", parts_of(TEAM))
        assert kinds(model.check({"a": TEAM})) == ["lost"]

    def test_deleted_group_in_the_store_is_found(self) -> None:
        model = ExpectedStore()
        model.created("a", parts_of(TEAM))
        model.gone("a")
        assert model.check({}) == []
        assert kinds(model.check({"a": TEAM})) == ["lost"]

    def test_unclear_delete_permits_both_states(self) -> None:
        model = ExpectedStore()
        model.created("a", parts_of(TEAM)).may_be_gone = True
        assert model.check({}) == []
        assert model.check({"a": TEAM}) == []

    @pytest.mark.requirement("RT-12")
    def test_failed_write_that_was_executed_is_a_false_outcome(self) -> None:
        model = ExpectedStore()
        expected = model.created("a", parts_of(TEAM))
        for _ in range(2):
            expected.begin({"icon": "📊"})
        expected.deny({"icon": "📊"})
        assert model.check({"a": TEAM | {"icon": "📊"}}) == []  # the other one may have been executed
        expected.deny({"icon": "📊"})
        assert kinds(model.check({"a": TEAM | {"icon": "📊"}})) == ["false outcome"]
        assert model.check({"a": TEAM}) == []

    @pytest.mark.requirement("RT-12")
    def test_failed_create_or_delete_that_was_executed_is_a_false_outcome(self) -> None:
        model = ExpectedStore()
        model.created("a", parts_of(TEAM)).has_failed_delete = True
        model.not_created(parts_of(TEAM | {"name": "B"}))
        assert model.check({"a": TEAM}) == []
        assert kinds(model.check({"b": TEAM | {"name": "B"}})) == ["false outcome", "false outcome"]

    def test_replaced_values_are_permitted_during_the_lag(self) -> None:
        expected = Expected.of({"name": "old"})
        expected.confirm({"name": "new"}, now=100.0)
        assert expected.shown(100.0 + LONGEST_LAG) == {"name": {"old", "new"}}
        assert expected.possible() == {"name": {"new"}}
        assert expected.shown(101.0 + LONGEST_LAG + GRACE) == {"name": {"new"}}

    @pytest.mark.parametrize("change", [{"icon": None}, {"users": []}, {"users": ["user-1", "user-2"]}])
    def test_lost_update_is_found(self, change: dict[str, Any]) -> None:
        model = ExpectedStore()
        expected = model.created("a", parts_of(TEAM | change))
        parts = parts_of(TEAM)
        expected.begin(parts)
        assert model.check({"a": TEAM}) == []
        assert model.check({"a": TEAM | change}) == []
        expected.confirm(parts)
        assert model.check({"a": TEAM}) == []
        assert kinds(model.check({"a": TEAM | change})) == ["lost"]

    def test_values_possible_at_the_start_of_a_read_are_permitted(self) -> None:
        expected = Expected.of({"name": "new"})
        assert expected.against({"name": "old"}) == "name is 'old', not 'new'"
        assert expected.against({"name": "old"}, {"name": frozenset({"old"})}) == ""


def error(kind: type[SecodaError], attempts: int = ATTEMPTS, **attributes: object) -> SecodaError:
    made = kind("no")
    made.attempts = attempts
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("job", "ending", "fits"),
    [
        (Job(kind="create"), error(OutcomeUnknownError), True),
        (Job(kind="update"), error(OutcomeUnknownError), True),
        (Job(kind="ensure"), error(OutcomeUnknownError), False),
        (Job(kind="get"), error(NotFoundError, is_missing_route=True), True),
        (Job(kind="get"), error(NotFoundError), False),
        (Job(kind="create"), error(APIError, 1, status=408), True),
        (Job(kind="update"), error(APIError, 1, status=408), False),
        (Job(kind="get"), error(APIError, status=418), False),
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
def test_error_must_be_explained_by_the_faults(job: Job, ending: BaseException, *, fits: bool) -> None:
    assert (unjustified(job, ending) is None) is fits


def test_outcome_status_must_match_its_error() -> None:
    outcome = Outcome(operation=CreateGroup(name="a"), index=0, status="unknown", error=OutcomeUnknownError("no"))
    job = Job(kind="create")
    assert mislabeled(job, outcome) == []
    assert kinds(mislabeled(job, evolve(outcome, status="failed"))) == ["false outcome"]
    assert mislabeled(job, evolve(outcome, error=ResponseError("a login page"))) == []
    assert kinds(mislabeled(job, evolve(outcome, error=RateLimitError("no")))) == ["false outcome"]
    assert mislabeled(job, evolve(outcome, status="applied", error=None)) == []
    assert kinds(mislabeled(job, evolve(outcome, status="failed", error=None))) == ["false outcome"]


async def test_peek_stops_a_list_after_fifty_groups(secoda: SecodaClient) -> None:
    for place in (1, 4):
        assert len(await soak_module._listed(secoda, Job(kind="peek", place=place))) == 50


class TestLeaks:
    async def test_no_leak(self) -> None:
        assert left_over(Footprint.now(), Footprint.now(), IDLE, 0) == []

    async def test_task_is_a_leak(self) -> None:
        before = Footprint.now()
        task = asyncio.create_task(asyncio.sleep(0))
        assert kinds(left_over(before, Footprint.now(), IDLE, 0)) == ["left over"]
        await task

    def test_socket_and_connection_are_leaks(self) -> None:
        before, after = Footprint(frozenset(), 3), Footprint(frozenset(), 4)
        assert kinds(left_over(before, after, IDLE, 1)) == ["left over", "left over"]

    @pytest.mark.parametrize("field", [{"free": PERMITS - 1}, {"in_flight": 1}, {"queued": 1}])
    def test_permit_is_a_leak(self, field: dict[str, int]) -> None:
        nothing = Footprint(frozenset(), 0)
        assert kinds(left_over(nothing, nothing, evolve(IDLE, **field), 0)) == ["left over"]

    def test_memory_growth_is_a_leak(self) -> None:
        early = Memory(1000, 50.0)
        assert grown(early, Memory(30_000, 60.0), 10_000) == []
        assert kinds(grown(early, Memory(90_000, 60.0), 10_000)) == ["memory"]
        assert kinds(grown(early, Memory(30_000, 70.0), 10_000)) == ["memory"]


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
