"""Faults that drop, cut or stall the connection, and clients that disconnect."""

import asyncio
from typing import Literal

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from secoda_async.emulator import Emulator
from secoda_async.emulator.handler import hang_up
from tests.support.emulator_calls import GROUPS, connect, exchange, post, request_bytes
from tests.support.waiting import wait_until


async def test_drop_before_executes_nothing(emulator: Emulator) -> None:
    emulator.faults.add(drop="before")
    assert await exchange(emulator) in {b"", b"reset"}
    (record,) = emulator.requests
    assert (record.applied, record.status, record.answered_at, record.body) == (False, None, None, b"")
    assert (emulator.groups, emulator.busiest_window()) == ({}, 0)


async def test_drop_after_executes_and_loses_the_response(emulator: Emulator) -> None:
    emulator.faults.add(drop="after")
    assert await exchange(emulator) in {b"", b"reset"}
    (record,) = emulator.requests
    assert (record.applied, record.status, record.body) == (True, None, b"{}")
    assert [record.group_id] == list(emulator.groups)
    assert emulator.busiest_window() == 1


@pytest.mark.parametrize("cut", [0, 7])
async def test_cut_sends_the_full_length_and_part_of_the_body(emulator: Emulator, cut: int) -> None:
    emulator.faults.add(cut=cut)
    head, _, body = (await exchange(emulator)).partition(b"\r\n\r\n")
    (group,) = emulator.groups.values()
    whole = orjson.dumps(group)
    assert head.startswith(b"HTTP/1.1 201 Created\r\nDate: ")
    assert f"Content-Length: {len(whole)}".encode() in head
    assert body == whole[:cut]
    assert emulator.requests[0].status == 201


async def test_cut_is_a_payload_error_for_the_client(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(200, body="x" * 100, cut=50)
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(session)
    assert emulator.groups == {}


@pytest.mark.parametrize("carry_out", [None, False])
async def test_raw_sends_exactly_these_bytes(emulator: Emulator, *, carry_out: bool | None) -> None:
    raw = b"HTTQ/9 what?\r\nX-Long: " + b"x" * 200_000
    emulator.faults.add(raw=raw, carry_out=carry_out)
    assert await exchange(emulator) == raw
    assert len(emulator.groups) == (0 if carry_out is False else 1)
    assert emulator.requests[0].status is None
    assert emulator.requests[0].answered_at is not None


async def test_hang_up_writes_nothing_to_a_disconnected_client() -> None:
    request = make_mocked_request("GET", "/")
    request.protocol.transport = None
    assert request.transport is None
    assert hang_up(request, b"x").status == 200


@pytest.mark.parametrize(
    ("stall", "applied", "body"),
    [("unread", False, b""), ("before", False, b'{"name":"a"}'), ("after", True, b'{"name":"a"}')],
)
async def test_stalled_request_ends_when_its_client_disconnects(
    emulator: Emulator,
    session: aiohttp.ClientSession,
    stall: Literal["unread", "before", "after"],
    *,
    applied: bool,
    body: bytes,
) -> None:
    emulator.faults.add(stall=stall)
    task = asyncio.create_task(post(session))
    await wait_until(lambda: emulator._handler.waits._futures)
    task.cancel()
    await wait_until(lambda: not emulator._handler.waits._futures)
    (record,) = emulator.requests
    assert (record.applied, record.status) == (applied, None)
    assert record.body.replace(b" ", b"") == body
    await wait_until(lambda: not emulator.open_connections)


async def test_stall_unread_blocks_the_sender_of_a_large_body(emulator: Emulator) -> None:
    emulator.faults.add(stall="unread")
    _, writer = await asyncio.open_connection("127.0.0.1", int(emulator.url.rpartition(":")[2]))
    writer.write(request_bytes(emulator, b" " * 64_000_000))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await writer.drain()
    writer.transport.abort()


async def test_client_that_disconnects_within_the_body_changes_nothing(emulator: Emulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(emulator.url.rpartition(":")[2]))
    writer.write(request_bytes(emulator, b"{", 10))
    await wait_until(lambda: emulator.requests)
    writer.transport.abort()
    await wait_until(lambda: not emulator.open_connections)
    assert (emulator.requests[0].status, emulator.requests[0].applied) == (None, False)
    assert await reader.read() == b""


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_client_that_closes_its_sending_side_gets_the_response(emulator: Emulator, size: int) -> None:
    reader, writer = await connect(emulator)
    writer.write(request_bytes(emulator, b'{"description":"' + b"x" * size + b'"}'))
    writer.write_eof()
    response = await reader.read()
    writer.close()
    assert response.startswith(b"HTTP/1.1 201 Created")
    assert len(response) > size
    await wait_until(lambda: not emulator.open_connections)


async def test_client_that_closes_its_sending_side_within_the_body_changes_nothing(emulator: Emulator) -> None:
    reader, writer = await connect(emulator)
    writer.write(request_bytes(emulator, b"{", 10))
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert emulator.groups == {}


async def test_large_response_waits_for_a_slow_reader(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(200, body="x" * 20_000_000)
    async with session.post(GROUPS) as response:
        assert len(await response.read()) == 20_000_000


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), web.RequestPayloadError("cut")])
async def test_error_while_the_body_is_read_closes_the_connection(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(_request: web.BaseRequest) -> bytes:
        raise error

    monkeypatch.setattr(web.BaseRequest, "read", fail)
    assert await exchange(emulator) in {b"", b"reset"}
    assert emulator.groups == {}


async def test_malformed_request_is_a_400_without_a_traceback(emulator: Emulator) -> None:
    reader, writer = await connect(emulator)
    writer.write(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
    assert b" 400 Bad Request\r\n" in await reader.read()  # the fixture `no_warnings` reads the log
    writer.close()
    assert emulator.requests == []
