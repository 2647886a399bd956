"""Start and close of the emulator."""

import asyncio
import errno
from typing import Any

import aiohttp
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock, Waits
from tests.support.emulator_calls import GROUPS, Caller, exchange, post
from tests.support.waiting import wait_until


async def test_emulator_restarts_with_the_same_store() -> None:
    emulator = Emulator(groups=7, users=3, speed=1_000.0)
    with pytest.raises(RuntimeError, match="no url until it is started"):
        _ = emulator.url
    assert emulator.open_connections == 0
    await emulator.close()
    for _ in range(2):
        await emulator.start()
        with pytest.raises(RuntimeError, match="already running"):
            await emulator.start()
        async with aiohttp.ClientSession() as session:
            call = Caller(emulator, session)
            assert (await call("GET", GROUPS)).json["count"] == 7
            assert emulator.open_connections == 1
        await emulator.close()
        await emulator.close()
    assert emulator.count() == 2
    assert [record.connection for record in emulator.requests] == [1, 2]


async def test_port_in_use_is_an_os_error(emulator: Emulator) -> None:
    port = int(emulator.url.rpartition(":")[2])
    other = Emulator(port=port)
    with pytest.raises(OSError, match="address already in use") as caught:
        await other.start()
    assert caught.value.errno == errno.EADDRINUSE
    await other.close()


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost", "http://127.0.0.1:"),
        ("127.0.0.2", "http://127.0.0.2:"),
        ("::1", "http://[::1]:"),
    ],
)
async def test_emulator_listens_on_loopback_addresses(host: str, origin: str) -> None:
    try:
        async with Emulator(host=host) as emulator, aiohttp.ClientSession() as session:
            assert emulator.url.startswith(origin)
            assert (await Caller(emulator, session)("GET", "/healthcheck")).status == 200
    except OSError as error:  # pragma: no cover - a machine without this address
        pytest.skip(str(error))


@pytest.mark.parametrize(("host", "origin"), [("0.0.0.0", "http://127.0.0.1:"), ("::", "http://[::1]:")])
async def test_emulator_on_all_addresses_has_a_url_on_loopback(host: str, origin: str) -> None:
    try:
        async with Emulator(host=host) as emulator, aiohttp.ClientSession() as session:
            assert emulator.url.startswith(origin)
            assert (await Caller(emulator, session)("GET", "/healthcheck")).status == 200
    except OSError as error:  # pragma: no cover - a machine without IPv6
        pytest.skip(str(error))


async def test_host_of_another_machine_is_an_os_error() -> None:
    emulator = Emulator(host="192.0.2.1")
    with pytest.raises(OSError, match="address"):
        await emulator.start()


@pytest.mark.parametrize("fault", [{"stall": "before"}, {"stall": "after"}, {"stall": "unread"}, {"delay": 9.0}])
async def test_close_ends_requests_in_flight(
    emulator: Emulator, session: aiohttp.ClientSession, fault: dict[str, Any]
) -> None:
    emulator.faults.add(**fault)
    task = asyncio.create_task(post(session))
    await wait_until(lambda: emulator._handler.waits._futures)
    await emulator.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await task
    assert emulator.requests[0].status is None


async def test_close_ends_idle_and_half_sent_connections(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    await post(session)
    half = asyncio.create_task(exchange(emulator, b"{", 10))
    await wait_until(lambda: len(emulator.requests) == 2)
    await emulator.close()
    assert await half in {b"", b"reset"}


async def test_close_ends_a_delay_that_begins_meanwhile(
    emulator: Emulator,
    clock: ManualClock,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    emulator.faults.add(delay=9.0)
    monkeypatch.setattr(Waits, "cancel_all", lambda _: None)  # as if the wait began too late
    task = asyncio.create_task(post(session))
    await wait_until(lambda: clock.timers)
    await emulator.close()
    assert clock.timers == []
    with pytest.raises(aiohttp.ClientConnectionError):
        await task


@pytest.mark.parametrize("fault", [{"stall": "before"}, {"delay": 9.0}])
async def test_close_does_not_wait_for_the_shutdown_timeout(
    monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    monkeypatch.setattr("secoda_async.emulator.server.SHUTDOWN_SECONDS", 60.0)
    emulator = Emulator(clock=ManualClock())
    await emulator.start()
    emulator.faults.add(**fault)
    task = asyncio.create_task(exchange(emulator))
    await wait_until(lambda: emulator._handler.waits._futures)
    async with asyncio.timeout(10.0):
        await emulator.close()
    assert await task in {b"", b"reset"}
