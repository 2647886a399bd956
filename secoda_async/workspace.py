"""The calls of a client that read or write a whole workspace: `bulk`, `plan` and `apply`."""

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Literal, TextIO

from attrs import evolve

from secoda_async._engine.pipeline import Pipeline
from secoda_async.config import CallOptions
from secoda_async.groups import ScopedGroups

if TYPE_CHECKING:
    from secoda_async.bulk import Bulk, Operation
    from secoda_async.reconcile import DesiredState, Limit, Plan, Progress, Report, UnknownMembers

__all__ = ["Workspace"]


class Workspace:
    """The part of `SecodaClient` for many groups. `bulk` and `reconcile` are imported at the first use."""

    _pipeline: Pipeline
    _options: CallOptions

    def bulk(
        self,
        operations: "Iterable[Operation] | AsyncIterable[Operation]",
        *,
        concurrency: int = 20,
        fail_fast: bool = False,
        stop: asyncio.Event | None = None,
    ) -> "Bulk":
        """Run many operations concurrently, and yield one outcome for each in completion order.

        Interactive writes of the same client go first. A failure does not stop the other operations, but a 401 does,
        because all would fail in the same way. Creates use `on_unknown="reconcile"`; those whose names look alike fail.

        Example:
            >>> operations = [CreateGroup(name="Analysts"), UpdateGroup(group.id, icon="🧪")]
            >>> async for outcome in secoda.bulk(operations):
            ...     print(outcome.status)
            applied
            applied

        Args:
            operations: `CreateGroup`, `UpdateGroup` and `DeleteGroup`, from any iterable or async iterable.
            concurrency: Operations in flight at a time.
            fail_fast: Stop after the first failure: operations in flight finish, the others are `not_attempted`.
            stop: When set, stop in the same way.

        Raises:
            InvalidArgumentError: When `concurrency` is below 1.
        """
        from secoda_async import bulk  # noqa: PLC0415 - single calls do not need it

        groups = partial(ScopedGroups, self._pipeline, evolve(self._options, priority="background"))
        return bulk.run(groups, operations, concurrency=concurrency, fail_fast=fail_fast, stop=stop)

    async def plan(  # noqa: PLR0913 - each is a rule of the plan
        self,
        desired: "DesiredState",
        *,
        prune: bool = False,
        unknown_members: "UnknownMembers" = "error",
        only: Sequence[str] = (),
        ignore: Sequence[str] = (),
        additive: bool = False,
        max_delete: "Limit" = "10%",
        max_remove: "Limit" = "25%",
    ) -> "Plan":
        """Compare the workspace with a desired state, and return the fewest changes between them. Nothing is written.

        Groups and fields that the desired state does not mention stay as they are.

        Example:
            >>> plan = await secoda.plan(DesiredState.load("groups.yaml"))
            >>> plan.writes
            1
            >>> [(change.kind, change.name) for change in plan.changes]
            [('create', 'Analysts')]

        Args:
            desired: The desired state, such as `DesiredState.load("groups.yaml")`.
            prune: Delete the groups that the desired state does not mention.
            unknown_members: "error" raises for members that are not users; "hold" adds members but removes none.
            only: Patterns such as `Team *`: only groups with such a name are planned.
            ignore: Patterns of names: these groups are never changed or deleted.
            additive: Add members to all groups, and remove none.
            max_delete: Groups that may be deleted without approval: a number, or a percentage of all (at least one).
            max_remove: Memberships that may be removed without approval, members of deleted groups included (at least
                ten). A group of five members or more that loses more than half of them needs an approval in any case.

        Raises:
            DesiredStateError: When members are unknown, or desired groups are ignored; the error names each with its
                location.
            InvalidArgumentError: When a pattern or a limit is not valid.
            PaginationError: When the workspace could not be read completely.
        """
        from secoda_async.reconcile import client_calls, safety  # noqa: PLC0415 - as in bulk

        rules = safety.Rules(
            prune=prune,
            unknown_members=unknown_members,
            only=only,
            ignore=ignore,
            additive=additive,
            max_delete=max_delete,
            max_remove=max_remove,
        )
        return await client_calls.make_plan(self._pipeline, self._options, desired, rules)

    async def apply(
        self,
        plan: "Plan",
        *,
        approve: str | None = None,
        on_drift: Literal["raise", "skip"] = "raise",
        log: str | PathLike[str] | TextIO | None = None,
        on_progress: "Callable[[Progress], object] | None" = None,
        stop: asyncio.Event | None = None,
    ) -> "Report":
        """Apply a plan, with background priority. After a crash, run it again: it continues.

        The workspace is read before the first write and after the last, and each group again just before its change.
        Deletes come last, and only if everything before succeeded. Two applies on one client run one after the other.

        Example:
            >>> plan = await secoda.plan(DesiredState.load("groups.yaml"))
            >>> report = await secoda.apply(plan, log="apply.jsonl")
            >>> report.ok, report.verified
            (True, True)

        Args:
            plan: The result of `plan` or `Plan.load`.
            approve: The plan's digest: apply the plan although it needs an approval.
            on_drift: Raise before the first write if groups have changed since the plan, or skip and report them.
            log: The journal: a file to append to, or a stream. It gets a line of JSON before and after each write.
            on_progress: Called after each change.
            stop: When set, writes in flight finish and the other changes are `not_attempted`.

        Raises:
            UnsafePlanError: When the plan needs an approval and has none; nothing was written.
            StalePlanError: When the workspace has changed, or the plan belongs to another one; nothing was written.
        """
        from secoda_async.reconcile import client_calls  # noqa: PLC0415 - as in bulk

        return await client_calls.apply_plan(
            self._pipeline, self._options, plan, approve, on_drift, log, on_progress=on_progress, stop=stop
        )
