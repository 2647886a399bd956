"""The fixtures for users' own tests."""

import importlib.util
import unittest
from pathlib import Path

import pytest

from secoda_async import AutojumpClock, CreateGroup, SecodaClient
from secoda_async.emulator import Emulator
from secoda_async.ext import pytest_plugin


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


class Manager:
    def __init__(self) -> None:
        self.imported: list[str] = []

    def import_plugin(self, name: str) -> None:
        self.imported.append(name)


class Config:
    def __init__(self) -> None:
        self.pluginmanager = Manager()


@pytest.mark.parametrize("is_there", [True, False])
def test_without_pytest_asyncio_pytest_still_starts(monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:  # noqa: FBT001
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object() if is_there else None)
    config = Config()
    pytest_plugin.pytest_configure(config)  # type: ignore[arg-type]
    assert config.pluginmanager.imported == (["secoda_async.ext.pytest_fixtures"] if is_there else [])


def test_fixtures_import_the_sdk_only_when_they_are_used() -> None:
    source = Path(pytest_plugin.__file__).with_name("pytest_fixtures.py").read_text("utf-8")
    assert "\nfrom secoda_async" not in source
