"""The command `emulator`."""

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from secoda_async.cli.commands import emulator
from secoda_async.cli.emulator_options import Behavior, Server
from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.inputs import Inputs
from secoda_async.cli.options import Output
from secoda_async.emulator import Emulator
from secoda_async.emulator.settings import Settings
from tests.support.shell import Shell


def write(path: Path, text: str) -> None:
    path.write_text(text)


@contextlib.asynccontextmanager
async def running(**options: Any) -> AsyncGenerator[None, None]:
    task = asyncio.create_task(emulator.emulator_command(**options))
    try:
        for _ in range(100):  # turns of the event loop: more than it takes to listen and say so
            await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_emulator_prints_url_and_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with running(server=Server(port=0, groups=1, users=2, api_key="known")):
        told = capsys.readouterr()
    assert "export SECODA_BASE_URL=http://127.0.0.1:" in told.out
    assert "export SECODA_API_KEY=known" in told.out
    assert "1 group, 2 users" in told.err

    groups = tmp_path / "groups.yaml"
    write(groups, "groups: [{name: a, icon: x, members: [ana@example.com, id-1]}, {name: b}]")
    async with running(server=Server(port=0, file=groups), options=Output(json=True)):
        document = json.loads(capsys.readouterr().out)
    assert set(document) == {"url", "api_key"}


async def test_emulator_takes_stubs_and_faults_from_a_script(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "script.yaml"
    write(
        script,
        """
stubs:
  - {method: GET, path: "/api/v1/tag/{id}", headers: {X-Tag: 5}, body: {1: a, null: [true, 1.5, null]}}
faults:
  - {raw: "nonsense", path: /healthcheck, times: null}
""",
    )
    async with running(server=Server(port=0, script=script, api_key="k"), options=Output(json=True)):
        url = json.loads(capsys.readouterr().out)["url"]
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as session:
            async with session.get(f"{url}/api/v1/tag/t") as response:
                assert response.headers["X-Tag"] == "5"
                assert await response.json() == {"1": "a", "null": [True, 1.5, None]}
            for _ in range(2):
                with pytest.raises(aiohttp.ClientError):
                    await session.get(f"{url}/healthcheck")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("[]", ': must be a mapping with "stubs" and "faults", not a list'),
        ("{", ":1:2: is not YAML"),
        ("stub: []", ":1:1: unknown key 'stub': the keys are stubs and faults"),
        ("stubs: {}", ":1:8: stubs must be a list, not a mapping"),
        ("stubs: [1]", ":1:9: must be a mapping, not a number"),
        ("stubs: [{path: /a}]", ":1:9: a stub needs method and path"),
        ("stubs: [{path: /a, methods: GET}]", ":1:20: unknown key 'methods': the keys are method, path, status"),
        ("stubs: [{path: a, method: GET}]", ":1:9: path must be an absolute path"),
        ("stubs: [{path: /a, method: GET, body: 2020-01-01}]", ":1:39: a date can't be sent as JSON"),
        ("faults: [{status: '503'}]", ":1:19: status can't be text"),
        ("faults: [{status: true}]", ":1:19: status can't be a boolean"),
        ("faults: [{times: -1}]", ":1:10: times must be finite and not below 0, not -1"),
    ],
)
async def test_emulator_script_problems_have_a_location(
    shell: Shell, tmp_path: Path, script: str, problem: str
) -> None:
    path = tmp_path / "script.yaml"
    write(path, script)
    result = await shell.run("emulator", "--port", "0", "--script", str(path))
    assert result.code == Exit.BAD_INPUT
    assert f"{path}{problem}".replace(" ", "") in "".join(result.err.split())


