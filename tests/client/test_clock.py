"""The clocks: system, scaled and autojump."""

import asyncio
import socket
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from secoda_async import AutojumpClock, Clock, ConfigurationError, ScaledClock, SystemClock
from secoda_async.clock import sleep


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf"), "60", None])
def test_a_scaled_clock_needs_a_positive_speed(speed: Any) -> None:
    with pytest.raises(ConfigurationError, match="speed must be a positive number"):
        ScaledClock(speed)


@pytest.mark.parametrize("clock", [SystemClock(), ScaledClock(1000.0)])
async def test_system_and_scaled_clock_wait_and_never_decrease(clock: Clock) -> None:
    before = clock.now()
    await sleep(clock, 0.002)
    assert clock.now() >= before


def test_a_scaled_clock_runs_faster_than_the_machine() -> None:
    began = time.monotonic()
    assert ScaledClock(60.0).now() >= began * 60.0


@pytest.mark.requirement("TS-2")
async def test_autojump_clock_skips_an_hour() -> None:
    clock = AutojumpClock(start=5.0)
    await sleep(clock, 3600.0)
    assert clock.now() == 3605.0


async def test_timers_run_in_order_of_time_then_of_creation() -> None:
    clock, ran = AutojumpClock(), list[str]()
    clock.call_later(2.0, lambda: ran.append("second"))
    clock.call_later(1.0, lambda: ran.append("first"))
    clock.call_later(2.0, lambda: ran.append("third"))
    clock.call_later(-1.0, lambda: ran.append("now"))
    await sleep(clock, 3.0)
    assert ran == ["now", "first", "second", "third"]


async def test_autojump_clock_stands_still_while_work_runs() -> None:
    clock = AutojumpClock(patience=50)
    waiting = asyncio.create_task(sleep(clock, 60.0))
    for _ in range(40):
        await asyncio.sleep(0)
    assert clock.now() == 0.0
    await waiting
    assert clock.now() == 60.0


async def test_new_timer_restarts_the_patience() -> None:
    clock, fired = AutojumpClock(patience=20), list[float]()
    for _ in range(5):
        timer = clock.call_later(1.0, lambda: fired.append(clock.now()))
        for _ in range(15):
            await asyncio.sleep(0)
        assert fired == []
        timer.cancel()


async def test_cancelled_timers_neither_run_nor_move_the_autojump_clock() -> None:
    clock, ran = AutojumpClock(patience=2), list[str]()
    clock.call_later(10.0, lambda: ran.append("cancelled")).cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert ran == []
    assert clock.now() == 0.0
    await sleep(clock, 1.0)  # the clock starts again after it was idle
    assert clock.now() == 1.0


async def test_timer_cancelled_by_an_earlier_timer_does_not_run() -> None:
    clock, ran = AutojumpClock(), list[str]()
    later = clock.call_later(1.0, lambda: ran.append("late"))
    clock.call_later(0.5, later.cancel)
    await sleep(clock, 2.0)
    assert ran == []


async def test_a_callback_that_raises_does_not_stop_the_clock() -> None:
    clock, reported = AutojumpClock(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail() -> None:
        raise LookupError

    clock.call_later(1.0, fail)
    await asyncio.wait_for(sleep(clock, 2.0), 60.0)
    assert clock.now() == 2.0
    assert isinstance(reported[0]["exception"], LookupError)


def test_autojump_clock_works_on_the_next_event_loop() -> None:
    clock, ran = AutojumpClock(), list[str]()

    async def leave_one_behind() -> None:
        clock.call_later(1.0, lambda: ran.append("of the first loop"))
        await asyncio.sleep(0)

    asyncio.run(leave_one_behind())
    asyncio.run(sleep(clock, 5.0))
    assert ran == []
    assert clock.now() == 5.0


async def test_cancelling_a_sleep_leaves_no_timer() -> None:
    clock = AutojumpClock(patience=2)
    waiting = asyncio.create_task(sleep(clock, 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for _ in range(20):
        await asyncio.sleep(0)
    assert clock.now() == 0.0


@pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed")
def test_a_jumping_clock_does_not_overtake_connections_on_uvloop() -> None:
    clock = AutojumpClock()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            for _ in range(50):
                timer = clock.call_later(60.0, lambda: None)
                with socket.socket() as client:
                    client.setblocking(False)  # noqa: FBT003 - its only argument
                    await asyncio.get_running_loop().sock_connect(client, address)
                assert clock.now() == 0.0
                timer.cancel()
        await sleep(clock, 60.0)
        assert clock.now() == 60.0

    with asyncio.Runner(loop_factory=import_module("uvloop").new_event_loop) as runner:
        runner.run(main())


async def test_a_jumping_clock_pauses_before_it_jumps_on_a_loop_that_is_not_asyncio_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, pauses = asyncio.get_running_loop(), list[object]()
    look_up = loop.getaddrinfo

    async def getaddrinfo(*arguments: Any) -> object:
        pauses.append(arguments)
        return await look_up(*arguments)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    clock = AutojumpClock(patience=5)
    await sleep(clock, 1.0)
    assert pauses == []
    monkeypatch.setattr(asyncio, "BaseEventLoop", type("Other", (), {}))
    await sleep(clock, 1.0)
    assert (len(pauses), clock.now()) == (1, 2.0)
