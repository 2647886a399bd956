"""docs/examples/worker.py as three processes on one Redis, and one of them is killed."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis_server import running

from secoda_async.emulator import Emulator

PROGRAM = Path(__file__).parent.parent / "docs" / "examples" / "worker.py"
WORKSPACES = 20
WORKERS = 3
NAMES = sorted(f"Team {number}" for number in range(24))
LIMIT = 10
"""Writes a second, for each workspace."""


@asynccontextmanager
async def emulated() -> AsyncGenerator[Mapping[str, Emulator], None]:
    async with AsyncExitStack() as opened:
        yield {
            f"workspace-{number}": await opened.enter_async_context(
                Emulator(users=1, writes_per_window=LIMIT, window=1, latency=0.01)
            )
            for number in range(WORKSPACES)
        }


def settings(emulators: Mapping[str, Emulator], directory: Path) -> Path:
    (directory / "groups.json").write_text(json.dumps({"groups": [{"name": name} for name in NAMES]}), "utf-8")
    for name, workspace in emulators.items():
        (directory / name).write_text(workspace.api_key, "utf-8")
    file = directory / "workspaces.json"
    document = {
        name: {
            "base_url": workspace.url,
            "api_key_file": str(directory / name),
            "groups": str(directory / "groups.json"),
            "writes": LIMIT,
            "per_seconds": 1,
        }
        for name, workspace in emulators.items()
    }
    file.write_text(json.dumps(document), "utf-8")
    return file


def made(emulators: Mapping[str, Emulator]) -> int:
    return sum(len(workspace.groups) for workspace in emulators.values())


async def started(environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments,
        env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


@asynccontextmanager
async def at_work(environment: Mapping[str, str]) -> AsyncGenerator[list[asyncio.subprocess.Process], None]:
    workers = [await started(environment) for _ in range(WORKERS)]
    try:
        yield workers
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()


async def holders(redis: Redis) -> list[str]:
    """Who applies just now."""
    keys: list[Any] = await redis.keys("secoda-async:*:lock")  # pyright: ignore[reportUnknownMemberType]
    return [str(value) for value in await redis.mget(keys) if value] if keys else []


async def until_soon(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - other processes set no events
        await asyncio.sleep(0.005)


@pytest.mark.requirement("RL-5", "BS-7")
async def test_many_workspaces_end_right_on_many_workers_though_one_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with emulated() as emulators, Redis(port=server.port, decode_responses=True) as redis:
            file = settings(emulators, tmp_path)
            environment = {"REDIS_URL": server.url, "WORKSPACES": str(file), "LEASE_SECONDS": "2"}
            async with at_work(environment) as workers:
                assert await (await started(environment, "--now")).wait() == 0
                killed = f"process {workers[0].pid} "

                async def is_in_the_middle() -> bool:
                    return made(emulators) > 24 and any(who.startswith(killed) for who in await holders(redis))

                await until_soon(is_in_the_middle)
                workers[0].kill()

                async def is_done() -> bool:
                    return made(emulators) >= 24 * WORKSPACES and not await holders(redis)

                await until_soon(is_done)
                for worker in workers[1:]:
                    worker.terminate()
                assert [await worker.wait() for worker in workers] == [-9, 0, 0]

    for name, workspace in emulators.items():
        assert sorted(group["name"] for group in workspace.groups.values()) == NAMES, name
        assert len([write for write in workspace.writes if write.applied]) == 24, name
        assert workspace.refused == 0, name
        assert workspace.busiest_window() <= LIMIT, name
