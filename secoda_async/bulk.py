"""Bulk operations: one outcome for each."""

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
    Sequence,
)
from functools import partial
from typing import Any, Final, Generic, Literal, TypeVar

from attrs import field, frozen

from secoda_async._engine.call import Scope
from secoda_async._engine.operation import Operation as SharedState
from secoda_async._engine.operation import OperationCancelledError
from secoda_async._engine.page_checks import check_number
from secoda_async._engine.sources import Source
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

__all__ = ["Bulk", "CreateGroup", "DeleteGroup", "Operation", "Outcome", "Status", "UpdateGroup", "WorkerPool", "run"]

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


TRANSIENT: Final = (OutcomeUnknownError, TransportError, ServerError)
"""Failures of the network and of the service, which may have recovered a minute later."""

_MOST_REFUSALS: Final = 20
"""Consecutive 403s after which the rest is not attempted: the key may write nothing. One 403 is about one group."""

Result = tuple[Status, Group | None]
"""How a job ended that raised no error, and the group as it is now."""


class Bulk(AsyncIterator[Outcome]):
    """The outcomes of a bulk, as they end: iterate over it, once.

    When the iteration is given up and this is closed (by a cancellation, or after a `break` by `aclose()`), what is
    under way is cancelled, and `rest` accounts for it.
    """

    def __init__(self, outcomes: AsyncGenerator[Outcome, None], rest: list[Outcome], leave: Callable[[], None]) -> None:
        self.rest = rest
        """The outcomes that were not iterated over, once this is closed. What was never taken from a source that is
        read only once, such as a generator, is still in there."""
        self._outcomes = outcomes
        self._leave = leave
        self._is_begun = False

    async def __anext__(self) -> Outcome:
        self._is_begun = True
        return await anext(self._outcomes)

    async def aclose(self) -> None:
        """Give up: cancel what is under way. Does nothing when all is over."""
        if not self._is_begun:
            self._is_begun = True
            self._leave()
        await self._outcomes.aclose()


def run(
    groups: Callable[[Scope | None], Groups],
    operations: Iterable[Operation] | AsyncIterable[Operation],
    *,
    concurrency: int,
    fail_fast: bool,
    stop: StopEvent | None,
) -> Bulk:
    """Execute the operations and yield their outcomes in completion order; see `SecodaClient.bulk`."""
    _check(operations, concurrency, stop)
    known = _Once(groups(None).listed_ids)

    async def execute(operation: Operation, shared: SharedState) -> Result:
        scope = Scope(operation=shared, known_ids=lambda: shared.run_unless_cancelled(known.get()))
        return await _execute(groups(scope), operation)

    pool = WorkerPool(execute, lambda operation: operation, fail_fast=fail_fast, stop=stop)
    return Bulk(pool.run(operations, concurrency), pool.rest, partial(pool.leave, operations))


def _check(operations: object, concurrency: object, stop: object) -> None:
    if not isinstance(operations, (Iterable, AsyncIterable)):
        raise InvalidArgumentError(f"operations must be iterable, not {type(operations).__name__}")
    check_number("concurrency", concurrency)
    if stop is not None and not isinstance(stop, StopEvent):
        raise InvalidArgumentError(f"stop must be an asyncio.Event, not {type(stop).__name__}")


class _Once:
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


async def _execute(groups: Groups, operation: Operation) -> Result:
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


