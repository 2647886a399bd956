"""Errors of commands: the exit code, one line for a person, one document for a program."""

import errno
import functools
import io
import logging
import sys
from pathlib import Path

import pytest

from secoda_async import RetryPolicy, SecodaClient
from secoda_async.cli import app, connection
from secoda_async.cli.exit_codes import Exit, as_document, exit_for, message_of
from secoda_async.emulator import Emulator
from secoda_async.errors import (
    ConfigurationError,
    DesiredStateError,
    InvalidArgumentError,
    OutcomeUnknownError,
    SecodaError,
    StalePlanError,
    UnsafePlanError,
)
from tests.support.shell import Shell

ABSENT = "6c1e0b0e-1111-4222-8333-944455556666"
"""The id of no group."""


async def test_api_key_is_read_from_a_file_or_stdin(
    shell: Shell, workspace: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECODA_API_KEY", "wrong")
    (tmp_path / "key").write_text(f"{workspace.api_key}\n")
    assert (await shell.run("users", "list", "--api-key-file", str(tmp_path / "key"))).code == Exit.DONE
    monkeypatch.setattr(sys, "stdin", io.StringIO(workspace.api_key))
    assert (await shell.run("users", "list", "--api-key-file", "-")).code == Exit.DONE
    absent = await shell.run("users", "list", "--api-key-file", str(tmp_path / "absent"))
    assert absent.code == Exit.USAGE
    assert "can't be read: No such file" in absent.err
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    binary = await shell.run("users", "list", "--api-key-file", str(tmp_path / "key"))
    assert (binary.code, "can't be read: not text" in binary.err) == (Exit.USAGE, True)


@pytest.mark.requirement("CL-1", "ER-3")
@pytest.mark.parametrize(
    ("arguments", "environment", "code", "text"),
    [
        (["groups", "list"], {}, Exit.USAGE, "no API key: pass --api-key-file, or set SECODA_API_KEY"),
        (["groups", "list"], {"SECODA_API_KEY": "can\nary"}, Exit.USAGE, "the API key has a character inside"),
        (["groups", "list", "--base-url", "http://secoda.example"], {"SECODA_API_KEY": "k"}, Exit.USAGE, "clear text"),
        (["users", "get", "a/b"], {"SECODA_API_KEY": "k"}, Exit.USAGE, "'a/b' is not a user id"),
        (["groups", "get"], {}, Exit.USAGE, "--help"),
        (["nonsense"], {}, Exit.USAGE, "nonsense"),
        (["demo", "--speed", "fast"], {}, Exit.USAGE, "--speed"),
        (["demo", "--speed", "0"], {}, Exit.USAGE, "--speed must be a number above 0, not '0'"),
        (["demo", "absent.yaml"], {}, Exit.BAD_INPUT, "absent.yaml: can't be read: No such file"),
        (["emulator", "--speed", "-1"], {}, Exit.USAGE, "speed"),
        (["users", "list", "--base-url", "http://127.0.0.1:1"], {"SECODA_API_KEY": "k"}, Exit.UNAVAILABLE, "network"),
    ],
)
async def test_bad_input_is_one_line_with_an_exit_code(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    code: Exit,
    text: str,
) -> None:
    monkeypatch.setattr(connection, "SecodaClient", functools.partial(SecodaClient, retry=RetryPolicy(attempts=1)))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told = await shell.run(*arguments)
    assert told.code == code
    assert told.out == ""
    assert text in told.err
    assert "Traceback" not in told.err
    assert "ary" not in told.err.replace("necessary", "")
    document = await shell.run(*arguments, "--json")
    assert document.json["error"]["exit_code"] == code


@pytest.mark.requirement("CL-1")
async def test_refused_key_exits_with_77_and_advice(
    shell: Shell, workspace: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECODA_API_KEY", "wrong")
    refused = await shell.run("groups", "list")
    assert (refused.code, refused.out) == (Exit.REFUSED, "")
    assert "Check the key" in refused.err
    document = (await shell.run("groups", "list", "--json")).json["error"]
    assert (document["status"], document["method"], document["attempts"]) == (401, "GET", 1)
    assert workspace.count(status=401) == 2


async def test_json_error_has_the_details_of_the_response(shell: Shell, workspace: Emulator) -> None:
    workspace.faults.add(status=400, body={"name": ["too dull"]}, method="POST")
    document = (await shell.run("groups", "create", "--name", "x", "--json")).json["error"]
    assert document["fields"] == {"name": ["too dull"]}
    workspace.faults.add(drop="after", method="POST")
    workspace.faults.add(status=403, body={"detail": "no"}, method="GET")
    document = (await shell.run("groups", "create", "--name", "x", "--allow-duplicate", "--json")).json["error"]
    created = [group["id"] for group in workspace.groups.values() if group["name"] == "x"]  # the list was refused
    assert (document["type"], document["name"], document["candidates"]) == ("OutcomeUnknownError", "x", created)
    missing = await shell.run("groups", "get", ABSENT, "--json")
    assert (missing.code, missing.json["error"]["status"]) == (Exit.ERROR, 404)


async def test_debug_shows_a_traceback_without_the_key(shell: Shell, workspace: Emulator) -> None:
    result = await shell.run("groups", "get", ABSENT, "--debug")
    assert "Traceback" in result.err
    assert "NotFoundError" in result.err
    assert workspace.api_key not in result.err + result.out


async def test_unexpected_exception_is_reported_as_a_bug(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(app, "_run", broken)
    result = await shell.run("doctor")
    assert result.code == Exit.ERROR
    assert "ZeroDivisionError: division by zero (a bug" in result.err


async def test_ctrl_c_exits_with_130(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "_run", interrupted)
    result = await shell.run("doctor")
    assert (result.code, result.err.strip()) == (Exit.INTERRUPTED, "secoda-async: interrupted")


def test_closed_pipe_has_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(app, "_run", broken)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert app.main(["doctor"]) == Exit.CLOSED_PIPE
        out.write("to nobody")
    assert (tmp_path / "out").read_text() == ""


def test_full_disk_is_an_error_of_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(app, "_run", full)
    assert app.main(["doctor"]) == Exit.ERROR
    assert capsys.readouterr().err == "secoda-async: the output can't be written: No space left on device\n"


def test_other_errors_exit_with_1() -> None:
    assert exit_for(SecodaError("x")) == Exit.ERROR
    assert exit_for(OutcomeUnknownError("x")) == Exit.ERROR


def test_closed_stdout_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert app.main(["schema"]) == Exit.ERROR
    sys.stdout.close()  # what it was replaced with
    assert capsys.readouterr().err == "secoda-async: standard output is closed: nothing was done\n"


@pytest.mark.requirement("OB-1", "CL-1")
async def test_long_wait_is_printed_once(shell: Shell, workspace: Emulator) -> None:
    for _ in range(2):
        await shell.run("groups", "list", "--json")
    log = logging.getLogger("secoda_async")
    log.info("waiting %.1f s (%s) before %s %s", 47, "the write limit", "POST", "/auth/group")
    log.info("waiting %.1f s (%s) before %s %s", 46, "the write limit", "POST", "/auth/group")  # a moment later
    log.info("waiting %.1f s (%s) before %s %s", 2, "503", "attempt 2 of 5: POST", "/auth/group")
    log.info(
        "waiting %.1f s (%s) before %s %s", 2, "x could not be looked up: check base_url", "attempt 2 of 5: GET", "/"
    )
    log.info("waiting for the Redis server")
    log.info("something else")
    log.warning("of interest")
    _, err = shell.capture.readouterr()
    assert err.splitlines() == [
        "waiting 47.0 s (the write limit) before POST /auth/group",
        "waiting 2.0 s (503) before attempt 2 of 5: POST /auth/group",
        "waiting 2.0 s (x could not be looked up: check --base-url) before attempt 2 of 5: GET /",
        "waiting for the Redis server",
        "of interest",
    ]
    assert workspace.requests


def test_plan_errors_have_exit_codes_and_json_fields() -> None:
    unsafe, stale = UnsafePlanError("x"), StalePlanError("y")
    unsafe.breaches, unsafe.digest, stale.names = ("b",), "d", ("n",)
    assert (exit_for(unsafe), exit_for(stale)) == (4, 5)
    assert as_document(unsafe)["error"]["digest"] == "d"
    assert as_document(stale)["error"]["names"] == ["n"]


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("option", [(), ("--json",), ("--debug",)], ids=["text", "json", "debug"])
@pytest.mark.parametrize(
    "command", [("groups", "get"), ("users", "get"), ("explain",), ("plan",), ("--prun",)], ids=str
)
async def test_key_in_an_argument_by_mistake_is_not_repeated(
    shell: Shell, workspace: Emulator, command: tuple[str, ...], option: tuple[str, ...]
) -> None:
    result = await shell.run(*command, workspace.api_key, *option)
    assert result.code != Exit.DONE
    assert workspace.api_key not in result.out + result.err.replace("\n", "")


@pytest.mark.parametrize(
    ("line", "proposal"),
    [
        ("groups delete A --ye", None),
        ("groups create --name A --allow-duplicat", None),
        ("groups list --jso", "Did you mean --json?"),
        ("plan --prun", None),
    ],
)
async def test_no_option_that_approves_or_deletes_is_proposed(shell: Shell, line: str, proposal: str | None) -> None:
    result = await shell.run(*line.split())
    assert result.code == Exit.USAGE
    assert len(result.err.splitlines()) == 1
    assert ("Did you mean" in result.err) is (proposal is not None)
    assert (proposal or line.rsplit(maxsplit=1)[-1]) in result.err.replace('"', "")  # some versions of cyclopts quote


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigurationError("give base_url or region, not both: a region"), "give --base-url or --region, not both: a"),
        (ConfigurationError("base_url is not a URL"), "--base-url is not a URL"),
        (DesiredStateError("correct them, or use unknown_members='hold' (--unknown-members hold)"),
         "correct them, or use --unknown-members hold"),
        (StalePlanError("Plan again, or apply with on_drift='skip'"), "Plan again, or apply with --on-drift skip"),
        (InvalidArgumentError("update has nothing to change: give name, icon, description or users"),
         "update has nothing to change: pass --name, --icon, --description, --user or --clear"),
        (InvalidArgumentError("only must contain patterns"), "--only must contain patterns"),
        (InvalidArgumentError("columns: 'x' is given twice"), "--columns: 'x' is given twice"),
        (InvalidArgumentError("max_delete must be an integer"), "--max-delete must be an integer"),
        (InvalidArgumentError("no group is called 'base_url'"), "no group is called 'base_url'"),
    ],
)  # fmt: skip
def test_messages_name_the_options_of_the_command_line(error: SecodaError, text: str) -> None:
    assert text in message_of(error)
    assert as_document(error)["error"]["message"] == message_of(error)
