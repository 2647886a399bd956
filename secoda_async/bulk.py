"""Many operations in, one outcome each out."""

import asyncio
from asyncio import Event as StopEvent
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, Generic, Literal, TypeVar

from attrs import field, frozen

from secoda_async._engine.journey import SPENT, Spent, StoppedError
from secoda_async.errors import (
    AuthenticationError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    SecodaError,
    ServerError,
    TransportError,
)
from secoda_async.groups import Groups
from secoda_async.models import UNSET, Group, Unset

__all__ = ["Bulk", "CreateGroup", "Crew", "DeleteGroup", "Operation", "Outcome", "Status", "UpdateGroup", "run"]

Job = TypeVar("Job")

Status = Literal["applied", "unchanged", "failed", "unknown", "not_attempted"]
"""How an operation ended. `unknown`: it may have happened; look before you repeat it."""


def _ids(value: Iterable[str] | Unset) -> Iterable[str] | Unset:
    """Keep an iterator's ids, so that the operation can be shown and passed in again."""
    return value if value is UNSET or isinstance(value, str) else tuple(value)


@frozen(kw_only=True)
class CreateGroup:
    """Create a group; the fields are those of `Groups.create`."""

    name: str | Unset = UNSET
    """What to call it."""
    icon: str | Unset | None = UNSET
    """An emoji, as a rule."""
    description: str | Unset | None = UNSET
    """What it is for."""
    users: Iterable[str] | Unset = field(default=UNSET, converter=_ids)
    """Ids of its members."""


@frozen
class UpdateGroup:
    """Change a group; the fields are those of `Groups.update`."""

    id: str
    """The group's id."""
    name: str | Unset = field(default=UNSET, kw_only=True)
    """What to call it from now on."""
    icon: str | Unset | None = field(default=UNSET, kw_only=True)
    """Its icon; None clears it."""
    description: str | Unset | None = field(default=UNSET, kw_only=True)
    """What it is for; None clears it."""
    users: Iterable[str] | Unset = field(default=UNSET, converter=_ids, kw_only=True)
    """Ids of all its members, in place of those it has."""


@frozen
class DeleteGroup:
    """Delete a group; a missing one is `unchanged` with `missing_ok`, else `failed`."""

    id: str
    """The group's id."""
    missing_ok: bool = field(default=False, kw_only=True)
    """Whether one that is not there is fine."""


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

    @property
    def ok(self) -> bool:
        """Whether all is as it was asked for."""
        return self.status in ("applied", "unchanged")


_REFUSED: Final = (AuthenticationError, PermissionDeniedError)
"""After one of these the rest would fail the same way."""

PASSING: Final = (OutcomeUnknownError, TransportError, ServerError)
"""Failures of the network and of the service, which may be well a minute later."""

Work = tuple[Status, Group | None]
"""What carrying a job out led to."""


class Bulk(AsyncIterator[Outcome]):
    """The outcomes of a bulk, as they end: iterate over it, once.

    When the iteration is given up and this is closed (by a cancellation, or after a `break` by `aclose()`), what is
    under way is cancelled, and `rest` accounts for it.
    """

    def __init__(self, outcomes: AsyncGenerator[Outcome, None], rest: list[Outcome]) -> None:
        self.rest = rest
        """The outcomes that were not iterated over, once this is closed. What was never taken from a source that is
        read only once, such as a generator, is still in there."""
        self._outcomes = outcomes

    async def __anext__(self) -> Outcome:
        return await anext(self._outcomes)

    async def aclose(self) -> None:
        """Give up: cancel what is under way. Does nothing when all is over."""
        await self._outcomes.aclose()


def run(
    groups: Groups,
    operations: Iterable[Operation] | AsyncIterable[Operation],
    *,
    concurrency: int,
    fail_fast: bool,
    stop: StopEvent | None,
) -> Bulk:
    """Carry out the operations and yield their outcomes as they end; see `SecodaClient.bulk`."""
    crew = Crew(partial(_carry_out, groups), lambda operation: operation, fail_fast=fail_fast, stop=stop)
    return Bulk(crew.run(operations, concurrency), crew.rest)


async def _carry_out(groups: Groups, operation: Operation) -> Work:
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
            except NotFoundError:
                if not missing_ok:
                    raise
                return "unchanged", None
            return "applied", None
        case _:
            raise InvalidArgumentError(f"{type(operation).__name__} is no operation: use CreateGroup and its like")


