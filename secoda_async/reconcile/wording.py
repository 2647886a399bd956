"""Counts and lists in sentences for people."""

from collections.abc import Sequence

__all__ = ["abbreviate", "count"]


def abbreviate(names: Sequence[str], most: int | None, total: int | None = None) -> str:
    """Return the first names, and the number of the others; with a `total`, only the first of all names are given."""
    more = 0 if most is None else (total or len(names)) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 group`, `2 groups`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
