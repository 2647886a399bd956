"""docs/examples/worker.py as processes on one Redis: a worker is killed, a task fails, Redis is restarted."""

import asyncio
import json
import os
import runpy
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from streaq import StreaqRetry

from secoda_async.emulator import Emulator
from tests.support.redis_server import RedisServer, running

PROGRAM = Path(__file__).parents[3] / "docs" / "examples" / "worker.py"
WORKERS = 3
NAMES = sorted(f"Team {number}" for number in range(24))
LIMIT = 10
"""Writes a second, for each workspace."""
LEASE = 3
"""Seconds."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
"""Processes start slowly on a busy machine, and tasks are retried after a lease."""


@asynccontextmanager
async def emulated(workspaces: int) -> AsyncGenerator[Mapping[str, Emulator], None]:
    async with AsyncExitStack() as opened:
        yield {
            f"workspace-{number}": await opened.enter_async_context(
                Emulator(users=1, writes_per_window=LIMIT, window=1, latency=0.01)
            )
            for number in range(workspaces)
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


def count_groups(emulators: Mapping[str, Emulator]) -> int:
    return sum(len(workspace.groups) for workspace in emulators.values())


async def start_worker(environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments,
        env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


@asynccontextmanager
async def running_workers(
    environment: Mapping[str, str], number: int
) -> AsyncGenerator[list[asyncio.subprocess.Process], None]:
    workers = [await start_worker(environment) for _ in range(number)]
    try:
        yield workers
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()


async def holders(redis: Redis) -> list[str]:
    """Return the holders of all locks."""
    keys: list[Any] = await redis.keys("secoda-async:*:lock")  # pyright: ignore[reportUnknownMemberType]
    return [str(value) for value in await redis.mget(keys) if value] if keys else []


async def poll_until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - other processes set no events
        await asyncio.sleep(0.02)


def environment_of(server: RedisServer, emulators: Mapping[str, Emulator], directory: Path) -> Mapping[str, str]:
    file = settings(emulators, directory)
    return {"REDIS_URL": server.url, "WORKSPACES": str(file), "LEASE_SECONDS": str(LEASE)}


async def enqueue_all(environment: Mapping[str, str]) -> None:
    assert await (await start_worker(environment, "--now")).wait() == 0


def check(emulators: Mapping[str, Emulator]) -> None:
    """Assert that each group was created exactly once."""
    for name, workspace in emulators.items():
        assert sorted(group["name"] for group in workspace.groups.values()) == NAMES, name
        assert len([write for write in workspace.writes if write.applied]) == len(NAMES), name


@pytest.mark.requirement("RL-5", "BS-7")
async def test_workspaces_converge_when_a_worker_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with emulated(6) as emulators, Redis(port=server.port, decode_responses=True) as redis:
            environment = environment_of(server, emulators, tmp_path)
            async with running_workers(environment, WORKERS) as workers:
                await enqueue_all(environment)
                killed: list[asyncio.subprocess.Process] = []

                async def is_a_worker_applying() -> bool:
                    """Return whether a worker holds a lock; one may have taken all tasks before the others started."""
                    holding = await holders(redis)
                    killed[:] = [one for one in workers if any(f"process {one.pid} " in who for who in holding)]
                    return bool(killed) and count_groups(emulators) > len(NAMES)

                await poll_until(is_a_worker_applying)
                killed[0].kill()

                async def is_done() -> bool:
                    return count_groups(emulators) >= len(NAMES) * len(emulators) and not await holders(redis)

                await poll_until(is_done)
                survivors = [worker for worker in workers if worker is not killed[0]]
                for worker in survivors:
                    worker.terminate()
                assert [await worker.wait() for worker in (killed[0], *survivors)] == [-9, 0, 0]
    check(emulators)
    for name, workspace in emulators.items():
        assert workspace.refused == 0, name
        assert workspace.busiest_window() <= LIMIT, name


@pytest.mark.requirement("RL-8")
async def test_task_with_a_failed_report_is_retried(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with emulated(1) as emulators:
            (workspace,) = emulators.values()
            fault = workspace.faults.add(400, body={"name": ["refused once"]}, method="POST")
            environment = environment_of(server, emulators, tmp_path)
            async with running_workers(environment, 1):
                await enqueue_all(environment)

                async def is_done() -> bool:
                    return count_groups(emulators) >= len(NAMES)

                await poll_until(is_done)
            assert fault.used == 1
    check(emulators)


@pytest.mark.requirement("RL-8")
async def test_task_is_retried_when_redis_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with emulated(1) as emulators:
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
        monkeypatch.setenv("WORKSPACES", str(settings(emulators, tmp_path)))
        sync: Any = runpy.run_path(str(PROGRAM))["sync"]
        with pytest.raises(StreaqRetry, match="workspace-0: the lock of 'workspace-0' can't be reached in Redis"):
            await sync.fn("workspace-0")


@pytest.mark.requirement("RL-8")
async def test_task_resumes_after_redis_and_worker_restart(tmp_path: Path) -> None:
    with running(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        async with emulated(1) as emulators:
            environment = environment_of(server, emulators, tmp_path)
            async with running_workers(environment, 1) as (worker,):
                await enqueue_all(environment)

                async def is_in_the_middle() -> bool:
                    return 0 < count_groups(emulators) < len(NAMES)

                await poll_until(is_in_the_middle)
                server.stop()
                assert await worker.wait() != 0  # a supervisor would restart the worker
            assert count_groups(emulators) < len(NAMES)
            server.start()
            async with running_workers(environment, 1):

                async def is_done() -> bool:
                    return count_groups(emulators) >= len(NAMES)

                await poll_until(is_done)
    check(emulators)
