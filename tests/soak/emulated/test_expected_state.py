"""The expected state: every difference of the store and every unexplained error is found."""

import asyncio
from typing import Any

import pytest
from attrs import evolve

from secoda_async import (
    APIError,
    BadRequestError,
    CreateGroup,
    DeadlineExceededError,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    PaginationError,
    RateLimitError,
    ResponseError,
    SecodaError,
    ServerError,
    TransportError,
)
from tests.soak.emulated.expected_state import (
    ATTEMPTS,
    Expected,
    ExpectedStore,
    mislabeled,
    parts_of,
    unjustified,
)
from tests.soak.emulated.faults import (
    GRACE,
    LONGEST_LAG,
)
from tests.soak.emulated.samples import TEAM, kinds
from tests.soak.emulated.scenarios import Job


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
