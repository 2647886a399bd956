"""Reading journals: runs, incomplete lines, and damage."""

import json
from pathlib import Path
from typing import Any

import pytest

from secoda_async import DesiredStateError, SecodaClient
from secoda_async.emulator import Emulator
from secoda_async.reconcile.files import input_file
from secoda_async.reconcile.journal_runs import load_runs, read_runs, select_run
from tests.support.applies import make_plan


def line(event: str = "intent", **fields: object) -> bytes:
    given = {
        "time": "2026-01-02T03:04:05.678+00:00",
        "version": 2,
        "event": event,
        "run": "r1",
        "origin": "https://api.secoda.co",
        "workspace": "w",
        "plan": "d1",
        "index": 0,
        "kind": "update",
        "name": "a",
        "id": "g-a",
    }
    rest: dict[str, Any] = {"before": {"icon": "i"}, "after": {"icon": "j"}}
    if event == "outcome":
        rest = {"status": "applied", "attempts": 1, "error": None}
    return json.dumps(given | rest | fields).encode() + b"\n"


def problems_of(content: bytes) -> tuple[str, ...]:
    with pytest.raises(DesiredStateError) as caught:
        read_runs(content, "log")
    return caught.value.problems


async def test_journal_of_two_applies_has_two_runs(emulator: Emulator, secoda: SecodaClient, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    plan = await make_plan(secoda)
    await secoda.apply(plan, log=log)
    emulator.groups["a"]["description"] = "again"
    await secoda.apply(await make_plan(secoda), log=log)
    first, second = load_runs(log)
    assert (first.digest, first.origin, first.workspace) == (plan.digest, emulator.url, plan.workspace)
    assert [(each.change.kind, each.is_applied) for each in first.changes] == [
        ("create", True),
        ("update", True),
        ("delete", True),
    ]
    assert first.changes[0].id in emulator.groups
    assert [each.change.after.description for each in second.changes] == ["changed"]
    assert second.changes[0].change.place == f"{log}:7"
    assert select_run([first, second]) is second
    assert select_run([first, second], first.id) is first
    assert select_run([first, second], first.digest) is first
    with pytest.raises(DesiredStateError, match="no run 'x': its runs are"):
        select_run([first, second], "x")


def test_default_run_is_the_last_one_with_changes() -> None:
    changing, idle = read_runs(line() + line(run="r2") + line("outcome", run="r2", status="unchanged"), "log")
    assert (len(changing.changes), idle.changes) == (1, ())
    assert select_run([changing, idle]) is changing
    assert select_run([changing, idle], "r2") is idle
    assert select_run([idle]) is idle


def test_empty_journal_has_no_runs() -> None:
    assert read_runs(b"\n", "log") == []
    assert select_run([]) is None
    with pytest.raises(DesiredStateError, match="no run 'x': it is empty"):
        select_run([], "x")


def test_last_outcome_of_a_change_counts() -> None:
    (run,) = read_runs(line() + line("outcome", status="unknown") + line("outcome"), "log")
    assert [each.is_applied for each in run.changes] == [True]
    (run,) = read_runs(line() + line("outcome", status="not_attempted", index=1), "log")
    assert [each.is_applied for each in run.changes] == [False]


def test_lines_about_held_members_are_no_changes() -> None:
    held = line("held", group="a", member="x@example.com", reason="is not a user", place="", kept=[])
    (run,) = read_runs(held + line() + line("outcome"), "log")
    assert len(run.changes) == 1


def test_incomplete_last_line_of_a_run_is_ignored() -> None:
    torn = line("outcome")[:50]
    for content in (line() + torn, line() + torn + b"\n\n" + line(run="r2") + line("outcome", run="r2")):
        assert not read_runs(content, "log")[0].changes[0].is_applied
    cut_in_a_character = line() + '{"time": "é'.encode()[:-1]
    assert len(read_runs(cut_in_a_character, "log")) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"hello", "log:1: is not a line of a journal: it is not JSON"),
        (b"groups:\n- name: a\n", "log:1: is not a line of a journal: it is not JSON"),
        (b"garbage\n" + line(), "log:1: is not a line of a journal: it is not JSON. If its run crashed before"),
        (line() + b"garbage\n" + line("outcome"), "log:2: is not a line of a journal: it is not JSON"),
        (line() + b"garbage\n{\n" + line("outcome", run="r2"), "log:2: is not a line of a journal"),
        (line() + b"[]\n" + line("outcome"), "log:2: is not a line of a journal: it is not a JSON object"),
        (line() + b"[" * 100_000 + b"\n" + line("outcome"), "log:2: is not a line of a journal: it is not JSON"),
        (line(version=None), "log:1: is not a line of a journal: it has no version"),
        (line(version=1), "log:1: is a line of version 1, not 2: another version of this program wrote it"),
        (line(event="intent", index=None), "log:1: index: missing"),
        (line(index="0"), "log:1: index: expected a whole number or null, got a string"),
        (line(kind="merge"), "log:1: kind: "),
        (line(name=1), "log:1: name: expected a string, got a number"),
        (line(after={"users": "u"}), "log:1: after.users: expected a list of strings, got a string"),
        (line(id=None), "log:1: id: missing for the update of a group"),
        (line() + line(), "log:2: is a second intent of change 0, first at log:1"),
        (line() + line("outcome", plan="d2"), "log:2: belongs to another plan or workspace"),
        (line() + line("outcome", status="fine"), "log:2: status: 'fine' is not a status"),
        (line("outcome"), "log:1: is the outcome of change 0, whose intent is missing: lines were removed"),
        (b'{\n "changes": [],\n "digest": ""\n}\n', "log: is a plan, not a journal: pass the file that `apply --log`"),
        (b"{\n", "log:1: is not a line of a journal"),
    ],
    ids=[
        "text",
        "groups file",
        "garbage first",
        "garbage in the middle",
        "two bad lines",
        "list",
        "deep",
        "no version",
        "other version",
        "no index",
        "index of another type",
        "unknown kind",
        "name of another type",
        "members of another type",
        "update without an id",
        "two intents",
        "two plans",
        "unknown status",
        "no intent",
        "plan",
        "brace",
    ],
)
def test_damaged_journal_is_refused_with_the_line(content: bytes, problem: str) -> None:
    assert problems_of(content)[0].startswith(problem)


def test_many_problems_are_cut_with_a_count() -> None:
    content = b"".join(line(index=index, version=None) for index in range(12))
    assert len(problems_of(content)) == 10
    with pytest.raises(DesiredStateError, match="and 2 more"):
        read_runs(content, "log")


def test_file_that_can_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DesiredStateError, match="can't be read: No such file"):
        load_runs(tmp_path / "none")
    with pytest.raises(DesiredStateError, match="is not a valid file name"):
        load_runs("a\0b")
    log = tmp_path / "log.jsonl"
    log.write_bytes(line() * 3)
    monkeypatch.setattr(input_file, "_MAX_BYTES", 100)
    with pytest.raises(DesiredStateError, match=r"is it the right file\? If it is, copy the lines of the run"):
        load_runs(log)
