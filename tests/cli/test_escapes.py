"""Names and messages are escaped: none forges a line, controls a terminal, or runs in a spreadsheet."""

import csv
import io
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from secoda_async import Breach, Change, Conflict, DesiredGroup, DesiredState, DesiredStateError, Group, Plan, User
from secoda_async.cli import app
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from secoda_async.models import GroupFields
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.escape import escape_control, escape_json
from secoda_async.reconcile.files.cells import quote_cell, unquote_cell
from secoda_async.reconcile.files.writing import dump_groups
from secoda_async.reconcile.markdown import render_markdown
from secoda_async.reconcile.render import render_text
from secoda_async.reconcile.safety import Rules
from tests.support.shell import Shell

pytestmark = pytest.mark.requirement("SEC-2")

FORGED = "x\nDone: 5 applied\r\x1b[2K\u202eevil\x9b1m\u2028end"
SHOWN = r"x\nDone: 5 applied\r\x1b[2K\u202eevil\x9b1m\u2028end"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Emulator]:
    monkeypatch.chdir(tmp_path)
    users = [{"id": "u1", "email": f"{FORGED}@x"}, {"id": "u2", "email": "b@x"}]
    groups = [{"name": FORGED, "description": FORGED, "icon": FORGED, "users": ["u1", "u2"]}]
    async with Emulator(users=users, groups=groups) as workspace:
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        yield workspace


def save(name: str, *groups: dict[str, object]) -> None:
    Path(name).write_text(json.dumps({"groups": groups}), "utf-8")


COMMANDS = [
    "groups list",
    "groups get GROUP",
    "groups list --json",
    "users list",
    "groups list --members",
    "groups list --members --json",
    "users get u1",
    "users get u1 --json",
    "users list --json",
    "explain b@x g.json --prune",
    "explain u1 g.json --prune --json",
    "explain u1",
    "validate g.json",
    "plan g.json --prune",
    "plan g.json --prune --json",
    "plan g.json --prune --format markdown",
    "plan g.json --prune --format html",
    "apply g.json --prune --yes",
    "apply g.json --yes --approve x",
    "apply g.json --yes --json",
    "apply strangers.json --yes",
    "groups create --name A --user nobody\n@x",
    "groups get a\nb",
    "plan no\nfile.json",
    "groups get GROUP --debug",
    "groups get a\x1bb --debug",
]


@pytest.mark.parametrize("line", COMMANDS)
async def test_names_are_escaped_in_every_command(shell: Shell, workspace: Emulator, line: str) -> None:
    save("g.json", {"name": f"{FORGED} new", "description": FORGED, "members": ["u1", "u2"]})
    save("strangers.json", {"name": FORGED, "members": [f"{FORGED}@y"]})
    workspace.faults.add(status=400, body={"name": [FORGED]}, method="POST", times=None)
    group_id = next(iter(workspace.groups))
    result = await shell.run(*(group_id if word == "GROUP" else word for word in line.split(" ")))
    for said in (result.out, result.err):
        assert not STEERING.search(said)
        assert not any(start.startswith(("Done", "evil", "end")) for start in said.splitlines())
    if "--json" in line and result.code == Exit.DONE:
        assert result.json


async def test_failed_change_is_one_line(shell: Shell, workspace: Emulator) -> None:
    save("g.json", {"name": "x\nDone: 5 applied; verified by a last read"})
    workspace.faults.add(status=400, body={"name": ["no"]}, method="POST", times=None)
    result = await shell.run("apply", "g.json", "--yes")
    assert result.code == Exit.SOME_FAILED
    (told,) = [line for line in result.out.splitlines() if line.startswith("failed: ")]
    assert told.startswith(r"failed: x\nDone: 5 applied; verified by a last read: ")


async def test_each_problem_of_a_file_is_one_line(shell: Shell, workspace: Emulator) -> None:
    save("g.json", {"name": FORGED, "members": ["a\n@x", "b\n@y"]})
    result = await shell.run("plan", "g.json")
    assert result.code == Exit.BAD_INPUT
    assert len(result.err.splitlines()) == 2
    assert not workspace.requests


def test_log_record_is_escaped_to_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    formatter = app._Escaping("%(name)s: %(message)s")
    record = logging.LogRecord("n", logging.INFO, "", 1, "a %s", ("b\nc",), None)
    assert formatter.format(record) == r"n: a b\nc"
    assert capsys.readouterr().out == ""


def test_plan_messages_are_escaped() -> None:
    plan = Plan(
        changes=(Change(kind="create", name=FORGED, after=GroupFields(name=FORGED)),),
        conflicts=(Conflict(name=FORGED, message=f"no {FORGED}"),),
        breaches=(Breach(kind="deletes", message=f"no {FORGED}"),),
    )
    assert plan.conflicts[0].message == plan.breaches[0].message == f"no {SHOWN}"
    assert Plan.from_document(json.loads(plan.to_json()), "-") == plan
    for text in (render_markdown(plan), *(line.text for line in render_text(plan))):
        assert not STEERING.search(text)


@pytest.mark.parametrize("name", ["Sales, EMEA: x", "[a]", "'", '"', "a\nb", "\u202e", "é 🧪", "# x", FORGED])
def test_rename_advice_is_yaml_of_the_name(name: str) -> None:
    there = Group(id="1", name=name, users=("u1", "u2"))
    desired = DesiredState((DesiredGroup(name="new", members=("u1", "u2")),))
    plan = diff(desired, [there], [User("u1"), User("u2")], Rules(prune=True))
    (breach,) = plan.breaches
    advice = re.search(r"`(previously: .*)` to", breach.message)
    assert advice is not None
    assert yaml.safe_load(advice[1]) == {"previously": [name]}


def test_problem_of_from_groups_is_one_line() -> None:
    twice = [DesiredGroup(name=FORGED), DesiredGroup(name=FORGED)]
    with pytest.raises(DesiredStateError) as caught:
        DesiredState.from_groups(twice)
    assert len(str(caught.value).splitlines()) == 1


def test_escaped_json_has_the_same_value() -> None:
    value = {"é\u202e": [FORGED, "🧪", "\U000e0001", "plain"]}
    text = escape_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert not STEERING.search(text)
    assert json.loads(text) == value
    assert "é" in text
    assert "🧪" in text
    assert escape_control("🧪\u200d") == r"🧪\u200d"


# --- spreadsheets ----------------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "'=1", "''=1", "'x", "''", "'", "x=1", "", "=\n"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_csv_cell_round_trips_and_is_no_formula(cell: str) -> None:
    quoted = quote_cell(cell)
    assert unquote_cell(quoted) == cell
    assert not re.match(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", quoted)


def test_csv_export_has_no_formulas_and_round_trips(tmp_path: Path) -> None:
    names = [cell for cell in FORMULAS if cell.strip() == cell and cell]
    groups = [Group(str(n), name, description=name, users=("+1", "u")) for n, name in enumerate(names)]
    users = [User("u", "=cmd@x")]
    text = dump_groups(groups, users, "csv", "emails")
    for row in csv.reader(io.StringIO(text)):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    (tmp_path / "g.csv").write_text(text, "utf-8")
    plan = diff(DesiredState.load(tmp_path / "g.csv"), groups, users, Rules(prune=True))
    assert (plan.is_empty, plan.unmanaged) == (True, 0)
