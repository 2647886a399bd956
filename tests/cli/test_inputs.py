"""The files of groups that commands read: several, directories, standard input; `--columns` and `--input`."""

import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.inputs import source_name
from secoda_async.emulator import Emulator
from tests.support.shell import Shell, emulated_teams

OKTA = "Group name,Email,Status\nAnalysts,ana@example.com,ACTIVE\nAnalysts,ben@example.com,SUSPENDED\n"


@pytest.fixture
def okta(tmp_path: Path) -> str:
    (tmp_path / "okta.csv").write_text(OKTA, "utf-8")
    return str(tmp_path / "okta.csv")


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


async def test_columns_with_other_names_are_read(shell: Shell, okta: str) -> None:
    result = await shell.run("validate", okta, "--columns", "group=Group name,member=Email,where:Status=active")
    assert result.code == Exit.DONE
    assert ", 1 membership" in result.out


async def test_suggested_columns_are_accepted(shell: Shell, okta: str) -> None:
    refused = await shell.run("validate", okta)
    assert refused.code == Exit.BAD_INPUT
    assert "--columns group='Group name',member=Email" in refused.err
    assert (await shell.run("validate", okta, "--columns", "group='Group name',member=Email")).code == Exit.DONE


@pytest.mark.parametrize(
    ("columns", "code", "problem"),
    [
        ("group=Group name,email=Email", Exit.USAGE, "columns: unknown key 'email'"),
        ("group=Group", Exit.BAD_INPUT, "okta.csv:1: there is no column 'Group': is it 'Group name'?"),
        (
            "group=Group name,where:Status=x",
            Exit.BAD_INPUT,
            "no row has Status = 'x': 'Status' has 'ACTIVE', 'SUSPENDED'",
        ),
    ],
    ids=["unknown-key", "missing-column", "no-row"],
)
async def test_wrong_columns_are_refused(shell: Shell, okta: str, columns: str, code: Exit, problem: str) -> None:
    result = await shell.run("validate", okta, "--columns", columns)
    assert result.code == code
    assert problem in result.err


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"group;member\nAnalysts;ana@example.com\n", []),
        ("group\tmember\nAnalysts\tana@example.com\n".encode("utf-16"), []),
        (b"group\nAnalysts\n", ["--input", "csv"]),
        (b"groups:\n- name: Analysts\n", []),
        (b'{"groups": [{"name": "Analysts"}]}', ["--input", "json"]),
    ],
    ids=["semicolons", "utf-16-tabs", "one-column", "yaml", "json"],
)
async def test_standard_input_is_read_by_content_or_option(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, content: bytes, options: list[str]
) -> None:
    pipe(monkeypatch, content)
    assert (await shell.run("validate", "-", *options)).code == Exit.DONE


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Emulator]:
    monkeypatch.chdir(tmp_path)
    async with emulated_teams(monkeypatch) as workspace:
        yield workspace


@pytest.fixture
def files(workspace: Emulator, tmp_path: Path) -> Path:
    """Write a directory with two files, and a file beside the directory."""
    assert workspace.url
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "a.yaml").write_text("groups: [{name: Analysts, description: new}]", "utf-8")
    (tmp_path / "groups" / "b.csv").write_text("group,member\nStewards,ana@example.com\n", "utf-8")
    (tmp_path / "more.json").write_text('{"groups": [{"name": "Others"}]}', "utf-8")
    return tmp_path


@pytest.mark.usefixtures("shell", "files")
async def test_several_files_and_directories_are_one_plan(shell: Shell) -> None:
    result = await shell.run("plan", "groups", "more.json", "--prune")
    assert result.code == Exit.DONE
    assert "1 to create, 1 to update; 1 unchanged" in result.out


async def test_several_files_are_applied(shell: Shell, files: Path, workspace: Emulator) -> None:
    result = await shell.run("apply", str(files / "groups"), "more.json", "--yes")
    assert result.code == Exit.DONE
    assert {group["name"] for group in workspace.groups.values()} == {"Analysts", "Others", "Stewards"}


async def test_every_problem_of_all_files_is_printed(shell: Shell, files: Path) -> None:
    (files / "groups" / "c.yaml").write_text("groups:\n- name: Others\n- nam: x\n", "utf-8")
    result = await shell.run("plan", "groups", "more.json", "absent.yaml")
    assert result.code == Exit.BAD_INPUT
    assert "groups/c.yaml:3:3: a group has an unknown key 'nam'" in result.err
    assert "absent.yaml: can't be read: No such file" in result.err
    assert "more.json:1:13: duplicate name 'Others', first at groups/c.yaml:2:3" in result.err


