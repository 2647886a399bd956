"""Run a job other than a to d in its own process.

    python -m tests.bench.measures f --base http://127.0.0.1:8000 [--key KEY] [--scale 1.0] [--size 1000]

Prints one line of JSON with the measured values.
"""

import argparse
import asyncio
import gc
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from itertools import count, islice
from statistics import median
from typing import Any, Final

import aiohttp

from secoda_async import Group, Page, RateLimit, SecodaClient, UpdateGroup
from tests.bench import growth, write_queue
from tests.bench.canned import CHANGE, PAGE_SIZE, TOKEN, group_id
from tests.bench.cores import pin
from tests.bench.meters import FAR, Case, cpu_seconds, resident
from tests.bench.worker import at_a_time

LIMIT: Final = RateLimit(30, per_seconds=1)


async def creates(case: Case) -> dict[str, float]:
    """f: creates as fast as the limit permits."""
    number = case.scaled(300)
    async with SecodaClient(case.key, base_url=case.bases[0], write_limit=LIMIT) as secoda:
        began = time.perf_counter()
        await at_a_time(40, map(str, range(number)), lambda name: secoda.groups.create(name=name))
        seconds = time.perf_counter() - began
    least = (number - 1) // LIMIT.places * LIMIT.per_seconds
    return {"seconds": seconds, "least": least, "ratio": seconds / max(least, 1.0)}


async def stream(case: Case) -> dict[str, float]:
    """g: all groups of a long list, one by one."""
    groups, at_first, most = 0, 0.0, 0.0
    async with SecodaClient(TOKEN, base_url=case.bases[0], write_limit=FAR) as secoda:
        async for _group in secoda.groups.list():
            groups += 1
            if groups % 10_000 == 0:
                most = max(most, resident())
                at_first = at_first or most
    return {"groups": groups, "megabytes": (most - at_first) / 2**20}


async def many_clients(case: Case) -> dict[str, float]:
    """h: a client for each of many workspaces, all of them over one connector."""
    number = case.scaled(1000)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:

        def client(workspace: int) -> SecodaClient:
            return SecodaClient(f"{TOKEN}-{workspace}", base_url=case.bases[0], session=session)

        await asyncio.gather(*(client(-1 - each).groups.get(group_id(each)) for each in range(20)))
        gc.collect()
        before = resident()
        clients = [client(workspace) for workspace in range(number)]
        await asyncio.gather(*(each.groups.get(group_id(1)) for each in clients))
        gc.collect()
        kilobytes = (resident() - before) / 1024 / number
        began = time.perf_counter()
        await asyncio.gather(*(each.close() for each in clients))
        return {"clients": number, "kilobytes": kilobytes, "close": time.perf_counter() - began}


async def bulk(case: Case) -> dict[str, float]:
    """i: a bulk beside the same calls under a semaphore."""
    blocks, number = 10, case.scaled(1000)
    ids = map(group_id, count())
    async with SecodaClient(TOKEN, base_url=case.bases[0], write_limit=FAR) as secoda:

        async def by_bulk(items: Iterable[str]) -> None:
            async for outcome in secoda.bulk(UpdateGroup(each, **CHANGE) for each in items):
                assert outcome.status == "applied"

        async def by_hand(items: Iterable[str]) -> None:
            places = asyncio.Semaphore(20)

            async def update(each: str) -> Group:
                async with places:
                    return await secoda.groups.update(each, **CHANGE)

            await asyncio.gather(*map(update, items))

        await by_bulk(islice(ids, 100))
        await by_hand(islice(ids, 100))
        ratios = list[float]()
        for block in range(blocks):
            ways = (by_bulk, by_hand) if block % 2 else (by_hand, by_bulk)
            seconds = {way: await cpu_seconds(way(islice(ids, number))) for way in ways}
            ratios.append(seconds[by_bulk] / seconds[by_hand])
    return {"operations": blocks * number, "ratio": median(ratios)}


async def new_field(case: Case) -> dict[str, float]:
    """n: pages with a field that the client does not know, beside pages without it."""
    blocks, number = 10, max(1, int(20 * case.scale))
    plain, new = (SecodaClient(TOKEN, base_url=base) for base in case.bases)
    async with plain, new:
        sources = {secoda: _pages(secoda) for secoda in (plain, new)}
        ratios = list[float]()
        for block in range(blocks + 1):
            order = (plain, new) if block % 2 else (new, plain)
            seconds = {secoda: await cpu_seconds(_read(sources[secoda], number)) for secoda in order}
            ratios.append(seconds[new] / seconds[plain])
        for source in sources.values():
            await source.aclose()
    return {"pages": blocks * number, "ratio": median(ratios[1:])}  # the first block is a warm-up


async def _pages(secoda: SecodaClient) -> AsyncGenerator[Page[Group], None]:
    while True:
        async for page in secoda.groups.pages():
            yield page


async def _read(source: AsyncGenerator[Page[Group], None], number: int) -> None:
    for _ in range(number):
        assert len((await anext(source)).items) == PAGE_SIZE


JOBS: Final[dict[str, Callable[[Case], Awaitable[Any]]]] = {
    "f": creates,
    "g": stream,
    "h": many_clients,
    "i": bulk,
    "k": growth.plans,
    "l": write_queue.reads_beside_writes,
    "m": growth.snapshot,
    "n": new_field,
    "o": write_queue.writes_per_window,
    **growth.OPERATIONS,
}


async def measure(job: str, case: Case) -> None:
    print(json.dumps(await JOBS[job](case)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--base", action="append", default=[])
    parser.add_argument("--key", default="")
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=0)
    arguments = parser.parse_args()
    pin(arguments.core)
    logging.disable(logging.WARNING)  # l cancels its writes
    case = Case(tuple(arguments.base), arguments.key, arguments.scale, arguments.size)
    asyncio.run(measure(arguments.job, case))


if __name__ == "__main__":
    main()
