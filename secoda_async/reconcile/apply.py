"""Apply a plan.

Theory of operation. A plan passes these phases; the workspace is the only state, so an apply that was interrupted can
be run again:

1. *Drift detection*: one complete read before the first write. A change that is done already is never sent. A change
   whose group has changed raises, or is skipped with `on_drift="skip"`.
2. *Writes*: creates and updates, concurrently. Before each attempt, after every wait, a precondition is checked: the
   group is re-read (creates share a recent list), and the intent is logged to the journal. A failed precondition
   prevents the write. The response to the write is checked against the fields sent.
3. *Second attempt*: changes with a transient error are re-read and attempted once more. A create whose outcome is
   unknown is never sent again, but the re-read may show that it was executed.
4. *Deletes*, only if every other change succeeded.
5. *Verification*: a complete read shows each change that succeeded, or the report has a difference.

Each outcome proves something: `applied`, that the server confirmed the write, or that a re-read after a lost response
showed its effect; `unchanged`, that the workspace was as planned without a write; `failed`, that nothing was written;
`unknown`, that the write may have been executed; `not_attempted`, that no write was sent.
"""

import logging
from asyncio import Event as StopEvent
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Literal

from attrs import define, evolve, field

from secoda_async._engine.call import CallState, Scope
from secoda_async._engine.operation import NotSentError, OperationCancelledError
from secoda_async._engine.operation import Operation as SharedState
from secoda_async._engine.wire.protocol import is_absence
from secoda_async.bulk import perform
from secoda_async.clock import Clock
from secoda_async.errors import NotFoundError, SecodaError, StalePlanError
from secoda_async.groups import ScopedGroups
from secoda_async.models import Group
from secoda_async.operations import Outcome
from secoda_async.reconcile.binding import check_origin, check_workspace
from secoda_async.reconcile.change_state import ChangeState, check_drift, is_service_down
from secoda_async.reconcile.drift import ChangeStatus, DriftCheck, status_of
from secoda_async.reconcile.journal import Journal
from secoda_async.reconcile.plan import Change, Plan
from secoda_async.reconcile.reader import WorkspaceReader
from secoda_async.reconcile.report import Progress, Report
from secoda_async.reconcile.safety import check_approval
from secoda_async.reconcile.verification import verify
from secoda_async.worker_pool import Result, WorkerPool

__all__ = ["MAX_CONSECUTIVE_FAILURES", "Applier"]

_CONCURRENCY: Final = 20

MAX_CONSECUTIVE_FAILURES: Final = 20
"""Transient failures in a row after which the service counts as down, and no further change is attempted."""

_log: Final = logging.getLogger("secoda_async")


class _PreconditionFailedError(NotSentError):
    """The re-read before a write failed, or showed that the change must not be written."""

    def __init__(self, error: SecodaError) -> None:
        super().__init__()
        self.error = error


class _AlreadyDoneError(NotSentError):
    """The re-read before a write showed that the group is as planned already."""

    def __init__(self, group: Group | None) -> None:
        super().__init__()
        self.group = group