async def test_emulator_keeps_its_workspace_in_a_state_file(
    capsys: pytest.CaptureFixture[str], shell: Shell, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    outputs: list[str] = []
    for number in (3, 60):
        async with running(server=Server(port=0, groups=number, state=state)):
            captured = capsys.readouterr()
            outputs += [line for line in captured.out.splitlines() if "KEY" in line]
            assert "3 groups" in captured.err
    assert outputs[0] == outputs[1]
    write(state, "{}")
    damaged = await shell.run("emulator", "--port", "0", "--state", str(state))
    assert damaged.code == Exit.BAD_INPUT
    assert "is not a saved workspace" in " ".join(damaged.err.split())
    missing = await shell.run("emulator", "--port", "0", "--state", str(tmp_path / "missing" / "state.json"))
    assert missing.code == Exit.ERROR
    assert "can't be written: No such file or directory" in " ".join(missing.err.split())


async def test_emulator_warns_about_options_that_a_state_file_or_a_file_of_groups_overrides(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state, groups = tmp_path / "state.json", tmp_path / "groups.yaml"
    write(groups, "groups: [{name: a}]")
    ignored = f"ignored, because --state {state} exists"
    warnings: list[list[str]] = []
    for server in (
        Server(port=0, groups=3, users=2, state=state),
        Server(port=0, state=state),
        Server(port=0, groups=60, seed=0, file=groups, state=state),
        Server(port=0, users=0, seed=1, file=groups),
        Server(port=0, seed=1, file=groups),
    ):
        async with running(server=server):
            warnings.append([line for line in capsys.readouterr().err.splitlines() if "warning" in line])
    assert warnings == [
        [],
        [],
        [f"warning: {ignored}: --file, --groups, --seed. Name another file to start anew"],
        ["warning: ignored, because --file has the groups, and their members are the users: --users"],
        [],
    ]
    assert len(json.loads(state.read_text())["groups"]) == 3


async def test_emulator_reads_a_table_with_other_columns_and_another_suffix(
    capsys: pytest.CaptureFixture[str], shell: Shell, tmp_path: Path
) -> None:
    table = tmp_path / "groups.json"
    write(table, "Team,Mail\na,ana@example.com\nb,ben@example.com\n")
    inputs = Inputs(input="csv", columns="group=Team,member=Mail")
    async with running(server=Server(port=0, file=table), inputs=inputs):
        assert "2 groups, 2 users" in capsys.readouterr().err
    refused = await shell.run("emulator", "--input", "csv")
    assert (refused.code, "pass --file too" in refused.err) == (Exit.USAGE, True)


async def test_emulator_warns_about_an_address_that_others_reach(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(server=Server(host="0.0.0.0", port=0)):
        captured = capsys.readouterr()
    assert "warning: 0.0.0.0 is not a loopback address" in captured.err
    assert "SECODA_BASE_URL=http://127.0.0.1:" in captured.out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--users", "-1"], "--users must be a whole number, 0 or more, not '-1'"),
        (["--groups", "3.5"], "--groups must be a whole number, 0 or more, not '3.5'"),
        (["--page-size", "0"], "--page-size must be at least 1, not 0"),
        (["--latency", "-1"], "--latency must be 0 or more seconds, not '-1'"),
        (["--idle-408", "0"], "--idle-408 must be finite and above 0, not 0.0"),
    ],
)
async def test_emulator_options_out_of_range_are_named(shell: Shell, options: list[str], problem: str) -> None:
    result = await shell.run("emulator", *options)
    assert result.code == Exit.USAGE
    assert problem in " ".join(result.err.split())


async def test_emulator_host_that_is_unknown_or_elsewhere_is_one_line(shell: Shell) -> None:
    elsewhere = await shell.run("emulator", "--host", "192.0.2.1")
    assert elsewhere.code == Exit.ERROR
    assert re.search(
        r"can't listen on 192\.0\.2\.1:8080: (Cannot assign requested|this machine has no such) address",
        " ".join(elsewhere.err.split()),
    )
    unknown = await shell.run("emulator", "--host", "unknown.invalid")
    assert unknown.code == Exit.ERROR


async def test_emulator_prints_its_openapi_document(shell: Shell) -> None:
    result = await shell.run("emulator", "--openapi")
    assert (result.code, result.json) == (Exit.DONE, Emulator().openapi())


def test_every_setting_of_the_emulator_has_an_option_with_the_same_default() -> None:
    settings = Behavior().settings()
    names = {field.name for field in attrs.fields(Settings)} - {"api_key"}
    assert settings.keys() == names
    assert {name: getattr(Emulator(), name) for name in names} == settings
    assert Behavior(no_date=True).settings()["date_skew"] is None
    assert Behavior(writes_per_window=0).settings()["writes_per_window"] is None


async def test_emulator_port_in_use_is_one_line(shell: Shell, workspace: Emulator) -> None:
    port = workspace.url.rpartition(":")[2]
    taken = await shell.run("emulator", "--port", port)
    assert taken.code == Exit.ERROR
    assert f"can't listen on 127.0.0.1:{port}" in taken.err
    assert "Choose another --port" in taken.err


async def test_emulator_runs_until_sigint() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "secoda_async", "emulator", "--port", "0", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert b"SECODA_BASE_URL" in await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == Exit.INTERRUPTED
    assert b"Traceback" not in err
