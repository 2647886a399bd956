"""Faults, conditions and scenarios: repeatable for a seed, of every kind, and within their limits."""

from collections import Counter
from typing import get_args

import pytest

from secoda_async.emulator import Emulator
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
from tests.soak.emulated.samples import request_of
from tests.soak.emulated.scenarios import Kind, scenario

METHODS = ("GET", "POST", "PATCH", "DELETE")


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
