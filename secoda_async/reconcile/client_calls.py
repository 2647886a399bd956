"""The bodies of `SecodaClient.plan` and `SecodaClient.apply`, which load this package when first called."""

from asyncio import Event as StopEvent
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Literal, TextIO

from attrs import evolve

from secoda_async._engine.call import Scope
from secoda_async._engine.limits.limiter import time_left
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.settings import check_kind
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError
from secoda_async.groups import ScopedGroups
from secoda_async.models import UNSET
from secoda_async.reconcile.apply import Applier
from secoda_async.reconcile.binding import learn_workspace
from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.invited import with_invited_members
from secoda_async.reconcile.journal import Journal
from secoda_async.reconcile.plan import Plan
from secoda_async.reconcile.report import Progress, Report
from secoda_async.reconcile.safety import Rules
from secoda_async.users import Users

__all__ = ["apply_plan", "make_plan"]


async def make_plan(pipeline: Pipeline, options: CallOptions, desired: DesiredState, rules: Rules) -> Plan:
    """Read the workspace and compare it with the desired state.

    Users are read for the members of the file, and to show the members of deleted groups by address.
    """
    check_kind("desired", desired, DesiredState, ": DesiredState.load(path) or .from_groups([...]) makes one")
    scope = Scope(began=pipeline.clock.now())
    groups = await ScopedGroups(pipeline, options, scope).store.snapshot_with_own_writes()
    user_calls = Users(pipeline, options, scope)
    is_read = any(group.members is not UNSET for group in desired.groups)
    users = await user_calls.snapshot() if is_read else []

    def compare(workspace: str | None = None) -> Plan:
        known = with_invited_members(groups, users, pipeline.ledger.sent_pending)
        time_for, origin = pipeline.limiter.time_for, pipeline.transport.origin
        return diff(desired, known, users, rules, time_for, origin=origin, workspace=workspace)

    if not is_read and any(change.kind == "delete" for change in compare().changes):
        users = await user_calls.snapshot()
    return compare(await learn_workspace([*groups, *users], user_calls))


async def apply_plan(  # noqa: PLR0913 - the arguments of `SecodaClient.apply`
    pipeline: Pipeline,
    options: CallOptions,
    plan: Plan,
    approve: str | None,
    on_drift: Literal["raise", "skip"],
    log: str | PathLike[str] | TextIO | None,
    *,
    on_progress: Callable[[Progress], object] | None,
    stop: StopEvent | None,
) -> Report:
    """Check the arguments, open the journal and apply the plan."""
    check_kind("plan", plan, Plan, ": `await secoda.plan(desired)` or Plan.load(path) makes one")
    if on_drift not in ("raise", "skip"):
        raise InvalidArgumentError(f"on_drift must be 'raise' or 'skip', not {on_drift!r}")
    if stop is not None:
        check_kind("stop", stop, StopEvent, ": make one with asyncio.Event()")
    if on_progress is not None and not callable(on_progress):
        raise InvalidArgumentError(f"on_progress must be a function, not {type(on_progress).__name__}")
    if log is not None and not isinstance(log, (str, PathLike)) and not hasattr(log, "write"):
        raise InvalidArgumentError(f"log must be a path or an open text file, not {type(log).__name__}")
    # Serialize the applies of one client: two concurrent applies would both create what is missing.
    with await pipeline.lock("apply"):
        with Journal(log, pipeline.transport.origin) as journal:
            applier = Applier(
                groups=partial(ScopedGroups, pipeline, evolve(options, priority="background")),
                plan=plan,
                origin=pipeline.transport.origin,
                workspace_of=partial(learn_workspace, users=Users(pipeline, options)),
                journal=journal,
                clock=pipeline.clock,
                time_left=partial(time_left, pipeline.limiter),
                on_progress=on_progress,
                stop=stop or StopEvent(),
            )
            report = await applier.run(approve, on_drift)
        _remember_invited(pipeline, plan, report)
        return report


def _remember_invited(pipeline: Pipeline, plan: Plan, report: Report) -> None:
    """Remember the invited members that were sent: the service may never show them."""
    for change, outcome in zip(plan.changes, report.outcomes, strict=True):
        group_id = change.id or (outcome.group.id if outcome.group is not None else None)
        if outcome.ok and group_id is not None and change.after.users is not UNSET:
            pipeline.ledger.sent_pending[group_id] = frozenset(change.after.users).intersection(plan.pending)
