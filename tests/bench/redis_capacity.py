"""Measure the load of one workspace on Redis and on the workers, and work out that of a hundred thousand.

    python -m tests.bench.redis_capacity [--workspaces 100] [--tasks 50] [--groups 700] [--window 60]

Redis itself counts all commands (`INFO commandstats`), its processor time (`INFO cpu`) and its memory (`MEMORY USAGE`,
`INFO memory`). With the default values this takes about five minutes:

- full rate: each workspace has a lock, a limit, and more writes to do than the limit permits, for two windows;
- tasks: one worker of docs/examples/worker.py creates all groups of its workspaces, and then finds them unchanged;
- an idle worker, and a queue that no worker reads.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from attrs import frozen
from redis.asyncio import Redis

from secoda_async import RateLimit
from secoda_async.ext.redis import RedisLock, RedisRateLimiter
from tests.support.redis_server import RedisServer, running
from tests.support.workers import (
    Workspaces,
    count_started_workers,
    emulate_workspaces,
    enqueue_all,
    have_ended,
    poll_until,
    start_worker,
)

PERMITS: Final = 30
"""Writes in a window."""
CALLERS: Final = 20
"""Concurrent writes of a workspace."""
LATENCY: Final = 0.2
"""Seconds that a write takes."""
HOUR: Final = 3600
UNLIMITED: Final = RateLimit(1_000_000, per_seconds=1)
OWN_COMMANDS: Final = ("info", "keys", "zmscore", "memory|usage")
"""Commands that only the measurement sends."""


@frozen
class Load:
    """The load of a Redis server since its start, or a part of it."""

    commands: Mapping[str, float]
    """The number of calls of each command, including those within a script or a function."""
    cpu: float
    """Processor seconds."""
    memory: float
    """Bytes."""

    @classmethod
    async def read(cls, redis: Redis) -> Self:
        """Read the load since the start."""
        info: dict[str, Any] = await redis.info("everything")  # pyright: ignore[reportUnknownMemberType]
        prefix = "cmdstat_"
        calls = {name.removeprefix(prefix): stats["calls"] for name, stats in info.items() if name.startswith(prefix)}
        commands = {name: count for name, count in calls.items() if name not in OWN_COMMANDS}
        return cls(commands, info["used_cpu_user"] + info["used_cpu_sys"], info["used_memory"])

    def __sub__(self, other: "Load") -> "Load":
        commands = {name: count - other.commands.get(name, 0) for name, count in self.commands.items()}
        return Load(commands, self.cpu - other.cpu, self.memory - other.memory)

    def __truediv__(self, number: float) -> "Load":
        commands = {name: count / number for name, count in self.commands.items()}
        return Load(commands, self.cpu / number, self.memory / number)

    @property
    def scripts(self) -> float:
        """The number of script calls."""
        return self.commands.get("evalsha", 0) + self.commands.get("eval", 0)

    @property
    def calls(self) -> float:
        """The number of commands."""
        return sum(self.commands.values())


@frozen
class Figures:
    """The results of the measurements."""

    write: Load
    """One write of a workspace at its limit."""
    free_write: Load
    """One write of a task whose limit never makes it wait."""
    task: Load
    """One task without a write."""
    idle: Load
    """One second of an idle worker."""
    task_cpu: float
    """Processor seconds of the worker for a task without a write."""
    write_cpu: float
    """Processor seconds of the worker for a write."""
    keys: Mapping[str, int]
    """The memory of each key of a workspace that has used all permits."""
    active: float
    """The memory of a workspace at its limit, with its connections."""
    connections: float
    """The connections of a workspace at its limit."""
    queued: float
    """The memory of a queued task."""


async def connections(redis: Redis) -> int:
    """Return the number of open connections."""
    info: dict[str, Any] = await redis.info("clients")  # pyright: ignore[reportUnknownMemberType]
    return int(info["connected_clients"])


async def measure_full_rate(
    server: RedisServer, redis: Redis, workspaces: int, window: float
) -> tuple[Load, Mapping[str, int], float, float]:
    """Measure workspaces at their limit for one window, after one in which they start one after the other.

    Returns the load of a write, and for each workspace the memory of its keys, all its memory, and its connections.
    """
    limit, written = RateLimit(PERMITS, per_seconds=window), 0
    before, connected = await Load.read(redis), await connections(redis)

    async def write(limiter: RedisRateLimiter) -> None:
        nonlocal written
        while True:
            permit = await limiter.acquire()
            await asyncio.sleep(min(LATENCY, window / PERMITS))
            await permit.release(sent=True)
            written += 1

    async def apply(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        async with RedisLock(server.url, name=name), RedisRateLimiter(server.url, limit, name=name) as limiter:
            await asyncio.gather(*(write(limiter) for _ in range(CALLERS)))

    applying = [
        asyncio.create_task(apply(f"workspace-{number}", number * window / workspaces)) for number in range(workspaces)
    ]
    await asyncio.sleep(window)
    first, earlier = await Load.read(redis), written
    opened = await connections(redis) - connected
    parts = ("places", "gate", "lock")
    keys: dict[str, int] = {
        part: await redis.memory_usage(f"secoda-async:{{workspace-0}}:{part}") or 0  # pyright: ignore[reportUnknownMemberType]
        for part in parts
    }
    await asyncio.sleep(window)
    load = await Load.read(redis) - first
    writes = written - earlier
    for task in applying:
        assert task.cancel(), "a workspace has failed"
    await asyncio.gather(*applying, return_exceptions=True)
    return load / writes, keys, (first - before).memory / workspaces, opened / workspaces


async def measure_worker(
    server: RedisServer, redis: Redis, targets: Workspaces | None, seconds: float
) -> tuple[Load, float]:
    """Run a worker until it has applied all workspaces, and some seconds longer.

    Returns the load, and the processor seconds of the worker.
    """
    await redis.flushall()  # pyright: ignore[reportUnknownMemberType]
    environment = {"REDIS_URL": server.url, "WORKSPACES": "none"} if targets is None else targets.environment
    worker = await start_worker(environment)
    try:

        async def has_started() -> bool:
            return await count_started_workers(redis) > 0

        async def has_results() -> bool:
            return targets is None or await have_ended(redis, targets.tasks)

        await poll_until(has_started)
        before = await Load.read(redis)
        if targets is not None:
            await enqueue_all(environment)
            await poll_until(has_results)
        await asyncio.sleep(seconds)
        load, others = await Load.read(redis) - before, children_cpu()
    finally:
        worker.terminate()
        await worker.wait()
    return load, children_cpu() - others


def children_cpu() -> float:
    """Return the processor seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def measure_queue(redis: Redis, targets: Workspaces) -> float:
    """Return the memory of a queued task."""
    await redis.flushall()  # pyright: ignore[reportUnknownMemberType]
    before = await Load.read(redis)
    await enqueue_all(targets.environment)
    return (await Load.read(redis) - before).memory / len(targets.emulators)