@pytest.mark.usefixtures("shell", "files")
async def test_input_names_the_format_of_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "Team;Mail;Status\nStewards;ana@example.com;active\nStewards;ben@example.com;left\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(table))
    columns = "group=Team,member=Mail,where:Status=ACTIVE"
    result = await shell.run("plan", "-", "more.json", "--columns", columns)
    assert result.code == Exit.DONE, result.err
    assert "members +1: ana@example.com" in result.out
    monkeypatch.setattr(sys, "stdin", io.StringIO("group\nStewards\n"))
    assert "+ create Stewards" in (await shell.run("plan", "-", "--input", "csv")).out


class TestOutputs:
    """No input is overwritten, and no output becomes an input."""

    @pytest.mark.requirement("BS-10")
    @pytest.mark.parametrize("option", ["--out", "--output"])
    async def test_file_of_a_directory_is_not_overwritten(self, shell: Shell, files: Path, option: str) -> None:
        before = (files / "groups" / "a.yaml").read_text("utf-8")
        (files / "link.yaml").hardlink_to(files / "groups" / "a.yaml")
        for output in ("groups/a.yaml", "link.yaml"):
            result = await shell.run("plan", "more.json", "groups", option, output)
            assert (result.code, "the command would overwrite it" in result.err) == (Exit.USAGE, True)
        assert (files / "groups" / "a.yaml").read_text("utf-8") == before

    @pytest.mark.requirement("BS-10")
    async def test_output_in_a_directory_that_is_read_is_refused(
        self, shell: Shell, files: Path, workspace: Emulator
    ) -> None:
        (files / "groups" / "sub").mkdir()
        result = await shell.run("plan", "groups", "--out", "groups/sub/plan.json")
        assert (result.code, "the next run would read it as groups" in result.err) == (Exit.USAGE, True)
        assert not workspace.requests
        assert (await shell.run("plan", "groups", "--output", "groups/plan.txt")).code == Exit.DONE
        assert (await shell.run("plan", "groups", "--out", "plan.json")).code == Exit.DONE

    @pytest.mark.usefixtures("shell", "files")
    @pytest.mark.requirement("BS-10")
    async def test_log_and_report_are_checked_too(self, shell: Shell) -> None:
        result = await shell.run("apply", "groups", "--yes", "--log", "groups/b.csv")
        assert (result.code, "--log is the same file as an input" in result.err) == (Exit.USAGE, True)


class TestSavedPlans:
    @pytest.mark.usefixtures("shell", "files")
    async def test_saved_plan_is_applied_alone(self, shell: Shell, workspace: Emulator) -> None:
        assert (await shell.run("plan", "groups", "--out", "plan.json")).code == Exit.DONE
        beside = await shell.run("apply", "plan.json", "more.json", "--yes")
        assert beside.code == Exit.BAD_INPUT
        assert "plan.json:1:1: is a saved plan, not a file of groups: pass it alone to `apply` or `show`" in beside.err
        assert not workspace.writes
        assert (await shell.run("apply", "plan.json")).code == Exit.DONE

    @pytest.mark.usefixtures("shell", "files")
    @pytest.mark.parametrize("option", [("--columns", "group=x"), ("--input", "csv")], ids=["columns", "input"])
    async def test_saved_plan_takes_no_options_for_files(self, shell: Shell, option: tuple[str, str]) -> None:
        assert (await shell.run("plan", "groups", "--out", "plan.json")).code == Exit.DONE
        result = await shell.run("apply", "plan.json", *option)
        assert (result.code, "a saved plan has its rules" in result.err) == (Exit.USAGE, True)


@pytest.mark.parametrize("command", ["plan", "apply"])
async def test_unknown_option_is_no_file(shell: Shell, files: Path, command: str) -> None:
    result = await shell.run(command, "more.json", "--prnue")
    assert (result.code, "unknown option --prnue (see secoda-async" in result.err) == (Exit.USAGE, True)
    (files / "-x.json").write_text('{"groups": []}', "utf-8")
    assert "-x.json" not in (await shell.run("plan", "--", "-x.json")).err


@pytest.mark.usefixtures("shell", "files")
@pytest.mark.parametrize("command", ["plan", "apply"])
async def test_a_file_is_needed(shell: Shell, command: str) -> None:
    result = await shell.run(command)
    assert (result.code, "FILES" in result.err) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["x/a.yaml"], "a.yaml"),
        (["-"], "-"),
        (["a", "b/", "c"], "a, b, c"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
    ],
    ids=["one", "stdin", "three", "five"],
)
def test_source_name_names_the_first_files(names: list[str], expected: str) -> None:
    assert source_name([Path(name) for name in names]) == expected
