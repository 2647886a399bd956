"""docs/examples/worker.py as processes on one Redis: a worker is killed, a task fails, Redis is restarted."""

import asyncio
import runpy
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from streaq import StreaqRetry

from secoda_async import RateLimit
from tests.soak.workers import soak
from tests.support.redis_server import RedisServer, running
from tests.support.workers import (
    PROGRAM,
    Workspaces,
    count_started_workers,
    emulate_workspaces,
    end_worker,
    enqueue_all,
    have_ended,
    lock_holders,
    poll_until,
    start_worker,
)

WORKERS = 3
GROUPS = 24
LIMIT = RateLimit(10, per_seconds=1)
"""The write limit of each workspace."""

pytestmark = pytest.mark.slow


@asynccontextmanager
async def targets(directory: Path, number: int) -> AsyncGenerator[tuple[RedisServer, Workspaces], None]:
    with running(directory) as server:
        async with emulate_workspaces(server, directory, number, groups=GROUPS, limit=LIMIT) as workspaces:
            yield server, workspaces


@asynccontextmanager
async def running_workers(
    environment: Mapping[str, str], number: int
) -> AsyncGenerator[list[asyncio.subprocess.Process], None]:
    workers = [await start_worker(environment) for _ in range(number)]
    try:
        yield workers
    finally:
        for worker in workers:
            await end_worker(worker)


@pytest.mark.requirement("RL-5", "BS-7")
async def test_workspaces_converge_when_a_worker_is_killed(tmp_path: Path) -> None:
    async with (
        targets(tmp_path, 6) as (server, workspaces),
        Redis(port=server.port, decode_responses=True) as redis,
        running_workers(workspaces.environment, WORKERS) as workers,
    ):

        async def have_workers_started() -> bool:
            return await count_started_workers(redis) == WORKERS

        await poll_until(have_workers_started)
        await enqueue_all(workspaces.environment)
        killed: list[asyncio.subprocess.Process] = []

        async def is_a_worker_applying() -> bool:
            """Return whether a worker holds a lock. One may have taken all tasks."""
            holders = await lock_holders(redis)
            killed[:] = [one for one in workers if any(f"process {one.pid} " in holder for holder in holders)]
            return bool(killed) and workspaces.count_groups() > GROUPS

        await poll_until(is_a_worker_applying)
        killed[0].kill()

        async def is_done() -> bool:
            return workspaces.count_groups() >= workspaces.total and not await lock_holders(redis)

        await poll_until(is_done)
        survivors = [worker for worker in workers if worker is not killed[0]]
        for worker in survivors:
            worker.terminate()
        assert [await worker.wait() for worker in (killed[0], *survivors)] == [-9, 0, 0]
        assert not workspaces.violations()


@pytest.mark.requirement("RL-8")
async def test_task_with_a_failed_report_is_retried(tmp_path: Path) -> None:
    async with targets(tmp_path, 1) as (_, workspaces), running_workers(workspaces.environment, 1):
        (workspace,) = workspaces.emulators.values()
        fault = workspace.faults.add(400, body={"name": ["refused once"]}, method="POST")
        await enqueue_all(workspaces.environment)

        async def is_done() -> bool:
            return workspaces.count_groups() >= workspaces.total

        await poll_until(is_done)
        assert fault.used == 1
        assert not workspaces.violations()


@pytest.mark.requirement("RL-8")
async def test_task_is_retried_when_redis_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with targets(tmp_path, 1) as (server, workspaces):
        server.stop()
        for name, value in workspaces.environment.items():
            monkeypatch.setenv(name, value)
        sync: Any = runpy.run_path(str(PROGRAM))["sync"]
        with pytest.raises(StreaqRetry, match="workspace-0: the lock of 'workspace-0' can't be reached in Redis"):
            await sync.fn("workspace-0")


async def queued_tasks(redis: Redis) -> list[str]:
    """Return the ids of the queued tasks, without those of the cron job, which runs at each full hour."""
    entries: Any = await redis.xrange("streaq:secoda-groups:queues:normal")
    return sorted(fields["task_id"] for _, fields in entries if fields["task_id"].startswith("sync-"))


async def test_queued_workspace_is_not_queued_again(tmp_path: Path) -> None:
    async with (
        targets(tmp_path, 2) as (server, workspaces),
        Redis(port=server.port, decode_responses=True) as redis,
    ):
        await enqueue_all(workspaces.environment)
        await enqueue_all(workspaces.environment)
        assert await queued_tasks(redis) == workspaces.tasks
        async with running_workers(workspaces.environment, 1):

            async def is_done() -> bool:
                return await have_ended(redis, workspaces.tasks)

            await poll_until(is_done)
        await enqueue_all(workspaces.environment)
        assert await queued_tasks(redis) == workspaces.tasks
        assert not workspaces.violations()


@pytest.mark.requirement("RL-5", "RL-8", "BS-7")
async def test_supervised_workers_lose_no_write_when_a_worker_and_redis_are_killed() -> None:
    lines: list[str] = []
    assert await soak(5, 2, GROUPS, 0.5, lines.append) == 0, "\n".join(lines)
    assert f"{5 * GROUPS} groups wanted, {5 * GROUPS} exist" in "\n".join(lines)
    assert "-9" in lines[-1]  # with no other exit after it if Redis came back before the worker did
