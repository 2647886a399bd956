"""The command line: exit codes, a clean stdout, and errors a person can act on."""

import asyncio
import contextlib
import functools
import io
import json
import logging
import runpy
import signal
import sys
import types
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console as RichConsole
from rich.progress import TaskID

from secoda_async import Plan, Report, RetryPolicy, SecodaClient
from secoda_async import __main__ as command
from secoda_async.cli import app, options
from secoda_async.cli.commands import demo, emulator
from secoda_async.cli.exit_codes import Exit, exit_for
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Column, Console, duration
from secoda_async.emulator import Emulator
from secoda_async.errors import OutcomeUnknownError, SecodaError
from tests.support.shell import Shell

# --- reading ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CL-1")
async def test_lists_are_tables_for_people_and_one_document_for_programs(shell: Shell, workspace: Emulator) -> None:
    first = next(iter(workspace.groups.values()))
    table = await shell.run("groups", "list")
    assert table.code == Exit.DONE
    assert table.out.startswith("60 groups")
    assert first["name"] in table.out
    assert first["id"] in table.out
    document = await shell.run("groups", "list", "--json")
    assert document.json[0] == first
    users = await shell.run("users", "list")
    assert users.out.startswith("20 users")
    assert {user["id"] for user in (await shell.run("users", "list", "--json")).json} == set(workspace.users)


async def test_a_group_is_shown_as_it_is_not_as_markup(shell: Shell, workspace: Emulator) -> None:
    group = next(iter(workspace.groups.values()))
    group["name"] = "[bold]not bold[/bold]"
    shown = await shell.run("groups", "get", group["id"])
    assert shown.out.count("[bold]not bold[/bold]") == 2
    group["created_at"] = None
    assert "(unknown)" in (await shell.run("groups", "get", group["id"])).out


