"""Run one contender in its own process; lines on standard input name the job and the number of calls.

    python -m tests.bench.worker --contender httpx --base http://127.0.0.1:8000 [--core 0]

For a line `a 200` the worker prints one line of JSON with the CPU seconds and the wall-clock seconds.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import count, islice
from typing import Any, Final

from tests.bench.canned import CHANGE, PAGE_SIZE, group_id
from tests.bench.contenders import CONTENDERS, Contender
from tests.bench.cores import pin

AT_A_TIME: Final = {"b": 50, "d": 20}
"""Concurrent calls."""

WARM_UP: Final = (("a", 100), ("b", 100), ("d", 40), ("c", 4))


class Worker:
    """Runs jobs with a client."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._ids = map(group_id, count())
        self._pages: AsyncIterator[Sequence[Any]] | None = None

    async def do(self, job: str, number: int) -> None:
        """Make a number of calls, or read a number of pages."""
        contender = self._contender
        if job == "a":
            for wanted in islice(self._ids, number):
                got = contender.id_of(await contender.get(wanted))
                assert got == wanted
        elif job == "b":
            await at_a_time(AT_A_TIME[job], islice(self._ids, number), contender.get)
        elif job == "c":
            await self._read_pages(number)
        elif job == "d":
            await at_a_time(AT_A_TIME[job], islice(self._ids, number), lambda each: contender.patch(each, CHANGE))
        else:
            read = [len(page) async for page in contender.pages_ahead()]
            assert read == [PAGE_SIZE] * number

    async def _read_pages(self, number: int) -> None:
        """Continue after the last page that was read; start again after the end of the list."""
        while number:
            self._pages = self._pages or self._contender.pages()
            page = await anext(self._pages, None)
            if page is None:
                self._pages = None
                continue
            assert len(page) == PAGE_SIZE
            number -= 1


async def at_a_time(workers: int, items: Iterable[str], call: Callable[[str], Awaitable[object]]) -> None:
    """Call once for each item, with a number of concurrent workers."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await call(item)

    await asyncio.gather(*(work() for _ in range(workers)))


async def serve(contender: Contender, base: str, say: Callable[[dict[str, float]], None], *, is_cold: bool) -> None:
    """Run the jobs that standard input names, until it ends."""
    await contender.open(base + contender.shape)
    worker = Worker(contender)
    for job, number in () if is_cold else WARM_UP:
        if job in contender.jobs:
            await worker.do(job, number)
    say({})
    for line in sys.stdin:
        asked, much = line.split()
        processor, wall = time.process_time(), time.perf_counter()
        await worker.do(asked, int(much))
        say({"cpu": time.process_time() - processor, "wall": time.perf_counter() - wall})
    await contender.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contender", required=True, choices=CONTENDERS)
    parser.add_argument("--base", required=True)
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--cold", action="store_true", help="do not warm up")
    arguments = parser.parse_args()
    pin(arguments.core)
    spoken = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # one contender prints each URL

    def say(answer: dict[str, float]) -> None:
        os.write(spoken, json.dumps(answer).encode() + b"\n")

    asyncio.run(serve(CONTENDERS[arguments.contender](), arguments.base, say, is_cold=arguments.cold))


if __name__ == "__main__":
    main()
