"""A clock that a test advances by hand."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from math import inf

from attrs import define, field

ITERATIONS = 12
"""Iterations of the event loop after each callback: enough for the tasks that it woke to finish or wait."""


@define(order=True)
class ManualTimer:
    due: float
    number: int
    callback: Callable[[], object] = field(order=False)
    is_cancelled: bool = field(default=False, order=False)

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualClock:
    """`secoda_async.Clock` for unit tests."""

    def __init__(self, start: float = 1000.0, *, wait_until_idle: Callable[[], Awaitable[None]] | None = None) -> None:
        self._now = start
        self._wait_until_idle = wait_until_idle or settle
        self._timers: list[ManualTimer] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> ManualTimer:
        timer = ManualTimer(self._now + max(0.0, delay), next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def jump(self, seconds: float) -> None:
        """Advance without running timers, as if the event loop were late."""
        self._now += seconds

    def fire(self, seconds: float) -> None:
        """Advance and run the due timers immediately, without waiting for other tasks."""
        self._now += seconds
        while self._timers and self._timers[0].due <= self._now:
            timer = heapq.heappop(self._timers)
            if not timer.is_cancelled:
                timer.callback()

    @property
    def pending(self) -> int:
        """Timers that are neither due nor cancelled."""
        return sum(not timer.is_cancelled for timer in self._timers)

    async def advance(self, seconds: float = inf) -> None:
        """Advance and run the due timers in order; without `seconds`, until no timer is left."""
        await self._wait_until_idle()
        until = self._now + seconds
        while self._timers and self._timers[0].due <= until:
            timer = heapq.heappop(self._timers)
            if not timer.is_cancelled:
                self._now = max(self._now, timer.due)
                timer.callback()
                await self._wait_until_idle()
        if until < inf:
            self._now = until


async def settle() -> None:
    """Run the event loop until all tasks are likely to wait."""
    for _ in range(ITERATIONS):
        await asyncio.sleep(0)