@define
class Applier:
    """One run of `SecodaClient.apply`."""

    groups: Callable[[Scope], ScopedGroups]
    """Returns the calls on groups, within a scope."""
    plan: Plan
    origin: str
    """The origin of the workspace to change."""
    workspace_of: Callable[[Iterable[Group]], Coroutine[Any, Any, str | None]]
    """Returns the id of the workspace that groups are in."""
    journal: Journal
    clock: Clock
    time_left: Callable[[int], float]
    on_progress: Callable[[Progress], object] | None = None
    stop: StopEvent = field(factory=StopEvent)
    _states: Sequence[ChangeState] = field(init=False)
    _reader: WorkspaceReader = field(init=False)
    _initial_ids: frozenset[str] | None = field(default=None, init=False)
    """Ids of all groups before the first write."""
    _stop_reason: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self._states = [ChangeState(index, change) for index, change in enumerate(self.plan.changes)]
        self._reader = WorkspaceReader(self.groups, self.plan, self.clock, self.stop)

    async def run(self, approve: str | None, on_drift: Literal["raise", "skip"]) -> Report:
        """Run all phases.

        Raises:
            UnsafePlanError: Before anything is read, when the plan needs an approval and has none.
            StalePlanError: Before anything is written, when the plan is bound to another origin or workspace, or a
                group has drifted and `on_drift` is "raise".
        """
        check_origin(self.plan, self.origin)
        check_approval(self.plan, approve)
        self.journal.held(self.plan)
        began = self.clock.now()
        differences: tuple[str, ...] = ()
        has_success = self.plan.is_empty
        if not self.plan.is_empty:
            try:
                if await self._detect_drift(on_drift):
                    await self._write_all()
            finally:  # stopped or cancelled
                self._mark_not_attempted()
            has_success = any(state.is_ok for state in self._states)
            differences = await verify(self._reader, self._states) if has_success else ()
        return Report(
            outcomes=tuple(state.outcome for state in self._states if state.outcome is not None),
            verified=has_success and not differences,
            differences=(*differences, *self.journal.problems),
            conflicts=len(self.plan.conflicts),
            held=self.plan.held,
            seconds=self.clock.now() - began,
            stopped=self._reason_to_stop(),
        )

    # --- reads -------------------------------------------------------------------------------------------------

    async def _detect_drift(self, on_drift: Literal["raise", "skip"]) -> bool:
        """Read the workspace and check its id and every change; return False when stopped meanwhile.

        Raises:
            StalePlanError: When it is another workspace, or a group has drifted and `on_drift` is "raise".
        """
        self._reader.recent = snapshot = await self._reader.read_known()
        if snapshot is None:
            return False
        self._initial_ids = frozenset(snapshot.by_id)
        if self.plan.workspace is not None:
            workspace = await self._reader.unless_stopped(self.workspace_of(snapshot.by_id.values()))
            if self.stop.is_set():
                return False
            check_workspace(self.plan, workspace)
        check_drift(self._states, snapshot)
        drifted = [state for state in self._states if state.check.status is ChangeStatus.DRIFTED]
        if drifted and on_drift == "raise":
            reasons = "; ".join(f"{state.change.name!r} {state.check.reason}" for state in drifted)
            raise StalePlanError(
                f"the workspace has changed since the plan was made, and nothing was written: {reasons}. "
                "Plan again, or apply with on_drift='skip'",
                names=tuple(state.change.name for state in drifted),
            )
        return True

    # --- writes ------------------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        deletes = [state for state in self._states if state.change.kind == "delete"]
        others = [state for state in self._states if state.change.kind != "delete"]
        await self._write_each(others)
        await self._write_each(await self._retryable(others))
        if all(state.is_ok for state in others):
            await self._write_each(deletes)
        elif deletes and not (self._stop_reason or self.stop.is_set()):
            self._stop_reason = "groups are deleted only after every other change has succeeded"

    async def _write_each(self, states: Sequence[ChangeState]) -> None:
        """Write some of the changes concurrently, and record their outcomes."""
        pool = WorkerPool(
            self._write,
            lambda state: state.operation,
            stop=self.stop,
            max_consecutive_failures=MAX_CONSECUTIVE_FAILURES,
        )
        try:
            async with aclosing(pool.run(states, _CONCURRENCY)) as outcomes:
                async for outcome in outcomes:
                    self._record(states[outcome.index], outcome)
        finally:  # cancelled: the journal gets the outcomes too
            for outcome in pool.rest:
                self._record(states[outcome.index], outcome)
            self._stop_reason = self._stop_reason or pool.stop_reason

    async def _retryable(self, states: Sequence[ChangeState]) -> Sequence[ChangeState]:
        """Return the changes to attempt once more, after a re-read of the workspace.

        In a run of an hour, a few changes meet a network or service failure that outlasts their retries.
        """
        failed = [state for state in states if state.has_transient_error]
        if not failed or self.stop.is_set() or is_service_down(states):
            return ()
        try:
            snapshot = await self._reader.read_known()
        except SecodaError:
            return ()
        if snapshot is None:
            return ()
        check_drift(failed, snapshot)
        return [state for state in failed if state.is_retry_safe]

    async def _write(self, state: ChangeState, shared: SharedState) -> Result:
        """Write one change, unless it is done already or its group has drifted."""
        if state.check.status is ChangeStatus.DONE:
            return state.noop_result(state.check.group)
        if state.check.status is ChangeStatus.DRIFTED:
            raise state.stale_error(state.check.reason)
        scope = Scope(
            operation=shared,
            precondition=partial(self._check_precondition, state, shared),
            known_ids=partial(self._settled_ids, state, shared),
            pending=self.plan.pending,
        )
        try:
            return await perform(self.groups(scope), state.operation)
        except _AlreadyDoneError as done:
            return state.noop_result(done.group)
        except _PreconditionFailedError as failed:
            error = failed.error
        raise error

    async def _settled_ids(self, state: ChangeState, shared: SharedState) -> Collection[str] | None:
        """Wait until lists show this client's earlier creates of the name; return the ids before the first write."""
        await self.groups(Scope(operation=shared)).store.settle(state.change.name)
        return self._initial_ids

    async def _check_precondition(self, state: ChangeState, shared: SharedState, call_state: CallState) -> None:
        """Re-read the group of a change that has its permit, and log the intent to write it.

        Raises:
            _AlreadyDoneError: When nothing is left to write.
            _PreconditionFailedError: When the group has drifted, or the read or the journal failed. The read has its
                own retries; the write's retries must not repeat it.
            OperationCancelledError: When stopped, during the read too: a service that is down may take minutes to fail
                each of them. A lost lock sets `stop` before any task can run.
        """
        error: SecodaError | None = None
        check = state.check
        try:
            scope = Scope(operation=shared, began=call_state.call.began)
            check = await shared.run_unless_cancelled(self._check_again(state.change, scope))
            if check.status is ChangeStatus.DRIFTED:
                raise state.stale_error(check.reason)
            if check.status is ChangeStatus.PENDING and not state.is_intent_logged:
                self.journal.intent(self.plan, state.index)
                state.is_intent_logged = True
        except SecodaError as failed:
            error = failed
        if error is not None:
            raise _PreconditionFailedError(error)
        if check.status is ChangeStatus.DONE:
            raise _AlreadyDoneError(check.group)
        if self.stop.is_set():
            raise OperationCancelledError

    async def _check_again(self, change: Change, scope: Scope) -> DriftCheck:
        if change.id is None:
            return (await self._reader.read_recent(scope, change.name)).status_of(change)
        try:
            group = await self.groups(scope).store.read(change.id)
        except NotFoundError as error:
            if not is_absence(error):
                raise
            if change.kind == "delete":  # a lagging replica may not have the group yet: the DELETE decides
                return DriftCheck(ChangeStatus.PENDING, None)
            group = None
        return status_of(change, group, self.plan.pending)

    # --- outcomes ----------------------------------------------------------------------------------------------

    def _reason_to_stop(self) -> str:
        """Return why changes were not attempted; empty if all were."""
        if not any(state.outcome is not None and state.outcome.status == "not_attempted" for state in self._states):
            return ""
        return self._stop_reason or "stopped"

    def _mark_not_attempted(self) -> None:
        """Record an outcome for every change that has none."""
        for state in self._states:
            if state.outcome is None:
                self._record(state, Outcome(operation=state.operation, index=state.index, status="not_attempted"))

    def _record(self, state: ChangeState, outcome: Outcome) -> None:
        if outcome.status == "not_attempted" and state.outcome is not None:
            return  # of the second attempt: the outcome of the first stands
        if outcome.status == "failed" and state.outcome is not None and state.outcome.status == "unknown":
            outcome = evolve(outcome, status="unknown")  # the server may have executed the first attempt
        state.outcome = evolve(outcome, index=state.index)
        self.journal.outcome(self.plan, state.outcome)
        if self.on_progress is not None:
            self._report_progress(self.on_progress)

    def _report_progress(self, on_progress: Callable[[Progress], object]) -> None:
        outcomes = [state.outcome for state in self._states if state.outcome is not None]
        left = sum(state.outcome is None and state.change.kind != "delete" for state in self._states)
        progress = Progress(
            done=len(outcomes),
            total=len(self._states),
            failed=sum(outcome.error is not None for outcome in outcomes),
            unknown=sum(outcome.status == "unknown" for outcome in outcomes),
            seconds_left=self.time_left(left),
        )
        try:
            on_progress(progress)
        except Exception:  # noqa: BLE001 - an error of the caller's code does not end the writes
            _log.exception("the on_progress callback failed; the apply continues")
