"""docs/examples/worker.py as processes on one Redis: a worker is killed, a task fails, Redis goes away."""

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

PROGRAM = Path(__file__).parents[2] / "docs" / "examples" / "worker.py"
WORKERS = 3
NAMES = sorted(f"Team {number}" for number in range(24))
LIMIT = 10
"""Writes a second, for each workspace."""
LEASE = 3
"""Seconds."""

pytestmark = pytest.mark.timeout(300)
"""Processes that share two cores with others are slow to start, and tasks are tried again after a lease."""


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


def made(emulators: Mapping[str, Emulator]) -> int:
    return sum(len(workspace.groups) for workspace in emulators.values())


async def started(environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments,
        env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


@asynccontextmanager
async def at_work(
    environment: Mapping[str, str], number: int
) -> AsyncGenerator[list[asyncio.subprocess.Process], None]:
    workers = [await started(environment) for _ in range(number)]
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
        await asyncio.sleep(0.02)


def environment_of(server: RedisServer, emulators: Mapping[str, Emulator], directory: Path) -> Mapping[str, str]:
    file = settings(emulators, directory)
    return {"REDIS_URL": server.url, "WORKSPACES": str(file), "LEASE_SECONDS": str(LEASE)}


async def put_all_into_the_queue(environment: Mapping[str, str]) -> None:
    assert await (await started(environment, "--now")).wait() == 0


def check(emulators: Mapping[str, Emulator]) -> None:
    """Each group was created once, within the limit."""
    for name, workspace in emulators.items():
        assert sorted(group["name"] for group in workspace.groups.values()) == NAMES, name
        assert len([write for write in workspace.writes if write.applied]) == len(NAMES), name


@pytest.mark.requirement("RL-5", "BS-7")
async def test_workspaces_converge_when_a_worker_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with emulated(6) as emulators, Redis(port=server.port, decode_responses=True) as redis:
            environment = environment_of(server, emulators, tmp_path)
            async with at_work(environment, WORKERS) as workers:
                await put_all_into_the_queue(environment)
                killed: list[asyncio.subprocess.Process] = []

                async def is_a_worker_in_the_middle() -> bool:
                    """Whether one of them writes; any may have taken all tasks before the others had started."""
                    holding = await holders(redis)
                    killed[:] = [one for one in workers if any(f"process {one.pid} " in who for who in holding)]
                    return bool(killed) and made(emulators) > len(NAMES)

                await until_soon(is_a_worker_in_the_middle)
                killed[0].kill()

                async def is_done() -> bool:
                    return made(emulators) >= len(NAMES) * len(emulators) and not await holders(redis)

                await until_soon(is_done)
                survivors = [worker for worker in workers if worker is not killed[0]]
                for worker in survivors:
                    worker.terminate()
                assert [await worker.wait() for worker in (killed[0], *survivors)] == [-9, 0, 0]
    check(emulators)
    for name, workspace in emulators.items():
        assert workspace.refused == 0, name
        assert workspace.busiest_window() <= LIMIT, name


@pytest.mark.requirement("RL-8")
async def test_a_task_whose_report_is_not_ok_is_tried_again(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with emulated(1) as emulators:
            (workspace,) = emulators.values()
            fault = workspace.faults.add(400, body={"name": ["refused once"]}, method="POST")
            environment = environment_of(server, emulators, tmp_path)
            async with at_work(environment, 1):
                await put_all_into_the_queue(environment)

                async def is_done() -> bool:
                    return made(emulators) >= len(NAMES)

                await until_soon(is_done)
            assert fault.used == 1
    check(emulators)


@pytest.mark.requirement("RL-8")
async def test_a_task_is_tried_again_when_redis_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with emulated(1) as emulators:
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
        monkeypatch.setenv("WORKSPACES", str(settings(emulators, tmp_path)))
        sync: Any = runpy.run_path(str(PROGRAM))["sync"]
        with pytest.raises(StreaqRetry, match="workspace-0: the lock of 'workspace-0' can't be reached in Redis"):
            await sync.fn("workspace-0")


@pytest.mark.requirement("RL-8")
async def test_a_task_goes_on_after_redis_and_its_worker_were_restarted(tmp_path: Path) -> None:
    with running(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        async with emulated(1) as emulators:
            environment = environment_of(server, emulators, tmp_path)
            async with at_work(environment, 1) as (worker,):
                await put_all_into_the_queue(environment)

                async def is_in_the_middle() -> bool:
                    return 0 < made(emulators) < len(NAMES)

                await until_soon(is_in_the_middle)
                server.stop()
                assert await worker.wait() != 0  # a supervisor starts it again
            assert made(emulators) < len(NAMES)
            server.start()
            async with at_work(environment, 1):

                async def is_done() -> bool:
                    return made(emulators) >= len(NAMES)

                await until_soon(is_done)
    check(emulators)
