"""The calls of one event loop that wait for a permit in Redis, and their connection."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Generator

from attrs import define, field

from secoda_async.config import Priority
from secoda_async.ext.redis_connection import Session


@define(eq=False, repr=False)
class WaitQueue:
    """The waiters of one event loop, of which only the first uses Redis; and the session for it."""

    session: Session
    lock: asyncio.Lock = field(init=False, factory=asyncio.Lock)
    """Held while a command runs."""
    flush_tasks: set[asyncio.Task[None]] = field(init=False, factory=set["asyncio.Task[None]"])
    queues: dict[Priority, deque[asyncio.Event]] = field(
        init=False, factory=lambda: {"interactive": deque(), "background": deque()}
    )

    def count_ahead_of(self, priority: Priority) -> int:
        """Return the number of waiters that go before a new one of this priority."""
        interactive = len(self.queues["interactive"])
        return interactive if priority == "interactive" else interactive + len(self.queues["background"])

    def first(self) -> asyncio.Event | None:
        """Return the next waiter."""
        return next((waiter for queue in self.queues.values() for waiter in queue), None)

    @contextlib.contextmanager
    def enter(self, priority: Priority) -> Generator[asyncio.Event, None, None]:
        """Queue a waiter, and wake the next one at the end."""
        waiter = asyncio.Event()
        self.queues[priority].append(waiter)
        try:
            yield waiter
        finally:
            self.queues[priority].remove(waiter)
            if (first := self.first()) is not None:
                first.set()

    async def wait_until_first(self, waiter: asyncio.Event) -> None:
        """Wait until no other waiter goes before this one."""
        while self.first() is not waiter:
            await waiter.wait()
            waiter.clear()

    async def close(self) -> None:
        """Cancel the running reports and close the session."""
        for task in tuple(self.flush_tasks):
            task.cancel()
        await self.session.close()
