"""A set of recent ids, in bounded memory."""

import threading
from typing import Final

REMEMBERED: Final = 10_000
"""Maximum ids. An item that moves during the read of a list moves by a page or two."""


class RecentIds:
    """A set of ids that forgets the oldest."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._ids: dict[str, None] = {}
        self._lock = threading.RLock()

    def add(self, item_id: str) -> bool:
        """Add an id; return True if the id is new."""
        with self._lock:  # a client may serve event loops in several threads
            if item_id in self._ids:
                return False
            self._ids[item_id] = None
            if len(self._ids) > self._most:
                del self._ids[next(iter(self._ids))]
            return True

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._ids
