"""Fixtures for fast offline tests of your own code.

`secoda_emulator` is an emulated workspace and `secoda_client` a client of it. Both use `secoda_clock`, which skips
waiting time: a minute under the write limit takes milliseconds. Each test gets new ones. The SDK is imported when the
first fixture is used.
"""

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from secoda_async import AutojumpClock, SecodaClient
    from secoda_async.emulator import Emulator


@pytest.fixture
def secoda_clock() -> "AutojumpClock":
    """The clock of `secoda_emulator` and `secoda_client`, which skips waiting time."""
    from secoda_async.ext.pytest_loops import LoopCheckedClock  # noqa: PLC0415 - imported on first use

    return LoopCheckedClock()


@pytest_asyncio.fixture
async def secoda_emulator(secoda_clock: "AutojumpClock") -> "AsyncGenerator[Emulator, None]":
    """An emulated workspace with ten users and no groups, on a free port of 127.0.0.1."""
    from secoda_async.ext.pytest_loops import LoopCheckedEmulator  # noqa: PLC0415 - imported on first use

    async with LoopCheckedEmulator(users=10, clock=secoda_clock) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def secoda_client(
    secoda_emulator: "Emulator", secoda_clock: "AutojumpClock"
) -> "AsyncGenerator[SecodaClient, None]":
    """A client of `secoda_emulator`."""
    from secoda_async import SecodaClient  # noqa: PLC0415 - imported on first use

    async with SecodaClient(secoda_emulator.api_key, base_url=secoda_emulator.url, clock=secoda_clock) as client:
        yield client
