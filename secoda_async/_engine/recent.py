"""The ids seen last, and what is under way, in bounded memory."""

import threading
from collections import Counter
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
        self._lock = threading.RLock()

    def add(self, item_id: str) -> bool:
        """Remember an id; True when it is new."""
        with self._lock:  # a client may serve event loops in several threads
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
        self._calls: Counter[str] = Counter()
        self._lock = threading.RLock()

    @contextmanager
    def one(self, name: str) -> Generator[None, None, None]:
        """Count a call for as long as it lasts."""
        self._add(name, 1)
        try:
            yield
        finally:
            self._add(name, -1)

    def _add(self, name: str, change: int) -> None:
        with self._lock:
            self._calls[name] += change
            if not self._calls[name]:
                del self._calls[name]

    def number_of(self, name: str) -> int:
        """How many there are for this name now."""
        return self._calls[name]
