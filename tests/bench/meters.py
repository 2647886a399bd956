"""Settings and meters that several jobs share."""

import resource
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Final

from attrs import frozen

from secoda_async import RateLimit

FAR: Final = RateLimit(10**9, per_seconds=60)
"""A limit that is on and never reached."""


@frozen
class Case:
    """The servers and the size of a job."""

    bases: tuple[str, ...] = ()
    """Base URLs of the servers."""
    key: str = ""
    scale: float = 1.0
    size: int = 0
    """Number of groups, for jobs that run at several sizes."""

    def scaled(self, number: int) -> int:
        return max(10, int(number * self.scale))


async def cpu_seconds(work: Awaitable[object]) -> float:
    """Await the work and return the CPU time of this process meanwhile."""
    began = time.process_time()
    await work
    return time.process_time() - began


def resident() -> float:
    """Bytes of this process in memory: now, where the system says; otherwise, the maximum so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * resource.getpagesize()
