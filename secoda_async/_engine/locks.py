"""One at a time for each key: for writes that read first."""

import asyncio
from weakref import WeakKeyDictionary, WeakValueDictionary


class KeyedLocks:
    """A lock for each key and event loop, kept for as long as somebody holds or wants it."""

    def __init__(self) -> None:
        # By the loop itself: its id() may be that of an earlier one.
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, asyncio.Lock]]
        self._locks = WeakKeyDictionary()

    def of(self, key: str) -> asyncio.Lock:
        """The lock of `key` on the running event loop; who asked first is served first."""
        locks = self._locks.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
        lock = locks.get(key)
        if lock is None:
            lock = locks[key] = asyncio.Lock()
        return lock
