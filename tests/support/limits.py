"""A limiter on a manual clock, and calls that wait for it."""

import asyncio

from secoda_async import Permit, RateLimit, RateLimiter, SlidingWindowLimiter
from secoda_async.config import Priority
from tests.support.clocks import ManualClock, settle

SPACING = 2.0
"""Seconds of the window per permit. All times of the simulations are multiples of 1/8, so sums are exact."""


def make_limiter(clock: ManualClock, places: int = 3, window: float | None = None) -> SlidingWindowLimiter:
    return SlidingWindowLimiter(RateLimit(places, per_seconds=window or places * SPACING), clock=clock)


async def start_acquiring(waiting: RateLimiter, *, priority: Priority = "interactive") -> "asyncio.Task[Permit]":
    task = asyncio.create_task(waiting.acquire(priority=priority))
    await settle()
    return task
