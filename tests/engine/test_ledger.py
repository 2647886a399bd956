"""The ledger of a client's own writes."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from secoda_async import AutojumpClock, Group
from secoda_async._engine.ledger import _CREATED_KNOWN, OWN_WRITES_KNOWN, SETTLE_TIME, Ledger
from secoda_async._engine.operation import Operation
from secoda_async.errors import OutcomeUnknownError, TransportError
from tests.support.clocks import ManualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = Group("g", "G", users=("u1",))
NEW = Group("g", "G", users=("u1", "u2"))


@pytest.fixture
def manual() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(manual: ManualClock) -> Ledger:
    return Ledger(manual)


def test_the_oldest_created_ids_are_forgotten(ledger: Ledger) -> None:
    for index in range(_CREATED_KNOWN + 1):
        ledger.note_created(evolve(OLD, id=f"g{index}"))
    assert not ledger.has_created("g0")
    assert ledger.has_created("g1")
    assert ledger.has_created(f"g{_CREATED_KNOWN}")


def test_writes_of_a_large_bulk_leave_no_memory_behind(ledger: Ledger, manual: ManualClock) -> None:
    empty = sys.getsizeof(ledger._writes)
    for index in range(1000):
        ledger.note_created(evolve(OLD, id=f"g{index}"))
    assert sys.getsizeof(ledger._writes) > 1000
    manual.jump(OWN_WRITES_KNOWN + 1)
    assert ledger.latest("g0") is None
    assert sys.getsizeof(ledger._writes) == empty


class TestLists:
    @pytest.mark.requirement("BS-9")
    def test_a_created_group_is_added_for_a_minute(self, ledger: Ledger, manual: ManualClock) -> None:
        ledger.note_created(OLD)
        assert ledger.with_own_writes([]) == [OLD]
        assert ledger.with_own_writes([OLD]) == [OLD]
        assert ledger.has_created("g")
        manual.jump(OWN_WRITES_KNOWN + 1)
        assert ledger.with_own_writes([]) == []
        assert ledger.latest("g") is None

    @pytest.mark.requirement("BS-9")
    def test_a_deleted_group_is_left_out_for_a_minute(self, ledger: Ledger, manual: ManualClock) -> None:
        ledger.note_created(OLD)
        ledger.note_deleted("G")
        assert ledger.with_own_writes([OLD]) == []
        assert ledger.with_own_writes([]) == []
        manual.jump(OWN_WRITES_KNOWN + 1)
        assert ledger.with_own_writes([OLD]) == [OLD]

    @pytest.mark.requirement("BS-9")
    def test_an_updated_group_is_replaced_where_the_list_is_older(self, ledger: Ledger) -> None:
        new = evolve(NEW, updated_at=NOW)
        ledger.note_updated(new)
        assert ledger.with_own_writes([evolve(OLD, updated_at=NOW - timedelta(seconds=1))]) == [new]
        newer = evolve(OLD, updated_at=NOW + timedelta(seconds=1))
        assert ledger.with_own_writes([newer]) == [newer]
        assert ledger.with_own_writes([]) == []  # another program may have deleted it

    @pytest.mark.requirement("BS-9")
    def test_a_group_of_this_client_that_was_updated_is_still_its_own(self, ledger: Ledger) -> None:
        ledger.note_created(OLD)
        ledger.note_updated(NEW, before=OLD.users)
        assert ledger.with_own_writes([]) == [NEW]

    @pytest.mark.requirement("BS-9", "SL-6")
    def test_ids_are_compared_without_regard_to_case(self, ledger: Ledger) -> None:
        ledger.note_updated(NEW, before=OLD.users)
        assert ledger.latest("G") is not None
        assert ledger.with_own_writes([evolve(OLD, id="G")]) == [NEW]

    @pytest.mark.requirement("BS-9")
    def test_a_group_that_this_client_only_updated_is_not_its_own(self, ledger: Ledger) -> None:
        ledger.note_updated(OLD)
        ledger.note_updated(NEW)
        last = ledger.latest("g")
        assert last is not None
        assert not last.is_created
        assert ledger.with_own_writes([]) == []

    @pytest.mark.requirement("BS-9")
    def test_a_created_group_is_added_for_exactly_a_minute(self, ledger: Ledger, manual: ManualClock) -> None:
        ledger.note_created(OLD)
        manual.jump(OWN_WRITES_KNOWN)
        assert ledger.with_own_writes([]) == [OLD]
        manual.jump(0.5)
        assert ledger.with_own_writes([]) == []

    @pytest.mark.requirement("BS-9")
    def test_latest_write_is_forgotten_after_a_minute_without_another_call(
        self, ledger: Ledger, manual: ManualClock
    ) -> None:
        ledger.note_created(OLD)
        manual.jump(OWN_WRITES_KNOWN + 1)
        assert ledger.latest("g") is None


class TestMembers:
    @pytest.mark.requirement("BS-8")
    def test_others_are_the_members_that_this_client_neither_removed_nor_wrote(self, ledger: Ledger) -> None:
        ledger.note_updated(evolve(OLD, users=("u2",)), before=OLD.users)
        last = ledger.latest("g")
        assert last is not None
        assert list(last.others_in(evolve(OLD, users=("u1", "u2", "u3", "u4")))) == ["u3", "u4"]

    @pytest.mark.requirement("BS-8")
    def test_a_deleted_group_has_no_others(self, ledger: Ledger) -> None:
        ledger.note_deleted("g")
        last = ledger.latest("g")
        assert last is not None
        assert list(last.others_in(OLD)) == []

    @pytest.mark.requirement("BS-8")
    def test_a_read_before_an_update_of_the_whole_membership_has_no_others(self, ledger: Ledger) -> None:
        ledger.note_updated(evolve(NEW, updated_at=NOW), is_whole_membership=True)
        ledger.note_updated(evolve(NEW, updated_at=NOW + timedelta(seconds=9)))
        last = ledger.latest("g")
        assert last is not None
        assert last.replaced_at == NOW
        read = evolve(OLD, users=("u1", "u3"))
        assert list(last.others_in(evolve(read, updated_at=NOW - timedelta(seconds=1)))) == []
        assert list(last.others_in(evolve(read, updated_at=NOW))) == ["u3"]
        assert list(last.others_in(read)) == ["u3"]

    @pytest.mark.requirement("BS-8")
    def test_an_update_of_single_members_hides_no_members_of_others(self, ledger: Ledger) -> None:
        ledger.note_updated(evolve(NEW, updated_at=NOW))
        last = ledger.latest("g")
        assert last is not None
        assert last.replaced_at is None
        assert list(last.others_in(evolve(OLD, users=("u3",), updated_at=NOW - timedelta(seconds=1)))) == ["u3"]

    @pytest.mark.requirement("BS-8")
    def test_every_replaced_membership_is_recognized(self, ledger: Ledger) -> None:
        third = evolve(NEW, users=("u2", "u3"))
        ledger.note_updated(NEW, before=OLD.users)
        ledger.note_updated(third, before=NEW.users)
        last = ledger.latest("g")
        assert last is not None
        assert (last.is_missing_in(OLD), last.is_missing_in(NEW), last.is_missing_in(third)) == (True, True, False)
        assert not last.is_missing_in(evolve(OLD, users=("u9",)))
        assert list(last.others_in(evolve(OLD, users=("u1", "u2", "u3", "u4")))) == ["u4"]

    @pytest.mark.requirement("BS-8")
    def test_a_membership_that_was_written_again_is_not_old(self, ledger: Ledger) -> None:
        ledger.note_updated(NEW, before=OLD.users)
        ledger.note_updated(OLD, before=NEW.users)
        last = ledger.latest("g")
        assert last is not None
        assert (last.is_missing_in(OLD), last.is_missing_in(NEW)) == (False, True)

    @pytest.mark.requirement("BS-8")
    def test_a_deleted_group_is_missing_nowhere(self, ledger: Ledger) -> None:
        ledger.note_deleted("g")
        last = ledger.latest("g")
        assert last is not None
        assert not last.is_missing_in(OLD)
        ledger.note_updated(NEW)  # another program has made it again
        last = ledger.latest("g")
        assert last is not None
        assert last.group == NEW

    def test_earlier_memberships_are_bounded(self, ledger: Ledger) -> None:
        for number in range(500):
            ledger.note_updated(evolve(OLD, users=(f"u{number}",)), before=(f"u{number - 1}",))
        last = ledger.latest("g")
        assert last is not None
        assert len(last.replaced) <= 60


class TestCreates:
    @pytest.mark.requirement("RT-10")
    def test_a_name_is_contested_while_another_create_is_in_flight(self, ledger: Ledger) -> None:
        with ledger.creating("a"):
            assert not ledger.is_contested("a")
            with ledger.creating("a"), ledger.creating("b"):
                assert ledger.is_contested("a")
                assert not ledger.is_contested("b")
            assert not ledger.is_contested("a")
            with ledger.creating("a"):
                assert ledger.is_contested("a")
        assert not ledger._in_flight

    @pytest.mark.requirement("RT-10")
    def test_a_name_is_contested_while_a_confusable_create_is_in_flight(self, ledger: Ledger) -> None:
        with ledger.creating("Data  STEWARDS"), ledger.creating("data stewards"):
            assert ledger.is_contested("data stewards")

    @pytest.mark.requirement("RT-10")
    @pytest.mark.parametrize(
        ("error", "operation", "is_unclear"),
        [
            (OutcomeUnknownError("?"), None, True),
            (OutcomeUnknownError("?"), Operation(), True),
            (asyncio.CancelledError(), None, True),
            (asyncio.CancelledError(), Operation(may_have_written=True), True),
            (asyncio.CancelledError(), Operation(), False),
            (GeneratorExit(), None, True),
            (GeneratorExit(), Operation(), False),
            (TransportError("refused", maybe_sent=False), None, False),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_create_that_may_have_been_executed_is_remembered_as_unclear(
        self, ledger: Ledger, error: BaseException, operation: Operation | None, *, is_unclear: bool
    ) -> None:
        with pytest.raises(type(error)) as caught, ledger.creating("Data Stewards", operation):
            raise error
        assert caught.value is error
        assert ledger.is_contested("data stewards") is is_unclear
        assert not ledger.is_contested("finance")
        assert not ledger._in_flight

    @pytest.mark.requirement("RT-10")
    def test_an_unclear_update_settles_as_an_unclear_create_does(self, ledger: Ledger, manual: ManualClock) -> None:
        ledger.note_unclear_update("G-1")
        assert ledger.update_settles_in("g-1") == SETTLE_TIME
        assert (ledger.update_settles_in("g-2"), ledger.create_settles_in("g-1")) == (0, 0)
        assert not ledger.is_contested("g-1")
        manual.jump(10)
        assert ledger.update_settles_in("g-1") == SETTLE_TIME - 10

    @pytest.mark.requirement("RT-10")
    def test_a_name_is_contested_for_exactly_a_minute_after_an_unclear_create(
        self, ledger: Ledger, manual: ManualClock
    ) -> None:
        assert ledger.create_settles_in("a") == 0
        ledger.note_unclear_create("a")
        assert (ledger.is_contested("a"), ledger.create_settles_in("a")) == (True, SETTLE_TIME)
        manual.jump(SETTLE_TIME)
        assert (ledger.is_contested("a"), ledger.create_settles_in("a")) == (True, 0)
        manual.jump(OWN_WRITES_KNOWN - SETTLE_TIME)
        assert ledger.is_contested("a")
        manual.jump(0.5)
        assert (ledger.is_contested("a"), ledger.create_settles_in("a")) == (False, 0)


@pytest.mark.requirement("BS-9")
def test_ledger_forgets_old_creates_without_being_read() -> None:
    clock = AutojumpClock()
    ledger = Ledger(clock)
    for number in range(100):
        clock._now = number * 2.0
        ledger.note_created(Group(id=f"g{number}", name=""))
        ledger.note_deleted(f"d{number}")
    assert len(ledger._writes) <= 2 * 32
