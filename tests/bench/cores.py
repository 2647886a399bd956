"""The client runs on one core and the server on another, where there are two and the system lets us choose."""

import os


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})
