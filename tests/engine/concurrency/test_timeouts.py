"""A scope of a call ends when its time is up, or when the client is closed."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from secoda_async import ClientClosedError, RequestTimeoutError
from secoda_async._engine.concurrency.timeouts import CallScopes, TimedOutError, client_closed_error
from secoda_async.clock import SystemClock, sleep
from tests.support.clocks import ManualClock, settle


async def answer() -> str:
    await asyncio.sleep(0)
    return "done"


@pytest.mark.parametrize("seconds", [None, 5.0])
async def test_result_in_time_is_returned_and_leaves_no_timer(seconds: float | None) -> None:
    clock = ManualClock()
    assert await CallScopes(clock).run_with_timeout(answer(), seconds) == "done"
    await settle()
    assert clock.pending == 0


class TimerCountingClock(SystemClock):
    """A system clock that keeps its timers."""

    def __init__(self) -> None:
        self.timers: list[asyncio.TimerHandle] = []

    def call_later(self, delay: float, callback: Callable[[], object], /) -> asyncio.TimerHandle:
        self.timers.append(asyncio.get_running_loop().call_later(delay, callback))
        return self.timers[-1]


async def test_sequential_calls_on_the_system_clock_share_a_timer() -> None:
    clock = TimerCountingClock()
    scopes = CallScopes(clock)
    for _ in range(3):
        assert await scopes.run_with_timeout(answer(), 5.0) == "done"
        await settle()
    assert len(clock.timers) == 1
    with pytest.raises(TimedOutError):  # before the shared timer
        await scopes.run_with_timeout(asyncio.sleep(60.0), 0.001)
    scopes.close()
    assert all(timer.cancelled() for timer in clock.timers if timer.when() > asyncio.get_running_loop().time())


async def test_timer_of_the_system_clock_that_fires_without_a_scope_is_gone() -> None:
    clock = TimerCountingClock()
    scopes = CallScopes(clock)
    await scopes.run_with_timeout(answer(), 0.0)
    await asyncio.sleep(0.001)
    assert await scopes.run_with_timeout(answer(), 5.0) == "done"
    assert len(clock.timers) == 2
    scopes.close()


@pytest.mark.requirement("RT-5")
@pytest.mark.parametrize("seconds", [0.0, 5.0])
async def test_timeout_cancels_the_work(seconds: float) -> None:
    clock = ManualClock()
    work = asyncio.ensure_future(sleep(clock, 60.0))
    bounded = asyncio.create_task(CallScopes(clock).run_with_timeout(work, seconds))
    await clock.advance(seconds)
    with pytest.raises(TimedOutError) as caught:
        await bounded
    assert work.cancelled()
    assert caught.value.__context__ is None
    assert clock.pending == 0


@pytest.mark.requirement("SL-2")
async def test_close_cancels_all_work_with_client_closed_error() -> None:
    clock = ManualClock()
    scopes = CallScopes(clock)
    calls = [asyncio.create_task(scopes.run_with_timeout(sleep(clock, 60.0), seconds)) for seconds in (None, 90.0)]
    await settle()
    scopes.close()
    scopes.close()
    assert scopes.is_closed
    for call in calls:
        with pytest.raises(ClientClosedError, match="the client is closed") as caught:
            await call
        assert caught.value.__context__ is None
    await settle()
    assert clock.pending == 0


async def test_close_at_the_deadline_cancels_once() -> None:
    clock = ManualClock()
    scopes = CallScopes(clock)
    clock.call_later(5.0, scopes.close)
    call = asyncio.create_task(scopes.run_with_timeout(sleep(clock, 60.0), 5.0))
    await clock.advance(5.0)
    with pytest.raises(ClientClosedError):
        await call


async def test_work_that_suppresses_its_cancellation_is_not_cancelled_again() -> None:
    clock = ManualClock()
    scopes = CallScopes(clock)

    async def stubborn() -> str:
        try:
            await sleep(clock, 60.0)
        except asyncio.CancelledError:
            await sleep(clock, 1.0)
            raise
        return "done"

    call = asyncio.create_task(scopes.run_with_timeout(stubborn(), 5.0))
    await clock.advance(5.0)
    scopes.close()
    await clock.advance()
    with pytest.raises(ClientClosedError):
        await call


@pytest.mark.requirement("RT-7")
async def test_cancellation_by_the_caller_stays_a_cancellation() -> None:
    clock = ManualClock()
    call = asyncio.create_task(CallScopes(clock).run_with_timeout(sleep(clock, 60.0), 5.0))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert clock.pending == 0


async def test_later_deadline_passes_after_an_earlier_one() -> None:
    clock = ManualClock()
    scopes = CallScopes(clock)
    calls = [asyncio.create_task(scopes.run_with_timeout(sleep(clock, 60.0), seconds)) for seconds in (5.0, 9.0)]
    await clock.advance(8.9)
    assert [call.done() for call in calls] == [True, False]
    await clock.advance(0.1)
    for call in calls:
        with pytest.raises(TimedOutError):
            await call


async def test_task_is_not_cancelling_after_a_timeout() -> None:
    clock = ManualClock()

    async def time_out() -> int:
        with pytest.raises(TimedOutError):
            await CallScopes(clock).run_with_timeout(sleep(clock, 60.0), 5.0)
        task = asyncio.current_task()
        return -1 if task is None else task.cancelling()

    call = asyncio.create_task(time_out())
    await clock.advance(5.0)
    assert await call == 0


async def test_close_cancels_the_work_of_its_own_loop_immediately() -> None:
    scopes = CallScopes(ManualClock())
    call = asyncio.create_task(scopes.run_with_timeout(asyncio.Event().wait(), None))
    await settle()
    scopes.close()
    assert call.cancelling() == 1
    with pytest.raises(ClientClosedError):
        await call


async def test_close_cancels_the_work_of_other_event_loops() -> None:
    scopes = CallScopes(ManualClock())
    started = threading.Event()

    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(asyncio.to_thread(asyncio.run, scopes.run_with_timeout(wait(), None)))
    await asyncio.to_thread(started.wait, 30)
    scopes.close()
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(call, 30)


async def test_timer_of_another_clock_ends_with_the_last_scope() -> None:
    clock = ManualClock()
    scopes = CallScopes(clock)
    long = asyncio.create_task(scopes.run_with_timeout(sleep(clock, 2.0), 5.0))
    await settle()
    for _ in range(2):
        await scopes.run_with_timeout(answer(), 5.0)
        assert clock.pending == 2
    await clock.advance(2.0)
    await long
    assert clock.pending == 0


async def test_cancellation_by_the_caller_at_the_deadline_stays_a_cancellation() -> None:
    clock = ManualClock()
    call = asyncio.create_task(CallScopes(clock).run_with_timeout(sleep(clock, 60.0), 5.0))
    await settle()
    clock.fire(5.0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize("error", [RequestTimeoutError("ours"), TimeoutError("the work's own"), LookupError("a bug")])
async def test_error_of_the_work_is_raised_unchanged(error: Exception) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await CallScopes(ManualClock()).run_with_timeout(fail(), 5.0)
    assert caught.value is error


async def test_nested_timeouts_end_at_the_earlier_deadline() -> None:
    clock = ManualClock()
    scopes = CallScopes(clock)
    call = asyncio.create_task(scopes.run_with_timeout(scopes.run_with_timeout(sleep(clock, 60.0), 20.0), 10.0))
    await clock.advance(10.0)
    with pytest.raises(TimedOutError):
        await call
    assert clock.pending == 0


def test_client_closed_error_says_what_to_do() -> None:
    assert "async with SecodaClient" in str(client_closed_error())


class Other(asyncio.SelectorEventLoop):
    """An event loop that calls a function when `is_closed` is called."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self._then = then

    def is_closed(self) -> bool:
        self._then()
        return super().is_closed()


