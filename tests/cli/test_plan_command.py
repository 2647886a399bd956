"""The command `plan`: what it prints, and its exit codes."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from secoda_async import (
    Plan,
)
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from tests.support.shell import Shell, emulated_teams

FILE = """groups:
- name: Stewards
  icon: 🧪
  members: [ana@example.com, ben@example.com]
- name: Analysts
"""


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    async with emulated_teams(monkeypatch) as workspace:
        yield workspace


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "groups.yaml").write_text(FILE, "utf-8")
    return str(tmp_path / "groups.yaml")


@pytest.mark.requirement("BS-3", "CL-1")
async def test_plan_shows_changes_and_writes_nothing(shell: Shell, workspace: Emulator, file: str) -> None:
    result = await shell.run("plan", file, "--prune", "--detailed-exitcode")
    assert result.code == Exit.CHANGES
    assert result.out.splitlines()[:6] == [
        "+ create Stewards",
        '    icon: "🧪"',
        "    members +2: ana@example.com, ben@example.com",
        "- delete Others",
        "    members -1: eve@example.com",
        "1 to create, 1 to delete; 1 unchanged",
    ]
    assert workspace.count() == workspace.count("GET")


@pytest.mark.requirement("CL-1")
async def test_plan_without_changes_exits_with_0(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text("groups: [{name: Analysts}]")
    result = await shell.run("plan", str(tmp_path / "g.yaml"), "--detailed-exitcode")
    assert (result.code, result.out) == (
        0,
        "not managed: 1 group: Others\nnothing to do; 1 unchanged, 1 not managed\n",
    )
    assert workspace.requests


@pytest.mark.requirement("CL-4")
@pytest.mark.parametrize("options", [(), ("--detailed-exitcode",), ("--format", "json"), ("--json",)])
async def test_plan_has_the_exit_code_of_apply(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "c.yaml").write_text("groups: [{name: Others, id: none}, {name: New}]")
    conflict = str(tmp_path / "c.yaml")
    assert (await shell.run("plan", conflict, *options)).code == Exit.SOME_FAILED
    beyond = ("--prune", "--max-delete", "0")
    assert (await shell.run("plan", file, *beyond, *options)).code == Exit.UNSAFE
    assert (await shell.run("plan", conflict, *beyond, *options)).code == Exit.UNSAFE  # it would not even begin
    assert (await shell.run("apply", conflict, *beyond, "--yes")).code == Exit.UNSAFE
    assert (await shell.run("apply", conflict, "--yes")).code == Exit.SOME_FAILED
    assert len(workspace.writes) == 1


@pytest.mark.parametrize("option", [("--json",), ("--format", "json")])
async def test_plan_json_is_the_plan(shell: Shell, workspace: Emulator, file: str, option: tuple[str, ...]) -> None:
    result = await shell.run("plan", file, *option)
    assert Plan.from_document(result.json, "-").summary() == "1 to create; 1 unchanged, 1 not managed"
    assert workspace.requests


async def test_plan_markdown_is_a_table(shell: Shell, workspace: Emulator, file: str) -> None:
    result = await shell.run("plan", file, "--format", "markdown")
    assert result.out.startswith("### Secoda groups: 1 to create; 1 unchanged, 1 not managed\n")
    assert '| create | `Stewards` | `icon: "🧪"`<br>`members +2: ana@example.com, ben@example.com` |' in result.out
    assert workspace.requests


@pytest.mark.requirement("CL-1")
async def test_plan_out_to_an_unwritable_path_is_one_line(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    result = await shell.run("plan", file, "--out", str(tmp_path / "no" / "plan.json"))
    assert (result.code, "can't be written: No such file" in result.err) == (64, True)
    assert workspace.requests


HELD_FILE = """group,member
Analysts,ben@example.com
Analysts,nobody@example.com
Others,eve@example.com
Others,left@example.com
"""


@pytest.fixture
def file_with_strangers(tmp_path: Path) -> str:
    (tmp_path / "hold.csv").write_text(HELD_FILE)
    return str(tmp_path / "hold.csv")


@pytest.mark.requirement("BS-12", "CL-4")
async def test_held_members_are_named_and_count_as_a_difference(
    shell: Shell, workspace: Emulator, file_with_strangers: str
) -> None:
    hold = (file_with_strangers, "--unknown-members", "hold")
    result = await shell.run("plan", *hold)
    assert result.code == Exit.DONE
    assert re.findall(r"^! held: .*", re.sub(r"\(.*?:\d+\)", "(PLACE)", result.out), re.MULTILINE) == [
        "! held: nobody@example.com (PLACE) is not a user of this workspace; Analysts keeps ana@example.com",
        "! held: left@example.com (PLACE) is not a user of this workspace; not added to Others",
    ]
    assert (await shell.run("apply", *hold, "--yes")).code == Exit.DONE
    again = await shell.run("plan", *hold, "--detailed-exitcode")
    assert (again.code, "nothing to do" in again.out) == (Exit.CHANGES, True)
    assert len(workspace.writes) == 1


@pytest.mark.requirement("BS-12")
@pytest.mark.parametrize("output", [("--format", "markdown"), ("--format", "html"), ("--json",)], ids=" ".join)
async def test_held_members_are_named_in_every_format(
    shell: Shell, workspace: Emulator, file_with_strangers: str, output: tuple[str, ...]
) -> None:
    result = await shell.run("plan", file_with_strangers, "--unknown-members", "hold", *output)
    for text in ("nobody@example.com", "left@example.com", "hold.csv:", "ana@example.com"):
        assert text in result.out
    assert workspace.requests
