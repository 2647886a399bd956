"""The last read of an apply: it proves that the workspace has what was written."""

from collections.abc import Sequence
from typing import Final

from secoda_async.clock import sleep
from secoda_async.errors import SecodaError
from secoda_async.reconcile.change_state import ChangeState
from secoda_async.reconcile.reader import WorkspaceReader

__all__ = ["verify"]

_GRACE: Final = 10.0
"""Seconds that the verification may take after the stop."""

_DELAYS: Final = (0.0, 1.0, 3.0)
"""Seconds before each read of the verification: a list may show a write late."""


async def verify(reader: WorkspaceReader, states: Sequence[ChangeState]) -> tuple[str, ...]:
    """Read the workspace, up to three times, and return a sentence for each change that it contradicts."""
    differences: tuple[str, ...] = ()
    for delay in _DELAYS:
        await sleep(reader.clock, delay)
        try:
            snapshot = await reader.read_listed(_GRACE)
        except SecodaError as error:
            return (f"the verification failed: {error.message}",)
        if snapshot is None:
            return (f"the verification took more than {_GRACE:g} s after the stop, and was cancelled",)
        found = (
            snapshot.mismatch(state.change, state.outcome.group)
            for state in states
            if state.outcome is not None and state.outcome.ok
        )
        differences = tuple(sentence for sentence in found if sentence is not None)
        if not differences:
            break
    return differences
