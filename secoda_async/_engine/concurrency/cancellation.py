"""Cancel tasks and wait for their end."""

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["cancel_and_wait"]


async def cancel_and_wait(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks and wait until all have ended, even if the wait itself is cancelled repeatedly.

    anyio cancels a task again at each of its awaits, until the task leaves the cancel scope.
    """
    pending: set[asyncio.Task[Any]] = {task for task in tasks if task.cancel()}
    is_cancelled = False
    while pending:
        try:
            _, pending = await asyncio.wait(pending)
        except asyncio.CancelledError:
            is_cancelled = True
            pending = {task for task in pending if not task.done()}
    if is_cancelled:
        raise asyncio.CancelledError
