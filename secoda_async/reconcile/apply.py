"""Carrying a plan out: read again before each write, write only what differs, check the answer, delete last."""

import asyncio
import logging
from asyncio import Event as StopEvent
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Literal, TypeVar

from attrs import define, evolve, field

from secoda_async._engine.call import CallState, Scope
from secoda_async._engine.operation import NotSentError, OperationCancelledError
from secoda_async._engine.operation import Operation as SharedState
from secoda_async._engine.wire.protocol import is_absence
from secoda_async.bulk import TRANSIENT, CreateGroup, DeleteGroup, Operation, Outcome, Result, UpdateGroup, WorkerPool
from secoda_async.clock import Clock, sleep
from secoda_async.errors import (
    InvalidArgumentError,
    NotFoundError,
    PaginationError,
    SecodaError,
    StalePlanError,
    UnsafePlanError,
)
from secoda_async.groups import Groups
from secoda_async.models import Group
from secoda_async.reconcile.binding import check_origin, check_workspace
from secoda_async.reconcile.drift import View, standing
from secoda_async.reconcile.journal import Journal
from secoda_async.reconcile.plan import Change, Plan
from secoda_async.reconcile.report import Progress, Report

__all__ = ["Applier"]

_CONCURRENCY: Final = 20

_LAST_READ: Final = 10.0
"""Seconds that a last read may take after it was stopped."""

_FRESH: Final = 1.0
"""Seconds for which a look at all groups serves the creates that are about to be sent."""

_LOOKS: Final = (0.0, 1.0, 3.0)
"""Seconds before each look of the last read: what was written may show late in a list."""

T = TypeVar("T")


class _PreconditionFailedError(NotSentError):
    """A look just before a write has shown that it is made already, or why it is not to be made."""

    def __init__(self, found: Group | SecodaError | None) -> None:
        super().__init__()
        self.found = found


_log: Final = logging.getLogger("secoda_async")


