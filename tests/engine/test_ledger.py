"""The ledger of a client's own writes."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from secoda_async import AutojumpClock, Group
from secoda_async._engine.ledger import _CREATED_KNOWN, OWN_WRITES_KNOWN, SETTLE_TIME, Ledger
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


class TestMembers:
    @pytest.mark.requirement("BS-8")
    def test_every_replaced_membership_is_recognized(self, ledger: Ledger) -> None:
        third = evolve(NEW, users=("u2", "u3"))
        ledger.note_updated(NEW, before=OLD.users)
        ledger.note_updated(third, before=NEW.users)
        last = ledger.latest("g")
        assert last is not None
        assert (last.is_missing_in(OLD), last.is_missing_in(NEW), last.is_missing_in(third)) == (True, True, False)
        assert not last.is_missing_in(evolve(OLD, users=("u9",)))
        assert last.removed == {"u1"}

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

    @pytest.mark.requirement("RT-10")
    def test_a_name_is_contested_for_a_minute_after_an_unclear_create(
        self, ledger: Ledger, manual: ManualClock
    ) -> None:
        assert ledger.settles_in("a") == 0
        ledger.note_unclear("a")
        assert (ledger.is_contested("a"), ledger.settles_in("a")) == (True, SETTLE_TIME)
        manual.jump(SETTLE_TIME)
        assert (ledger.is_contested("a"), ledger.settles_in("a")) == (True, 0)
        manual.jump(OWN_WRITES_KNOWN - SETTLE_TIME + 1)
        assert (ledger.is_contested("a"), ledger.settles_in("a")) == (False, 0)


@pytest.mark.requirement("BS-9")
def test_ledger_forgets_old_creates_without_being_read() -> None:
    clock = AutojumpClock()
    ledger = Ledger(clock)
    for number in range(100):
        clock._now = number * 2.0
        ledger.note_created(Group(id=f"g{number}", name=""))
        ledger.note_deleted(f"d{number}")
    assert len(ledger._writes) <= 2 * 32
