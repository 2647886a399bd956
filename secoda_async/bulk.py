"""Bulk operations: one outcome for each operation. `worker_pool.py` runs them."""

import asyncio
from asyncio import Event as StopEvent
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
)
from functools import partial

from secoda_async._engine.call import Scope
from secoda_async._engine.group_names import NameClaims
from secoda_async._engine.hints import AsyncForOnly
from secoda_async._engine.operation import Operation as SharedState
from secoda_async._engine.page_checks import check_number
from secoda_async.errors import InvalidArgumentError, NotFoundError, OutcomeUnknownError
from secoda_async.groups import Groups, ScopedGroups
from secoda_async.operations import CreateGroup, DeleteGroup, Operation, Outcome, Status, UpdateGroup
from secoda_async.worker_pool import Result, WorkerPool

__all__ = [
    "Bulk",
    "CreateGroup",
    "DeleteGroup",
    "Operation",
    "Outcome",
    "Status",
    "UpdateGroup",
    "WorkerPool",
    "perform",
    "run",
]


class Bulk(AsyncForOnly, AsyncIterator[Outcome], hint="use `async for outcome in secoda.bulk(...)`"):
    """The outcomes of a bulk in completion order: an iterator that can be used once.

    `aclose()` cancels the operations in flight, as does a cancellation; `rest` then has their outcomes.
    """

    def __init__(
        self,
        outcomes: AsyncGenerator[Outcome, None],
        rest: list[Outcome],
        mark_not_attempted: Callable[[], None],
    ) -> None:
        self.rest = rest
        """After `aclose()`: the outcomes not iterated over; operations never taken from a generator have none."""
        self._outcomes = outcomes
        self._mark_not_attempted = mark_not_attempted
        self._has_started = False

    async def __anext__(self) -> Outcome:
        self._has_started = True
        return await anext(self._outcomes)

    async def aclose(self) -> None:
        """Cancel the operations in flight; do nothing if all have ended."""
        if not self._has_started:
            self._has_started = True
            self._mark_not_attempted()
        await self._outcomes.aclose()


def run(
    groups: Callable[[Scope], ScopedGroups],
    operations: Iterable[Operation] | AsyncIterable[Operation],
    *,
    concurrency: int,
    fail_fast: bool,
    stop: StopEvent | None,
) -> Bulk:
    """Execute the operations and yield their outcomes in completion order; see `SecodaClient.bulk`."""
    _check(operations, concurrency, stop)
    known_ids = _ReadOnce(groups(Scope()).store.listed_ids)
    names = NameClaims(map(_created_name, operations if isinstance(operations, Collection) else ()))

    async def execute(operation: Operation, shared: SharedState) -> Result:
        scope = Scope(operation=shared, known_ids=lambda: shared.run_unless_cancelled(known_ids.get()))
        names.claim(_created_name(operation))
        try:
            return await perform(groups(scope), operation)
        except Exception as error:
            if not (shared.may_have_written or isinstance(error, OutcomeUnknownError)):
                names.release(_created_name(operation))
            raise

    pool = WorkerPool(execute, lambda operation: operation, fail_fast=fail_fast, stop=stop)
    return Bulk(pool.run(operations, concurrency), pool.rest, partial(pool.mark_not_attempted, operations))


def _check(operations: object, concurrency: object, stop: object) -> None:
    if not isinstance(operations, (Iterable, AsyncIterable)):
        raise InvalidArgumentError(f"operations must be iterable, not {type(operations).__name__}")
    check_number("concurrency", concurrency)
    if stop is not None and not isinstance(stop, StopEvent):
        raise InvalidArgumentError(f"stop must be an asyncio.Event, not {type(stop).__name__}")


def _created_name(operation: Operation) -> object:
    """Return the name of the group that an operation creates; None if it creates none."""
    return operation.name if isinstance(operation, CreateGroup) else None


class _ReadOnce:
    """The ids of all groups, read when the first create needs them."""

    def __init__(self, read: Callable[[], Awaitable[Collection[str] | None]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._is_read = False
        self._ids: Collection[str] | None = None

    async def get(self) -> Collection[str] | None:
        async with self._lock:
            if not self._is_read:
                self._ids = await self._read()
                self._is_read = True
            return self._ids


async def perform(groups: Groups, operation: Operation) -> Result:
    """Execute one operation.

    Raises:
        SecodaError: When it failed, or its result is unknown.
    """
    match operation:
        case CreateGroup(name=name, icon=icon, description=description, users=users):
            group = await groups.create(
                name=name, icon=icon, description=description, users=users, on_unknown="reconcile"
            )
            return "applied", group
        case UpdateGroup(id=group_id, name=name, icon=icon, description=description, users=users):
            group = await groups.update(group_id, name=name, icon=icon, description=description, users=users)
            return "applied", group
        case DeleteGroup(id=group_id, missing_ok=missing_ok):
            try:
                await groups.delete(group_id)
            except NotFoundError as error:
                if not missing_ok or error.is_missing_route:
                    raise
                return "unchanged", None
            return "applied", None
        case _:
            raise InvalidArgumentError(
                f"{type(operation).__name__} is not an operation: use CreateGroup, UpdateGroup or DeleteGroup"
            )