class WorkerPool(Generic[Job]):
    """A fixed number of tasks that take jobs from one source, each the next one when it has finished the last."""

    def __init__(
        self,
        execute: Callable[[Job, SharedState], Awaitable[Result]],
        operation_of: Callable[[Job], Operation],
        *,
        fail_fast: bool = False,
        stop: StopEvent | None = None,
        max_consecutive_failures: int | None = None,
    ) -> None:
        self.rest: list[Outcome] = []
        """The outcomes that were not iterated over."""
        self._execute = execute
        self._operation_of = operation_of
        self._fail_fast = fail_fast
        self._max_consecutive_failures = max_consecutive_failures
        self._consecutive_failures = self._consecutive_refusals = 0
        self._stop = stop or StopEvent()
        self._in_flight: set[SharedState] = set()
        self._is_over = False

    async def run(self, jobs: Iterable[Job] | AsyncIterable[Job], concurrency: int) -> AsyncGenerator[Outcome, None]:
        """Execute the jobs and yield their outcomes in completion order."""
        self._source = source = Source(jobs)
        outcomes: asyncio.Queue[Outcome | None] = asyncio.Queue()
        self._backpressure = asyncio.Semaphore(concurrency)
        workers = [asyncio.create_task(self._work(source, outcomes)) for _ in range(concurrency)]
        for worker in workers:
            worker.add_done_callback(lambda _: outcomes.put_nowait(None))  # however it ends
        watcher = asyncio.create_task(self._watch())
        try:
            for _ in workers:
                while (outcome := await outcomes.get()) is not None:
                    self._backpressure.release()
                    yield outcome
            for worker in workers:
                await worker
        finally:
            try:
                await _cancel_and_wait([watcher, *workers, *source.tasks])
            finally:
                self._account(outcomes, source)

    def leave(self, jobs: Iterable[Job] | AsyncIterable[Job]) -> None:
        """Account for the jobs of a sequence that are not to be begun."""
        for index, job in enumerate(jobs if isinstance(jobs, Sequence) else ()):
            self.rest.append(self._outcome(index, job, SharedState()))

    async def _watch(self) -> None:
        await self._stop.wait()
        self._end()

    def _end(self) -> None:
        """Send nothing more: requests in flight finish, unsent ones are cancelled, and the source is left."""
        self._is_over = True
        self._source.close()
        for shared in self._in_flight:
            shared.cancel_unsent()

    def _account(self, outcomes: "asyncio.Queue[Outcome | None]", source: Source[Job]) -> None:
        while not outcomes.empty():
            outcome = outcomes.get_nowait()
            self.rest += [] if outcome is None else [outcome]
        self.rest += [self._outcome(index, job, SharedState()) for index, job in source.remaining()]

    async def _work(self, source: Source[Job], outcomes: "asyncio.Queue[Outcome | None]") -> None:
        """Execute jobs until the source ends, no faster than the outcomes are taken."""
        try:
            while (numbered := await source.next()) is not None:
                outcomes.put_nowait(await self._outcome_of(*numbered))
                await self._backpressure.acquire()
        except BaseException:
            self._end()  # the source failed: requests in flight finish, and then its error is raised
            raise

    async def _outcome_of(self, index: int, job: Job) -> Outcome:
        shared = SharedState()
        if self._is_over or self._stop.is_set():
            return self._outcome(index, job, shared)
        self._in_flight.add(shared)
        try:
            status, group = await self._execute(job, shared)
        except OperationCancelledError:
            return self._outcome(index, job, shared, "unknown" if shared.may_have_written else "not_attempted")
        except SecodaError as error:
            self._count(error)
            is_unknown = isinstance(error, OutcomeUnknownError) or shared.may_have_written
            if self._fail_fast and not isinstance(error, OutcomeUnknownError):
                self._end()
            return self._outcome(index, job, shared, "unknown" if is_unknown else "failed", error=error)
        except BaseException:  # a cancellation
            status = "unknown" if shared.may_have_written else "not_attempted"
            self.rest.append(self._outcome(index, job, shared, status))
            raise
        finally:
            self._in_flight.discard(shared)
        self._consecutive_failures = self._consecutive_refusals = 0
        return self._outcome(index, job, shared, status, group)

    def _count(self, error: SecodaError) -> None:
        """End after a 401, after many 403s in a row, and when the service has been down for many jobs in a row."""
        cause = error.__cause__ if isinstance(error, OutcomeUnknownError) else error
        is_refused = isinstance(cause, PermissionDeniedError)
        self._consecutive_refusals = self._consecutive_refusals + 1 if is_refused else 0
        self._consecutive_failures = self._consecutive_failures + 1 if isinstance(error, TRANSIENT) else 0
        most = self._max_consecutive_failures
        is_down = most is not None and self._consecutive_failures >= most
        if isinstance(cause, AuthenticationError) or self._consecutive_refusals >= _MOST_REFUSALS or is_down:
            self._end()

    def _outcome(
        self,
        index: int,
        job: Job,
        shared: SharedState,
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
            attempts=shared.attempts,
            waited=shared.waited,
        )


async def _cancel_and_wait(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks and wait until all have ended, however often the wait itself is cancelled.

    anyio cancels a task anew at each of its awaits, until it leaves the cancel scope.
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
