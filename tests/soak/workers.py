"""The soak of docs/examples/worker.py: one worker is killed, and Redis is killed and restarted.

    python -m tests.soak.workers [--workspaces 100] [--workers 5] [--groups 20]

Each workspace is an emulator with a write limit of its own, and the task of each is to create the same groups. A
supervisor restarts a worker that exits, as systemd and Kubernetes do. When a third of the groups exist, a worker that
holds a lock is killed (SIGKILL); when two thirds exist, Redis is killed and comes back after its outage. At the end the
logs of the emulators show whether a write was lost or repeated, and whether a limit was exceeded.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from attrs import define, field
from redis.asyncio import Redis
from redis.exceptions import RedisError

from secoda_async import RateLimit
from tests.support.redis_server import RedisServer, running
from tests.support.workers import (
    DURABLE,
    Workspaces,
    emulate_workspaces,
    end_worker,
    enqueue_all,
    lock_holders,
    poll_until,
    start_worker,
)

LIMIT: Final = RateLimit(10, per_seconds=2)
"""The write limit of each workspace."""
RESTART_DELAY: Final = 0.5
"""Seconds between the exit of a worker and its restart; RestartSec in a systemd unit."""


@define
class Supervisor:
    """Keeps one worker running."""

    workspaces: Workspaces
    exits: list[int] = field(init=False, factory=list[int])
    process: asyncio.subprocess.Process | None = field(init=False, default=None)

    async def run(self) -> None:
        """Restart the worker whenever it exits, until the task is cancelled."""
        try:
            while True:
                self.process = await start_worker(self.workspaces.environment)
                self.exits.append(await self.process.wait())
                await asyncio.sleep(RESTART_DELAY)
        finally:
            if self.process is not None:
                await end_worker(self.process)


@define
class Soak:
    """The course of one soak."""

    workspaces: Workspaces
    server: RedisServer
    outage: float
    """Seconds for which Redis is away."""
    say: Callable[[str], None]
    supervisors: list[Supervisor] = field(factory=list[Supervisor])
    started: float = field(init=False, factory=time.monotonic)

    def log(self, text: str) -> None:
        self.say(f"{time.monotonic() - self.started:6.1f} s  {self.workspaces.count_groups():5} groups  {text}")

    async def kill_a_lock_holder(self) -> None:
        """Kill a worker that applies a workspace."""
        async with Redis(port=self.server.port, decode_responses=True) as redis:
            while True:
                holders = await lock_holders(redis)
                for number, supervisor in enumerate(self.supervisors, 1):
                    process = supervisor.process
                    held = process and sum(f"process {process.pid} " in holder for holder in holders)
                    if process and held:
                        process.kill()
                        self.log(f"worker {number} is killed; it held {held} of {len(holders)} locks")
                        return
                await asyncio.sleep(0.01)

    async def restart_redis(self) -> None:
        """Kill Redis, and start it again after the outage."""
        self.server.stop()
        self.log("Redis is killed")
        await asyncio.sleep(self.outage)
        await asyncio.to_thread(self.server.start)
        self.log("Redis is back, with its data")

    async def is_done(self) -> bool:
        """Return whether all groups exist and no task holds a lock."""
        if self.workspaces.count_groups() < self.workspaces.total:
            return False
        async with Redis(port=self.server.port, decode_responses=True) as redis:
            try:
                return not await lock_holders(redis)
            except RedisError:
                return False

    async def run(self) -> None:
        """Run the course of events."""
        total = self.workspaces.total

        async def has(part: float) -> bool:
            return self.workspaces.count_groups() >= part * total

        await enqueue_all(self.workspaces.environment)
        self.log(f"{len(self.workspaces.emulators)} tasks are queued")
        await poll_until(lambda: has(1 / 3))
        await self.kill_a_lock_holder()
        await poll_until(lambda: has(2 / 3))
        await self.restart_redis()
        await poll_until(self.is_done)
        self.log("all groups exist")


async def soak(workspaces: int, workers: int, groups: int, outage: float, say: Callable[[str], None]) -> int:
    """Run the soak, print its figures, and return the number of violations."""
    with tempfile.TemporaryDirectory() as name, running(Path(name), *DURABLE) as server:
        async with emulate_workspaces(server, Path(name), workspaces, groups=groups, limit=LIMIT) as targets:
            course = Soak(targets, server, outage, say, [Supervisor(targets) for _ in range(workers)])
            tasks = [asyncio.create_task(supervisor.run()) for supervisor in course.supervisors]
            try:
                await course.run()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            found = targets.violations()
            for line in (*found, *figures(targets, course.supervisors)):
                say(line)
            return len(found)


def figures(targets: Workspaces, supervisors: list[Supervisor]) -> list[str]:
    """Return the figures of a soak."""
    emulators = targets.emulators.values()
    requests = [request for emulator in emulators for request in emulator.requests]
    posts = [request for request in requests if request.method == "POST"]
    exits = ", ".join(
        f"worker {number}: {' '.join(map(str, supervisor.exits)) or 'none'}"
        for number, supervisor in enumerate(supervisors, 1)
    )
    refused = sum(emulator.refused for emulator in emulators)
    busiest = max(emulator.busiest_window() for emulator in emulators)
    applied = sum(request.applied for request in posts)
    return [
        f"{targets.total} groups wanted, {targets.count_groups()} exist",
        f"{len(requests)} requests arrived, {len(posts)} of them POSTs; {applied} POSTs were applied",
        f"429s: {refused}; most writes in a window of {targets.limit.per_seconds:g} s: {busiest}",
        f"exit codes before a restart: {exits}",
    ]


def main(arguments: list[str]) -> int:
    """Run the soak, and return 1 if a write was lost or repeated, or a limit exceeded."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.workers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--workspaces", type=int, default=100, help="number of workspaces (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=5, help="number of worker processes (default: %(default)s)")
    parser.add_argument("--groups", type=int, default=20, help="groups of each workspace (default: %(default)s)")
    parser.add_argument(
        "--outage", type=float, default=3, help="seconds for which Redis is away (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    violations = soak(options.workspaces, options.workers, options.groups, options.outage, partial(print, flush=True))
    return min(1, asyncio.run(violations))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
