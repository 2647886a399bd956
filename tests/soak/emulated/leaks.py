"""The resources that the soak must not leave behind: tasks, sockets, permits and memory."""

import asyncio
import contextlib
import gc
import os
import resource
import stat
import sys
from typing import Any, Final

from attrs import frozen

from secoda_async import LimitState
from tests.soak.emulated.expected_state import Finding

PERMITS: Final = 30
GROWTH: Final = 3.0
"""Blocks of memory that may stay in use for each operation. The model and the emulator keep about two: the ids of the
groups that were created and deleted, the times of the writes. A call or a task that stays would be a dozen and more."""

ALLOWANCE: Final = 30_000
"""Blocks that may come on top: the groups that stay, the operations in flight, caches that fill at first."""

PEAK_GROWTH: Final = 16.0
"""MiB by which the peak memory of the process may grow: blocks are small, large buffers are not among them."""


@frozen
class Footprint:
    """The tasks and sockets of this process at a moment."""

    tasks: frozenset["asyncio.Task[Any]"]
    sockets: int

    @classmethod
    def now(cls) -> "Footprint":
        """Count them."""
        return cls(frozenset(asyncio.all_tasks()), _sockets())


def _sockets() -> int:
    """Count the open sockets; return 0 where the system does not show them."""
    count = 0
    with contextlib.suppress(OSError):
        for number in os.listdir("/dev/fd"):  # noqa: PTH208 - no paths, but numbers
            with contextlib.suppress(OSError):  # the directory's own is closed again
                count += stat.S_ISSOCK(os.fstat(int(number)).st_mode)
    return count


def left_over(before: Footprint, after: Footprint, limit: LimitState, connections: int) -> list[Finding]:
    """Return a finding for each resource that was not released."""
    texts = [f"the task {task!r}" for task in after.tasks - before.tasks]
    if after.sockets > before.sockets:
        texts.append(f"{after.sockets - before.sockets} sockets")
    if connections:
        texts.append(f"{connections} connections at the emulator")
    if limit.free != PERMITS or limit.in_flight or limit.queued:
        texts.append(f"permits of the limit: {limit}")
    return [Finding("left over", text) for text in texts]


@frozen
class Memory:
    """The memory that this process uses."""

    blocks: int
    """Blocks that objects hold."""
    peak: float
    """The peak in MiB, as Linux counts it."""

    @classmethod
    def now(cls) -> "Memory":
        """Measure it, garbage excluded."""
        gc.collect()
        return cls(sys.getallocatedblocks(), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))


def grown(early: Memory, late: Memory, operations: int) -> list[Finding]:
    """Return findings when more memory is in use than the operations account for."""
    most = round(GROWTH * operations + ALLOWANCE)
    texts: list[str] = []
    if late.blocks - early.blocks > most:
        texts.append(f"{late.blocks - early.blocks} blocks more after {operations} operations: more than {most}")
    if late.peak - early.peak > PEAK_GROWTH:
        texts.append(f"{late.peak - early.peak:.1f} MiB more at the peak: more than {PEAK_GROWTH}")
    return [Finding("memory", text) for text in texts]
