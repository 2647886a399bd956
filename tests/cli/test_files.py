"""Files that commands write: what is read stays, nothing is half written, others can't read them."""

import asyncio
import errno
import io
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from secoda_async import DesiredState, DesiredStateError, InvalidArgumentError, Plan, SecodaClient
from secoda_async.cli import files
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.emulator import Emulator
from secoda_async.reconcile import DesiredGroup
from secoda_async.reconcile.files import input_file
from secoda_async.reconcile.journal import Journal, open_journal
from tests.support.shell import Shell

pytestmark = pytest.mark.requirement("BS-10", "CL-4")

FILE = "groups:\n- name: Stewards\n- name: Analysts\n  description: new\n"
NEW = DesiredState((DesiredGroup(name="New"),))
LINE: Final = '{"time": 1}\n'
"""A line of a journal."""


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Emulator]:
    """A workspace, and a folder with a file of groups, a link to it, the key's file and a plan."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "groups.yaml").write_text(FILE, "utf-8")
    (tmp_path / "link.yaml").symlink_to("groups.yaml")
    os.link(tmp_path / "groups.yaml", tmp_path / "hard.yaml")
    async with Emulator(groups=[{"name": "Analysts"}], users=2) as workspace:
        (tmp_path / "key").write_text(workspace.api_key)
        (tmp_path / "key").chmod(0o600)
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        yield workspace


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- outputs and inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "plan groups.yaml --out groups.yaml",
        "plan groups.yaml --output ./groups.yaml",
        "plan groups.yaml --out link.yaml",
        "plan link.yaml --out hard.yaml",
        "plan groups.yaml --out new --output new",
        "plan groups.yaml --api-key-file key --out key",
        "apply groups.yaml --yes --log groups.yaml",
        "apply groups.yaml --yes --log hard.yaml",
        "apply groups.yaml --yes --report hard.yaml",
        "apply groups.yaml --yes --report link.yaml",
        "apply groups.yaml --yes --log new --report ../{folder}/new",
        "apply groups.yaml --yes --api-key-file key --log key",
        "export --api-key-file key --output key",
    ],
)
async def test_output_that_is_an_input_or_another_output_is_refused(
    shell: Shell, workspace: Emulator, tmp_path: Path, line: str
) -> None:
    before = contents(tmp_path)
    refused = await shell.run(*line.format(folder=tmp_path.name).split())
    assert refused.code == Exit.USAGE
    assert "is the same file as" in refused.err
    assert contents(tmp_path) == before
    assert workspace.requests == []


async def test_log_does_not_overwrite_the_saved_plan(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    await shell.run("plan", "groups.yaml", "--out", "plan.json")
    before = contents(tmp_path)
    assert (await shell.run("apply", "plan.json", "--log", "plan.json")).code == Exit.USAGE
    assert contents(tmp_path) == before
    assert not workspace.writes


def test_output_that_is_standard_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "groups.yaml"
    file.write_text(FILE)
    with file.open() as stream:
        monkeypatch.setattr(files, "_STANDARD_INPUT", stream.fileno())
        with pytest.raises(CommandError, match="--log is the same file as an input"):
            files.check_outputs({"--log": file}, [Path("-")])
    files.check_outputs({"--log": file}, [Path("-")])  # closed: nothing can be read from it


def test_same_device_is_allowed_for_several_outputs(tmp_path: Path) -> None:
    devices = {"--log": Path(os.devnull), "--report": Path(os.devnull), "--out": tmp_path / "out", "--output": None}
    files.check_outputs(devices, [Path(os.devnull), Path("a\0b"), None])


# --- whole or not at all ---------------------------------------------------------------------------------------


async def test_failed_command_leaves_the_output_file_unchanged(
    shell: Shell, workspace: Emulator, tmp_path: Path
) -> None:
    workspace.faults.add(status=403, body={"detail": "no"}, times=None)
    for name in ("out", "output", "export"):
        (tmp_path / name).write_text("former")
    assert (await shell.run("plan", "groups.yaml", "--out", "out", "--output", "output")).code == Exit.REFUSED
    assert (await shell.run("export", "--output", "export")).code == Exit.REFUSED
    assert {name: text for name, text in contents(tmp_path).items() if text == b"former"}.keys() == {
        "out",
        "output",
        "export",
    }


@pytest.mark.parametrize("shape", ["text", "json", "markdown", "html"])
async def test_output_file_equals_stdout(shell: Shell, workspace: Emulator, tmp_path: Path, shape: str) -> None:
    printed = await shell.run("plan", "groups.yaml", "--format", shape)
    written = await shell.run("plan", "groups.yaml", "--format", shape, "--output", "out")
    assert (written.code, written.out) == (Exit.DONE, "")
    assert contents(tmp_path)["out"].decode() == printed.out
    assert workspace.requests


async def test_export_output_file_equals_stdout(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    printed = await shell.run("export")
    assert (await shell.run("export", "--output", "out.yaml")).out == ""
    assert contents(tmp_path)["out.yaml"].decode() == printed.out
    assert workspace.requests


@pytest.mark.parametrize(
    ("number", "code", "advice"),
    [
        pytest.param(errno.ENOSPC, Exit.ERROR, "Make room, or name a file on another disk", id="full-disk"),
        pytest.param(errno.EFBIG, Exit.ERROR, "Raise the limit of a file's size (ulimit -f)", id="limit"),
        pytest.param(errno.EIO, Exit.ERROR, "Name another file", id="broken-disk"),
        pytest.param(errno.EROFS, Exit.USAGE, "Name another file", id="read-only-disk"),
        pytest.param(errno.ENOENT, Exit.USAGE, "Create its directory, or name another file", id="no-directory"),
    ],
)
def test_failed_write_leaves_the_file_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: Exit, advice: str
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    file = tmp_path / "report"
    file.write_text("former")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CommandError) as caught:
        files.write(file, "new")
    assert str(caught.value) == f"{file}: can't be written: {os.strerror(number)}. {advice}"
    assert caught.value.code == code
    assert contents(tmp_path) == {"report": b"former"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_full_disk_has_its_own_exit_code_and_prevents_an_apply(shell: Shell, workspace: Emulator) -> None:
    for command in (
        ["schema", "-o"],
        ["plan", "groups.yaml", "--out"],
        ["plan", "groups.yaml", "-o"],
        ["export", "-o"],
    ):
        result = await shell.run(*command, "/dev/full")
        assert (result.code, "can't be written: No space left on device. Make room" in result.err) == (Exit.ERROR, True)
    result = await shell.run("apply", "groups.yaml", "--yes", "--report", "/dev/full")
    assert result.code == Exit.ERROR
    assert result.err.startswith("secoda-async: nothing was written: /dev/full: can't be written: No space left")
    assert workspace.writes == []


@pytest.mark.parametrize("act", [files.check_writable, lambda file: files.write(file, "x")], ids=["check", "write"])
def test_unwritable_path_is_named(tmp_path: Path, act: Callable[[Path], None]) -> None:
    for file in (tmp_path, tmp_path / "none" / "file", tmp_path / "a\0b"):
        with pytest.raises(CommandError, match="can't be written: ") as caught:
            act(file)
        assert caught.value.code == Exit.USAGE
    assert contents(tmp_path) == {}


def test_file_without_write_permission_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report"
    file.write_text("former")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for anybody but root
    with pytest.raises(CommandError, match="can't be written: Permission denied"):
        files.write(file, "new")
    assert file.read_text() == "former"


def test_device_is_written_in_place() -> None:
    files.check_writable(Path(os.devnull))
    files.write(Path(os.devnull), "x")
    assert Path(os.devnull).is_char_device()


def test_symbolic_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    files.write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


# --- who may read them -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="this system has no modes")
async def test_new_files_have_mode_0600(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    assert (await shell.run("plan", "groups.yaml", "--out", "plan.json", "--output", "text")).code == Exit.DONE
    assert (await shell.run("apply", "plan.json", "--log", "log", "--report", "report.html")).code == Exit.DONE
    assert {name: mode_of(tmp_path / name) for name in ("plan.json", "text", "log", "report.html")} == dict.fromkeys(
        ("plan.json", "text", "log", "report.html"), 0o600
    )
    (tmp_path / "text").chmod(0o644)
    await shell.run("plan", "groups.yaml", "--output", "text")
    assert mode_of(tmp_path / "text") == 0o644  # as its owner wants it
    assert workspace.requests


@pytest.mark.skipif(os.name != "posix", reason="this system has no modes")
async def test_world_readable_key_file_is_warned_about(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    quiet = await shell.run("users", "list", "--api-key-file", "key")
    assert (quiet.code, quiet.err) == (Exit.DONE, "")
    (tmp_path / "key").chmod(0o644)
    loud = await shell.run("users", "list", "--api-key-file", "key", "--json")
    assert (loud.code, len(loud.json)) == (Exit.DONE, 2)
    assert loud.err == "every user of this machine can read the key file key (mode 644): run chmod 600 on it\n"
    assert workspace.requests


# --- the log ---------------------------------------------------------------------------------------------------


async def test_wait_for_reader_waits_for_the_reader_of_a_fifo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_POLL_INTERVAL", 0.0)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    waiting = asyncio.create_task(files.wait_for_reader(fifo))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    await waiting
    os.close(reader)


async def test_journal_ends_a_torn_last_line(workspace: Emulator, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"time": 1}\n{"time": 2, "ev')
    async with SecodaClient(workspace.api_key, base_url=workspace.url) as secoda:
        assert (await secoda.apply(await secoda.plan(NEW), log=log)).ok
    whole, torn, *ours = contents(tmp_path)["log.jsonl"].decode().splitlines()
    assert json.loads(whole) == {"time": 1}
    assert torn == '{"time": 2, "ev'
    assert [json.loads(line)["event"] for line in ours] == ["intent", "outcome"]


def test_journal_with_a_complete_last_line_gets_no_empty_line(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for _ in range(2):
        with open_journal(log) as stream:
            stream.write(LINE)
    assert log.read_text() == LINE + LINE


def test_journal_without_read_permission_is_appended_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    log = tmp_path / "log.jsonl"
    log.write_text(LINE.rstrip())
    monkeypatch.setattr(Path, "open", refused)
    with open_journal(log) as stream:
        stream.write(LINE)
    monkeypatch.undo()
    assert log.read_text() == LINE + LINE


@pytest.mark.requirement("BS-7")
async def test_journal_is_not_appended_to_another_file(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    await shell.run("plan", "groups.yaml", "--out", "plan.json")
    saved = (tmp_path / "plan.json").read_bytes()
    result = await shell.run("apply", "groups.yaml", "--yes", "--log", "plan.json")
    assert (result.code, "plan.json can't be written: it exists and is not a journal" in result.err) == (64, True)
    assert (tmp_path / "plan.json").read_bytes() == saved
    assert not workspace.writes


def test_journal_with_an_impossible_name_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="can't be written: embedded null"), Journal("a\0b"):
        pass


# --- files that are too large ----------------------------------------------------------------------------------


async def test_too_large_input_file_is_refused(
    shell: Shell, workspace: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_file, "_MAX_BYTES", 1024)
    for line, code in (
        ("plan /dev/zero", Exit.BAD_INPUT),
        ("apply /dev/zero --yes", Exit.BAD_INPUT),
        ("users list --api-key-file /dev/zero", Exit.USAGE),
        ("demo groups.yaml --users /dev/zero", Exit.BAD_INPUT),
    ):
        refused = await shell.run(*line.split())
        assert refused.code == code, line
        assert "/dev/zero" in refused.err
        assert "is larger than 0.000976562 MiB: is it the right file?" in refused.err
    (tmp_path / "plan.json").write_text(" " * 2000)
    large = await shell.run("apply", "plan.json", "--yes")
    assert (large.code, "plan.json: is larger" in large.err) == (Exit.BAD_INPUT, True)
    with pytest.raises(DesiredStateError, match=r"plan\.json: is larger than"):
        Plan.load(tmp_path / "plan.json")
    assert workspace.requests == []


def test_input_file_limit_is_512_mib(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(512 * 2**20 + 1)  # sparse
    with pytest.raises(input_file.FileTooLargeError, match="is larger than 512 MiB"):
        input_file.read_bytes(str(tmp_path / "large"))


@pytest.mark.requirement("CL-2")
def test_standard_input_is_read_from_a_pipe_or_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"groups: []")
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert input_file.read_bytes("-") == b"groups: []"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"groups: []")))
    assert input_file.read_bytes("-") == b"groups: []"
