"""Places on the wire, and the queue before them: aiohttp's own queue would be counted as time on the wire."""

import asyncio
from collections import deque

from attrs import define, field

from secoda_async._engine.wire.protocol import LIMITED


@define(eq=False, repr=False)
class _Waiter:
    """Somebody who waits for a place."""

    method: str
    granted: asyncio.Future[None] = field(factory=lambda: asyncio.get_running_loop().create_future())


class ConnectionLimit:
    """Requests that may be on the wire of one event loop at a time; who came first is served first.

    Writes have three in four at most, so that reads need not wait for slow writes.
    """

    def __init__(self, connections: int) -> None:
        self._free = connections
        self._free_for_writes = max(1, connections * 3 // 4)
        self._queue: deque[_Waiter] = deque()

    def acquire_nowait(self, method: str) -> bool:
        """Take a place, if there is one: then nobody waits for it, since those who wait are served at once."""
        is_write = method in LIMITED
        if self._free < 1 or (is_write and self._free_for_writes < 1):
            return False
        self._free -= 1
        self._free_for_writes -= is_write
        return True

    async def acquire(self, method: str) -> None:
        """Wait for a place and take it."""
        if self.acquire_nowait(method):
            return
        waiter = _Waiter(method)
        self._queue.append(waiter)
        try:
            await waiter.granted
        except BaseException:
            if waiter in self._queue:
                self._queue.remove(waiter)
            else:  # it came in the moment of the cancellation
                self.release(method)
            raise

    def release(self, method: str) -> None:
        """Give it back, to who has waited longest for one like it."""
        self._free += 1
        self._free_for_writes += method in LIMITED
        if not self._queue:
            return
        for waiter in self._queue:
            if not waiter.granted.done() and self.acquire_nowait(
                waiter.method
            ):  # else it was cancelled, and is about to go
                self._queue.remove(waiter)
                waiter.granted.set_result(None)
                return
