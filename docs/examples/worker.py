# /// script
# requires-python = ">=3.11"
# dependencies = ["secoda-async[cli,redis]", "streaq>=7.2"]
# ///
"""Apply the files of many workspaces every hour, with any number of workers on any number of machines.

    export REDIS_URL=redis://... WORKSPACES=workspaces.json
    python worker.py          # a worker: start as many as you like
    python worker.py --now    # enqueue all workspaces now, and exit

Each workspace has a name, a file of groups and a key of its own:

    {"acme": {"base_url": "https://api.secoda.co", "api_key_file": "/run/secrets/acme", "groups": "acme.yaml"}}

The queue is streaQ's, in the same Redis as the write limit and the lock. If a worker is killed, or ends because Redis
went away, another worker takes its tasks when their lease expires. Run workers under a supervisor.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from streaq import StreaqRetry, Worker

from secoda_async import (
    DesiredState,
    LockedError,
    OutcomeUnknownError,
    RateLimit,
    RateLimitError,
    SecodaClient,
    ServerError,
    StalePlanError,
    TransportError,
)
from secoda_async.ext.redis import RedisLock, RedisRateLimiter

if not {"REDIS_URL", "WORKSPACES"} <= set(os.environ):
    sys.exit(f"REDIS_URL and WORKSPACES must say where Redis and the settings are\n\n{__doc__}")

REDIS_URL: Final = os.environ["REDIS_URL"]
FILE: Final = os.environ["WORKSPACES"]
LEASE: Final = int(os.environ.get("LEASE_SECONDS", "90"))
"""Seconds that the workspaces of a killed worker stay claimed, and the delay before a task is tried again."""

CONCURRENCY: Final = int(os.environ.get("CONCURRENCY", "4"))
"""The number of workspaces that one worker applies concurrently."""

BATCH: Final = 1000
"""The number of tasks that are put into the queue together."""

TRANSIENT: Final = (TransportError, LockedError, OutcomeUnknownError, RateLimitError, ServerError, StalePlanError)
"""The errors that another try may fix. All others need a person: streaQ records the task as failed."""

log = logging.getLogger("worker")
worker = Worker(
    REDIS_URL,
    queue_name="secoda-groups",
    concurrency=CONCURRENCY,
    idle_timeout=LEASE,
    grace_period=30,  # for the requests in flight
    serializer=partial(json.dumps, default=str),  # and not pickle: who can write to Redis can't run code here
    deserializer=json.loads,
)


def workspaces() -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of all workspaces. A changed file takes effect without a restart of the workers."""
    return _read(Path(FILE).stat().st_mtime_ns)


@lru_cache(maxsize=1)  # with many workspaces, each task would spend more time on this file than on its groups
def _read(_modified: int) -> Mapping[str, Mapping[str, Any]]:
    settings: dict[str, dict[str, Any]] = json.loads(Path(FILE).read_text("utf-8"))
    return settings


def read_key(file: str) -> str:
    """Read an API key: each time anew, since keys are renewed."""
    return Path(file).read_text("utf-8")


@worker.task(max_tries=10)
async def sync(name: str) -> str:
    """Plan and apply one workspace."""
    settings = workspaces()[name]
    api_key = read_key(settings["api_key_file"])
    limit = RateLimit(settings.get("writes", 30), per_seconds=settings.get("per_seconds", 60))
    try:
        async with (
            RedisLock(REDIS_URL, name=name, lease_seconds=LEASE, max_wait=2 * LEASE) as lock,  # outlast a dead worker
            RedisRateLimiter(REDIS_URL, limit, name=name) as limiter,
            SecodaClient(api_key, base_url=settings["base_url"], limiter=limiter) as secoda,
        ):
            plan = await secoda.plan(DesiredState.load(settings["groups"]))
            report = await secoda.apply(plan, stop=lock.lost)
    except TRANSIENT as error:
        raise StreaqRetry(f"{name}: {error}", delay=LEASE) from error  # streaQ retries no other exception
    summary = f"{name}: {report.writes} writes, {dict(report.counts)}, verified: {report.verified}"
    if not report.ok:
        raise StreaqRetry(summary, delay=LEASE)
    log.info("%s", summary)
    return summary


@worker.cron("0 * * * *")
async def enqueue_all() -> None:
    """Put each workspace into the queue. A workspace whose last task has not ended is not queued again."""
    names = list(workspaces())
    for start in range(0, len(names), BATCH):
        tasks = [sync.enqueue(name) for name in names[start : start + BATCH]]
        for task in tasks:
            task.id = f"sync-{task.args[0]}"  # streaQ ignores a task whose id is queued or running
        await worker.enqueue_many(tasks)


async def enqueue_now() -> None:
    """Put each workspace into the queue, from outside of a worker."""
    async with worker:
        await enqueue_all.fn()


def main() -> None:
    """Run a worker, or fill the queue."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--now", action="store_true", help="enqueue all workspaces now, and exit")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if parser.parse_args().now:
        asyncio.run(enqueue_now())
    else:
        worker.run_sync()


if __name__ == "__main__":
    main()
