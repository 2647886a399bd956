"""The limit on connections in use, and its queue. aiohttp's own queue would count as time of the request."""

import asyncio
from collections import deque

from secoda_async._engine.wire.protocol import LIMITED


class _Waiter:
    """A request that waits for a connection slot."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class ConnectionLimit:
    """The connection slots of one event loop; first in, first out.

    Writes use at most three quarters of the slots, so that reads do not wait for slow writes.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._free_for_writes = max(1, slots * 3 // 4)
        self._waiters: deque[_Waiter] = deque()

    def acquire_nowait(self, method: str) -> bool:
        """Take a slot if one is free. No waiter is overtaken: `release` grants a free slot immediately."""
        is_write = method in LIMITED
        if self._free < 1 or (is_write and self._free_for_writes < 1):
            return False
        self._free -= 1
        self._free_for_writes -= is_write
        return True

    async def acquire(self, method: str) -> None:
        """Wait for a slot and take it."""
        if self.acquire_nowait(method):
            return
        waiter = _Waiter(method)
        self._waiters.append(waiter)
        try:
            await waiter.granted
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            else:  # granted and cancelled in the same moment
                self.release(method)
            raise

    def release(self, method: str) -> None:
        """Return a slot, and grant it to the first waiter that may use it."""
        self._free += 1
        self._free_for_writes += method in LIMITED
        for waiter in self._waiters:
            # Skip waiters that were cancelled but not yet resumed.
            if not waiter.granted.done() and self.acquire_nowait(waiter.method):
                self._waiters.remove(waiter)
                waiter.granted.set_result(None)
                return