@define
class Applier:
    """Carries one plan out, once; see `SecodaClient.apply`."""

    groups: Callable[[Scope], Groups]
    """The calls on groups, within a scope."""
    plan: Plan
    origin: str
    """Where the plan is to be applied."""
    workspace_of: Callable[[Iterable[Group]], Coroutine[Any, Any, str | None]]
    """Learns the id of the workspace that groups are in."""
    journal: Journal
    clock: Clock
    time_left: Callable[[int], float]
    on_progress: Callable[[Progress], object] | None = None
    stop: StopEvent = field(factory=StopEvent)
    _outcomes: dict[int, Outcome] = field(factory=dict[int, Outcome], init=False)
    _drift: dict[int, str] = field(factory=dict[int, str], init=False)
    """What is in the way of a change."""
    _already_done: dict[int, Group | None] = field(factory=dict[int, Group | None], init=False)
    """Changes that are there already."""
    _seen: View | None = field(default=None, init=False)
    _known: frozenset[str] | None = field(default=None, init=False)
    """The ids that the first read showed."""
    _looking: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _intents_logged: set[int] = field(factory=set[int], init=False)
    """Changes that were sent at least once."""

    async def run(self, approve: str | None, on_drift: Literal["raise", "skip"]) -> Report:
        """Look, write, delete, verify.

        Raises:
            UnsafePlanError: Before anything is read, when the plan is beyond the limits and not approved.
            StalePlanError: Before anything is written, when the plan was made elsewhere, or the workspace has moved on
                and `on_drift` is "raise".
        """
        if on_drift not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_drift must be 'raise' or 'skip', not {on_drift!r}")
        check_origin(self.plan, self.origin)
        _check_approval(self.plan, approve)
        began = self.clock.now()
        differences: tuple[str, ...] = ()
        is_read = True
        if not self.plan.is_empty:
            try:
                if await self._look(on_drift):
                    await self._carry_out_all()
            finally:  # stopped or cut off: the rest is accounted for
                self._leave(index for index in range(len(self.plan.changes)) if index not in self._outcomes)
            is_read = any(outcome.ok for outcome in self._outcomes.values())
            differences = await self._verify() if is_read else ()
        return Report(
            outcomes=tuple(outcome for _, outcome in sorted(self._outcomes.items())),
            verified=is_read and not differences,
            differences=(*differences, *self.journal.problems),
            conflicts=len(self.plan.conflicts),
            seconds=self.clock.now() - began,
        )

    async def _look(self, on_drift: Literal["raise", "skip"]) -> bool:
        """Read everything once, to find out before the first write what has changed since the plan was made.

        False when it was stopped meanwhile.
        """
        self._seen = view = await self._unless_stopped(self._view())
        if view is None:
            return False
        self._known = frozenset(view.by_id)
        if self.plan.workspace is not None:
            workspace = await self._unless_stopped(self.workspace_of(view.by_id.values()))
            if self.stop.is_set():
                return False
            check_workspace(self.plan, workspace)
        self._compare(view, range(len(self.plan.changes)))
        if self._drift and on_drift == "raise":
            names = tuple(self.plan.changes[index].name for index in self._drift)
            reasons = (f"{name!r} {why}" for name, why in zip(names, self._drift.values(), strict=True))
            error = StalePlanError(
                f"the workspace has changed since the plan was made, and nothing was written: {'; '.join(reasons)}. "
                "Plan again, or apply with on_drift='skip'"
            )
            error.names = names
            raise error
        return True

    async def _unless_stopped(self, work: Coroutine[Any, Any, T], grace: float = 0.0) -> T | None:
        """Await a read, for no longer than `grace` after the stop; None when that was too short."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopped_for(grace))
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for one in (task, stopped):
                one.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def _stopped_for(self, seconds: float) -> None:
        await self.stop.wait()
        await sleep(self.clock, seconds)

    async def _listed(self) -> View:
        """Read all groups as the server lists them, this client's own writes aside: to verify these."""
        at = self.clock.now()
        return View.of(await self.groups(Scope()).snapshot(), self.plan, at)

    async def _view(self) -> View:
        """Read all groups."""
        at = self.clock.now()
        return View.of(await self.groups(Scope()).snapshot_with_own_writes(), self.plan, at)

    async def _recent_view(self, scope: Scope) -> View:
        """One look for all creates whose turn comes at the same time: what has been made since the first look?

        A snapshot would be disturbed by our own creates. A list can miss what moves from a page to another while
        others delete; but only what is new since the first look, which was whole, could do harm.
        """
        async with self._looking:
            if self._seen is None or self.clock.now() - self._seen.at > _FRESH:
                at = self.clock.now()
                self._seen = View.of(await self.groups(scope).observed_with_own_writes(), self.plan, at)
            return self._seen

    def _compare(self, view: View, indexes: Iterable[int]) -> None:
        """Note which of the changes are there already, and what is in the way of others."""
        for index in indexes:
            found = view.standing(self.plan.changes[index])
            if found is None:
                self._already_done[index] = view.group_of(self.plan.changes[index])
            elif found:
                self._drift[index] = found

    async def _carry_out_all(self) -> None:
        indexes = range(len(self.plan.changes))
        deletes = [index for index in indexes if self.plan.changes[index].kind == "delete"]
        writes = [index for index in indexes if self.plan.changes[index].kind != "delete"]
        await self._carry_out(writes)
        await self._carry_out(await self._unsettled(writes))
        if all(outcome.ok for outcome in self._outcomes.values()):
            await self._carry_out(deletes)

    def _leave(self, indexes: Iterable[int]) -> None:
        """Don't attempt these."""
        for index in tuple(indexes):
            self._note(index, Outcome(operation=self._operation(index), index=index, status="not_attempted"))

    async def _unsettled(self, indexes: Sequence[int]) -> Sequence[int]:
        """The changes that get a second try, after another look at how they stand.

        In a run of an hour a few meet a failure of the network or the service even after all their attempts. A create
        whose outcome is unknown is not sent again: the look may show that it was carried out.
        """
        outcomes = {index: self._outcomes[index] for index in indexes}
        again = [index for index, outcome in outcomes.items() if _is_transient(outcome.error)]
        statuses = {outcome.status for outcome in outcomes.values()}
        if not again or self.stop.is_set() or "not_attempted" in statuses or "applied" not in statuses:
            return ()  # stopped, or the service is down: a second try would only take as long again
        try:
            view = await self._unless_stopped(self._view())
        except SecodaError:
            view = None
        if view is None:
            return ()
        self._compare(view, again)
        return [index for index in again if index in self._already_done or not _is_unclear_create(outcomes[index])]

    async def _carry_out(self, indexes: Sequence[int]) -> None:
        """Make some of the changes, concurrently."""
        pool = WorkerPool(self._make, self._operation, stop=self.stop, max_consecutive_failures=_CONCURRENCY)
        try:
            async with aclosing(pool.run(indexes, _CONCURRENCY)) as outcomes:
                async for outcome in outcomes:
                    self._note(indexes[outcome.index], outcome)
        finally:
            for outcome in pool.rest:  # cancelled: the journal says what is not known
                self._note(indexes[outcome.index], outcome)

    def _operation(self, index: int) -> Operation:
        change = self.plan.changes[index]
        fields = {name: getattr(change.after, name) for name in ("name", "icon", "description", "users")}
        if change.kind == "create":
            return CreateGroup(**fields)
        if change.kind == "update":
            return UpdateGroup(change.id or "", **fields)
        return DeleteGroup(change.id or "", missing_ok=True)

    async def _make(self, index: int, shared: SharedState) -> Result:
        """Make one change, unless it is made already or something else has happened to its group."""
        change = self.plan.changes[index]
        if index in self._already_done:
            return self._as_it_is(index, self._already_done[index])
        if index in self._drift:
            raise _stale(change, self._drift[index])
        if change.id is None:  # then the check before the write is certain
            await self.groups(Scope(operation=shared)).settle(change.name)
        scope = Scope(operation=shared, precondition=partial(self._check, index, shared), known_ids=self._first_ids)
        try:
            return "applied", await self._write(change, self.groups(scope))
        except _PreconditionFailedError as kept_back:
            found = kept_back.found
        except NotFoundError as error:
            if change.kind != "delete" or not is_absence(error):
                raise
            return "unchanged", None
        if isinstance(found, SecodaError):
            raise found
        return self._as_it_is(index, found)

    async def _first_ids(self) -> Collection[str] | None:
        """Return the ids of the groups that the first complete read showed, before any create."""
        return self._known

    async def _check(self, index: int, shared: SharedState, state: CallState) -> None:
        """Read once more, now that a change has its permit and is about to be sent."""
        change = self.plan.changes[index]
        scope = Scope(operation=shared, began=state.call.began)
        found: Group | SecodaError | None
        try:
            if change.id is None:
                view = await self._recent_view(scope)
                found, stands = view.group_of(change), view.standing(change)
            else:
                found = await self._read(change.id, scope)
                stands = standing(change, found)
                if change.kind == "delete" and found is None:
                    stands = ""  # a replica that lags may not show it yet: the answer to the DELETE tells
            if stands:
                raise _stale(change, stands)
            if stands is not None and index not in self._intents_logged:
                self.journal.intent(self.plan, index)
                self._intents_logged.add(index)
        except SecodaError as error:  # the read has used its own retries: the write's retries don't repeat it
            found, stands = error, None
        if stands is None:
            raise _PreconditionFailedError(found)
        if self.stop.is_set():  # a lost lock says so before any task could run
            raise OperationCancelledError

    def _as_it_is(self, index: int, group: Group | None) -> Result:
        """Nothing is to be written (any more)."""
        return "applied" if index in self._intents_logged else "unchanged", group

    async def _read(self, group_id: str, scope: Scope) -> Group | None:
        try:
            return await self.groups(scope).get(group_id)
        except NotFoundError as error:
            if is_absence(error):
                return None
            raise

    async def _write(self, change: Change, groups: Groups) -> Group | None:
        after = change.after
        if change.kind == "delete":
            await groups.delete(change.id or "")
            return None
        if change.kind == "update":
            return await groups.update(
                change.id or "", name=after.name, icon=after.icon, description=after.description, users=after.users
            )
        return await groups.create(
            name=after.name,
            icon=after.icon,
            description=after.description,
            users=after.users,
            on_unknown="reconcile",
        )

    def _note(self, index: int, outcome: Outcome) -> None:
        outcome = evolve(outcome, index=index)
        if outcome.status == "not_attempted" and index in self._outcomes:
            return  # the second try; the first is what is known
        self._outcomes[index] = outcome
        self.journal.outcome(self.plan, outcome)
        if self.on_progress is None:
            return
        changes = self.plan.changes
        progress = Progress(
            done=len(self._outcomes),
            total=len(changes),
            failed=sum(outcome.error is not None for outcome in self._outcomes.values()),
            seconds_left=self.time_left(
                sum(change.kind != "delete" and n not in self._outcomes for n, change in enumerate(changes))
            ),
        )
        try:
            self.on_progress(progress)
        except Exception:  # noqa: BLE001 - the caller's code; the writes go on
            _log.exception("the on_progress hook failed; the plan goes on")

    # --- the last read -----------------------------------------------------------------------------------------

    async def _verify(self) -> tuple[str, ...]:
        """Read everything once more, a few times if need be; what is not as it was made, in words."""
        differences: tuple[str, ...] = ()
        for pause in _LOOKS:
            await sleep(self.clock, pause)
            try:
                view = await self._unless_stopped(self._listed(), _LAST_READ)
            except SecodaError as error:
                return (f"the last read failed: {error.message}",)
            if view is None:
                return (f"the last read took more than {_LAST_READ:g} s, and was given up",)
            found = (
                view.difference(self.plan.changes[index], outcome.group)
                for index, outcome in sorted(self._outcomes.items())
                if outcome.ok
            )
            differences = tuple(text for text in found if text is not None)
            if not differences:
                break
        return differences


def _check_approval(plan: Plan, approve: str | None) -> None:
    if plan.is_empty or approve == plan.digest or (approve is None and not plan.breaches):
        return
    if approve is not None:
        why = f"the approval {approve!r} is not of this plan, whose digest is {plan.digest!r}: look at it again"
    else:
        why = f"the plan is beyond the safety limits, and nothing was written. To approve it: {plan.digest!r}"
    error = UnsafePlanError("\n".join([why, *(breach.message for breach in plan.breaches)]))
    error.breaches, error.digest = tuple(breach.message for breach in plan.breaches), plan.digest
    raise error


def _is_transient(error: SecodaError | None) -> bool:
    return isinstance(error, (*TRANSIENT, PaginationError))


def _is_unclear_create(outcome: Outcome) -> bool:
    return outcome.status == "unknown" and isinstance(outcome.operation, CreateGroup)


def _stale(change: Change, why: str) -> StalePlanError:
    error = StalePlanError(f"{change.name!r} {why}: left alone, plan again")
    error.names = (change.name,)
    return error
