"""Reads of a whole workspace while a plan is applied. They end early when the apply is stopped."""

import asyncio
from asyncio import Event as StopEvent
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from attrs import define, field

from secoda_async._engine.call import Scope
from secoda_async.clock import Clock, sleep
from secoda_async.groups import ScopedGroups
from secoda_async.reconcile.drift import WorkspaceSnapshot
from secoda_async.reconcile.plan import Plan

__all__ = ["WorkspaceReader"]

_MAX_AGE: Final = 1.0
"""Seconds for which creates that are about to be sent share a list of groups."""

T = TypeVar("T")


@define
class WorkspaceReader:
    """Reads the groups of a workspace."""

    groups: Callable[[Scope], ScopedGroups]
    plan: Plan
    clock: Clock
    stop: StopEvent
    recent: WorkspaceSnapshot | None = field(default=None, init=False)
    """The last list of groups that creates may share."""
    _lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def read_known(self) -> WorkspaceSnapshot | None:
        """Read all groups, including this client's own recent writes; return None when stopped."""
        read_at = self.clock.now()
        groups = await self.unless_stopped(self.groups(Scope()).store.snapshot_with_own_writes())
        return None if groups is None else WorkspaceSnapshot.of(groups, self.plan, read_at)

    async def read_listed(self, grace: float) -> WorkspaceSnapshot | None:
        """Read all groups as the server lists them; return None if that takes more than `grace` after the stop."""
        read_at = self.clock.now()
        groups = await self.unless_stopped(self.groups(Scope()).snapshot(), grace)
        return None if groups is None else WorkspaceSnapshot.of(groups, self.plan, read_at)

    async def read_recent(self, scope: Scope, name: str) -> WorkspaceSnapshot:
        """Return a list of groups for the create of a name. All creates of the same moment share it.

        The creates themselves would disturb a complete snapshot. A list can miss groups that move to another page while
        others delete; but only groups newer than the first, complete read matter here. A list is not shared if another
        call of this client has created a group of that name meanwhile.
        """
        store = self.groups(scope).store
        async with self._lock:
            recent, now = self.recent, self.clock.now()
            if recent is None or now - recent.read_at > _MAX_AGE or store.has_written_since(recent.read_at, name):
                self.recent = recent = WorkspaceSnapshot.of(await store.observed_with_own_writes(), self.plan, now)
            return recent

    async def unless_stopped(self, read: Coroutine[Any, Any, T], grace: float = 0.0) -> T | None:
        """Await a read; return None if it has not ended `grace` seconds after the stop."""
        task = asyncio.ensure_future(read)
        stopped = asyncio.ensure_future(self._stopped_for(grace))
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for future in (task, stopped):
                future.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def _stopped_for(self, seconds: float) -> None:
        await self.stop.wait()
        await sleep(self.clock, seconds)
