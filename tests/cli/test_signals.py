"""Signals, deadlines and closed streams, mostly of commands in their own processes."""

import asyncio
import io
import json
import logging
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from secoda_async.cli import app, signals
from secoda_async.cli.connection import Connection
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Console
from secoda_async.emulator import Emulator
from tests.support.combinations import combinations
from tests.support.processes import ended, start
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("CL-1", "BS-7")

NEEDS_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
FILE = "groups:\n- name: Analysts\n  description: new\n- name: Stewards\n"


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Emulator]:
    (tmp_path / "groups.yaml").write_text(FILE, "utf-8")
    monkeypatch.chdir(tmp_path)
    async with Emulator(groups=[{"name": "Analysts", "description": "old"}]) as workspace:
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        yield workspace


def written(workspace: Emulator) -> int:
    return sum(record.applied for record in workspace.requests)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_the_prompt_immediately(workspace: Emulator, number: signal.Signals) -> None:
    controller, terminal = pty.openpty()
    process = await start("apply", "groups.yaml", stdin=terminal)
    assert process.stderr is not None
    told = await asyncio.wait_for(process.stderr.readuntil(b"[y/N] "), 120)
    process.send_signal(number)
    result = await ended(process)
    os.close(controller)
    os.close(terminal)
    assert b"Make these 2 changes?" in told
    assert (result.code, written(workspace)) == (130, 0)
    assert "+ create Stewards" in result.out
    assert result.err.endswith("interrupted: nothing was written\n")
    assert "Traceback" not in result.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "number"),
    combinations(["apply groups.yaml --yes", "plan groups.yaml", "groups list"], [signal.SIGINT, signal.SIGTERM]),
)
async def test_signal_during_the_reads_writes_nothing(
    workspace: Emulator, command: str, number: signal.Signals
) -> None:
    workspace.faults.add(stall="before", times=None)
    process = await start(*command.split(), "--json")
    await wait_until(lambda: workspace.requests)
    process.send_signal(number)
    result = await ended(process)
    assert result.code == 130
    assert json.loads(result.out)["error"]["exit_code"] == 130
    assert "interrupted" in result.err
    assert "Traceback" not in result.err


async def test_deadline_covers_the_reads(workspace: Emulator) -> None:
    workspace.faults.add(stall="before", times=None)
    result = await ended(await start("apply", "groups.yaml", "--yes", "--deadline", "0.2s"))
    assert (result.code, result.out) == (130, "")
    assert "deadline reached: nothing was written" in result.err


async def test_second_signal_aborts_in_flight_writes(workspace: Emulator) -> None:
    workspace.faults.add(stall="after", method="PATCH", times=None)
    process = await start("apply", "groups.yaml", "--yes", "--log", "log.jsonl")
    log = Path("log.jsonl")
    await until_true(lambda: written(workspace) == 2 and '"applied"' in log.read_text("utf-8"))
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    told = await asyncio.wait_for(process.stderr.readuntil(b"again to abort\n"), 120)
    process.send_signal(signal.SIGTERM)
    result = await ended(process)
    assert b"interrupted: finishing in-flight writes" in told
    assert result.code == 130
    assert "may have been applied. Run this again, it reads the workspace first: secoda-async apply " in result.err
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]  # noqa: ASYNC240
    assert {line["name"]: line["status"] for line in lines if line["event"] == "outcome"} == {
        "Analysts": "unknown",
        "Stewards": "applied",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirections", "code"),
    [
        ("<&-", 64),
        ("--yes >&-", 1),
        ("--yes 2>&-", 0),
        ("--yes --json >&-", 1),
        pytest.param("--yes >/dev/full", 1, marks=NEEDS_FULL),
        pytest.param("--yes --json >/dev/full", 0, marks=NEEDS_FULL),  # the writes are done before the output fails
    ],
)
async def test_apply_with_closed_or_full_streams(workspace: Emulator, redirections: str, code: int) -> None:
    line = f"exec {sys.executable} -m secoda_async apply groups.yaml {redirections}"
    process = await asyncio.create_subprocess_exec("bash", "-c", line, stdout=PIPE, stderr=PIPE)
    result = await ended(process)
    assert "Traceback" not in result.err
    assert "a bug" not in result.err
    assert result.code == code
    assert written(workspace) == (0 if code else 2)


