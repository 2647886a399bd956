"""The fixtures for users' own tests."""

import asyncio
import subprocess
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from secoda_async import AutojumpClock, ConfigurationError, CreateGroup, SecodaClient
from secoda_async.emulator import Emulator
from secoda_async.ext import pytest_plugin
from secoda_async.ext.pytest_loops import LoopCheckedClock, LoopCheckedEmulator


@pytest.mark.requirement("TS-2")
async def test_thirty_writes_a_429_and_on_take_no_time(
    secoda_client: SecodaClient, secoda_emulator: Emulator, secoda_clock: AutojumpClock
) -> None:
    secoda_emulator.faults.add(status=429, headers={"Retry-After": "20"}, method="POST", skip=30)
    outcomes = [outcome async for outcome in secoda_client.bulk(CreateGroup(name=str(n)) for n in range(45))]
    assert {outcome.status for outcome in outcomes} == {"applied"}
    assert len(secoda_emulator.groups) == 45
    assert (secoda_emulator.refused, secoda_emulator.count(method="POST")) == (1, 46)
    assert secoda_clock.now() >= 60
    assert len(secoda_emulator.users) == 10


@pytest.mark.requirement("TS-2")
class TestWithUnittest(unittest.IsolatedAsyncioTestCase):
    async def test_the_emulator_works_without_pytest(self) -> None:
        clock = AutojumpClock()
        async with (
            Emulator(groups=2, clock=clock) as emulator,
            SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock) as secoda,
        ):
            assert len(await secoda.groups.snapshot()) == 2


NO_ASYNCIO = ("-p", "no:asyncio")
SDK_IS_NOT_LOADED = """
import sys

def test_modules():
    loaded = {name for name in sys.modules if name.partition(".")[0] in ("secoda_async", "aiohttp", "tenacity")}
    fixtures = {"secoda_async.ext.pytest_fixtures"} if %(has_fixtures)s else set()
    assert loaded - fixtures <= {
        "secoda_async", "secoda_async._version", "secoda_async.ext", "secoda_async.ext.pytest_plugin"
    }
    assert fixtures <= loaded
    assert ("pytest_asyncio" in sys.modules) is %(has_fixtures)s
"""
CALLS = """
from secoda_async import SecodaClient

async def test_client(secoda_client):
    assert (await secoda_client.groups.create(name="Analysts")).name == "Analysts"

async def test_own_client(secoda_emulator):
    async with SecodaClient(secoda_emulator.api_key, base_url=secoda_emulator.url) as secoda:
        assert await secoda.groups.snapshot() == []
"""


def run_pytest(directory: Path, program: str, *options: str) -> tuple[int, str]:
    """Run the tests of another project in a process of its own; its exit code and output."""
    (directory / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n" if options != NO_ASYNCIO else "[pytest]\n")
    (directory / "test_other.py").write_text(program)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.requirement("PK-2")
@pytest.mark.parametrize("options", [(), NO_ASYNCIO])
def test_the_plugin_imports_neither_the_sdk_nor_aiohttp(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, said = run_pytest(tmp_path, SDK_IS_NOT_LOADED % {"has_fixtures": options != NO_ASYNCIO}, *options)
    assert code == 0, said


class Manager:
    """A plugin manager in which pytest-asyncio runs, or does not."""

    def __init__(self, *, has_asyncio: bool) -> None:
        self.has_asyncio = has_asyncio
        self.imported: list[str] = []

    def is_registered(self, plugin: object) -> bool:
        return plugin is sys.modules["pytest_asyncio.plugin"] and self.has_asyncio

    def import_plugin(self, name: str) -> None:
        self.imported.append(name)


@pytest.mark.parametrize(
    ("is_installed", "is_registered", "fixtures"),
    [
        (True, True, ["secoda_async.ext.pytest_fixtures"]),
        (True, False, []),  # by somebody else's import, and blocked for pytest
        (False, False, []),
    ],
)
def test_without_pytest_asyncio_pytest_still_starts(
    monkeypatch: pytest.MonkeyPatch, *, is_installed: bool, is_registered: bool, fixtures: list[str]
) -> None:
    if not is_installed:
        monkeypatch.delitem(sys.modules, "pytest_asyncio.plugin")
    manager = Manager(has_asyncio=is_registered)
    pytest_plugin.pytest_configure(cast("pytest.Config", SimpleNamespace(pluginmanager=manager)))
    assert manager.imported == fixtures


@pytest.mark.requirement("TS-2")
@pytest.mark.parametrize("scopes", [("function", "session"), ("session", "function")])
def test_fixtures_on_another_event_loop_say_what_to_set(tmp_path: Path, scopes: tuple[str, str]) -> None:
    names = ("asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope")
    options = [word for name, scope in zip(names, scopes, strict=True) for word in ("-o", f"{name}={scope}")]
    code, said = run_pytest(tmp_path, CALLS, *options)
    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "2 failed" in said
    assert said.count("E           secoda_async.errors.ConfigurationError: the fixtures") == 2, said
    assert "set asyncio_default_fixture_loop_scope and asyncio_default_test_loop_scope of pytest-asyncio alike" in said


@pytest.mark.requirement("TS-2")
def test_fixtures_serve_tests_on_one_event_loop_of_the_session(tmp_path: Path) -> None:
    names = ("asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope")
    code, said = run_pytest(tmp_path, CALLS, *(word for name in names for word in ("-o", f"{name}=session")))
    assert code == 0, said


@pytest.mark.requirement("TS-2")
def test_the_emulator_is_refused_on_another_event_loop_only_while_its_own_stands_still() -> None:
    clock = LoopCheckedClock()
    on_clock, by_itself = LoopCheckedEmulator(clock=clock), LoopCheckedEmulator(clock=AutojumpClock())

    async def read() -> None:
        for emulator in (on_clock, by_itself):
            assert emulator.url.startswith("http://127.0.0.1:")
        clock.now()

    async def read_elsewhere() -> None:
        await asyncio.to_thread(asyncio.run, read())  # this loop runs meanwhile

    async def read_in_vain() -> None:
        for wrong in (lambda: on_clock.url, lambda: by_itself.url, clock.now):
            with pytest.raises(ConfigurationError, match="run on another event loop"):
                wrong()

    with asyncio.Runner() as home, asyncio.Runner() as other:
        for emulator in (on_clock, by_itself):
            home.run(emulator.start())
        home.run(read())
        home.run(read_elsewhere())
        assert on_clock.url  # a synchronous test may read it
        other.run(read_in_vain())
        for emulator in (on_clock, by_itself):
            home.run(emulator.close())
        other.run(asyncio.sleep(clock.now()))  # a limit that outlives the emulator may ask
