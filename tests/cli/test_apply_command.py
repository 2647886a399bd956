"""The command `apply`: what it writes, asks and reports, and its exit codes."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from secoda_async import (
    Plan,
)
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from tests.support.shell import Shell, emulated_teams
from tests.support.waiting import wait_until

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


def names(workspace: Emulator) -> list[str]:
    return sorted(group["name"] for group in workspace.groups.values())


@pytest.mark.requirement("BS-4", "CL-1")
async def test_apply_makes_the_workspace_match_the_file(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    result = await shell.run("apply", file, "--yes", "--prune", "--log", str(tmp_path / "log"), "--deadline", "1h")
    assert result.code == 0
    assert result.out.splitlines()[-1].startswith("2 applied in 0.")
    assert result.out.splitlines()[-1].endswith("; verified by a last read")
    assert names(workspace) == ["Analysts", "Stewards"]
    assert len((tmp_path / "log").read_text().splitlines()) == 4
    again = await shell.run("apply", file, "--yes", "--prune", "--json")
    assert (again.json["ok"], again.json["writes"]) == (True, 0)


@pytest.mark.requirement("BS-3", "CL-1")
async def test_apply_of_an_unsafe_saved_plan_needs_approve_but_not_yes(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    saved = str(tmp_path / "plan.json")
    await shell.run("plan", file, "--prune", "--max-delete", "0", "--out", saved)
    refused = await shell.run("apply", saved)
    digest = Plan.load(saved).digest
    assert refused.code == Exit.UNSAFE
    assert "1 of 2 groups would be deleted; the limit is 0" in refused.err
    assert f"--approve {digest}" in refused.err
    assert "pass a higher" not in refused.err  # a saved plan takes no limits
    assert names(workspace) == ["Analysts", "Others"]
    assert (await shell.run("apply", saved, "--approve", digest)).code == 0
    assert names(workspace) == ["Analysts", "Stewards"]


@pytest.mark.requirement("BS-3")
@pytest.mark.parametrize(
    ("members", "options", "advice"),
    [
        ([], ["--max-delete", "0"], " (or pass a higher --max-delete)"),
        ([], ["--max-remove", "0"], " (or pass a higher --max-remove)"),
        ([], ["--max-delete", "0", "--max-remove", "0"], " (or pass a higher --max-delete and --max-remove)"),
        (["u-eve", "u-ben"], ["--max-delete", "9"], ""),  # a suspected rename: no limit allows it
        (["u-eve", "u-ben"], ["--max-delete", "0"], ""),
    ],
)
async def test_unsafe_plan_error_names_the_options_that_allow_it(
    shell: Shell, workspace: Emulator, tmp_path: Path, members: list[str], options: list[str], advice: str
) -> None:
    others = next(group for group in workspace.groups.values() if group["name"] == "Others")
    others["users"] = ["u-eve", "u-ben"]
    analysts: dict[str, object] = {"name": "Analysts", "members": []}
    groups = {"groups": [analysts, {"name": "New", "members": members}]}
    (tmp_path / "g.json").write_text(json.dumps(groups))
    refused = await shell.run("apply", str(tmp_path / "g.json"), "--prune", "--yes", *options)
    assert refused.code == Exit.UNSAFE
    assert f"\nTo apply it anyway, approve exactly this plan{advice}:\n  secoda-async apply " in refused.err
    assert re.search(r" --approve [0-9a-f]{32}\n$", refused.err)


@pytest.mark.requirement("CL-1")
async def test_apply_without_a_terminal_needs_yes(shell: Shell, workspace: Emulator, file: str) -> None:
    result = await shell.run("apply", file)
    assert (result.code, "needs --yes: nothing was written" in result.err) == (64, True)
    assert workspace.requests == []


@pytest.mark.parametrize(("answer", "code"), [("yes\n", 0), ("no\n", 1)])
async def test_apply_on_a_terminal_asks(
    shell: Shell,
    workspace: Emulator,
    file: str,
    answer: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: answer)
    result = await shell.run("apply", file)
    assert (result.code, "Make this change?" in result.err) == (code, True)
    assert ("Stewards" in names(workspace)) is (code == 0)


async def test_drift_exits_with_5(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text("groups: [{name: Analysts, description: new}]")
    saved = str(tmp_path / "plan.json")
    await shell.run("plan", str(tmp_path / "g.yaml"), "--out", saved)
    next(iter(workspace.groups.values()))["description"] = "theirs"
    assert (await shell.run("apply", saved)).code == Exit.STALE
    skipped = await shell.run("apply", saved, "--on-drift", "skip")
    assert skipped.code == Exit.SOME_FAILED
    assert "failed: Analysts: 'Analysts' has changed since the plan was made" in skipped.out


@pytest.mark.requirement("CL-1")
async def test_failed_changes_exit_with_3_and_are_named(shell: Shell, workspace: Emulator, file: str) -> None:
    workspace.faults.add(status=400, body={"name": ["no"]}, method="POST", times=None)
    result = await shell.run("apply", file, "--yes")
    assert (result.code, "failed: Stewards: " in result.out) == (3, True)
    document = (await shell.run("apply", file, "--yes", "--json")).json
    assert [failure["name"] for failure in document["failures"]] == ["Stewards"]


async def test_difference_after_the_writes_is_named(
    shell: Shell, workspace: Emulator, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secoda_async.reconcile.verification._DELAYS", (0.0, 0.0))
    workspace.faults.add(
        transform=lambda page: page | {"results": page["results"][:2], "count": 2},
        method="GET",
        path="/group",
        skip=2,
        times=None,
    )
    result = await shell.run("apply", file, "--yes")
    assert (result.code, "problem: 'Stewards' does not exist" in result.out) == (3, True)
    assert "NOT verified" in result.out


@pytest.mark.requirement("BS-3", "CL-1")
async def test_saved_plan_refuses_prune_and_limits(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    saved = tmp_path / "plan.txt"
    await shell.run("plan", file, "--out", str(saved))
    read = len(workspace.requests)
    result = await shell.run("apply", str(saved), "--prune", "--max-delete", "0")
    assert (result.code, "a saved plan has its rules: pass --prune" in result.err) == (Exit.USAGE, True)
    assert len(workspace.requests) == read
    assert (await shell.run("apply", str(saved))).code == 0  # a plan by what it holds, not by its name
    assert "Stewards" in names(workspace)


@pytest.mark.parametrize("deadline", ["12", "1d", "soon"])
async def test_deadline_without_a_unit_is_refused(shell: Shell, file: str, deadline: str) -> None:
    result = await shell.run("apply", file, "--yes", "--deadline", deadline)
    assert (result.code, "--deadline must be a number with s, m or h" in result.err) == (64, True)


@pytest.mark.parametrize("text", ["{", '{"groups": []}', "[]"])
async def test_json_that_is_no_plan_is_read_as_groups(
    shell: Shell, workspace: Emulator, tmp_path: Path, text: str
) -> None:
    (tmp_path / "g.json").write_text(text)
    result = await shell.run("apply", str(tmp_path / "g.json"), "--yes")
    assert result.code == (0 if "groups" in text else 65)
    assert not workspace.count("POST")


@pytest.mark.slow
@pytest.mark.requirement("BS-7", "CL-1")
async def test_ctrl_c_lets_in_flight_writes_finish(workspace: Emulator, tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text(json.dumps({"groups": [{"name": f"g{index}"} for index in range(40)]}))
    workspace.faults.add(delay=0.2, method="POST", times=None)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "secoda_async", "apply", str(tmp_path / "g.json"), "--yes", "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    await wait_until(lambda: workspace.count("POST"))
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    document = json.loads(out)
    assert process.returncode == 130, err
    assert b"interrupted: finishing in-flight writes" in err
    assert document["counts"]["applied"] == workspace.count("POST")
    assert document["counts"]["not_attempted"] >= 10
    assert sum(document["counts"].values()) == 40


@pytest.mark.requirement("BS-12")
async def test_apply_names_held_members_after_the_writes(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    strangers = [f"nobody{number}@example.com" for number in range(12)]
    groups = [{"name": "Analysts", "members": ["ben@example.com", *strangers]}]
    (tmp_path / "g.json").write_text(json.dumps({"groups": groups}))
    options = ("--unknown-members", "hold", "--yes", "--report", str(tmp_path / "report.html"))
    result = await shell.run("apply", str(tmp_path / "g.json"), *options)
    assert result.code == 0
    after = result.out.splitlines()[-12:]
    assert after[0].startswith("held: nobody0@example.com (")
    assert after[0].endswith(" is not a user of this workspace; Analysts keeps ana@example.com")
    assert after[10] == "held: 2 more, see the plan above"
    assert after[11].startswith("1 applied in ")
    assert after[11].endswith("; verified by a last read; 12 unknown members held")
    assert "nobody11@example.com" in (tmp_path / "report.html").read_text("utf-8")
    document = (await shell.run("apply", str(tmp_path / "g.json"), *options, "--json")).json
    assert len(document["held"]) == 12
    assert document["held"][0]["kept"] == ["ana@example.com"]
    assert document["unmanaged_names"] == ["Others"]
    assert (document["pending"], document["disabled"], document["ignored_names"]) == ([], [], [])
    assert len(workspace.writes) == 1
    (tmp_path / "g.json").write_text(
        json.dumps({"groups": [groups[0] | {"members": ["ana@example.com", "x@y.example"]}]})
    )
    nothing = await shell.run("apply", str(tmp_path / "g.json"), *options)
    assert nothing.out.splitlines()[-1] == "nothing was written; 1 unknown member held"


async def test_apply_ends_with_the_number_of_conflicts(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text("groups: [{name: Others, id: none}]")
    result = await shell.run("apply", str(tmp_path / "g.yaml"), "--yes", "--verbose")
    assert (result.code, result.out.splitlines()[-1]) == (Exit.SOME_FAILED, "nothing was written; 1 group in conflict")
    assert workspace.requests


async def test_error_before_the_first_write_says_that_nothing_was_written(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    workspace.faults.add(status=401, body={"detail": "Invalid token."}, times=None)
    result = await shell.run("apply", file, "--yes")
    assert result.code == Exit.REFUSED
    assert result.err.startswith("secoda-async: nothing was written: 401 Invalid token. [GET /api/v1/auth/group]\n")
    workspace.faults.clear()
    saved = str(tmp_path / "plan.json")
    await shell.run("plan", file, "--out", saved)
    next(iter(workspace.groups.values()))["name"] = "Stewards"
    stale = await shell.run("apply", saved, "--json")
    assert stale.code == Exit.STALE
    assert stale.json["error"]["message"].count("nothing was written") == 1


async def test_incomplete_apply_ends_with_the_command_to_run_next(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    workspace.faults.add(status=400, body={"name": ["no"]}, method="POST", times=None)
    saved = str(tmp_path / "plan.json")
    await shell.run("plan", file, "--prune", "--max-delete", "0", "--out", saved)
    digest = Plan.load(saved).digest
    result = await shell.run("apply", saved, "--approve", digest, "--on-drift", "skip")
    lines = result.out.splitlines()
    assert lines[-7:-3] == [
        "failed: Stewards: 400 name: no [POST /api/v1/auth/group]",
        "not attempted: Others",
        "Stopped early: groups are deleted only after every other change has succeeded",
        "Certain: 2 changes are not written.",
    ]
    assert lines[-3].startswith("Next: Correct what the service refused. Run this again: ")
    assert lines[-2] == f"  secoda-async apply {saved} --on-drift skip --approve {digest}"
    again = await shell.run("apply", file, "--prune", "--yes", "--max-delete", "0", "--approve", "0" * 32)
    assert again.code == Exit.UNSAFE
    document = (await shell.run("apply", file, "--yes", "--json")).json
    assert document["causes"] == [
        {"status": "failed", "message": "400 name: no [POST /api/v1/auth/group]", "names": ["Stewards"]}
    ]
    assert document["stopped"] is None
    assert document["next_step"].startswith("Correct what the service refused.")
    assert document["next_command"] == f"secoda-async apply {file} --yes --json"
    assert "Others" in names(workspace)


async def test_dry_run_writes_neither_groups_nor_files(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    files = ["--log", str(tmp_path / "log"), "--report", str(tmp_path / "report.html")]
    result = await shell.run("apply", file, "--dry-run", "-y", *files)
    planned = await shell.run("plan", file)
    assert (result.code, result.out) == (Exit.DONE, planned.out)
    assert result.err == "A dry run: nothing was written.\n"
    refused = await shell.run("apply", file, "--dry-run", "-q", "--summary-only", "--prune", "--max-delete", "0")
    assert (refused.code, refused.err) == (Exit.UNSAFE, "")
    assert "+ create" not in refused.out
    assert list(map(os.path.exists, files[1::2])) == [False, False]
    assert names(workspace) == ["Analysts", "Others"]


async def test_dry_run_of_a_saved_plan_needs_no_key(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = str(tmp_path / "plan.json")
    planned = await shell.run("plan", file, "--out", saved)
    monkeypatch.delenv("SECODA_API_KEY")
    result = await shell.run("apply", saved, "--dry-run")
    assert (result.code, result.out, names(workspace)) == (Exit.DONE, planned.out, ["Analysts", "Others"])


async def test_output_that_fails_after_the_writes_does_not_change_the_exit_code(
    shell: Shell, workspace: Emulator, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("secoda_async.cli.commands.apply.print_report", fail)
    result = await shell.run("apply", file, "--yes")
    assert (result.code, "1 applied; the output can't be written" in result.err) == (0, True)
    assert "Stewards" in names(workspace)


async def test_failures_in_a_row_are_noted_once_with_the_number_that_ends_the_run(
    shell: Shell, workspace: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "many.yaml").write_text("groups:\n" + "".join(f"- name: New {number}\n" for number in range(9)))
    workspace.faults.add(status=400, method="POST", times=2)
    workspace.faults.add(status=400, method="POST", skip=1, times=4)
    result = await shell.run("apply", str(tmp_path / "many.yaml"), "--yes")
    assert result.code == Exit.SOME_FAILED
    assert result.err == (
        "3 changes in a row have failed. If the service is down, apply stops after 20. "
        "Ctrl-C stops it sooner, and a further run writes what is left.\n"
    )
