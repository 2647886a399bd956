"""Bulk operations: one outcome for each operation.

A pool of workers takes jobs from one source. It stops early when the key is refused, when the service is down, with
`fail_fast`, or when `stop` is set: requests in flight finish, unsent ones are cancelled.
"""

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
from typing import Final, Generic, TypeVar

from secoda_async._engine.call import Scope
from secoda_async._engine.concurrency.cancellation import cancel_and_wait
from secoda_async._engine.group_names import NameClaims
from secoda_async._engine.hints import AsyncForOnly
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
from secoda_async.models import Group
from secoda_async.operations import CreateGroup, DeleteGroup, Operation, Outcome, Status, UpdateGroup

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

Job = TypeVar("Job")

TRANSIENT: Final = (OutcomeUnknownError, TransportError, ServerError)
"""Errors of the network and the service: a later attempt may succeed."""

_MAX_CONSECUTIVE_REFUSALS: Final = 20
"""Consecutive 403s after which the key counts as read-only. A single 403 concerns one group."""

Result = tuple[Status, Group | None]
"""The status of a job that raised no error, and the group afterwards."""


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
    groups: Callable[[Scope], Groups],
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


class WorkerPool(Generic[Job]):
    """A fixed number of tasks that take jobs from one source, one job at a time each."""

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
        """After `run` has ended: the outcomes that it did not yield."""
        self.stop_reason = ""
        """The reason why errors ended the jobs early; empty if they did not."""
        self._execute = execute
        self._operation_of = operation_of
        self._fail_fast = fail_fast
        self._max_consecutive_failures = max_consecutive_failures
        self._consecutive_failures = self._consecutive_refusals = 0
        self._stop = stop or StopEvent()
        self._in_flight: set[SharedState] = set()
        self._is_stopped = False

    async def run(self, jobs: Iterable[Job] | AsyncIterable[Job], concurrency: int) -> AsyncGenerator[Outcome, None]:
        """Execute the jobs and yield their outcomes in completion order."""
        self._source = Source(jobs)
        outcomes: asyncio.Queue[Outcome | None] = asyncio.Queue()
        self._backpressure = asyncio.Semaphore(concurrency)
        workers = [asyncio.create_task(self._work(outcomes)) for _ in range(concurrency)]
        for worker in workers:
            worker.add_done_callback(lambda _: outcomes.put_nowait(None))
        stopper = asyncio.create_task(self._cancel_when_stopped())
        try:
            for _ in workers:
                while (outcome := await outcomes.get()) is not None:
                    self._backpressure.release()
                    yield outcome
            for worker in workers:
                await worker
        finally:
            try:
                await cancel_and_wait([stopper, *workers, *self._source.tasks])
            finally:
                self._collect_rest(outcomes)

    def mark_not_attempted(self, jobs: Iterable[Job] | AsyncIterable[Job]) -> None:
        """Add the jobs of a sequence to `rest`, as not attempted, in place of `run`."""
        for index, job in enumerate(jobs if isinstance(jobs, Sequence) else ()):
            self.rest.append(self._outcome(index, job, SharedState()))

    async def _cancel_when_stopped(self) -> None:
        await self._stop.wait()
        self._cancel_unsent()

    def _cancel_unsent(self) -> None:
        """Close the source and cancel unsent requests; requests in flight finish."""
        self._is_stopped = True
        self._source.close()
        for shared in self._in_flight:
            shared.cancel_unsent()

    def _collect_rest(self, outcomes: "asyncio.Queue[Outcome | None]") -> None:
        while not outcomes.empty():
            outcome = outcomes.get_nowait()
            self.rest += [] if outcome is None else [outcome]
        self.rest += [self._outcome(index, job, SharedState()) for index, job in self._source.remaining()]

    async def _work(self, outcomes: "asyncio.Queue[Outcome | None]") -> None:
        """Execute jobs until the source ends, no faster than the caller takes their outcomes."""
        try:
            while (numbered := await self._source.next()) is not None:
                outcomes.put_nowait(await self._run_job(*numbered))
                await self._backpressure.acquire()
        except BaseException:  # an error of the source: `run` raises it after the requests in flight
            self._cancel_unsent()
            raise

    async def _run_job(self, index: int, job: Job) -> Outcome:
        shared = SharedState()
        if self._is_stopped or self._stop.is_set():
            return self._outcome(index, job, shared)
        self._in_flight.add(shared)
        try:
            status, group = await self._execute(job, shared)
        except OperationCancelledError:
            return self._outcome(index, job, shared, _status_of_cancelled(shared))
        except SecodaError as error:
            return self._outcome(index, job, shared, self._status_of_failed(error, shared), error=error)
        except BaseException:  # a cancellation
            self.rest.append(self._outcome(index, job, shared, _status_of_cancelled(shared)))
            raise
        finally:
            self._in_flight.discard(shared)
        self._consecutive_failures = self._consecutive_refusals = 0
        return self._outcome(index, job, shared, status, group)

    def _status_of_failed(self, error: SecodaError, shared: SharedState) -> Status:
        """Count the error, stop the pool if it must stop, and return the status of the job."""
        self._count(error)
        is_unclear = isinstance(error, OutcomeUnknownError)
        if self._fail_fast and not is_unclear:
            self._cancel_unsent()
        return "unknown" if is_unclear or shared.may_have_written else "failed"

    def _count(self, error: SecodaError) -> None:
        """Stop the pool after a 401, after many consecutive 403s, and after `max_consecutive_failures`."""
        cause = error.__cause__ if isinstance(error, OutcomeUnknownError) else error
        is_refused = isinstance(cause, PermissionDeniedError)
        self._consecutive_refusals = self._consecutive_refusals + 1 if is_refused else 0
        self._consecutive_failures = self._consecutive_failures + 1 if isinstance(error, TRANSIENT) else 0
        limit = self._max_consecutive_failures
        if isinstance(cause, AuthenticationError):
            reason = "the key was refused"
        elif self._consecutive_refusals >= _MAX_CONSECUTIVE_REFUSALS:
            reason = f"{_MAX_CONSECUTIVE_REFUSALS} changes in a row were refused: the key may not change groups"
        elif limit is not None and self._consecutive_failures >= limit:
            reason = f"{limit} changes in a row failed: the service seems to be down"
        else:
            return
        self.stop_reason = self.stop_reason or reason
        self._cancel_unsent()

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


def _status_of_cancelled(shared: SharedState) -> Status:
    return "unknown" if shared.may_have_written else "not_attempted"
