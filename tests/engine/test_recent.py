"""Creates in flight are counted once, from any thread."""

import threading
from collections.abc import Callable

import pytest

from secoda_async import SystemClock
from secoda_async._engine.ledger import Ledger


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
