"""A workspace on loopback, a client of it, and the clock that both share: time jumps, nothing sleeps."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
from hypothesis import settings

from secoda_async import AutojumpClock, SecodaClient
from secoda_async.emulator import Emulator

USERS = [{"id": f"user-{index}", "email": f"user-{index}@example.com", "first_name": "Ada"} for index in range(20)]
TIMES = {"created_at": "2024-01-02T03:04:05.000006Z", "updated_at": "2024-02-03T04:05:06.000007Z"}
GROUP = {"icon": None, "description": None, "workspace_id": "workspace", "snowflake_role": None}


os.environ["SECODA_NO_STATE"] = "1"  # commands that tests run leave nothing in the user's cache directory
settings.register_profile("busy machine", deadline=None)  # 200 ms is a matter of what else the machine does
settings.load_profile("busy machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script; programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

gc.collect()
gc.freeze()  # some tests collect garbage: not what was imported, each time


class Connect(Protocol):
    def __call__(self, **settings: Any) -> SecodaClient: ...  # noqa: ANN401 - any of the client's


def about(value: float) -> Any:  # noqa: ANN401 - compares with what it stands for
    """A number that has been through some arithmetic."""
    return pytest.approx(value)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something holds; the clock jumps only if all stands still."""
    while not condition():  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0)


async def settled() -> None:
    """Let the loop do what is left to do."""
    for _ in range(50):
        await asyncio.sleep(0)


async def pass_time(clock: AutojumpClock, seconds: float) -> None:
    arrived = asyncio.Event()
    clock.call_later(seconds, arrived.set)
    await arrived.wait()


@pytest.fixture
def clock() -> AutojumpClock:
    return AutojumpClock()


@pytest.fixture
async def emulator(clock: AutojumpClock) -> AsyncIterator[Emulator]:
    """A workspace of 120 groups, three pages of them, and 20 users."""
    async with Emulator(users=USERS, clock=clock) as emulator:
        for index in range(120):
            identity: dict[str, Any] = {"id": f"group-{index}", "name": f"Group {index}", "users": []}
            emulator.groups[f"group-{index}"] = identity | GROUP | TIMES
        yield emulator


@pytest.fixture
async def connect(emulator: Emulator, clock: AutojumpClock) -> AsyncIterator[Connect]:
    """Make a client with settings of its own; it is closed at the end."""
    async with AsyncExitStack() as stack:

        def connect(**settings: Any) -> SecodaClient:  # noqa: ANN401
            usual: dict[str, Any] = {"api_key": emulator.api_key, "base_url": emulator.url, "clock": clock}
            secoda = SecodaClient(**usual | settings)
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
