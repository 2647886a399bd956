"""A workspace on loopback, a client of it, and the clock that both share: time jumps, nothing sleeps."""

import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from secoda_async import AutojumpClock, SecodaClient
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.openapi import check_requests
from tests.support.shell import Shell, emulated, restored_loggers

USERS = [{"id": f"user-{index}", "email": f"user-{index}@example.com", "first_name": "Ada"} for index in range(20)]
TIMES = {"created_at": "2024-01-02T03:04:05.000006Z", "updated_at": "2024-02-03T04:05:06.000007Z"}
GROUP = {"icon": None, "description": None, "workspace_id": "workspace", "snowflake_role": None}


os.environ["SECODA_NO_STATE"] = "1"  # commands that tests run leave nothing in the user's cache directory
# The duration of an example depends on what else the machine does.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script; programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

gc.collect()
gc.freeze()  # some tests collect garbage: not what was imported, each time


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the tests marked `slow` too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect slow tests, unless `--all`, `-m` or the node id of the test asks for them."""
    if config.getoption("--all") or config.getoption("-m"):
        return
    requested = tuple(argument.partition("::")[2] for argument in config.args if "::" in argument)
    slow = [item for item in items if item.get_closest_marker("slow") and not _is_requested(item, requested)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


def _is_requested(item: pytest.Item, requested: tuple[str, ...]) -> bool:
    """Return whether the command line has the test's own node id, or that of its class or parametrized function."""
    name = item.nodeid.partition("::")[2]
    return any(name == each or name.startswith((f"{each}::", f"{each}[")) for each in requested)


@pytest.fixture
def clock() -> AutojumpClock:
    return AutojumpClock()


@pytest.fixture
async def emulator(clock: AutojumpClock) -> AsyncIterator[Emulator]:
    """A workspace of 120 groups, three pages of them, and 20 users."""
    async with Emulator(users=USERS, clock=clock) as emulator:
        groups = emulator.groups
        for index in range(120):
            identity: dict[str, Any] = {"id": f"group-{index}", "name": f"Group {index}", "users": []}
            groups[f"group-{index}"] = identity | GROUP | TIMES
        yield emulator
    check_requests(emulator.requests)


@pytest.fixture
async def connect(emulator: Emulator, clock: AutojumpClock) -> AsyncIterator[Connect]:
    """Make a client with settings of its own; it is closed at the end."""
    async with AsyncExitStack() as stack:

        def connect(**settings: Any) -> SecodaClient:
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


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Run commands, with no setting in the environment except those of a `workspace` fixture."""
    for name in ("SECODA_BASE_URL", "SECODA_API_KEY", "SECODA_REGION"):
        monkeypatch.delenv(name, raising=False)
    with restored_loggers():
        yield Shell(capsys)


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """A workspace of 60 groups and 20 users that commands find through the environment."""
    async with emulated(monkeypatch, groups=60, users=20) as workspace:
        yield workspace