class Crew(Generic[Job]):
    """A fixed number of tasks that take jobs from one source, each the next when it has done the last."""

    def __init__(
        self,
        carry_out: Callable[[Job], Awaitable[Work]],
        operation_of: Callable[[Job], Operation],
        *,
        fail_fast: bool = False,
        stop: StopEvent | None = None,
        patience: int | None = None,
    ) -> None:
        self.rest: list[Outcome] = []
        """The outcomes that nobody waited for."""
        self._carry_out = carry_out
        self._operation_of = operation_of
        self._fail_fast = fail_fast
        self._patience = patience
        self._in_a_row = 0
        self._stop = stop or StopEvent()
        self._turn = asyncio.Lock()
        self._under_way: set[Spent] = set()
        self._taken = 0
        self._is_over = False

    async def run(self, jobs: Iterable[Job] | AsyncIterable[Job], concurrency: int) -> AsyncGenerator[Outcome, None]:
        """Carry out the jobs and yield their outcomes as they end."""
        if concurrency < 1:
            raise InvalidArgumentError(f"concurrency must be at least 1, not {concurrency}")
        source = _numbered(jobs)
        outcomes: asyncio.Queue[Outcome | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(concurrency)
        workers = [asyncio.create_task(self._work(source, outcomes)) for _ in range(concurrency)]
        for worker in workers:
            worker.add_done_callback(lambda _: outcomes.put_nowait(None))  # however it ends
        watcher = asyncio.create_task(self._watch())
        try:
            for _ in workers:
                while (outcome := await outcomes.get()) is not None:
                    self._room.release()
                    yield outcome
            for worker in workers:
                await worker
        finally:
            for task in (watcher, *workers):
                task.cancel()
            await asyncio.gather(watcher, *workers, return_exceptions=True)
            self._account(outcomes, jobs)

    async def _watch(self) -> None:
        await self._stop.wait()
        self._end()

    def _end(self) -> None:
        """Send nothing more: what is on the wire goes on, what waits for the limit is not attempted."""
        self._is_over = True
        for spent in self._under_way:
            spent.stop()

    def _account(self, outcomes: "asyncio.Queue[Outcome | None]", jobs: Iterable[Job] | AsyncIterable[Job]) -> None:
        while not outcomes.empty():
            outcome = outcomes.get_nowait()
            self.rest += [] if outcome is None else [outcome]
        if isinstance(jobs, Sequence):
            never = range(self._taken, len(jobs))
            self.rest += [self._outcome(index, jobs[index], Spent()) for index in never]

    async def _work(self, source: AsyncIterator[tuple[int, Job]], outcomes: "asyncio.Queue[Outcome | None]") -> None:
        """Carry out jobs until the source is empty; no faster than somebody takes the outcomes."""
        try:
            while (numbered := await self._next(source)) is not None:
                outcomes.put_nowait(await self._outcome_of(*numbered))
                await self._room.acquire()
        except BaseException:
            self._end()  # the source failed: what is under way ends, and then its error is raised
            raise

    async def _next(self, source: AsyncIterator[tuple[int, Job]]) -> tuple[int, Job] | None:
        async with self._turn:  # an async iterator serves one at a time
            numbered = await anext(source, None)
            self._taken += numbered is not None
            return numbered

    async def _outcome_of(self, index: int, job: Job) -> Outcome:
        spent = Spent()
        SPENT.set(spent)  # the worker's task has a context of its own
        if self._is_over or self._stop.is_set():
            return self._outcome(index, job, spent)
        self._under_way.add(spent)
        try:
            status, group = await self._carry_out(job)
        except StoppedError:
            return self._outcome(index, job, spent)
        except OutcomeUnknownError as unknown:
            if isinstance(unknown.__cause__, _REFUSED):
                self._end()
            self._count(unknown)
            return self._outcome(index, job, spent, "unknown", error=unknown)
        except SecodaError as failed:
            if self._fail_fast or isinstance(failed, _REFUSED):
                self._end()
            self._count(failed)
            return self._outcome(index, job, spent, "failed", error=failed)
        except BaseException:  # cancelled, as a rule
            self.rest.append(self._outcome(index, job, spent, "unknown" if spent.may_have_written else "not_attempted"))
            raise
        finally:
            self._under_way.discard(spent)
        self._in_a_row = 0
        return self._outcome(index, job, spent, status, group)

    def _count(self, failed: SecodaError) -> None:
        """Give up when the service has been down for so many in a row, whatever each of them tried."""
        self._in_a_row = self._in_a_row + 1 if isinstance(failed, PASSING) else 0
        if self._patience is not None and self._in_a_row >= self._patience:
            self._end()

    def _outcome(
        self,
        index: int,
        job: Job,
        spent: Spent,
        status: Status = "not_attempted",
        group: Group | None = None,
        error: SecodaError | None = None,
    ) -> Outcome:
        return Outcome(
            operation=self._operation_of(job),
            index=index,
            status=status,
            group=group,
            error=error,
            attempts=spent.attempts,
            waited=spent.waited,
        )


async def _numbered(jobs: Iterable[Job] | AsyncIterable[Job]) -> AsyncIterator[tuple[int, Job]]:
    index = 0
    if isinstance(jobs, AsyncIterable):
        async for job in jobs:
            yield index, job
            index += 1
    else:
        for job in jobs:
            yield index, job
            index += 1
