"""Counts and lists in sentences for people."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["abbreviate", "count", "count_mutations", "natural_key"]


def abbreviate(names: Sequence[str], most: int | None, total: int | None = None) -> str:
    """Return the first names, and the number of the others; with a `total`, only the first of all names are given."""
    more = 0 if most is None else (total or len(names)) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 group`, `2 groups`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def count_mutations(kinds: Iterable[str]) -> str:
    """Return the number of writes, and that of deletes, which need no permit: `2 writes and 1 delete`.

    Args:
        kinds: The kind of each change: `create`, `update` or `delete`.
    """
    numbers = Counter("delete" if kind == "delete" else "write" for kind in kinds)
    return " and ".join(count(numbers[noun], noun) for noun in ("write", "delete") if numbers[noun])


def natural_key(name: str) -> tuple[tuple[object, ...], str]:
    """Return a sort key that puts `Team 2` before `Team 10`: digits are compared as numbers, of any length."""
    texts_and_digits = enumerate(re.split("([0-9]+)", name))
    return tuple(_as_number(part) if index % 2 else part for index, part in texts_and_digits), name


def _as_number(digits: str) -> tuple[int, str]:
    significant = digits.lstrip("0")
    return len(significant), significant
