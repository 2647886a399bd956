"""Pin client and server to different cores, if the system has two and allows it."""

import os


def pin(core: int | None) -> None:
    """Pin this process to one core."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})
