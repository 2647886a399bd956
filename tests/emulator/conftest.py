"""An emulator with three users and no write limit, on a clock that stands still."""

import gc
import logging
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from tests.support.emulator_calls import Caller

USERS = [{"id": name, "email": f"{name}@example.com"} for name in ("u1", "u2", "u3")]


@pytest.fixture(autouse=True)
def no_warnings(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if a fault or a disconnected client has left a warning in the log."""
    yield
    gc.collect(1)  # asyncio logs an exception that was never retrieved when its task is garbage-collected
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(5_000.0)


@pytest.fixture
async def emulator(clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(users=USERS, clock=clock, writes_per_window=None) as emulator:
        yield emulator


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    async with aiohttp.ClientSession(emulator.url, headers=headers) as session:
        yield session


@pytest.fixture
async def call(emulator: Emulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(emulator, session)
