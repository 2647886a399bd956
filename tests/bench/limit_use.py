"""How much of the write limit is used: alone, and by several processes that share it in Redis. In real time.

    python -m tests.bench.limit_use [--window 3] [--windows 5] [--processes 3]

Each process creates groups as fast as the limit lets it; the emulator takes the time. Prints for each case the
places used of the places possible in that time (30 in each window: less when one is taken too late), and the 429s.
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

PLACES = 30
TASKS = 20


async def write(url: str, key: str, limit: RateLimit, limiter: RateLimiter | None) -> None:
    """Create groups until somebody ends this."""
    async with SecodaClient(key, base_url=url, write_limit=limit, limiter=limiter) as secoda:

        async def worker() -> None:
            while True:
                await secoda.groups.create(name="A")

        await asyncio.gather(*(worker() for _ in range(TASKS)))


async def process(url: str, key: str, window: float, redis: str | None) -> None:
    """What each of the processes does."""
    limit = RateLimit(PLACES, per_seconds=window)
    if redis is None:
        await write(url, key, limit, None)
    else:
        async with RedisRateLimiter(redis, limit, name="figures") as limiter:
            await write(url, key, limit, limiter)


async def measure(processes: int, window: float, windows: int, redis: str | None) -> tuple[float, int]:
    """The part of the places that was used in so many windows, and the 429s."""
    async with Emulator(writes_per_window=PLACES, window=window) as emulator:
        arguments = [emulator.url, emulator.api_key, str(window), *([] if redis is None else [redis])]
        command = [sys.executable, __file__, "--process", *arguments]
        children = [await asyncio.create_subprocess_exec(*command) for _ in range(processes)]
        while len(emulator.groups) <= PLACES * (windows + 1):  # noqa: ASYNC110 - the first window is to warm up
            await asyncio.sleep(0.01)
        starts = [request.at for request in emulator.requests if request.applied]
        for child in children:
            child.kill()
            await child.wait()
        return window * windows / (starts[PLACES * (windows + 1)] - starts[PLACES]), emulator.refused


def main(arguments: list[str]) -> int:
    """Measure; 0 when there was no 429."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--window", type=float, default=3.0, help="seconds a window lasts (3)")
    parser.add_argument("--windows", type=int, default=5, help="full windows to count (5)")
    parser.add_argument("--processes", type=int, default=3, help="processes that share the limit (3)")
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
    print(f"{processes} on {where}: {used:.1%} of the places used, 429s: {refused}", flush=True)
    return refused


if __name__ == "__main__":
    if sys.argv[1:2] == ["--process"]:
        url, key, window, *rest = sys.argv[2:]
        asyncio.run(process(url, key, float(window), rest[0] if rest else None))
    else:
        sys.exit(main(sys.argv[1:]))
