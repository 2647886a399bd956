"""Checks of one read of a list, page by page."""

import pytest

from secoda_async._engine.page_checks import PageSequence
from secoda_async.errors import PaginationError, ResponseError
from secoda_async.models import Group, Page


def page(*ids: str, count: int | None = None, invalid: int = 0) -> Page[Group]:
    return Page(1, tuple(Group(name, name) for name in ids), count, None, (ResponseError("name: missing"),) * invalid)


def test_invalid_items_are_counted() -> None:
    sequence = PageSequence[Group]("auth/group", 10)
    sequence.advance(page("a", count=3, invalid=2))
    assert (sequence.items, sequence.pages, sequence.counts) == (3, 1, {3})
    sequence.check_end("")


def test_repeated_items_are_left_out_but_counted() -> None:
    sequence = PageSequence[Group]("auth/group", 10)
    sequence.advance(page("a", "b"))
    assert [item.id for item in sequence.advance(page("b", "c")).items] == ["c"]
    assert (sequence.items, sequence.pages, sequence.counts) == (4, 2, set())


def test_surplus_is_logged_only_if_more_items_came_than_the_count(caplog: pytest.LogCaptureFixture) -> None:
    sequence = PageSequence[Group]("auth/group", 10)
    sequence.advance(page("a", "b", count=2))
    sequence.log_surplus()
    assert caplog.records == []
    sequence.advance(page("c", count=2))
    sequence.log_surplus()
    assert [(record.name, record.args) for record in caplog.records] == [("secoda_async", ("auth/group", 3, 2))]


def test_list_may_not_continue_after_max_pages() -> None:
    sequence = PageSequence[Group]("auth/group", 2)
    sequence.advance(page("a"))
    sequence.check_next({"page": "2"})
    sequence.advance(page("b"))
    with pytest.raises(PaginationError, match="max_pages=2") as caught:
        sequence.check_next({"page": "3"})
    assert caught.value.page == 2
