"""The wait queue of a limiter, for several event loops. Waiters of closed event loops are dropped."""

import asyncio
import contextlib
from collections import deque
from itertools import chain
from weakref import WeakSet

from secoda_async.config import Priority


class Waiter:
    """A call that waits for a permit. Its event loop need not be the one that grants the permit."""

    def __init__(self, priority: Priority, max_pause: float) -> None:
        self.priority: Priority = priority
        self.max_pause = max_pause
        self.loop = asyncio.get_running_loop()
        self.result: object = None
        """A permit, or the error that the call raises."""
        self.ready = asyncio.Event()

    def set_result(self, result: object) -> None:
        """Resume the waiter. If its event loop closes in this moment, removing the waiter returns the permit."""
        self.result = result
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.ready.set)


class Waiters:
    """All waiters of one limiter, in the order in which they get permits. The limiter's lock guards them."""

    def __init__(self) -> None:
        self._queues: dict[Priority, deque[Waiter]] = {"interactive": deque(), "background": deque()}
        self.have_waited: bool = False
        """Whether a call has waited. Most limiters are never short of permits."""
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        """The event loops on which calls have waited."""

    def count_ahead_of(self, priority: Priority) -> int:
        """Return the number of waiters that go before a new one of this priority."""
        return len(self._queues["interactive"]) if priority == "interactive" else len(self)

    def __len__(self) -> int:
        return len(self._queues["interactive"]) + len(self._queues["background"])

    def next(self) -> Waiter | None:
        """Return the next waiter whose event loop runs; a stopped loop could not use the permit."""
        waiting = chain(self._queues["interactive"], self._queues["background"])
        return next((waiter for waiter in waiting if waiter.loop.is_running()), None)

    def add(self, priority: Priority, max_pause: float) -> Waiter:
        """Queue the current task."""
        waiter = Waiter(priority, max_pause)
        self.have_waited = True
        self._loops.add(waiter.loop)
        self._queues[priority].append(waiter)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out of its queue, unless it was dropped before."""
        with contextlib.suppress(ValueError):
            self._queues[waiter.priority].remove(waiter)

    def pop_impatient(self, pause: float) -> list[Waiter]:
        """Remove and return the waiters whose `max_pause` is shorter than `pause`."""
        impatient = [waiter for queue in self._queues.values() for waiter in queue if pause > waiter.max_pause]
        for waiter in impatient:
            self.remove(waiter)
        return impatient

    def discard_closed_loops(self) -> None:
        """Drop the waiters of closed event loops."""
        for closed in [loop for loop in self._loops if loop.is_closed()]:
            self._loops.discard(closed)
            for queue in self._queues.values():
                for waiter in [waiter for waiter in queue if waiter.loop is closed]:
                    queue.remove(waiter)
