"""Processes of docs/examples/worker.py on one Redis, and an emulated workspace for each of their tasks."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen
from redis.asyncio import Redis

from secoda_async import RateLimit
from secoda_async.emulator import Emulator
from tests.support.redis_server import RedisServer

PROGRAM: Final = Path(__file__).parents[2] / "docs" / "examples" / "worker.py"
LEASE: Final = 3
"""Seconds that the tasks and locks of a killed worker stay claimed."""
DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always")
"""Options of a Redis that keeps its data when it is killed."""


@frozen
class Workspaces:
    """Emulated workspaces that get the same groups, and the environment of the workers."""

    names: Sequence[str]
    """The names of the groups."""
    limit: RateLimit
    emulators: Mapping[str, Emulator] = field(factory=dict[str, Emulator])
    environment: Mapping[str, str] = field(factory=dict[str, str])

    def count_groups(self) -> int:
        return sum(len(emulator.groups) for emulator in self.emulators.values())

    @property
    def tasks(self) -> list[str]:
        """The ids of the workers' tasks, sorted."""
        return sorted(f"sync-{workspace}" for workspace in self.emulators)

    @property
    def total(self) -> int:
        """The number of groups when all tasks are done."""
        return len(self.names) * len(self.emulators)

    def violations(self) -> list[str]:
        """Return what the emulators' logs show of writes that are lost or repeated, and of exceeded limits."""
        found: list[str] = []
        for workspace, emulator in self.emulators.items():
            names = [group["name"] for group in emulator.groups.values()]
            applied = sum(write.applied for write in emulator.writes)
            if lost := set(self.names) - set(names):
                found.append(f"{workspace}: {len(lost)} writes lost, such as {min(lost)!r}")
            if applied != len(self.names) or len(names) > len(self.names):
                found.append(f"{workspace}: {applied} writes applied, {len(names)} groups exist")
            if (busiest := emulator.busiest_window()) > self.limit.places or emulator.refused:
                found.append(f"{workspace}: {busiest} writes in a window, and {emulator.refused} refused")
        return found


@asynccontextmanager
async def emulate_workspaces(
    server: RedisServer, directory: Path, number: int, *, groups: int, limit: RateLimit
) -> AsyncGenerator[Workspaces, None]:
    """Start the emulators, and write the files that the workers read."""
    names = sorted(f"Team {index}" for index in range(groups))
    (directory / "groups.json").write_text(json.dumps({"groups": [{"name": name} for name in names]}), "utf-8")
    emulators: dict[str, Emulator] = {}
    settings: dict[str, dict[str, Any]] = {}
    async with AsyncExitStack() as opened:
        for index in range(number):
            name = f"workspace-{index}"
            emulator = Emulator(users=1, writes_per_window=limit.places, window=limit.per_seconds, latency=0.01)
            emulators[name] = await opened.enter_async_context(emulator)
            (directory / name).write_text(emulator.api_key, "utf-8")
            settings[name] = {
                "base_url": emulator.url,
                "api_key_file": str(directory / name),
                "groups": str(directory / "groups.json"),
                "writes": limit.places,
                "per_seconds": limit.per_seconds,
            }
        file = directory / "workspaces.json"
        file.write_text(json.dumps(settings), "utf-8")
        environment = {"REDIS_URL": server.url, "WORKSPACES": str(file), "LEASE_SECONDS": str(LEASE)}
        yield Workspaces(names, limit, emulators, environment)


async def start_worker(environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments,
        env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def end_worker(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()


async def enqueue_all(environment: Mapping[str, str]) -> None:
    assert await (await start_worker(environment, "--now")).wait() == 0


async def lock_holders(redis: Redis) -> list[str]:
    """Return the holders of all locks. The client decodes responses."""
    keys: list[Any] = await redis.keys("secoda-async:*:lock")  # pyright: ignore[reportUnknownMemberType]
    return [str(value) for value in await redis.mget(keys) if value] if keys else []


async def count_started_workers(redis: Redis) -> int:
    """Return the number of workers that handle signals and take tasks."""
    return len(await redis.keys("streaq:*:health:*"))  # pyright: ignore[reportUnknownMemberType]


async def have_ended(redis: Redis, tasks: list[str]) -> bool:
    """Return whether each of these tasks has a result. That of the hourly cron job does not matter."""
    scores: list[Any] = await redis.zmscore("streaq:secoda-groups:index:results", tasks)
    return None not in scores


async def poll_until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - other processes set no events
        await asyncio.sleep(0.02)
