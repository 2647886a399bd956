"""Counts and lists in sentences."""

import pytest

from secoda_async.reconcile.wording import abbreviate, count


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
