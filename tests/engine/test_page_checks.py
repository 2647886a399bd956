"""Checks of one read of a list, page by page."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secoda_async._engine.page_checks import PageSequence, RecentIds, canonical_ids
from secoda_async.errors import PaginationError, ResponseError
from secoda_async.models import Group, Page

UUID = "00000000-0000-4000-a000-00000000000f"


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


def test_repeated_items_of_one_page_are_left_out() -> None:
    sequence = PageSequence[Group]("auth/group", 10)
    sequence.advance(page("a"))
    repeated = page("c", "b", "a", "c")
    assert list(map(id, sequence.advance(repeated).items)) == list(map(id, repeated.items[:2]))
    sequence.check_end("")


@pytest.mark.parametrize(
    ("ids", "canonical"),
    [
        (["a", "B"], ["a", "B"]),
        (["a", UUID.upper()], ["a", UUID]),
        ([UUID, "İ"], [UUID, "İ"]),
        ([], []),
    ],
)
def test_letter_case_of_a_uuid_has_no_meaning(ids: list[str], canonical: list[str]) -> None:
    assert canonical_ids([Group(item_id, "") for item_id in ids]) == canonical


def test_recent_ids_are_new_once() -> None:
    seen = RecentIds()
    assert [seen.add([*ids]) for ids in ("abb", "ca", "c", "")] == [["a", "b"], ["c"], [], []]
    assert seen.add([*"abcd"]) == ["d"]


@given(st.integers(0, 5), st.lists(st.text("abcdefgh", max_size=4)))
@example(1, ["ab", "c"])
def test_ids_of_the_oldest_pages_are_forgotten(most: int, pages: list[str]) -> None:
    seen, remembered = RecentIds(most), list[set[str]]()
    for ids in pages:
        new = set(ids).difference(*remembered)
        assert seen.add([*ids]) == sorted(new, key=ids.index)
        remembered.append(new)
        while len(remembered) > 1 and sum(map(len, remembered)) > most:
            remembered.pop(0)
    assert set("abcdefgh").difference(seen.add([*"abcdefgh"])) == set[str]().union(*remembered)


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
    sequence.check_next("page=2")
    sequence.advance(page("b"))
    with pytest.raises(PaginationError, match="max_pages=2") as caught:
        sequence.check_next("page=3")
    assert caught.value.page == 2