async def test_the_key_can_come_from_a_file(
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


# --- writing ---------------------------------------------------------------------------------------------------


async def test_a_group_is_created_changed_and_deleted(shell: Shell, workspace: Emulator) -> None:
    ana, ben = list(workspace.users.values())[:2]
    made = await shell.run(
        "groups", "create", "--name", "Stewards", "--icon", "🧪", "--user", ana["email"].upper(), "--json"
    )
    group_id = made.json["id"]
    assert workspace.groups[group_id]["users"] == [ana["id"]]

    assert (await shell.run("groups", "add-users", group_id, ben["id"], ana["email"])).code == Exit.DONE
    assert set(workspace.groups[group_id]["users"]) == {ana["id"], ben["id"]}
    assert (await shell.run("groups", "remove-users", group_id, ana["email"])).code == Exit.DONE
    assert workspace.groups[group_id]["users"] == [ben["id"]]

    changed = await shell.run("groups", "update", group_id, "--name", "Keepers", "--clear", "icon", "--json")
    assert (changed.json["name"], changed.json["icon"]) == ("Keepers", None)
    assert workspace.requests[-1].json == {"name": "Keepers", "icon": None}
    await shell.run("groups", "update", group_id, "--user", ana["id"])
    assert workspace.requests[-1].json == {"users": [ana["id"]]}
    await shell.run("groups", "update", group_id, "--clear", "users", "--clear", "description")
    assert workspace.requests[-1].json == {"users": [], "description": None}

    deleted = await shell.run("groups", "delete", group_id, "--yes")
    assert (deleted.code, deleted.out.strip()) == (Exit.DONE, f"deleted {group_id}")
    assert group_id not in workspace.groups


async def test_a_group_without_members_can_be_created(shell: Shell, workspace: Emulator) -> None:
    assert (await shell.run("groups", "create", "--name", "Empty")).code == Exit.DONE
    assert workspace.requests[-1].json == {"name": "Empty"}


@pytest.mark.requirement("CL-1")
async def test_deleting_without_a_terminal_needs_yes(shell: Shell, workspace: Emulator) -> None:
    refused = await shell.run("groups", "delete", next(iter(workspace.groups)))
    assert refused.code == Exit.USAGE
    assert "needs --yes" in refused.err
    assert not workspace.requests


@pytest.mark.parametrize(("answer", "code"), [("yes\n", Exit.DONE), ("no\n", Exit.ERROR), ("", Exit.ERROR)])
async def test_deleting_on_a_terminal_asks(
    shell: Shell, workspace: Emulator, monkeypatch: pytest.MonkeyPatch, answer: str, code: Exit
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    group_id, group = next(iter(workspace.groups.items()))
    result = await shell.run("groups", "delete", group_id, "--json")
    assert result.code == code
    assert repr(group["name"]) in result.err
    assert (group_id not in workspace.groups) is (code == Exit.DONE)
    expected = {"deleted": group_id} if code == Exit.DONE else "not deleted"
    assert (result.json if code == Exit.DONE else result.json["error"]["message"]) == expected


async def test_an_unknown_address_or_a_contradiction_writes_nothing(shell: Shell, workspace: Emulator) -> None:
    group_id = next(iter(workspace.groups))
    stranger = await shell.run("groups", "add-users", group_id, "nobody@example.com")
    assert stranger.code == Exit.BAD_INPUT
    assert "no user has the address nobody@example.com" in stranger.err
    both = await shell.run("groups", "update", group_id, "--icon", "x", "--clear", "icon")
    assert both.code == Exit.USAGE
    nothing = await shell.run("groups", "update", group_id)
    assert nothing.code == Exit.USAGE
    assert not workspace.writes


# --- failing ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CL-1", "ER-3")
@pytest.mark.parametrize(
    ("arguments", "environment", "code", "text"),
    [
        (["groups", "list"], {}, Exit.USAGE, "no API key: pass api_key, or set SECODA_API_KEY"),
        (["groups", "list"], {"SECODA_API_KEY": "can\nary"}, Exit.USAGE, "the API key has a character inside"),
        (["groups", "list", "--base-url", "http://secoda.example"], {"SECODA_API_KEY": "k"}, Exit.USAGE, "clear text"),
        (["groups", "get", "a/b"], {"SECODA_API_KEY": "k"}, Exit.USAGE, "'a/b' is not a group id"),
        (["groups", "get"], {}, Exit.USAGE, "--help"),
        (["nonsense"], {}, Exit.USAGE, "nonsense"),
        (["demo", "--speed", "fast"], {}, Exit.USAGE, "--speed"),
        (["demo", "--speed", "0"], {}, Exit.USAGE, "speed must be a positive number"),
        (["demo", "absent.yaml"], {}, Exit.BAD_INPUT, "absent.yaml: can't be read: No such file"),
        (["emulator", "--speed", "-1"], {}, Exit.USAGE, "speed"),
        (["users", "list", "--base-url", "http://127.0.0.1:1"], {"SECODA_API_KEY": "k"}, Exit.UNAVAILABLE, "network"),
    ],
)
async def test_bad_input_is_one_line_and_an_exit_code(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    code: Exit,
    text: str,
) -> None:
    monkeypatch.setattr(options, "SecodaClient", functools.partial(SecodaClient, retry=RetryPolicy(attempts=1)))
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
async def test_a_refused_key_is_77_with_advice(
    shell: Shell, workspace: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECODA_API_KEY", "wrong")
    refused = await shell.run("groups", "list")
    assert (refused.code, refused.out) == (Exit.REFUSED, "")
    assert "Check the key" in refused.err
    document = (await shell.run("groups", "list", "--json")).json["error"]
    assert (document["status"], document["method"], document["attempts"]) == (401, "GET", 1)
    assert workspace.count(status=401) == 2


async def test_errors_of_programs_carry_what_the_server_said(shell: Shell, workspace: Emulator) -> None:
    workspace.faults.add(status=400, body={"name": ["too dull"]}, method="POST")
    document = (await shell.run("groups", "create", "--name", "x", "--json")).json["error"]
    assert document["fields"] == {"name": ["too dull"]}
    workspace.faults.add(drop="after", method="POST")
    workspace.faults.add(status=403, body={"detail": "no"}, method="GET")
    document = (await shell.run("groups", "create", "--name", "x", "--json")).json["error"]
    created = [group["id"] for group in workspace.groups.values() if group["name"] == "x"]  # the list was refused
    assert (document["type"], document["name"], document["candidates"]) == ("OutcomeUnknownError", "x", created)
    missing = await shell.run("groups", "get", "absent", "--json")
    assert (missing.code, missing.json["error"]["status"]) == (Exit.ERROR, 404)


async def test_debug_shows_the_traceback_and_logs_without_the_key(shell: Shell, workspace: Emulator) -> None:
    result = await shell.run("groups", "get", "absent", "--debug")
    assert "Traceback" in result.err
    assert "NotFoundError" in result.err
    assert workspace.api_key not in result.err + result.out


async def test_a_bug_is_called_one(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(app, "_run", broken)
    result = await shell.run("doctor")
    assert result.code == Exit.ERROR
    assert "ZeroDivisionError: division by zero (a bug" in result.err


async def test_ctrl_c_is_130(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "_run", interrupted)
    result = await shell.run("doctor")
    assert (result.code, result.err.strip()) == (Exit.INTERRUPTED, "secoda-async: interrupted")


def test_a_reader_that_went_away_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(app, "_run", broken)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert app.main(["doctor"]) == Exit.CLOSED_PIPE
        out.write("to nobody")
    assert (tmp_path / "out").read_text() == ""


def test_unmapped_errors_are_1() -> None:
    assert exit_for(SecodaError("x")) == Exit.ERROR
    assert exit_for(OutcomeUnknownError("x")) == Exit.ERROR


@pytest.mark.requirement("CL-4")
async def test_without_a_command_the_help_is_shown(shell: Shell) -> None:
    shown = await shell.run()
    assert (shown.code, shown.err) == (Exit.DONE, "")
    assert "Usage: secoda-async COMMAND" in shown.out
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "secoda_async", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (Exit.DONE, b"")
    assert b"Usage: secoda-async COMMAND" in out


@pytest.mark.requirement("CL-2")
@pytest.mark.parametrize("place", ["secoda_async.cli", "secoda_async.cli.app"])
def test_ctrl_c_while_the_command_line_is_loaded_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    class Interrupted(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    interrupted = Interrupted(place)
    monkeypatch.setitem(sys.modules, place, interrupted)
    if place.endswith("app"):
        monkeypatch.setattr("secoda_async.cli.app", interrupted)
    assert command.main() == Exit.INTERRUPTED
    assert capsys.readouterr().err == "secoda-async: interrupted\n"


def test_a_stdout_that_is_closed_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert app.main(["schema"]) == Exit.ERROR
    sys.stdout.close()  # what it was replaced with
    assert capsys.readouterr().err == "secoda-async: standard output is closed: nothing was done\n"


async def test_help_and_version_need_nothing(shell: Shell) -> None:
    assert "demo" in (await shell.run("--help")).out
    assert (await shell.run("--version")).out.strip()
    for command_name in ("demo", "emulator", "doctor", "groups", "users"):
        assert (await shell.run(command_name, "--help")).code == Exit.DONE


def test_a_missing_extra_names_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith("secoda_async.cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("secoda_async.cli", raising=False)
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    assert command.main() == Exit.USAGE
    assert capsys.readouterr().err == "secoda-async: cyclopts is missing: pip install 'secoda-async[cli]'\n"
    monkeypatch.setitem(sys.modules, "secoda_async.cli", None)
    with pytest.raises(ModuleNotFoundError):
        command.main()


def test_the_command_passes_its_arguments_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["secoda-async", "--version"])
    assert command.main() == Exit.DONE
    assert capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(command.__file__), run_name="__main__")
    assert ended.value.code == Exit.DONE


# --- doctor ----------------------------------------------------------------------------------------------------


async def test_the_doctor_says_what_is_there(shell: Shell, workspace: Emulator) -> None:
    healthy = await shell.run("doctor")
    assert healthy.code == Exit.DONE
    for text in (workspace.url, "OK", "accepted", "60 groups, list complete", "20 users, list complete", "3 min 00 s"):
        assert text in healthy.out
    assert not workspace.writes


@pytest.mark.parametrize(
    ("fault", "code", "advice"),
    [
        ({"status": 401, "body": {"detail": "Invalid token."}}, Exit.REFUSED, "Check the key"),
        ({"status": 403, "body": {"detail": "no"}}, Exit.REFUSED, "use a key that an admin created"),
        ({"body": "<html>", "status": 200}, Exit.UNAVAILABLE, "Secoda's web page"),
        ({"status": 418, "body": {"detail": "teapot"}}, Exit.ERROR, "The message above names the problem."),
    ],
)
async def test_the_doctor_says_what_to_do(
    shell: Shell, workspace: Emulator, fault: dict[str, Any], code: Exit, advice: str
) -> None:
    workspace.faults.add(**fault, path="/api/v1", times=None)
    ill = await shell.run("doctor")
    assert ill.code == code
    assert advice in ill.out


async def test_the_doctor_minds_a_missing_health_check_least(shell: Shell, workspace: Emulator) -> None:
    workspace.faults.add(status=404, path="healthcheck", times=None)
    result = await shell.run("doctor", "--json")
    assert result.code == Exit.DONE
    assert (result.json["ok"], result.json["checks"]["service"]["ok"]) == (True, False)
    assert result.json["seconds_for_100_writes"] == 180


# --- emulator --------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def running(**options: Any) -> AsyncGenerator[None, None]:  # noqa: ANN401 - any of the command's
    task = asyncio.create_task(emulator.emulator(**options))
    try:
        for _ in range(100):  # turns of the event loop: more than it takes to listen and say so
            await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_emulator_says_how_to_reach_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
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


async def test_a_port_in_use_is_one_line(shell: Shell, workspace: Emulator) -> None:
    port = workspace.url.rpartition(":")[2]
    taken = await shell.run("emulator", "--port", port)
    assert taken.code == Exit.ERROR
    assert f"can't listen on 127.0.0.1:{port}" in taken.err
    assert "Choose another --port" in taken.err


async def test_the_emulator_runs_until_it_is_interrupted() -> None:
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


# --- demo ------------------------------------------------------------------------------------------------------


async def test_the_demo_loads_the_sample_and_brings_it_to_the_next_month(shell: Shell) -> None:
    result = await shell.run("demo", "--speed", "20000", "--json")
    assert (result.code, result.json["ok"]) == (Exit.DONE, True)
    then = result.json["then"]
    assert (result.json["groups"], result.json["writes"], then["groups"], then["writes"]) == (61, 61, 62, 12)
    assert then["summary"] == "2 to create, 9 to update, 1 to delete; 51 unchanged"
    for document in (result.json, then):
        assert (document["too_many_requests"], document["differences"]) == (0, [])
        assert document["plan_again_is_empty"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Groups at two dates, and the users."""
    groups, later, users = tmp_path / "groups.json", tmp_path / "later.json", tmp_path / "users.json"
    groups.write_text('{"groups": [{"name": "a", "members": ["ana@example.com", "id-2"]}, {"name": "b"}]}')
    later.write_text('{"groups": [{"name": "c", "icon": "x"}]}')
    users.write_text('[{"email": "ana@example.com"}, {"email": "ben@example.com", "id": "id-2"}]')
    return groups, later, users


async def test_the_demo_shows_a_summary(shell: Shell, files: tuple[Path, Path, Path]) -> None:
    groups, _, users = files
    result = await shell.run("demo", str(groups), "--users", str(users), "--speed", "1000")
    assert result.code == Exit.DONE
    for text in ("2 of 2, all equal", "memberships", "2 of them writes", "Too Many Requests  0", "nothing to do"):
        assert text in result.out
    assert "An emulated workspace" in result.err
    assert "2 to create" in result.err


async def test_the_demo_can_begin_with_the_groups_in_place(shell: Shell, files: tuple[Path, Path, Path]) -> None:
    groups, later, users = files
    arguments = ("demo", str(groups), "--then", str(later), "--users", str(users), "--speed", "1000", "--loaded")
    document = (await shell.run(*arguments, "--json")).json
    assert (document["ok"], document["writes"], document["then"]["writes"]) == (True, 0, 3)
    result = await shell.run(*arguments)
    assert result.code == Exit.DONE
    for text in ("+ create c", 'icon: "x"', "- delete a", "2 of 2 groups would be deleted", "3 writes, immediately"):
        assert text in result.out


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        (None, "can't be read: No such file"),
        ("[", "is not JSON"),
        ("{}", "must be a list of"),
        ('[{"id": "1"}]', "[0]: users must be a list of"),
        ('[{"id": 1, "email": "x"}]', "[0]: users must be a list of"),
        ('[{"id": "1", "email": "ben@example.com"}]', "6 members are not in"),
    ],
)
async def test_a_wrong_file_of_users_is_one_line(shell: Shell, tmp_path: Path, users: str | None, problem: str) -> None:
    groups = tmp_path / "groups.yaml"
    groups.write_text("groups: [{name: a, members: [a@x, b@x, c@x, d@x, e@x, f@x]}]")
    if users is not None:
        (tmp_path / "users.json").write_text(users)
    result = await shell.run("demo", str(groups), "--users", str(tmp_path / "users.json"))
    assert (result.code, result.out) == (Exit.BAD_INPUT, "")
    assert problem in result.err


async def test_the_demo_admits_what_is_not_equal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    original = demo._Walkthrough.apply

    async def tampered(tour: Any, plan: Plan) -> Report:  # noqa: ANN401
        report = await original(tour, plan)
        groups: SecodaClient = tour.secoda
        found = [group async for group in groups.groups.list()]
        await groups.groups.update(found[0].id, description="changed")
        await groups.groups.delete(found[1].id)
        await groups.groups.create(name=found[2].name)
        await groups.groups.create(name="a stranger")
        return evolve(report, outcomes=(evolve(report.outcomes[0], status="failed"), *report.outcomes[1:]))

    monkeypatch.setattr(demo._Walkthrough, "apply", tampered)
    result = await shell.run("demo", "--speed", "20000")
    assert result.code == Exit.SOME_FAILED
    for text in (
        "Not as expected",
        "NOT equal",
        "NOT empty",
        ": differs",
        ": missing",
        "1 names exist twice",
        "a stranger: not in the file",
        "failed: ",
    ):
        assert text in result.out


# --- the console ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (725, "12 min 05 s"),
     (3599.6, "1 h 00 min"), (4800, "1 h 20 min")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def terminal() -> Callable[[int], Console]:
    def made(width: int) -> Console:
        console = Console(Output())
        console.out = RichConsole(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
        console.err = RichConsole(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
        return console

    return made


def printed(console: RichConsole) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_on_a_terminal_a_bar_shows_the_time_the_limit_needs(terminal: Callable[[int], Console]) -> None:
    console = terminal(100)
    with console.progress("creating groups", 90, lambda left: left * 2.0) as bar:
        bar.update(1, 0)
        bar.describe("nearly there")
    assert "about 2 min 58 s left" in printed(console.err)
    with console.progress("writing", 2, lambda left: left * 2.0) as bar:
        bar.update(1, 1)
        bar.update(2, 1)
    assert "writing, 1 failed" in printed(console.err)
    assert "2/2" in printed(console.err)
    assert bar._task == TaskID(0)


@pytest.mark.requirement("BS-7")
def test_elsewhere_a_line_is_written_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    console, seconds = Console(Output()), 0.0
    console.err = RichConsole(file=io.StringIO(), width=100)
    monkeypatch.setattr("secoda_async.cli.output.console.time.monotonic", lambda: seconds)
    with console.progress("applying", 90, lambda left: left * 2.0) as bar:
        for done in range(1, 80):
            seconds += 1.0
            bar.update(done, int(done > 50))
    assert printed(console.err).splitlines() == [
        "applying: 30 of 90, about 2 min 00 s left",
        "applying, 1 failed: 60 of 90, about 1 min 00 s left",
    ]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_ids_are_whole_on_any_terminal(terminal: Callable[[int], Console], width: int) -> None:
    console = terminal(width)
    group_id = "3131f219-16bb-4c95-853a-894ae12db42a"
    columns = (
        Column(""), Column("name"), Column("members", align="right"), Column("description", "shrink"),
        Column("id", "keep"),
    )  # fmt: skip
    console.table("1 group", columns, [("", "n" * 70, "3", "d" * 90, group_id)])
    lines = printed(console.out).splitlines()
    assert any(group_id in line for line in lines)
    assert all(len(line) <= width for line in lines)
    assert len(lines) == 3  # a line for each group


def test_what_gives_way_is_left_out_before_it_says_nothing(terminal: Callable[[int], Console]) -> None:
    for width, is_shown in ((70, False), (110, True)):
        console = terminal(width)
        columns = (Column("name"), Column("description", "shrink"), Column("id"))
        console.table("1 group", columns, [("n" * 20, "d" * 90, "i" * 36)])
        assert ("ddd…" in printed(console.out)) is is_shown


@pytest.mark.requirement("OB-1", "CL-1")
async def test_a_long_wait_is_told_once(shell: Shell, workspace: Emulator) -> None:
    for _ in range(2):
        await shell.run("groups", "list", "--json")
    log = logging.getLogger("secoda_async")
    log.info("waiting %.1f s (%s) before %s %s", 47, "the write limit", "POST", "/auth/group")
    log.info("something else")
    log.warning("of interest")
    _, err = shell.capture.readouterr()
    assert err == "waiting 47.0 s (the write limit) before POST /auth/group\nof interest\n"
    assert workspace.requests


@pytest.mark.parametrize("command", [("create",), ("update", "g")])
async def test_an_empty_name_writes_nothing(shell: Shell, workspace: Emulator, command: tuple[str, ...]) -> None:
    result = await shell.run("groups", *command, "--name", "  ")
    assert (result.code, result.err) == (64, "secoda-async: the name is empty: nothing was sent\n")
    assert workspace.requests == []
