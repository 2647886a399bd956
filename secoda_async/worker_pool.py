"""A pool of workers that take jobs from one source, for `bulk` and `apply`.

The pool stops early when the key is refused, when the service is down, with `fail_fast`, or when `stop` is set:
requests in flight finish, unsent ones are cancelled.
"""

import asyncio
from asyncio import Event as StopEvent
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from secoda_async._engine.concurrency.cancellation import cancel_and_wait
from secoda_async._engine.operation import Operation as SharedState
from secoda_async._engine.operation import OperationCancelledError
from secoda_async._engine.sources import Source
from secoda_async.errors import (
    AuthenticationError,
    OutcomeUnknownError,
    PermissionDeniedError,
    SecodaError,
    ServerError,
    TransportError,
)
from secoda_async.models import Group
from secoda_async.operations import Operation, Outcome, Status

__all__ = ["TRANSIENT", "Result", "WorkerPool"]

Job = TypeVar("Job")

TRANSIENT: Final = (OutcomeUnknownError, TransportError, ServerError)
"""Errors of the network and the service: a later attempt may succeed."""

_MAX_CONSECUTIVE_REFUSALS: Final = 20
"""Consecutive 403s after which the key counts as read-only. A single 403 concerns one group."""

Result = tuple[Status, Group | None]
"""The status of a job that raised no error, and the group afterwards."""


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
        self.stop_reason: str = ""
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
