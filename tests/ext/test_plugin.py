"""The pytest plugin and its fixtures."""

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
async def test_bulk_with_write_limit_and_429_takes_no_real_time(
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
    async def test_emulator_works_with_unittest(self) -> None:
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
    """Run the tests of another project in a new process; return the exit code and the output."""
    (directory / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n" if options != NO_ASYNCIO else "[pytest]\n")
    (directory / "test_other.py").write_text(program)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.requirement("PK-2")
@pytest.mark.parametrize("options", [(), NO_ASYNCIO])
def test_plugin_imports_neither_the_sdk_nor_aiohttp(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, output = run_pytest(tmp_path, SDK_IS_NOT_LOADED % {"has_fixtures": options != NO_ASYNCIO}, *options)
    assert code == 0, output


class Manager:
    """A plugin manager with or without pytest-asyncio."""

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
        (True, False, []),  # imported by other code, but blocked for pytest
        (False, False, []),
    ],
)
def test_plugin_registers_fixtures_only_with_pytest_asyncio(
    monkeypatch: pytest.MonkeyPatch, *, is_installed: bool, is_registered: bool, fixtures: list[str]
) -> None:
    if not is_installed:
        monkeypatch.delitem(sys.modules, "pytest_asyncio.plugin")
    manager = Manager(has_asyncio=is_registered)
    pytest_plugin.pytest_configure(cast("pytest.Config", SimpleNamespace(pluginmanager=manager)))
    assert manager.imported == fixtures


@pytest.mark.slow
@pytest.mark.requirement("TS-2")
@pytest.mark.parametrize("scopes", [("function", "session"), ("session", "function")])
def test_fixtures_on_another_event_loop_are_a_configuration_error(tmp_path: Path, scopes: tuple[str, str]) -> None:
    names = ("asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope")
    options = [word for name, scope in zip(names, scopes, strict=True) for word in ("-o", f"{name}={scope}")]
    code, output = run_pytest(tmp_path, CALLS, *options)
    assert code == pytest.ExitCode.TESTS_FAILED, output
    assert "2 failed" in output
    assert output.count("E           secoda_async.errors.ConfigurationError: the fixtures") == 2, output
    assert f"set {' and '.join(names)} of pytest-asyncio to the same scope" in output


@pytest.mark.slow
@pytest.mark.requirement("TS-2")
def test_fixtures_work_on_one_session_event_loop(tmp_path: Path) -> None:
    names = ("asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope")
    code, output = run_pytest(tmp_path, CALLS, *(word for name in names for word in ("-o", f"{name}=session")))
    assert code == 0, output


@pytest.mark.requirement("TS-2")
def test_loop_check_accepts_another_event_loop_only_while_its_own_runs() -> None:
    clock = LoopCheckedClock()
    with_clock, without_clock = LoopCheckedEmulator(clock=clock), LoopCheckedEmulator(clock=AutojumpClock())

    async def read() -> None:
        for emulator in (with_clock, without_clock):
            assert emulator.url.startswith("http://127.0.0.1:")
        clock.now()

    async def read_from_thread() -> None:
        await asyncio.to_thread(asyncio.run, read())  # the emulator's event loop runs meanwhile

    async def read_while_stopped() -> None:
        for read_value in (lambda: with_clock.url, lambda: without_clock.url, clock.now):
            with pytest.raises(ConfigurationError, match="run on another event loop"):
                read_value()

    with asyncio.Runner() as home, asyncio.Runner() as other:
        for emulator in (with_clock, without_clock):
            home.run(emulator.start())
        home.run(read())
        home.run(read_from_thread())
        assert with_clock.url  # synchronous code may read the url
        other.run(read_while_stopped())
        for emulator in (with_clock, without_clock):
            home.run(emulator.close())
        other.run(asyncio.sleep(clock.now()))  # a limiter may outlive the emulator
