"""The command `undo`."""

from pathlib import Path

import pytest

from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from secoda_async.reconcile.journal_runs import load_runs
from tests.support.shell import Shell, emulated, emulated_teams

FILE = """groups:
- name: Analysts
  description: new
  members: [ben@example.com]
- name: Stewards
"""


def content(workspace: Emulator) -> dict[str, tuple[object, ...]]:
    return {
        group["name"]: (group["icon"], group["description"], sorted(group["users"]))
        for group in workspace.groups.values()
    }


async def test_undo_restores_what_apply_changed(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log, saved = str(tmp_path / "apply.jsonl"), str(tmp_path / "undo.json")
    (tmp_path / "groups.yaml").write_text(FILE, "utf-8")
    async with emulated_teams(monkeypatch) as workspace:
        before = content(workspace)
        options = ("--yes", "--prune", "--max-delete", "2", "--log", log)
        applied = await shell.run("apply", str(tmp_path / "groups.yaml"), *options)
        assert applied.code == Exit.DONE, applied.err
        assert content(workspace) != before

        shown = await shell.run("undo", log)
        assert shown.code == Exit.DONE
        for text in ("+ create Others", "~ update Analysts", "- delete Stewards", "lost for good: 'Others' (was "):
            assert text in shown.out
        assert "3 changes" in shown.err
        assert "save this plan with --out FILE" in shown.err
        stored = await shell.run("undo", log, "--out", saved, "--detailed-exitcode")
        assert stored.code == Exit.CHANGES
        assert stored.err.endswith(f"To undo: run `secoda-async apply {saved}`.\n")
        assert not {record.method for record in workspace.requests[-3:]} - {"GET"}

        assert (await shell.run("apply", saved, "--yes", "--log", log)).code == Exit.DONE
        assert content(workspace) == before

        redo = await shell.run("undo", log, "--json")
        assert [change["kind"] for change in redo.json["changes"]] == ["create", "update", "delete"]
        run = load_runs(log)[0].id
        assert f"the journal also has {run} (3 changes): choose with --run" in redo.err
        first = await shell.run("undo", log, "--run", run)
        assert (first.code, first.out) == (Exit.DONE, "nothing to do; 3 unchanged\n")


async def test_undo_ends_with_3_on_conflicts_and_4_beyond_the_limits(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = str(tmp_path / "apply.jsonl")
    (tmp_path / "groups.yaml").write_text("groups: [{name: A}, {name: B}, {name: C}]", "utf-8")
    async with emulated_teams(monkeypatch) as workspace:
        assert (await shell.run("apply", str(tmp_path / "groups.yaml"), "--yes", "--log", log)).code == Exit.DONE
        unsafe = await shell.run("undo", log)
        assert (unsafe.code, "--max-delete" in unsafe.out) == (Exit.UNSAFE, True)
        assert (await shell.run("undo", log, "--max-delete", "3")).code == Exit.DONE
        for group in workspace.groups.values():
            group["description"] = "changed by hand"
        changed = await shell.run("undo", log)
        assert (changed.code, changed.out.count("since the run created it")) == (Exit.SOME_FAILED, 3)


async def test_journal_that_is_damaged_or_of_another_workspace_is_refused(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "apply.jsonl"
    (tmp_path / "groups.yaml").write_text("groups: [{name: A}]", "utf-8")
    async with emulated_teams(monkeypatch) as workspace:
        await shell.run("apply", str(tmp_path / "groups.yaml"), "--yes", "--log", str(log))
        assert (await shell.run("undo", str(log), "--out", str(log))).code == Exit.USAGE
        unknown = await shell.run("undo", str(log), "--run", "x")
        assert (unknown.code, "no run 'x'" in unknown.err) == (Exit.BAD_INPUT, True)
        sent = len(workspace.requests)
        async with emulated_teams(monkeypatch):
            elsewhere = await shell.run("undo", str(log))
        assert (elsewhere.code, f"wrote to {workspace.url}" in elsewhere.err) == (Exit.STALE, True)
        log.write_text("garbage\n" + log.read_text("utf-8"), "utf-8")
        damaged = await shell.run("undo", str(log))
        assert (damaged.code, "apply.jsonl:1: is not a line of a journal" in damaged.err) == (Exit.BAD_INPUT, True)
        assert len(workspace.requests) == sent


async def test_undo_of_an_apply_that_had_nothing_to_do_is_empty(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log, saved = tmp_path / "apply.jsonl", str(tmp_path / "undo.json")
    (tmp_path / "groups.yaml").write_text("groups: [{name: Others}]", "utf-8")
    async with emulated_teams(monkeypatch):
        assert (await shell.run("apply", str(tmp_path / "groups.yaml"), "--yes", "--log", str(log))).code == Exit.DONE
        result = await shell.run("undo", str(log), "--out", saved)
        assert (result.code, result.out) == (Exit.DONE, "nothing to do\n")
        assert "the journal is empty" in result.err
        assert (await shell.run("apply", saved, "--yes")).code == Exit.DONE


@pytest.mark.parametrize("hide_pending", [False, True], ids=["shown", "hidden"])
async def test_undo_restores_members_with_a_pending_invitation(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, hide_pending: bool
) -> None:
    users = [{"id": f"u-{name}", "email": f"{name}@example.com", "pending": name == "eve"} for name in ("ana", "eve")]
    groups = [{"name": "A", "users": ["u-ana"]}, {"name": "B", "users": ["u-ana", "u-eve"]}, {"name": "C"}]
    text = "groups: [{name: A, members: [u-eve]}, {name: B, members: [u-ana]}, {name: C}, {name: D, members: [u-eve]}]"
    (tmp_path / "groups.yaml").write_text(text, "utf-8")
    log, saved = str(tmp_path / "apply.jsonl"), str(tmp_path / "undo.json")
    async with emulated(monkeypatch, users=users, groups=groups, hide_pending=hide_pending) as workspace:
        before = content(workspace)
        applied = await shell.run("apply", str(tmp_path / "groups.yaml"), "--yes", "--log", log)
        assert (applied.code, content(workspace)["A"][2]) == (Exit.DONE, ["u-eve"])
        undo = await shell.run("undo", log, "--out", saved)
        assert undo.code == Exit.DONE, undo.out
        assert (await shell.run("apply", saved, "--yes")).code == Exit.DONE
        assert content(workspace) == before
        assert (await shell.run("undo", log)).out.endswith("nothing to do; 3 unchanged\n")
