"""`secoda-async explain`: one person's groups, and the effect of a plan on each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from tests.support.shell import Shell, emulated_teams

FILE = """\
groups:
- name: Analysts
  members: [ben@example.com]
- name: New
  members:
  - ana@example.com
"""


@pytest.fixture
async def teams(
    shell: Shell,  # noqa: ARG001 - forgets the environment first
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Emulator]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "groups.yaml").write_text(FILE, "utf-8")
    async with emulated_teams(monkeypatch) as workspace:
        yield workspace


async def test_effects_are_a_table_for_people(shell: Shell, teams: Emulator) -> None:
    result = await shell.run("explain", "ana@example.com", "groups.yaml")
    assert result.code == Exit.DONE
    title, _, *rows, summary = [" ".join(line.split()) for line in result.out.splitlines()]
    assert title.startswith("ana@example.com")
    assert rows == [
        "New - added listed at groups.yaml:6:5",
        "Analysts member removed not in the members at groups.yaml:2:3",
    ]
    assert summary == "1 group now, 1 after the plan"
    assert teams.writes == []


async def test_effects_are_a_document_for_programs(shell: Shell, teams: Emulator) -> None:
    result = await shell.run("explain", "u-ana", "groups.yaml", "--json")
    removed, added = result.json["groups"]
    assert removed == {
        "group": "Analysts",
        "id": next(iter(teams.groups)),
        "is_member": True,
        "will_be_member": False,
        "places": [],
        "reason": "not_listed",
        "detail": "not in the members at groups.yaml:2:3",
        "effect": "removed",
    }
    assert (added["effect"], added["places"]) == ("added", ["groups.yaml:6:5"])
    assert result.json["user"]["email"] == "ana@example.com"
    assert (result.json["refusals"], result.json["breaches"]) == ([], [])


async def test_present_groups_are_shown_without_files(shell: Shell, teams: Emulator) -> None:
    result = await shell.run("explain", "ana@example.com")
    assert result.code == Exit.DONE
    assert "Analysts" in result.out
    assert "Others" not in result.out
    document = await shell.run("explain", "ana@example.com", "--json")
    assert [group["group"] for group in document.json["groups"]] == ["Analysts"]
    teams.groups[document.json["groups"][0]["id"]]["users"] = []
    assert "0 groups" in (await shell.run("explain", "ana@example.com")).out


@pytest.mark.usefixtures("teams")
async def test_person_without_groups_has_no_table(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text("groups: []\n", "utf-8")
    result = await shell.run("explain", "ben@example.com", "groups.yaml")
    assert result.code == Exit.DONE
    assert result.out.splitlines()[1:] == ["0 groups now, 0 after the plan"]


async def test_rules_of_a_plan_apply(shell: Shell, teams: Emulator) -> None:
    kept = await shell.run("explain", "ana@example.com", "groups.yaml", "--additive", "--json")
    assert [group["effect"] for group in kept.json["groups"]] == ["stays", "added"]
    wrong = await shell.run("explain", "ana@example.com", "groups.yaml", "--max-delete", "x")
    assert wrong.code == Exit.USAGE
    teams.groups.clear()
    bad = await shell.run("explain", "ana@example.com", "absent.yaml")
    assert bad.code == Exit.BAD_INPUT


@pytest.mark.requirement("BS-12")
@pytest.mark.usefixtures("teams")
async def test_person_of_the_files_who_is_not_a_user_is_explained(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text("groups:\n- name: Analysts\n  members: [gone@example.com]\n", "utf-8")
    result = await shell.run("explain", "gone@example.com", "groups.yaml")
    assert result.code == Exit.DONE
    assert "gone@example.com (not a user)" in result.out
    assert "listed at groups.yaml:3:13, but is not a user of this workspace" in result.out
    assert "The plan is refused, because members in the files are not users" in result.out


@pytest.mark.usefixtures("teams")
async def test_breaches_are_pointed_out(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text("groups: []\n", "utf-8")
    result = await shell.run("explain", "ana@example.com", "groups.yaml", "--prune")
    assert "The plan needs an approval: `plan` has the reasons" in result.out
    assert "--approve" not in result.out


@pytest.mark.requirement("CL-3")
async def test_unknown_or_ambiguous_person_is_an_error(shell: Shell, teams: Emulator) -> None:
    unknown = await shell.run("explain", "x@example.com", "groups.yaml")
    assert unknown.code == Exit.BAD_INPUT
    assert "no user has the address x@example.com, nor do the files list it" in unknown.err
    nobody = await shell.run("explain", "u-x")
    assert (nobody.code, "no user has the id u-x: `users list` shows all users" in nobody.err) == (65, True)
    teams.users["u-eve"]["email"] = "Ana@example.com"
    several = await shell.run("explain", "ANA@example.com", "groups.yaml", "--json")
    assert several.code == Exit.BAD_INPUT
    assert several.json["error"]["candidates"] == ["u-ana", "u-eve"]