@pytest.mark.requirement("SL-6")
async def test_event_loops_that_start_concurrently_get_separate_deadlines() -> None:
    scopes = CallScopes(ManualClock())
    threads: list[threading.Thread] = []

    def begin_another() -> None:
        if not threads:
            threads.append(threading.Thread(target=asyncio.run, args=(scopes.run_with_timeout(answer(), None),)))
            threads[0].start()
            threads[0].join(0.05)  # it waits for the lock

    other = Other(begin_another)
    scopes._add_deadlines(other)
    assert await scopes.run_with_timeout(answer(), None) == "done"
    threads[0].join()
    assert len(scopes._deadlines) == 3
    other.close()


@pytest.mark.requirement("SL-6")
async def test_call_that_starts_while_another_thread_closes_is_refused() -> None:
    scopes = CallScopes(ManualClock())
    add = scopes._add_deadlines

    def add_and_close(loop: asyncio.AbstractEventLoop) -> object:
        deadlines = add(loop)
        thread = threading.Thread(target=asyncio.run, args=(close(),))
        thread.start()
        thread.join()
        return deadlines

    async def close() -> None:
        scopes.close()

    scopes.__dict__["_add_deadlines"] = add_and_close
    with pytest.raises(ClientClosedError):
        await scopes.run_with_timeout(answer(), None)


@pytest.mark.requirement("SL-6")
async def test_future_is_not_awaited_after_close() -> None:
    scopes = CallScopes(ManualClock())
    scopes.close()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(ClientClosedError):
        await scopes.run_with_timeout(future, None)
    assert not future.done()
