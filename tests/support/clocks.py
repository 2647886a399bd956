"""A clock that moves when a test says so."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from math import inf

from attrs import define, field

TURNS = 12
"""Turns of the event loop after each callback: enough for whoever it woke to come to rest."""


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

    def __init__(self, start: float = 1000.0, *, come_to_rest: Callable[[], Awaitable[None]] | None = None) -> None:
        self._now = start
        self._come_to_rest = come_to_rest or settle
        self._timers: list[ManualTimer] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> ManualTimer:
        timer = ManualTimer(self._now + max(0.0, delay), next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def jump(self, seconds: float) -> None:
        """Move on without running anything, as under an event loop that is late."""
        self._now += seconds

    def fire(self, seconds: float) -> None:
        """Move on and run what comes due, at once: others may be under way."""
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
        """Move on, running what comes due in order; without `seconds`, until nothing is left to run."""
        await self._come_to_rest()
        until = self._now + seconds
        while self._timers and self._timers[0].due <= until:
            timer = heapq.heappop(self._timers)
            if not timer.is_cancelled:
                self._now = max(self._now, timer.due)
                timer.callback()
                await self._come_to_rest()
        if until < inf:
            self._now = until


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
