"""The command `emulator`."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from secoda_async.cli.commands import emulator
from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.options import Output
from secoda_async.emulator import Emulator
from tests.support.shell import Shell


@contextlib.asynccontextmanager
async def running(**options: Any) -> AsyncGenerator[None, None]:  # noqa: ANN401 - any of the command's
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
    async with running(port=0, groups=3, users=2, api_key="known"):
        told = capsys.readouterr()
    assert "export SECODA_BASE_URL=http://127.0.0.1:" in told.out
    assert "export SECODA_API_KEY=known" in told.out
    assert "3 groups, 2 users" in told.err

    groups = tmp_path / "groups.yaml"
    groups.write_text("groups: [{name: a, icon: x, members: [ana@example.com, id-1]}, {name: b}]")
    async with running(port=0, file=groups, options=Output(json=True)):
        document = json.loads(capsys.readouterr().out)
    assert set(document) == {"url", "api_key"}


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
