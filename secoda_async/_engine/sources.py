"""The source of the jobs of a bulk: any iterable or async iterable, read one job at a time, on demand."""

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")


class Source(Generic[Job]):
    """Jobs and their indexes, in order. `close` ends the source, even while an async iterable waits for a job."""

    def __init__(self, jobs: Iterable[Job] | AsyncIterable[Job]) -> None:
        self._jobs = jobs
        self._is_closed = False
        self._taken = 0
        self._ready: asyncio.Queue[tuple[int, Job] | None] = asyncio.Queue()
        self._demand = asyncio.Semaphore(0)
        self._error: BaseException | None = None
        self._iterator: Iterator[Job] = iter(()) if isinstance(jobs, AsyncIterable) else iter(jobs)
        self.tasks: list[asyncio.Task[Any]] = []
        """The one task that reads an async iterable: a timeout in the iterable may span several jobs."""
        if isinstance(jobs, AsyncIterable):
            self.tasks.append(asyncio.create_task(self._feed(jobs)))

    def close(self) -> None:
        """Read no more from an iterator or async iterable. `remaining` still yields the jobs of a sequence."""
        self._is_closed = True
        for task in self.tasks:
            task.cancel()

    async def next(self) -> tuple[int, Job] | None:
        """Return the next job and its index; None at the end."""
        if not self.tasks:
            return None if self._is_closed and not isinstance(self._jobs, Sequence) else self._advance()
        self._demand.release()
        numbered = await self._ready.get()
        if numbered is None:
            self._ready.put_nowait(None)  # for the other workers
            if self._error is not None:
                raise self._error
        return numbered

    def remaining(self) -> Iterator[tuple[int, Job]]:
        """Yield the jobs that were read and not returned by `next`, and the unread jobs of a sequence."""
        while not self._ready.empty():
            numbered = self._ready.get_nowait()
            if numbered is not None:
                yield numbered
        if isinstance(self._jobs, Sequence):
            while (numbered := self._advance()) is not None:
                yield numbered

    def _advance(self) -> tuple[int, Job] | None:
        for job in self._iterator:
            self._taken += 1
            return self._taken - 1, job
        return None

    async def _feed(self, jobs: AsyncIterable[Job]) -> None:
        iterator = aiter(jobs)
        try:
            while True:
                await self._demand.acquire()
                job = await anext(iterator)
                self._ready.put_nowait((self._taken, job))
                self._taken += 1
        except StopAsyncIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - raised by the worker that asks next
            if not (self._is_closed and isinstance(error, asyncio.CancelledError)):
                self._error = error
        finally:
            self._ready.put_nowait(None)
