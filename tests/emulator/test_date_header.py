"""The `Date` header and the dates in groups."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from tests.support.emulator_calls import GROUPS, Caller, connect, request_head


async def test_date_and_created_at_follow_the_clock(clock: ManualClock, call: Caller) -> None:
    clock.advance(86_400.0)
    response = await call("POST", GROUPS, json={})
    date = parsedate_to_datetime(response.headers["Date"])
    created = datetime.fromisoformat(response.json["created_at"])
    assert 0 <= (created - date).total_seconds() < 1.1
    assert 86_000 < (date - datetime.now(UTC)).total_seconds() < 87_000


@pytest.mark.parametrize("skew", [-3600.0, -3.5, 60.0])
async def test_date_skew_moves_date_against_created_at(
    emulator: Emulator, session: aiohttp.ClientSession, skew: float
) -> None:
    emulator.date_skew = skew
    async with session.post(GROUPS, json={}) as response:
        date = parsedate_to_datetime(response.headers["Date"])
        created = datetime.fromisoformat((await response.json())["created_at"])
    assert -1.1 < (date - created).total_seconds() - skew < 0.1


async def test_date_skew_none_sends_no_date_header(emulator: Emulator) -> None:
    emulator.date_skew = None
    reader, writer = await connect(emulator)
    writer.write(request_head(emulator, headers="Connection: close\r\n"))
    response = await reader.read()
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\ndate:" not in response.lower()
    writer.close()


async def test_date_skew_none_sends_no_date_header_with_a_cut_response(emulator: Emulator) -> None:
    emulator.date_skew = None
    emulator.faults.add(cut=5)
    reader, writer = await connect(emulator)
    writer.write(request_head(emulator))
    response = await reader.read()
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\ndate:" not in response.lower()
    writer.close()


async def test_fault_can_set_the_date_header(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.date_skew = None
    emulator.faults.add(headers={"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})
    async with session.get(GROUPS) as response:
        assert response.headers["Date"] == "Mon, 01 Jan 2024 00:00:00 GMT"
