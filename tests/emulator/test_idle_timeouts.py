"""Idle connections that are closed with a 408."""

import asyncio

import pytest
from aiohttp import web

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from secoda_async.emulator.idle_timeouts import IdleTimeouts
from tests.support.emulator_calls import connect, request_head
from tests.support.waiting import wait_until

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def read_response(reader: asyncio.StreamReader) -> bytes:
    """Read one response."""
    sent = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in sent.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return sent + await reader.readexactly(int(length.partition(b":")[2]))


@pytest.mark.requirement("RT-14")
async def test_idle_connection_gets_a_408_and_is_closed(emulator: Emulator, clock: ManualClock) -> None:
    emulator.idle_408 = 5.0
    reader, writer = await connect(emulator)
    for _ in range(2):  # each request in time restarts the timer
        writer.write(request_head(emulator, path="/healthcheck"))
        assert b"200 OK" in await read_response(reader)
        clock.advance(4.0)
    clock.advance(1.0)
    assert await reader.read() == TIMEOUT
    assert emulator.count() == 2
    writer.close()


@pytest.mark.requirement("RT-14")
async def test_request_that_crosses_the_408_is_not_executed(emulator: Emulator, clock: ManualClock) -> None:
    emulator.idle_408 = 5.0
    reader, writer = await connect(emulator)
    writer.write(request_head(emulator, path="/healthcheck"))
    await read_response(reader)
    server = emulator._runner.server if emulator._runner else None
    assert server is not None
    (protocol,) = server.connections
    protocol.data_received(request_head(emulator, "POST", headers="Content-Length: 0\r\n"))
    clock.advance(5.0)
    assert await reader.read() == TIMEOUT
    assert emulator.groups == {}
    assert emulator.count("POST") == 0
    writer.close()


@pytest.mark.requirement("RT-14")
async def test_request_read_after_the_408_is_not_executed(
    emulator: Emulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.idle_408 = 5.0
    reader, writer = await connect(emulator)
    writer.write(request_head(emulator, path="/healthcheck"))
    await read_response(reader)
    stop = IdleTimeouts.stop

    def stop_after_the_408(idle: IdleTimeouts, request: web.Request) -> bool:
        clock.advance(5.0)
        return stop(idle, request)

    monkeypatch.setattr(IdleTimeouts, "stop", stop_after_the_408)
    writer.write(request_head(emulator, "POST", headers="Content-Length: 0\r\n"))
    assert await reader.read() == TIMEOUT
    assert (emulator.groups, emulator.count()) == ({}, 1)
    writer.close()


async def test_no_408_after_the_client_disconnected(emulator: Emulator, clock: ManualClock) -> None:
    emulator.idle_408 = 5.0
    reader, writer = await connect(emulator)
    writer.write(request_head(emulator, path="/healthcheck"))
    await read_response(reader)
    writer.close()
    await wait_until(lambda: not emulator.open_connections)
    clock.advance(5.0)


async def test_close_cancels_the_idle_timers(emulator: Emulator, clock: ManualClock) -> None:
    emulator.idle_408 = 5.0
    reader, writer = await connect(emulator)
    writer.write(request_head(emulator, path="/healthcheck"))
    await read_response(reader)
    assert len(clock.timers) == 1
    await emulator.close()
    assert clock.timers == []
    assert await reader.read() == b""
    writer.close()
