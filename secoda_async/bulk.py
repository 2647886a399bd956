"""Many operations in, one outcome each out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from typing import Final, Literal

from attrs import define, field, frozen

from secoda_async._engine.journey import SPENT, Spent
from secoda_async.errors import (
    AuthenticationError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    SecodaError,
)
from secoda_async.groups import Groups
from secoda_async.models import UNSET, Group, Unset

__all__ = ["CreateGroup", "DeleteGroup", "Operation", "Outcome", "Status", "UpdateGroup", "run"]

Status = Literal["applied", "unchanged", "failed", "unknown", "not_attempted"]
"""How an operation ended. `unknown`: it may have happened; look before you repeat it."""


def _ids(value: Iterable[str] | Unset) -> Iterable[str] | Unset:
    """Keep an iterator's ids, so that the operation can be shown and passed in again."""
    return value if value is UNSET or isinstance(value, str) else tuple(value)


@frozen(kw_only=True)
class CreateGroup:
    """Create a group; the fields are those of `Groups.create`."""

    name: str | Unset = UNSET
    icon: str | Unset | None = UNSET
    description: str | Unset | None = UNSET
    users: Iterable[str] | Unset = field(default=UNSET, converter=_ids)


@frozen
class UpdateGroup:
    """Change a group; the fields are those of `Groups.update`."""

    id: str
    name: str | Unset = field(default=UNSET, kw_only=True)
    icon: str | Unset | None = field(default=UNSET, kw_only=True)
    description: str | Unset | None = field(default=UNSET, kw_only=True)
    users: Iterable[str] | Unset = field(default=UNSET, converter=_ids, kw_only=True)


@frozen
class DeleteGroup:
    """Delete a group; a missing one is `unchanged` with `missing_ok`, else `failed`."""

    id: str
    missing_ok: bool = field(default=False, kw_only=True)


Operation = CreateGroup | UpdateGroup | DeleteGroup


@frozen(kw_only=True)
class Outcome:
    """How one operation ended."""

    operation: Operation
    """What was asked for: pass it in again to repeat it."""
    index: int
    """Its place in the input, from 0."""
    status: Status
    """How it ended."""
    group: Group | None = None
    """The group as it is now, after a create or an update."""
    error: SecodaError | None = None
    """Why it failed, or why that is not known."""
    attempts: int = 0
    """Requests it took."""
    waited: float = 0.0
    """Seconds it waited: for the write limit, and between attempts."""


_REFUSED: Final = (AuthenticationError, PermissionDeniedError)
"""After one of these the rest would fail the same way."""


async def run(
    groups: Groups,
    operations: Iterable[Operation] | AsyncIterable[Operation],
    *,
    concurrency: int,
    fail_fast: bool,
    stop: asyncio.Event | None,
) -> AsyncGenerator[Outcome, None]:
    """Carry out the operations and yield their outcomes as they end; see `SecodaClient.bulk`."""
    if concurrency < 1:
        raise InvalidArgumentError(f"concurrency must be at least 1, not {concurrency}")
    crew = _Crew(groups, _numbered(operations), fail_fast=fail_fast, stop=stop or asyncio.Event())
    outcomes: asyncio.Queue[Outcome | None] = asyncio.Queue(concurrency)
    workers = [asyncio.create_task(crew.work(outcomes)) for _ in range(concurrency)]
    try:
        for _ in workers:  # each ends with a None
            while (outcome := await outcomes.get()) is not None:
                yield outcome
        for worker in workers:
            await worker
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _numbered(
    operations: Iterable[Operation] | AsyncIterable[Operation],
) -> AsyncIterator[tuple[int, Operation]]:
    index = 0
    if isinstance(operations, AsyncIterable):
        async for operation in operations:
            yield index, operation
            index += 1
    else:
        for operation in operations:
            yield index, operation
            index += 1


@define
class _Crew:
    """Workers that take operations from one source, each the next when it has done the last."""

    groups: Groups
    source: AsyncIterator[tuple[int, Operation]]
    fail_fast: bool
    stop: asyncio.Event
    _turn: asyncio.Lock = field(factory=asyncio.Lock)
    _is_over: bool = False

    async def work(self, outcomes: "asyncio.Queue[Outcome | None]") -> None:
        """Carry out operations until the source is empty, and say so with a None."""
        try:
            while (numbered := await self._next()) is not None:
                index, operation = numbered
                if self._is_over or self.stop.is_set():
                    outcome = Outcome(operation=operation, index=index, status="not_attempted")
                else:
                    outcome = await self._carry_out(index, operation)
                await outcomes.put(outcome)
        except Exception:
            self._is_over = True  # the source failed: what is under way ends, and then its error is raised
            await outcomes.put(None)
            raise
        await outcomes.put(None)

    async def _next(self) -> tuple[int, Operation] | None:
        async with self._turn:  # an async iterator serves one at a time
            return await anext(self.source, None)

    async def _carry_out(self, index: int, operation: Operation) -> Outcome:
        spent = Spent()
        SPENT.set(spent)  # the worker's task has a context of its own
        status: Status
        group: Group | None = None
        error: SecodaError | None = None
        try:
            status, group = await self._apply(operation)
        except OutcomeUnknownError as unknown:
            status, error = "unknown", unknown
        except SecodaError as failed:
            status, error = "failed", failed
            self._is_over |= self.fail_fast or isinstance(failed, _REFUSED)
        return Outcome(
            operation=operation,
            index=index,
            status=status,
            group=group,
            error=error,
            attempts=spent.attempts,
            waited=spent.waited,
        )

    async def _apply(self, operation: Operation) -> tuple[Status, Group | None]:
        match operation:
            case CreateGroup(name=name, icon=icon, description=description, users=users):
                group = await self.groups.create(
                    name=name, icon=icon, description=description, users=users, on_unknown="reconcile"
                )
                return "applied", group
            case UpdateGroup(id=group_id, name=name, icon=icon, description=description, users=users):
                group = await self.groups.update(group_id, name=name, icon=icon, description=description, users=users)
                return "applied", group
            case DeleteGroup(id=group_id, missing_ok=missing_ok):
                try:
                    await self.groups.delete(group_id)
                except NotFoundError:
                    if not missing_ok:
                        raise
                    return "unchanged", None
                return "applied", None
            case _:
                raise InvalidArgumentError(f"{type(operation).__name__} is no operation: use CreateGroup and its like")
