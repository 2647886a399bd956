"""A workspace on loopback, a client of it, and the clock that both share: time jumps, nothing sleeps."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from secoda_async import AutojumpClock, SecodaClient
from secoda_async.emulator import Emulator

GROUPS = [{"id": f"group-{index}", "name": f"Group {index}", "users": []} for index in range(120)]
USERS = [{"id": f"user-{index}", "email": f"user-{index}@example.com", "first_name": "Ada"} for index in range(20)]


class Connect(Protocol):
    def __call__(self, **settings: Any) -> SecodaClient: ...  # noqa: ANN401 - any of the client's


@pytest.fixture
def clock() -> AutojumpClock:
    return AutojumpClock()


@pytest.fixture
async def emulator(clock: AutojumpClock) -> AsyncIterator[Emulator]:
    async with Emulator(groups=GROUPS, users=USERS, clock=clock) as emulator:
        yield emulator


@pytest.fixture
async def connect(emulator: Emulator, clock: AutojumpClock) -> AsyncIterator[Connect]:
    """Make a client with settings of its own; it is closed at the end."""
    async with AsyncExitStack() as stack:

        def connect(**settings: Any) -> SecodaClient:  # noqa: ANN401
            secoda = SecodaClient(**{"api_key": emulator.api_key, "base_url": emulator.url, "clock": clock} | settings)
            stack.push_async_callback(secoda.close)
            return secoda

        yield connect


@pytest.fixture
def secoda(connect: Connect) -> SecodaClient:
    return connect()


@pytest.fixture
def group_id(emulator: Emulator) -> str:
    """The id of the first group."""
    return next(iter(emulator.groups))
