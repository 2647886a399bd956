"""Clocks, waits and the calendar of the emulator."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from secoda_async.emulator.clock import Calendar, ManualClock, ScaledClock, Waits, timestamp
from tests.support.waiting import wait_until


def test_timestamp_has_six_fractional_digits_or_none() -> None:
    moment = datetime(2023, 5, 10, 14, 27, 23, 50, tzinfo=UTC)
    assert timestamp(moment) == "2023-05-10T14:27:23.000050Z"
    assert timestamp(moment.replace(microsecond=0)) == "2023-05-10T14:27:23Z"


def test_timestamps_ascend_while_the_clock_stands_still() -> None:
    calendar = Calendar(ManualClock())
    first, second = calendar.next_timestamp(), calendar.next_timestamp()
    assert datetime.fromisoformat(second) - datetime.fromisoformat(first) == timedelta(microseconds=1)


def test_calendar_follows_the_clock() -> None:
    clock = ManualClock(1_000.0)
    calendar = Calendar(clock)
    before = calendar.now()
    clock.advance(90.5)
    assert calendar.now() - before == timedelta(seconds=90.5)
    assert calendar.date_header().endswith("GMT")


def test_scaled_clock_runs_at_its_speed() -> None:
    assert ScaledClock(1e6).now() / ScaledClock(1.0).now() == pytest.approx(1e6, rel=1e-3)


def test_manual_clock_runs_each_callback_once_at_its_time() -> None:
    clock = ManualClock()
    called: list[float] = []
    for delay in (3.0, 1.0, 2.0, 9.0):
        clock.call_later(delay, lambda: called.append(clock.now()))
    cancelled = clock.call_later(1.5, lambda: called.append(-1.0))
    cancelled.cancel()
    cancelled.cancel()
    clock.advance(5.0)
    assert called == [1.0, 2.0, 3.0]
    assert clock.now() == 5.0
    assert len(clock.timers) == 1


async def test_cancelled_wait_ignores_its_timer(clock: ManualClock) -> None:
    waits = Waits(clock)
    task = asyncio.create_task(waits.sleep(1.0))
    await wait_until(lambda: clock.timers)
    waits.cancel_all()
    clock.advance(1.0)  # before the cancelled wait could cancel its timer
    with pytest.raises(asyncio.CancelledError):
        await task
    await waits.sleep(0.0)


def test_date_header_is_in_gmt_and_skewed() -> None:
    calendar = Calendar(ManualClock())
    calendar._start = datetime(2024, 2, 29, 23, 59, 58, 999_999, tzinfo=UTC)
    assert calendar.date_header() == "Thu, 29 Feb 2024 23:59:58 GMT"
    assert calendar.date_header(2.0) == "Fri, 01 Mar 2024 00:00:00 GMT"


def test_calendar_starts_now() -> None:
    assert abs(Calendar(ManualClock(7.0)).now() - datetime.now(UTC)) < timedelta(seconds=10)


async def test_scaled_clock_shortens_timers() -> None:
    called = asyncio.Event()
    ScaledClock(1e6).call_later(3_000.0, called.set)
    assert not called.is_set()
    async with asyncio.timeout(10.0):
        await called.wait()


async def test_sleep_ends_with_its_timer_and_leaves_nothing_pending(clock: ManualClock) -> None:
    waits = Waits(clock)
    task = asyncio.create_task(waits.sleep(1.0))
    await wait_until(lambda: clock.timers)
    assert len(waits._futures) == 1
    clock.advance(1.0)
    await task
    assert not waits._futures


async def test_sleep_forever_ends_only_when_cancelled(clock: ManualClock) -> None:
    waits = Waits(clock)
    task = asyncio.create_task(waits.sleep_forever())
    await wait_until(lambda: waits._futures)
    clock.advance(1e9)
    assert not task.done()
    waits.cancel_all()
    with pytest.raises(asyncio.CancelledError):
        await task
