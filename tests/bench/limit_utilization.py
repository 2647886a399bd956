"""Measure the utilization of the write limit in real time: one process, then several processes that share Redis.

    python -m tests.bench.limit_utilization [--window 3] [--windows 5] [--processes 3]

Each process creates groups as fast as the limit permits; the emulator records the times. Prints for each case the
percentage of permits used (there are 30 in each window; a permit that is taken late reduces it) and the number of 429s.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from secoda_async import RateLimit, RateLimiter, SecodaClient
from secoda_async.emulator import Emulator
from secoda_async.ext.redis import RedisRateLimiter
from tests.support.redis_server import RedisServer, running

PERMITS = 30
TASKS = 20


async def write(url: str, key: str, limit: RateLimit, limiter: RateLimiter | None) -> None:
    """Create groups until the process is killed."""
    async with SecodaClient(key, base_url=url, write_limit=limit, limiter=limiter) as secoda:

        async def worker() -> None:
            while True:
                await secoda.groups.create(name="A")

        await asyncio.gather(*(worker() for _ in range(TASKS)))


async def process(url: str, key: str, window: float, redis: str | None) -> None:
    """Run one client process, with its own limit or the limit in Redis."""
    limit = RateLimit(PERMITS, per_seconds=window)
    if redis is None:
        await write(url, key, limit, None)
    else:
        async with RedisRateLimiter(redis, limit, name="figures") as limiter:
            await write(url, key, limit, limiter)


async def measure(processes: int, window: float, windows: int, redis: str | None) -> tuple[float, int]:
    """Return the fraction of permits that were used, and the number of 429s."""
    async with Emulator(writes_per_window=PERMITS, window=window) as emulator:
        arguments = [emulator.url, emulator.api_key, str(window), *([] if redis is None else [redis])]
        command = [sys.executable, __file__, "--process", *arguments]
        children = [await asyncio.create_subprocess_exec(*command) for _ in range(processes)]
        while len(emulator.groups) <= PERMITS * (windows + 1):  # noqa: ASYNC110 - another process writes; the first window is a warm-up
            await asyncio.sleep(0.01)
        starts = [request.at for request in emulator.requests if request.applied]
        for child in children:
            child.kill()
            await child.wait()
        return window * windows / (starts[PERMITS * (windows + 1)] - starts[PERMITS]), emulator.refused


def main(arguments: list[str]) -> int:
    """Measure each case; return 1 if there was a 429."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--window", type=float, default=3.0, help="length of a window in seconds (default: 3)")
    parser.add_argument("--windows", type=int, default=5, help="full windows to count (default: 5)")
    parser.add_argument("--processes", type=int, default=3, help="processes that share the limit (default: 3)")
    options = parser.parse_args(arguments)
    refused = 0
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as server:
        for processes, redis in ((1, None), (1, server), (options.processes, server)):
            refused += report(processes, redis, options.window, options.windows)
    return min(refused, 1)


def report(processes: int, redis: RedisServer | None, window: float, windows: int) -> int:
    """Measure one case and print it."""
    url = None if redis is None else redis.url
    used, refused = asyncio.run(measure(processes, window, windows, url))
    where = "its own limit" if redis is None else "the limit in Redis"
    print(f"{processes} on {where}: {used:.1%} of the permits used, 429s: {refused}", flush=True)
    return refused


if __name__ == "__main__":
    if sys.argv[1:2] == ["--process"]:
        url, key, window, *rest = sys.argv[2:]
        asyncio.run(process(url, key, float(window), rest[0] if rest else None))
    else:
        sys.exit(main(sys.argv[1:]))
