"""Sources of a bulk, one job at a time."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from secoda_async._engine.sources import Source
from tests.support.waiting import drain_loop


async def endless() -> AsyncGenerator[str, None]:
    number = 0
    while True:
        yield f"job {number}"
        number += 1


async def test_a_sequence_is_read_in_order_and_its_rest_remains() -> None:
    source = Source(["a", "b", "c", "d"])
    assert [await source.next(), await source.next()] == [(0, "a"), (1, "b")]
    source.close()
    assert await source.next() == (2, "c")  # a sequence is gone through
    assert list(source.remaining()) == [(3, "d")]
    assert await source.next() is None


async def test_an_iterator_is_left_alone_once_closed() -> None:
    jobs = iter(["a", "b"])
    source = Source(jobs)
    assert await source.next() == (0, "a")
    source.close()
    assert await source.next() is None
    assert list(source.remaining()) == []
    assert list(jobs) == ["b"]


async def test_an_async_iterable_is_read_on_demand() -> None:
    read: list[int] = []

    async def jobs() -> AsyncGenerator[int, None]:
        for number in range(3):
            read.append(number)
            yield number

    source = Source(jobs())
    await drain_loop()
    assert read == []
    assert await source.next() == (0, 0)
    await drain_loop()
    assert read == [0]
    assert [await source.next() for _ in range(4)] == [(1, 1), (2, 2), None, None]
    assert list(source.remaining()) == []


@pytest.mark.requirement("BS-11")
async def test_a_job_that_was_read_and_not_taken_remains() -> None:
    source = Source(endless())
    takers = [asyncio.create_task(source.next()) for _ in range(2)]
    await asyncio.sleep(0)
    for taker in takers:
        taker.cancel()
    await drain_loop()
    source.close()
    await drain_loop()
    assert list(source.remaining()) == [(0, "job 0"), (1, "job 1")]


@pytest.mark.requirement("BS-11")
async def test_an_error_is_raised_once_all_jobs_before_it_were_taken() -> None:
    async def jobs() -> AsyncGenerator[int, None]:
        yield 1
        raise LookupError("no more")

    source = Source(jobs())
    assert await source.next() == (0, 1)
    for _ in range(2):
        with pytest.raises(LookupError, match="no more"):
            await source.next()


@pytest.mark.requirement("BS-11")
async def test_closing_ends_every_wait_for_a_job() -> None:
    async def jobs() -> AsyncGenerator[int, None]:
        await asyncio.Event().wait()
        yield 1

    source = Source(jobs())
    takers = [asyncio.create_task(source.next()) for _ in range(3)]
    await drain_loop()
    source.close()
    assert await asyncio.gather(*takers) == [None, None, None]


async def test_a_source_that_cancels_itself_raises_its_cancellation() -> None:
    async def jobs() -> AsyncGenerator[int, None]:
        raise asyncio.CancelledError
        yield 1

    source = Source(jobs())
    with pytest.raises(asyncio.CancelledError):
        await source.next()
