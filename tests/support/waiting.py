"""Let the event loop run, or the fake clock advance, until something is true."""

import asyncio
from collections.abc import Callable

from secoda_async import AutojumpClock


async def wait_until(condition: Callable[[], object]) -> None:
    """Run the event loop until the condition is true; the fake clock jumps only when nothing else can run."""
    while not condition():  # noqa: ASYNC110 - no event could be set
        await asyncio.sleep(0)


async def drain_loop() -> None:
    """Run the event loop for 50 iterations, so that everything that is ready finishes."""
    for _ in range(50):
        await asyncio.sleep(0)


async def advance(clock: AutojumpClock, seconds: float) -> None:
    """Wait until the fake clock has advanced by this many seconds."""
    arrived = asyncio.Event()
    clock.call_later(seconds, arrived.set)
    await arrived.wait()