async def measure(workspaces: int, tasks: int, groups: int, window: float) -> Figures:
    """Run all measurements."""
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as server:
        async with Redis(port=server.port, decode_responses=True) as redis:
            write, keys, active, opened = await measure_full_rate(server, redis, workspaces, window)
            seconds = window / 6
            idle, idle_cpu = await measure_worker(server, redis, None, seconds)
            async with emulate_workspaces(server, Path(name), tasks, groups=groups, limit=UNLIMITED) as targets:
                queued = await measure_queue(redis, targets)
                creating, creating_cpu = await measure_worker(server, redis, targets, 0)
                unchanged, unchanged_cpu = await measure_worker(server, redis, targets, 0)
                assert not targets.violations()
    return Figures(
        write=write,
        free_write=(creating - unchanged) / (tasks * groups),
        task=unchanged / tasks,
        idle=idle / seconds,
        task_cpu=(unchanged_cpu - idle_cpu) / tasks,
        write_cpu=(creating_cpu - unchanged_cpu) / (tasks * groups),
        keys=keys,
        active=active,
        connections=opened,
        queued=queued,
    )


def table(heading: str, rows: Mapping[str, str]) -> list[str]:
    """Return the lines of a Markdown table of two columns."""
    return [f"| {heading} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), ""]


def measured_rows(figures: Figures) -> list[str]:
    """Return the measured figures."""
    names = {
        "a write at the limit": figures.write,
        "a write below the limit": figures.free_write,
        "a task without a write": figures.task,
        "an idle worker, in a second": figures.idle,
    }
    loads = {
        name: f"{load.scripts:.1f} script calls, {load.calls:.0f} commands, {load.cpu * 1e6:.0f} us of Redis"
        for name, load in names.items()
    }
    return table(
        "measured",
        {
            **loads,
            "worker, a task without a write": f"{figures.task_cpu * 1e3:.1f} ms",
            "worker, a write": f"{figures.write_cpu * 1e3:.2f} ms",
            "keys of a workspace at its limit": ", ".join(f"{name} {size} B" for name, size in figures.keys.items()),
            "a workspace at its limit": f"{figures.active / 1e3:.1f} KB, {figures.connections:.0f} connections",
            "a queued task": f"{figures.queued:.0f} B",
        },
    )


def estimated_rows(figures: Figures, workspaces: int) -> list[str]:
    """Return the load of many workspaces: each hour with some writes each, and all at their limit."""
    lines: list[str] = []
    for writes in (0, 1, 10):
        tasks = workspaces / HOUR
        redis = tasks * (figures.task.cpu + writes * figures.free_write.cpu)
        worker = tasks * (figures.task_cpu + writes * figures.write_cpu)
        lines += table(
            f"each hour, {writes} writes in each workspace",
            {
                "tasks in a second": f"{tasks:.1f}",
                "writes in a second": f"{tasks * writes:.1f}",
                "commands in a second": f"{tasks * (figures.task.calls + writes * figures.free_write.calls):.0f}",
                "Redis": f"{redis:.2f} cores, {workspaces * figures.queued / 1e6:.0f} MB of queue",
                "workers": f"{worker:.1f} cores",
            },
        )
    rate = workspaces * PERMITS / 60
    return lines + table(
        "all at their limit",
        {
            "writes in a second": f"{rate:.0f}",
            "script calls in a second": f"{rate * figures.write.scripts:.0f}",
            "Redis": f"{rate * figures.write.cpu:.1f} cores, {workspaces * figures.active / 1e9:.1f} GB, "
            f"{workspaces * figures.connections:.0f} connections",
            "workers": f"{rate * figures.write_cpu:.0f} cores",
            "workspaces at their limit for each core of Redis": f"{60 / PERMITS / figures.write.cpu:.0f}",
        },
    )


def main(arguments: list[str]) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workspaces", type=int, default=100, help="workspaces at their limit (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=50, help="tasks of the worker (default: %(default)s)")
    parser.add_argument("--groups", type=int, default=700, help="groups of each task (default: %(default)s)")
    parser.add_argument("--window", type=float, default=60, help="seconds of a window (default: %(default)s)")
    parser.add_argument("--estimate", type=int, default=100_000, help="workspaces to estimate (default: %(default)s)")
    options = parser.parse_args(arguments)
    figures = asyncio.run(measure(options.workspaces, options.tasks, options.groups, options.window))
    print("\n".join((*measured_rows(figures), *estimated_rows(figures, options.estimate))))


if __name__ == "__main__":
    main(sys.argv[1:])