@pytest.mark.slow
async def test_closed_pipe_after_the_writes_does_not_change_the_exit_code(workspace: Emulator) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = (sys.executable, "-m", "secoda_async", "apply", "groups.yaml", "--yes", "--json")
    process = await asyncio.create_subprocess_exec(*command, stdout=writer, stderr=PIPE)
    os.close(writer)
    result = await ended(process)
    assert result.code == Exit.DONE
    assert "2 applied; the output can't be written" in result.err
    assert written(workspace) == 2


@pytest.mark.slow
@pytest.mark.requirement("CL-2")
@pytest.mark.parametrize("options", ["", "--json"])  # Markdown is never longer than a pipe holds
async def test_closed_pipe_is_silent(workspace: Emulator, options: str) -> None:
    Path("many.yaml").write_text("groups:\n" + "".join(f"- name: g{index}\n" for index in range(5000)))  # noqa: ASYNC240
    line = f"{sys.executable} -m secoda_async plan many.yaml {options} | head -1; exit ${{PIPESTATUS[0]}}"
    process = await asyncio.create_subprocess_exec("bash", "-c", line, stdout=PIPE, stderr=PIPE)
    result = await ended(process)
    assert (result.code, result.err) == (Exit.CLOSED_PIPE, "")
    assert len(result.out.splitlines()) == 1
    assert workspace.requests


# --- reads that block ------------------------------------------------------------------------------------------


async def opened_by(process: Process, fifo: Path) -> int:
    """Wait until a process reads a FIFO; return the writing end."""
    while process.returncode is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it yet
            await asyncio.sleep(0.005)
    raise AssertionError((await ended(process)).err)


