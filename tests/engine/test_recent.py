"""Ids seen last and creates in flight are counted once, from any thread."""

import threading
from collections.abc import Callable

import pytest

from secoda_async import SystemClock
from secoda_async._engine.ledger import Ledger
from secoda_async._engine.page_checks import RecentIds


class Name(str):
    """A name that lets another thread do something the next time a dict looks it up."""

    __slots__ = ("others",)
    others: list[Callable[[], None]]

    def __hash__(self) -> int:
        if self.others:
            thread = threading.Thread(target=self.others.pop())
            thread.start()
            thread.join(0.05)  # it waits for this one, as it should
        return super().__hash__()

    __eq__ = str.__eq__


@pytest.mark.requirement("SL-6")
@pytest.mark.parametrize("lookups", range(5))
def test_creates_of_one_name_in_two_threads_are_all_counted(lookups: int) -> None:
    ledger = Ledger(SystemClock())
    ended = threading.Event()

    def another() -> None:
        with ledger.creating("name"):
            pass
        ended.set()

    name = Name("name")
    name.others = []
    with ledger.creating(name):
        assert not ledger.is_contested("name")
        name.others = [another] + [lambda: None] * lookups
    assert ended.wait(5) or name.others
    with ledger.creating("name"):
        assert not ledger.is_contested("name")  # nothing is left of the two
        with ledger.creating("name"):
            assert ledger.is_contested("name")


@pytest.mark.requirement("SL-6")
def test_the_oldest_id_is_forgotten_once_although_two_threads_add() -> None:
    recent = RecentIds(most=1)
    recent.add("first")
    name = Name("second")
    name.others = [lambda: (recent.add("third"), None)[1]]
    assert recent.add(name)
    for _ in range(1000):
        if "third" in recent:
            break
        threading.Event().wait(0.001)
    assert ("first" in recent, "second" in recent, "third" in recent) == (False, False, True)
    assert not recent.add("third")
