"""The ids seen last, and what is under way, in bounded memory."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

REMEMBERED: Final = 10_000
"""Enough for what it serves: an item that moves while a list is read moves a page or two, and a create whose
answer was lost is looked for within minutes."""


class RecentIds:
    """A set of ids that forgets the oldest."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._ids: dict[str, None] = {}

    def add(self, item_id: str) -> bool:
        """Remember an id; True when it is new."""
        if item_id in self._ids:
            return False
        self._ids[item_id] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
        return True

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._ids


class UnderWay:
    """How many calls are under way for each of some names."""

    def __init__(self) -> None:
        self._calls: dict[str, set[object]] = {}

    @contextmanager
    def one(self, name: str) -> Generator[None, None, None]:
        """Count a call for as long as it lasts."""
        call = object()
        self._calls.setdefault(name, set()).add(call)
        try:
            yield
        finally:
            self._calls[name].discard(call)
            if not self._calls[name]:
                del self._calls[name]

    def number_of(self, name: str) -> int:
        """How many there are for this name now."""
        return len(self._calls.get(name, ()))
