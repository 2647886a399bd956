"""One at a time for each key: for writes that read first."""

import asyncio
from weakref import WeakValueDictionary


class KeyedLocks:
    """A lock for each key and event loop, kept for as long as somebody holds or wants it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()

    def of(self, key: str) -> asyncio.Lock:
        """The lock of `key` on the running event loop; who asked first is served first."""
        place = (id(asyncio.get_running_loop()), key)
        lock = self._locks.get(place)
        if lock is None:
            lock = self._locks[place] = asyncio.Lock()
        return lock
