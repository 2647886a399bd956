"""Counts and lists in sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.reconcile.wording import abbreviate, count, count_mutations, natural_key


@pytest.mark.parametrize(
    ("most", "text"), [(None, "a, b, c"), (3, "a, b, c"), (2, "a, b and 1 more"), (1, "a and 2 more")]
)
def test_names_beyond_the_maximum_are_counted(most: int | None, text: str) -> None:
    assert abbreviate(["a", "b", "c"], most) == text


def test_names_that_are_not_given_are_counted() -> None:
    assert abbreviate(["a", "b"], 2, 9) == "a, b and 7 more"


@pytest.mark.parametrize(("number", "text"), [(0, "0 groups"), (1, "1 group"), (2, "2 groups")])
def test_noun_follows_its_number(number: int, text: str) -> None:
    assert count(number, "group") == text


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        (("create",), "1 write"),
        (("delete", "delete"), "2 deletes"),
        (("create", "update", "delete"), "2 writes and 1 delete"),
    ],
    ids=["writes", "deletes", "both"],
)
def test_deletes_are_not_counted_as_writes(kinds: tuple[str, ...], text: str) -> None:
    assert count_mutations(kinds) == text


def test_numbers_in_names_are_sorted_by_value() -> None:
    names = ["Team 10", "Team 2", "Team", "10 b", "9 a", "Team 2b", "Team 02", "Team 1" + "0" * 5000]
    assert sorted(names, key=natural_key) == [
        "9 a", "10 b", "Team", "Team 02", "Team 2", "Team 2b", "Team 10", "Team 1" + "0" * 5000
    ]  # fmt: skip


@given(st.lists(st.text(alphabet="a 019\u0663")))
def test_every_two_names_can_be_compared(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)
