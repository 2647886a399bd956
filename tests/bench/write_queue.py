"""Jobs about queued writes: reads beside them (l), and the use of the limit (o)."""

import asyncio
import time
from collections.abc import Sequence
from itertools import count, islice
from statistics import median, quantiles
from typing import Final

from secoda_async import RateLimit, SecodaClient
from tests.bench.canned import CHANGE, TOKEN, group_id
from tests.bench.meters import FAR, Case
from tests.bench.worker import at_a_time

READERS: Final = 20
READS: Final = 100
"""Reads of each reader."""
QUEUED: Final = 300

LIMITS: Final = {"the default limit": RateLimit(30, per_seconds=60), "a limit far away": FAR}

WINDOW: Final = 6.0
"""Seconds: a tenth of the real window, as are the latencies. The cost of the client is not, so it counts tenfold."""
WRITES: Final = 120
PERMITS: Final = 30


async def reads_beside_writes(case: Case) -> dict[str, dict[str, float]]:
    """Measure the latency of reads (ms), before and while writes wait: l."""
    found = dict[str, dict[str, float]]()
    for name, limit in LIMITS.items():
        async with SecodaClient(f"{TOKEN}-{len(found)}", base_url=case.bases[0], write_limit=limit) as secoda:
            await _latencies(secoda, 10)
            idle = await _latencies(secoda, case.scaled(READS))
            writes = [asyncio.create_task(secoda.groups.update(group_id(each), **CHANGE)) for each in range(QUEUED)]
            await asyncio.sleep(0)  # the tasks start
            busy = await _latencies(secoda, case.scaled(READS))
            for write in writes:
                write.cancel()
            await asyncio.gather(*writes, return_exceptions=True)
        found[name] = {"idle": median(idle), "idle_p99": _p99(idle), "busy": median(busy), "busy_p99": _p99(busy)}
    return found


async def _latencies(secoda: SecodaClient, reads: int) -> list[float]:
    took = list[float]()

    async def read(group: str) -> None:
        began = time.perf_counter()
        await secoda.groups.get(group)
        took.append((time.perf_counter() - began) * 1000)

    await at_a_time(READERS, islice(map(group_id, count()), READERS * reads), read)
    return took


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[-1]


async def writes_per_window(case: Case) -> list[float]:
    """Write as fast as the limit permits, to servers that differ in latency: o."""
    window = WINDOW * case.scale
    apart = window / len(case.bases)  # so that no two clients write at the same time
    return await asyncio.gather(
        *(_writes_in_window(base, index, window, index * apart) for index, base in enumerate(case.bases))
    )


async def _writes_in_window(base: str, index: int, window: float, delay: float) -> float:
    """Return the writes in a window, from the end of the first window to the last write."""
    ends = list[float]()
    limit = RateLimit(PERMITS, per_seconds=window)
    async with SecodaClient(f"{TOKEN}-{index}", base_url=base, write_limit=limit) as secoda:
        await secoda.groups.get(group_id(1))
        await asyncio.sleep(delay)

        async def write(each: int) -> None:
            await secoda.groups.update(group_id(each), **CHANGE)
            ends.append(time.perf_counter())

        await asyncio.gather(*map(write, range(WRITES)))
    return (WRITES - PERMITS) / (ends[-1] - ends[PERMITS - 1]) * window
