"""The state file, and the reset to the workspace of the start."""

import stat
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from secoda_async.emulator.state_file import FORMAT, StateFileError
from tests.support.emulator_calls import GROUPS, Caller, call_json

GROUP = {
    "id": "g",
    "name": "A",
    "users": ["u"],
    "created_at": "2023-05-10T14:27:23Z",
    "updated_at": "2023-05-10T14:27:23Z",
}
SAVED = {"format": FORMAT, "version": 1, "api_key": "k", "users": [{"id": "u", "email": "u@x"}], "groups": [GROUP]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "workspace.json"


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def neighbours(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_workspace_is_kept_over_restarts(path: Path) -> None:
    async with Emulator(groups=3, users=2, state_file=path) as first, aiohttp.ClientSession() as session:
        call = Caller(first, session)
        created = (await call("POST", GROUPS, json={"name": "new"})).json
        kept = orjson.loads(read(path))  # before the emulator closes
        assert [group["name"] for group in kept["groups"]][3:] == ["new"]
        await call("DELETE", f"{GROUPS}/{next(iter(first.groups))}")
        next(iter(first.users.values()))["pending"] = True
    assert mode(path) == 0o600
    assert neighbours(path) == [path]

    second = Emulator(groups=60, users=60, state_file=str(path))
    assert (second.api_key, second.groups, second.users) == (first.api_key, first.groups, first.users)
    async with second, aiohttp.ClientSession() as session:
        later = (await Caller(second, session)("POST", GROUPS, json={})).json
    assert later["created_at"] > created["updated_at"]
    assert later["id"] not in first.groups
    assert Emulator(state_file=path, api_key="given").api_key == "given"


async def test_key_is_kept_from_the_start(path: Path) -> None:
    async with Emulator(state_file=path) as emulator:
        assert orjson.loads(read(path))["api_key"] == emulator.api_key


def test_timestamps_continue_after_those_of_a_faster_clock(path: Path) -> None:
    write(
        path,
        orjson.dumps(
            SAVED | {"groups": [GROUP | {"updated_at": "2999-01-01T00:00:00Z"}, GROUP | {"id": "h", "updated_at": "Z"}]}
        ),
    )
    emulator = Emulator(state_file=path)
    assert emulator._calendar.next_timestamp() == "2999-01-01T00:00:00.000001Z"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (orjson.dumps(SAVED | {"format": "other"}), 'it lacks "format": "secoda-async emulator" and "version": 1'),
        (orjson.dumps(SAVED | {"version": 2}), 'it lacks "format"'),
        (orjson.dumps(SAVED | {"api_key": ""}), '"api_key" is not a string'),
        (orjson.dumps(SAVED | {"users": {}}), '"users" is not a list'),
        (orjson.dumps(SAVED | {"users": [{"id": "u"}]}), r'users\[0\] has no "email", a string'),
        (orjson.dumps(SAVED | {"groups": [1]}), r'groups\[0\] has no "id", a string'),
        (orjson.dumps(SAVED | {"groups": [GROUP, GROUP]}), r"groups\[1\] has the id of another one"),
        (orjson.dumps(SAVED | {"groups": [GROUP | {"users": [1]}]}), r'groups\[0\] has no "users", a list of strings'),
        (orjson.dumps(SAVED | {"groups": [GROUP | {"users": None}]}), r'groups\[0\] has no "users"'),
    ],
)
def test_damaged_state_file_is_refused_and_left_as_it_is(path: Path, content: bytes, problem: str) -> None:
    write(path, content)
    with pytest.raises(StateFileError, match=f"workspace.json is not a saved workspace: {problem}"):
        Emulator(state_file=path)
    assert read(path) == content


def test_state_file_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="can't be read: Is a directory"):
        Emulator(state_file=tmp_path)


async def test_state_file_in_a_missing_directory_is_an_error_at_the_start(tmp_path: Path) -> None:
    emulator = Emulator(state_file=tmp_path / "missing" / "workspace.json")
    with pytest.raises(StateFileError, match="can't be written: No such file or directory"):
        await emulator.start()
    await emulator.close()


async def test_failed_replacement_leaves_no_temporary_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path, _target: Path) -> None:
        raise OSError

    async with Emulator(state_file=path) as emulator:
        former = read(path)
        emulator.groups["g"] = dict(GROUP)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", fail)
            with pytest.raises(StateFileError, match="can't be written: OSError"):
                emulator.save()
        assert read(path) == former
        assert neighbours(path) == [path]


async def test_file_that_another_program_has_changed_is_not_overwritten(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = Emulator(state_file=path)
    await emulator.start()
    write(path, b"mine")
    async with aiohttp.ClientSession(emulator.url, headers={"Authorization": f"Bearer {emulator.api_key}"}) as session:
        assert (await call_json(session, "POST", name="a"))["name"] == "a"
    assert (
        "workspace.json is not written any more: another program has changed it; the change is kept in memory only"
        in caplog.text
    )
    with pytest.raises(StateFileError, match="another program has changed it"):
        await emulator.close()
    assert read(path) == b"mine"
    caplog.clear()


@pytest.mark.parametrize("source", ["arguments", "file"])
async def test_reset_restores_the_workspace_of_the_start(path: Path, clock: ManualClock, source: str) -> None:
    arguments: dict[str, Any] = {"groups": [GROUP | {"id": "g"}], "users": [{"id": "u", "email": "u@x"}]}
    arguments["groups"] = [{name: GROUP[name] for name in ("id", "name", "users")}]
    if source == "file":
        write(path, orjson.dumps(SAVED))
        arguments = {}
    async with (
        Emulator(state_file=path, clock=clock, writes_per_window=2, lists_lag=9.0, **arguments) as emulator,
        aiohttp.ClientSession() as session,
    ):
        call = Caller(emulator, session)
        before = orjson.dumps([emulator.groups, emulator.users])
        emulator.faults.add(500, times=None, method="GET")
        assert (await call("PATCH", f"{GROUPS}/g", json={"users": [], "name": "B"})).status == 200
        await call("POST", GROUPS, json={})
        assert (await call("POST", GROUPS, json={})).status == 429
        emulator.users.clear()
        for _ in range(2):
            emulator.reset()
            assert orjson.dumps([emulator.groups, emulator.users]) == before
            emulator.groups["g"]["users"].clear()
        emulator.reset()
        assert (emulator.requests, len(emulator.faults), emulator.busiest_window()) == ([], 0, 0)
        assert orjson.loads(read(path))["groups"][0]["users"] == ["u"]
        assert (await call("GET", GROUPS)).json["count"] == 1
        assert (await call("POST", GROUPS, json={})).status == 201


def test_number_of_groups_or_users_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match="groups must not be below 0, not -1"):
        Emulator(groups=-1)
    with pytest.raises(ValueError, match="users must not be below 0, not -2"):
        Emulator(users=-2)
