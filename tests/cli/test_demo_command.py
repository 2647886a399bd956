"""The command `demo`."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from secoda_async import Plan, Report, SecodaClient
from secoda_async.cli.commands import demo
from secoda_async.cli.exit_codes import Exit
from tests.support.shell import Shell


async def test_demo_applies_the_sample_and_its_later_version(shell: Shell) -> None:
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


async def test_demo_prints_a_summary(shell: Shell, files: tuple[Path, Path, Path]) -> None:
    groups, _, users = files
    result = await shell.run("demo", str(groups), "--users", str(users), "--speed", "1000")
    assert result.code == Exit.DONE
    for text in ("2 of 2, all equal", "memberships", "2 of them writes", "Too Many Requests  0", "nothing to do"):
        assert text in result.out
    assert "An emulated workspace" in result.err
    assert "2 to create" in result.err


async def test_demo_reads_a_table_with_other_columns(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "team.csv").write_text("Team;Mail\nA;ana@example.com\nB;\n")
    result = await shell.run(
        "demo", str(tmp_path / "team.csv"), "--columns", "group=Team,member=Mail", "--speed", "1000"
    )
    assert (result.code, "2 of 2, all equal" in result.out) == (Exit.DONE, True)


async def test_demo_loaded_starts_with_the_groups_in_place(shell: Shell, files: tuple[Path, Path, Path]) -> None:
    groups, later, users = files
    arguments = ("demo", str(groups), "--then", str(later), "--users", str(users), "--speed", "1000", "--loaded")
    document = (await shell.run(*arguments, "--json")).json
    assert (document["ok"], document["writes"], document["then"]["writes"]) == (True, 0, 3)
    result = await shell.run(*arguments)
    assert result.code == Exit.DONE
    cost = "1 write and 2 deletes, immediately"
    for text in ("+ create c", 'icon: "x"', "- delete a", "2 of 2 groups would be deleted", cost):
        assert text in result.out


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        (None, "can't be read: No such file"),
        ("[", "is not JSON"),
        ("{}", "must be a list of"),
        ("[1]", "[0]: users must be a list of"),
        ('[{"id": "1"}]', "[0]: users must be a list of"),
        ('[{"id": 1, "email": "x"}]', "[0]: users must be a list of"),
        ('[{"id": "1", "email": "ben@example.com"}]', "6 members are not in"),
    ],
)
async def test_demo_with_an_invalid_users_file_is_one_line(
    shell: Shell, tmp_path: Path, users: str | None, problem: str
) -> None:
    groups = tmp_path / "groups.yaml"
    groups.write_text("groups: [{name: a, members: [a@x.org, b@x.org, c@x.org, d@x.org, e@x.org, f@x.org]}]")
    if users is not None:
        (tmp_path / "users.json").write_text(users)
    result = await shell.run("demo", str(groups), "--users", str(tmp_path / "users.json"))
    assert (result.code, result.out) == (Exit.BAD_INPUT, "")
    assert problem in result.err


async def test_demo_reports_differences(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    original = demo._Walkthrough.apply

    async def tampered(tour: Any, plan: Plan) -> Report:
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
