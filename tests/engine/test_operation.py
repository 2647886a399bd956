"""The shared state of a bulk operation: what it cancels, and what it lets finish."""

import asyncio

import pytest

from secoda_async._engine.operation import Operation, OperationCancelledError
from tests.support.waiting import drain_loop


@pytest.mark.requirement("RT-12")
async def test_a_wait_that_ends_returns_its_result() -> None:
    operation = Operation()
    assert await operation.run_unless_cancelled(asyncio.sleep(0, "done")) == "done"
    operation.cancel_unsent()  # nothing waits
    assert operation.is_cancelled


@pytest.mark.requirement("RT-12")
async def test_a_wait_is_cancelled_with_the_operation() -> None:
    operation = Operation()
    wait = asyncio.create_task(operation.run_unless_cancelled(asyncio.Event().wait()))
    await drain_loop()
    operation.cancel_unsent()
    operation.cancel_unsent()  # once more, before the wait has ended
    with pytest.raises(OperationCancelledError):
        await wait


@pytest.mark.requirement("RT-12")
async def test_a_wait_after_the_cancellation_does_not_begin() -> None:
    operation = Operation()
    operation.cancel_unsent()
    began: list[bool] = []

    async def work() -> None:
        began.append(True)

    with pytest.raises(OperationCancelledError):
        await operation.run_unless_cancelled(work())
    with pytest.raises(OperationCancelledError):
        await operation.run_unless_cancelled(asyncio.get_running_loop().create_future())
    assert began == []


async def test_a_timeout_of_the_work_is_its_own() -> None:
    async def work() -> None:
        raise TimeoutError("the work's")

    with pytest.raises(TimeoutError, match="the work's"):
        await Operation().run_unless_cancelled(work())


async def test_a_cancellation_from_outside_stays_one() -> None:
    operation = Operation()
    wait = asyncio.create_task(operation.run_unless_cancelled(asyncio.Event().wait()))
    await drain_loop()
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert not operation.is_cancelled


@pytest.mark.requirement("BS-7")
async def test_cancelled_operation_starts_no_wait() -> None:
    operation = Operation()
    operation.cancel_unsent()
    for work in (asyncio.sleep(9), asyncio.ensure_future(asyncio.sleep(0))):
        with pytest.raises(OperationCancelledError):
            await operation.run_unless_cancelled(work)


async def test_timeout_error_of_the_work_itself_is_reraised() -> None:
    async def work() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await Operation().run_unless_cancelled(work())