@pytest.mark.slow
@pytest.mark.requirement("CL-2")
@pytest.mark.parametrize(
    ("command", "number"),
    combinations(
        ["plan fifo", "apply fifo --yes", "plan groups.yaml --api-key-file fifo", "users list --api-key-file fifo"],
        [signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    ),
)
async def test_signal_ends_a_blocking_read(
    workspace: Emulator, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = await start(*command.split(), "--json")
    other_end = await opened_by(process, tmp_path / "fifo")
    process.send_signal(number)
    result = await ended(process)
    os.close(other_end)
    assert result.code == Exit.INTERRUPTED
    assert json.loads(result.out)["error"]["exit_code"] == Exit.INTERRUPTED
    assert result.err == "secoda-async: interrupted\n"
    assert workspace.requests == []


@pytest.mark.slow
@pytest.mark.requirement("CL-2")
@pytest.mark.parametrize("command", ["plan -", "users list --api-key-file -"])
async def test_signal_ends_the_wait_for_standard_input(workspace: Emulator, command: str) -> None:
    process = await start(*command.split(), stdin=PIPE)
    assert process.stdin is not None
    writer = process.stdin
    writer.write(b"#" * 300_000)  # more than a pipe holds: it is taken only by who reads
    await until_true(lambda: not writer.transport.get_write_buffer_size())
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 120) == Exit.INTERRUPTED
    assert process.stderr is not None
    assert await process.stderr.read() == b"secoda-async: interrupted\n"
    process.stdin.close()
    assert workspace.requests == []


@pytest.mark.slow
@pytest.mark.requirement("CL-2")
async def test_signal_ends_the_wait_for_the_reader_of_a_log(workspace: Emulator, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = await start("apply", "groups.yaml", "--yes", "--log", "fifo", "--report", "report.html")
    await until_true((tmp_path / "report.html").exists)
    process.send_signal(signal.SIGTERM)
    result = await ended(process)
    assert result.code == Exit.INTERRUPTED
    assert "Traceback" not in result.err
    assert not workspace.writes


async def until_true(condition: Callable[[], object]) -> None:
    """Poll a condition that another process makes true."""
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.005)


# --- signals that are ignored ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.requirement("CL-2")
@pytest.mark.parametrize(
    ("name", "command"), combinations(["HUP", "INT", "TERM"], ["apply groups.yaml --yes", "groups list"])
)
async def test_ignored_signal_stays_ignored(workspace: Emulator, name: str, command: str) -> None:
    workspace.faults.add(delay=0.3, method="GET")
    line = f"trap '' {name}; exec {sys.executable} -m secoda_async {command}"
    process = await asyncio.create_subprocess_exec("bash", "-c", line, stdout=PIPE, stderr=PIPE)
    await wait_until(lambda: workspace.requests)
    process.send_signal(getattr(signal, f"SIG{name}"))
    result = await ended(process)
    assert (result.code, result.err) == (Exit.DONE, "")


class Broken:
    """A stderr whose reader has exited."""

    def write(self, _: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


def test_ascii_terminal_shows_other_characters_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    terminal = Terminal(shown := io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stderr", terminal)
    assert app.main(["plan", "caf\u00e9.yaml", "--api-key-file", "/dev/null"]) != Exit.DONE
    terminal.flush()
    assert b"caf\\xe9" in shown.getvalue()


async def test_closed_stderr_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECODA_API_KEY", "k")
    monkeypatch.setattr(sys, "stderr", Broken())
    async with Connection().client():
        logging.getLogger("secoda_async").warning("waiting for something")
    Console(Output()).info("this is lost")


async def test_cancellation_without_a_signal_is_reraised() -> None:
    async def stopped() -> None:
        with signals.handle_signals(print, None):
            await asyncio.sleep(3600)

    task = asyncio.create_task(stopped())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_command_is_no_interrupted_command() -> None:
    task = asyncio.create_task(signals.until_terminated(asyncio.sleep(3600)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_sigterm_interrupts_a_command() -> None:
    task = asyncio.create_task(signals.until_terminated(asyncio.sleep(3600)))
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(CommandError, match="interrupted"):
        await task


def test_signal_during_a_blocking_read_raises_keyboard_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), signals.interrupt_on_signal():
        signal.raise_signal(signal.SIGTERM)


def test_second_stop_request_changes_nothing() -> None:
    stops = signals.StopController(print, None)
    stops.request("interrupted")
    stops.request("interrupted")
    assert stops.event.is_set()


async def test_event_loop_without_signal_handlers_keeps_those_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise NotImplementedError  # as on Windows

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", none)
    with signals.handle_signals(print, None) as stops:
        assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL
    assert not stops.event.is_set()


async def test_signals_are_untouched_outside_the_main_thread() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def inside() -> None:
        assert not signals.can_be_handled()
        with signals.interrupt_on_signal():
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    await asyncio.to_thread(inside)


@pytest.mark.parametrize(
    ("arguments", "wants"),
    [
        (["plan", "f", "--json"], True),
        (["plan", "f", "--json=true"], True),
        (["plan", "f", "--format", "json"], True),
        (["export", "--format=json"], True),
        (["export", "--format", "yaml"], False),
        (["plan", "json"], False),
    ],
)
def test_error_is_json_if_json_was_requested(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], *, wants: bool
) -> None:
    monkeypatch.delenv("SECODA_API_KEY", raising=False)
    assert app.main(arguments) != Exit.DONE
    out = capsys.readouterr().out
    assert out.startswith("{") is wants


async def test_only_a_signal_aborts_after_a_stop_request() -> None:
    said: list[str] = []
    task = asyncio.create_task(asyncio.Event().wait())
    stops = signals.StopController(said.append, task)
    stops.has_begun_writing = True
    stops.on_signal()
    stops.request("deadline reached")
    stops.request("the lock was lost", Exit.LOCKED)
    await asyncio.sleep(0)
    assert not task.cancelling()
    assert (stops.reason, stops.code, len(said)) == ("interrupted", Exit.INTERRUPTED, 1)
    stops.is_finished = True
    stops.on_signal()
    assert not task.cancelling()
    stops.is_finished = False
    stops.on_signal()
    assert task.cancelling()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("reason", "key"), [("interrupted", "Ctrl-C again"), ("deadline reached", "Ctrl-C")])
async def test_stop_says_which_signal_aborts(reason: str, key: str) -> None:
    warnings: list[str] = []
    stops = signals.StopController(warnings.append, None)
    stops.has_begun_writing = True
    if reason == "interrupted":
        stops.on_signal()
    else:
        stops.request(reason)
    assert warnings == [f"{reason}: finishing in-flight writes; press {key} to abort"]
