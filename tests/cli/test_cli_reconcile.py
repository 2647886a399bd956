"""The commands `plan`, `apply` and `export`, and what they print."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import evolve

from secoda_async import (
    Breach,
    Change,
    Conflict,
    Group,
    Plan,
    StalePlanError,
    UnsafePlanError,
    User,
)
from secoda_async.cli.exit_codes import Exit, as_document, exit_for
from secoda_async.emulator import Emulator
from secoda_async.models import GroupFields
from secoda_async.reconcile.files.writing import dump_groups
from secoda_async.reconcile.render import markdown, render_text
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


class TestPlan:
    @pytest.mark.requirement("BS-3", "CL-1")
    async def test_it_shows_what_would_change_and_writes_nothing(
        self, shell: Shell, workspace: Emulator, file: str
    ) -> None:
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
    async def test_nothing_to_do_is_0(self, shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
        (tmp_path / "g.yaml").write_text("groups: [{name: Analysts}]")
        result = await shell.run("plan", str(tmp_path / "g.yaml"), "--detailed-exitcode")
        assert (result.code, result.out) == (0, "nothing to do; 1 unchanged, 1 not managed\n")
        assert workspace.requests

    @pytest.mark.requirement("CL-4")
    @pytest.mark.parametrize("options", [(), ("--detailed-exitcode",), ("--format", "json"), ("--json",)])
    async def test_it_exits_as_apply_would(
        self, shell: Shell, workspace: Emulator, file: str, tmp_path: Path, options: tuple[str, ...]
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
    async def test_programs_get_the_plan_itself(
        self, shell: Shell, workspace: Emulator, file: str, option: tuple[str, ...]
    ) -> None:
        result = await shell.run("plan", file, *option)
        assert Plan.from_document(result.json, "-").summary() == "1 to create; 1 unchanged, 1 not managed"
        assert workspace.requests

    async def test_pull_requests_get_a_table(self, shell: Shell, workspace: Emulator, file: str) -> None:
        result = await shell.run("plan", file, "--format", "markdown")
        assert result.out.startswith("### Secoda groups: 1 to create; 1 unchanged, 1 not managed\n")
        assert '| create | `Stewards` | `icon: "🧪"`<br>`members +2: ana@example.com, ben@example.com` |' in result.out
        assert workspace.requests

    @pytest.mark.requirement("CL-1")
    async def test_a_place_that_cannot_be_written_is_one_line(
        self, shell: Shell, workspace: Emulator, file: str, tmp_path: Path
    ) -> None:
        result = await shell.run("plan", file, "--out", str(tmp_path / "no" / "plan.json"))
        assert (result.code, "can't be written: No such file" in result.err) == (64, True)
        assert workspace.requests


class TestApply:
    @pytest.mark.requirement("BS-4", "CL-1")
    async def test_it_brings_the_workspace_to_the_file(
        self, shell: Shell, workspace: Emulator, file: str, tmp_path: Path
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
    async def test_a_saved_plan_needs_no_yes_and_an_unsafe_one_its_approval(
        self, shell: Shell, workspace: Emulator, file: str, tmp_path: Path
    ) -> None:
        saved = str(tmp_path / "plan.json")
        await shell.run("plan", file, "--prune", "--max-delete", "0", "--out", saved)
        refused = await shell.run("apply", saved)
        digest = Plan.load(saved).digest
        assert refused.code == Exit.UNSAFE
        assert "1 of 2 groups would be deleted; the limit is 0" in refused.err
        assert f"--approve {digest}" in refused.err
        assert names(workspace) == ["Analysts", "Others"]
        assert (await shell.run("apply", saved, "--approve", digest)).code == 0
        assert names(workspace) == ["Analysts", "Stewards"]

    @pytest.mark.requirement("BS-3")
    @pytest.mark.parametrize(
        ("members", "options", "advice"),
        [
            ([], ["--max-delete", "0"], " (or a higher --max-delete)"),
            ([], ["--max-remove", "0"], " (or a higher --max-remove)"),
            ([], ["--max-delete", "0", "--max-remove", "0"], " (or a higher --max-delete and --max-remove)"),
            (["u-eve", "u-ben"], ["--max-delete", "9"], ""),  # a suspected rename: no limit allows it
            (["u-eve", "u-ben"], ["--max-delete", "0"], ""),
        ],
    )
    async def test_what_is_refused_names_the_options_that_would_allow_it(
        self, shell: Shell, workspace: Emulator, tmp_path: Path, members: list[str], options: list[str], advice: str
    ) -> None:
        others = next(group for group in workspace.groups.values() if group["name"] == "Others")
        others["users"] = ["u-eve", "u-ben"]
        analysts: dict[str, object] = {"name": "Analysts", "members": []}
        groups = {"groups": [analysts, {"name": "New", "members": members}]}
        (tmp_path / "g.json").write_text(json.dumps(groups))
        refused = await shell.run("apply", str(tmp_path / "g.json"), "--prune", "--yes", *options)
        assert refused.code == Exit.UNSAFE
        assert re.search(r"--approve [0-9a-f]{32}(.*)\n$", refused.err).group(1) == advice  # type: ignore[union-attr]

    @pytest.mark.requirement("CL-1")
    async def test_without_a_terminal_it_needs_yes(self, shell: Shell, workspace: Emulator, file: str) -> None:
        result = await shell.run("apply", file)
        assert (result.code, "needs --yes: nothing was written" in result.err) == (64, True)
        assert workspace.requests == []

    @pytest.mark.parametrize(("answer", "code"), [("yes\n", 0), ("no\n", 1)])
    async def test_on_a_terminal_it_asks(
        self,
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
        assert (result.code, "Make these 1 changes?" in result.err) == (code, True)
        assert ("Stewards" in names(workspace)) is (code == 0)

    async def test_drift_is_5(self, shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
        (tmp_path / "g.yaml").write_text("groups: [{name: Analysts, description: new}]")
        saved = str(tmp_path / "plan.json")
        await shell.run("plan", str(tmp_path / "g.yaml"), "--out", saved)
        next(iter(workspace.groups.values()))["description"] = "theirs"
        assert (await shell.run("apply", saved)).code == Exit.STALE
        skipped = await shell.run("apply", saved, "--on-drift", "skip")
        assert skipped.code == Exit.SOME_FAILED
        assert "failed: Analysts: 'Analysts' has changed since the plan was made" in skipped.out

    @pytest.mark.requirement("CL-1")
    async def test_failures_are_3_and_named(self, shell: Shell, workspace: Emulator, file: str) -> None:
        workspace.faults.add(status=400, body={"name": ["no"]}, method="POST", times=None)
        result = await shell.run("apply", file, "--yes")
        assert (result.code, "failed: Stewards: " in result.out) == (3, True)
        document = (await shell.run("apply", file, "--yes", "--json")).json
        assert [failure["name"] for failure in document["failures"]] == ["Stewards"]

    async def test_what_did_not_stay_is_named(
        self, shell: Shell, workspace: Emulator, file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("secoda_async.reconcile.apply._VERIFY_DELAYS", (0.0, 0.0))
        workspace.faults.add(
            transform=lambda page: page | {"results": page["results"][:2], "count": 2},
            method="GET",
            path="/group",
            skip=2,
            times=None,
        )
        result = await shell.run("apply", file, "--yes")
        assert (result.code, "not as written: 'Stewards' does not exist" in result.out) == (3, True)
        assert "NOT verified" in result.out

    @pytest.mark.requirement("BS-3", "CL-1")
    async def test_a_saved_plan_has_its_rules_in_it(
        self, shell: Shell, workspace: Emulator, file: str, tmp_path: Path
    ) -> None:
        saved = tmp_path / "plan.txt"
        await shell.run("plan", file, "--out", str(saved))
        read = len(workspace.requests)
        result = await shell.run("apply", str(saved), "--prune", "--max-delete", "0")
        assert (result.code, "set them when planning" in result.err) == (Exit.USAGE, True)
        assert len(workspace.requests) == read
        assert (await shell.run("apply", str(saved))).code == 0  # a plan by what it holds, not by its name
        assert "Stewards" in names(workspace)

    @pytest.mark.parametrize("deadline", ["12", "1d", "soon"])
    async def test_a_deadline_has_a_unit(self, shell: Shell, file: str, deadline: str) -> None:
        result = await shell.run("apply", file, "--yes", "--deadline", deadline)
        assert (result.code, "--deadline must be a number with s, m or h" in result.err) == (64, True)

    @pytest.mark.parametrize("text", ["{", '{"groups": []}', "[]"])
    async def test_other_json_is_a_file_of_groups(
        self, shell: Shell, workspace: Emulator, tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "g.json").write_text(text)
        result = await shell.run("apply", str(tmp_path / "g.json"), "--yes")
        assert result.code == (0 if "groups" in text else 65)
        assert not workspace.count("POST")

    @pytest.mark.requirement("BS-7", "CL-1")
    async def test_ctrl_c_finishes_what_is_on_the_wire(self, workspace: Emulator, tmp_path: Path) -> None:
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


class TestExport:
    @pytest.mark.requirement("BS-4")
    @pytest.mark.parametrize("file_format", ["yaml", "json", "csv"])
    @pytest.mark.parametrize("members", ["emails", "ids"])
    async def test_planning_it_again_finds_nothing_to_do(
        self, shell: Shell, workspace: Emulator, tmp_path: Path, file_format: str, members: str
    ) -> None:
        twin = next(iter(workspace.groups.values()))
        workspace.groups["twin"] = twin | {"id": "twin", "icon": "i", "users": []}
        result = await shell.run("export", "--format", file_format, "--members", members)
        assert ("ana@example.com" in result.out) is (members == "emails")
        path = tmp_path / f"export.{file_format}"
        path.write_text(result.out, "utf-8")
        planned = await shell.run("plan", str(path), "--prune", "--detailed-exitcode")
        assert (planned.code, planned.out) == (0, "nothing to do; 3 unchanged\n")

    def test_an_address_that_two_share_names_nobody(self) -> None:
        users = [User(id="1", email="a@x"), User(id="2", email="A@x"), User(id="3", email="b@x")]
        text = dump_groups([Group(id="g", name="G", users=("1", "3"))], users, "json", "emails")
        assert json.loads(text)["groups"][0]["members"] == ["1", "b@x"]

    @pytest.mark.requirement("BS-4")
    @pytest.mark.parametrize("file_format", ["yaml", "json", "csv"])
    async def test_whatever_a_workspace_holds_comes_back_as_it_was(
        self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str
    ) -> None:
        texts = ["a\x85b", "a\u2028b", "a\r\nb", "a\rb", "no", "1", "null", "a: b", "- a", '"', "'", "#", "a,b", "é\tb"]
        addresses = ["u-0", "ana", "a@x ", "b@x", "B@x", "'c'@x"]
        users = [{"id": f"u-{index}", "email": email} for index, email in enumerate(addresses)]
        members = [user["id"] for user in users]
        groups = [{"name": text, "description": text, "icon": text, "users": members} for text in texts]
        async with Emulator(users=users, groups=groups) as workspace:
            next(iter(workspace.groups.values()))["name"] = " "
            monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
            monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
            exported = await shell.run("export", "--format", file_format)
            path = tmp_path / f"export.{file_format}"
            path.write_bytes(exported.out.encode())
            planned = await shell.run("plan", str(path), "--prune", "--detailed-exitcode")
        assert (planned.code, planned.out) == (0, f"nothing to do; {len(texts)} unchanged\n")

    async def test_the_schema_is_printed(self, shell: Shell) -> None:
        assert (await shell.run("schema")).json["title"]

    async def test_json_is_one_document(self, shell: Shell, workspace: Emulator) -> None:
        assert len((await shell.run("export", "--json")).json["groups"]) == 2
        assert workspace.requests


class TestWords:
    PLAN = Plan(
        changes=(
            Change(
                kind="update",
                name="a|b",
                id="1",
                before=GroupFields(name="old", description="x", users=tuple(f"u{index}" for index in range(10))),
                after=GroupFields(name="a|b", description=None, users=()),
            ),
        ),
        conflicts=(Conflict(name="c", message="two of them"),),
        breaches=(Breach(kind="deletes", message="too many"),),
    )

    def test_lines_name_every_field_and_the_first_members(self) -> None:
        assert [(line.kind, line.text) for line in render_text(self.PLAN)] == [
            ("update", "~ update a|b"),
            ("", 'name: "old" -> "a|b"'),
            ("", 'description: "x" -> (none)'),
            ("removed", "members -10: u0, u1, u2, u3, u4, u5, u6, u7 and 2 more"),
            ("warning", "! left alone: two of them"),
            ("warning", "! beyond the safety limits: too many"),
            ("summary", "1 to update; 1 in conflict"),
        ]

    def test_of_many_changes_the_first_are_shown(self) -> None:
        plan = evolve(self.PLAN, changes=self.PLAN.changes * 5)
        shown = [line.text for line in render_text(plan, most=2)]
        assert sum(text[:2] in ("+ ", "~ ", "- ") for text in shown) == 2
        assert f"... and {len(plan.changes) - 2} more changes" in shown

    def test_markdown_is_escaped(self) -> None:
        text = markdown(self.PLAN)
        assert '| update | `a\\|b` | `name: "old" -> "a\\|b"`<br>' in text
        assert "**Beyond the safety limits**\n\n- too many\n" in text
        assert "**Left alone**\n\n- two of them\n" in text
        assert markdown(Plan(changes=())) == "### Secoda groups: nothing to do\n"

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("\x1b]0;pwn\x07\x1b[2K", r"\x1b]0;pwn\x07\x1b[2K"),
            ("a\n- delete everything", r"a\n- delete everything"),
            ("a\r\u2028b\u202ec", r"a\r\u2028b\u202ec"),
            ("équipe\u00a0👩\u200d💻 🗂️", "équipe\u00a0👩\u200d💻 🗂️"),
        ],
    )
    def test_no_name_steers_a_terminal_or_forges_a_line(self, name: str, shown: str) -> None:
        plan = Plan(changes=(Change(kind="create", name=name, after=GroupFields(name=name, description=name)),))
        first, second, *_ = render_text(plan)
        assert (first.text, second.text) == (f"+ create {shown}", f'description: "{shown}"')

    @pytest.mark.parametrize("name", ["a\r\r# Approved", "`x` @org/team #1", "``", "https://x.example ~~y~~", "<b>"])
    def test_no_name_is_markup(self, name: str) -> None:
        change = Change(kind="create", name=name, after=GroupFields(name=name))
        plan = Plan(changes=(change,), conflicts=(Conflict(name=name, message=f"no {name}"),))
        text = markdown(plan)
        assert "\r" not in text
        (row,) = [line for line in text.splitlines() if line.startswith("| create")]
        cell = row.split(" | ")[1]
        fence = cell[: len(cell) - len(cell.lstrip("`"))]
        assert cell.endswith(fence)
        assert fence not in cell.strip("`")  # one span of code, whatever is in it
        (message,) = [line for line in text.splitlines() if line.startswith("- no ")]
        assert not re.search(r"@\w|#\d|://|(?<!\\)[`~]|<", message)

    def test_errors_of_plans_have_codes_and_documents(self) -> None:
        unsafe, stale = UnsafePlanError("x"), StalePlanError("y")
        unsafe.breaches, unsafe.digest, stale.names = ("b",), "d", ("n",)
        assert (exit_for(unsafe), exit_for(stale)) == (4, 5)
        assert as_document(unsafe)["error"]["digest"] == "d"
        assert as_document(stale)["error"]["names"] == ["n"]
