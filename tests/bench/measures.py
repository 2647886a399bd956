"""The jobs that measure something else than calls beside a floor; each runs in a process of its own.

    python -m tests.bench.measures f --base http://127.0.0.1:8000 [--key KEY] [--scale 1.0]

It prints one line of JSON with what was measured.
"""

import argparse
import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp

from secoda_async import DesiredState, Group, RateLimit, SecodaClient, UpdateGroup, User
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules
from tests.bench.canned import CHANGE, TOKEN, group_id, user_ids
from tests.bench.cores import pin
from tests.bench.worker import at_a_time

FAR: Final = RateLimit(10**9, per_seconds=60)
"""A limit that is on and never reached."""

LIMIT: Final = RateLimit(30, per_seconds=1)


async def creates(base: str, key: str, scale: float) -> dict[str, float]:
    """f: creates as fast as the limit lets them."""
    number = _part(300, scale)
    async with SecodaClient(key, base_url=base, write_limit=LIMIT) as secoda:
        began = time.perf_counter()
        await at_a_time(40, map(str, range(number)), lambda name: secoda.groups.create(name=name))
        seconds = time.perf_counter() - began
    least = (number - 1) // LIMIT.places * LIMIT.per_seconds
    return {"seconds": seconds, "least": least, "ratio": seconds / max(least, 1.0)}


async def stream(base: str, _: str, __: float) -> dict[str, float]:
    """g: every group of a long list, one by one."""
    groups, at_first, most = 0, 0.0, 0.0
    async with SecodaClient(TOKEN, base_url=base, write_limit=FAR) as secoda:
        async for _group in secoda.groups.list():
            groups += 1
            if groups % 10_000 == 0:
                most = max(most, resident())
                at_first = at_first or most
    return {"groups": groups, "megabytes": (most - at_first) / 2**20}


async def many_clients(base: str, _: str, scale: float) -> dict[str, float]:
    """h: a client for each of many workspaces, all of them over one connector."""
    number = _part(1000, scale)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:

        def client(workspace: int) -> SecodaClient:
            return SecodaClient(f"{TOKEN}-{workspace}", base_url=base, session=session)

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


async def bulk(base: str, _: str, scale: float) -> dict[str, float]:
    """i: a bulk beside the same calls under a semaphore."""
    blocks, number = 10, _part(1000, scale)
    ids = map(group_id, count())
    async with SecodaClient(TOKEN, base_url=base, write_limit=FAR) as secoda:

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
            seconds = {way: await _processor(way, islice(ids, number)) for way in ways}
            ratios.append(seconds[by_bulk] / seconds[by_hand])
    return {"operations": blocks * number, "ratio": median(ratios)}


async def _processor(way: Callable[[Iterable[str]], Awaitable[None]], items: Iterable[str]) -> float:
    began = time.process_time()
    await way(items)
    return time.process_time() - began


async def plans(_: str, __: str, scale: float) -> dict[str, float]:
    """k: a plan for many groups, one in ten of which has to change."""
    number = _part(100_000, scale)
    seconds, tenth = _plan(number), _plan(number // 10)
    return {"groups": number, "seconds": seconds, "times_a_tenth": seconds / tenth}


def _plan(number: int) -> float:
    ids = user_ids(5000)
    users = [User(id=each, email=f"{each}@example.com") for each in ids]
    present = [
        Group(id=group_id(each), name=f"Group {each}", users=tuple(ids[each % 4900 :][:50])) for each in range(number)
    ]
    wanted = [
        Group(id=group.id, name=group.name, users=group.users[1:] if index % 10 == 0 else group.users)
        for index, group in enumerate(present)
    ]
    desired = DesiredState.from_groups(wanted)
    gc.collect()
    began = time.process_time()
    plan = diff(desired, present, users, Rules(max_remove="100%"))
    seconds = time.process_time() - began
    assert len(plan.changes) == -(-number // 10)
    return seconds


def resident() -> float:
    """Bytes of this process that are in memory: now, where the system says; else the most there ever were."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * resource.getpagesize()


def _part(number: int, scale: float) -> int:
    return max(10, int(number * scale))


JOBS: Final[dict[str, Callable[[str, str, float], Awaitable[dict[str, Any]]]]] = {
    "f": creates,
    "g": stream,
    "h": many_clients,
    "i": bulk,
    "k": plans,
}


async def measure(job: str, base: str, key: str, scale: float) -> None:
    print(json.dumps(await JOBS[job](base, key, scale)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--base", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    pin(arguments.core)
    asyncio.run(measure(arguments.job, arguments.base, arguments.key, arguments.scale))


if __name__ == "__main__":
    main()
