"""The commands `export` and `schema`."""

import asyncio
import codecs
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from secoda_async import (
    Group,
    User,
)
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from secoda_async.reconcile.files.writing import dump_groups
from tests.support.shell import Shell, emulated_teams


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    async with emulated_teams(monkeypatch) as workspace:
        yield workspace


@pytest.mark.requirement("BS-4")
@pytest.mark.parametrize("file_format", ["yaml", "json", "csv"])
@pytest.mark.parametrize("members", ["emails", "ids"])
async def test_plan_of_an_export_has_no_changes(
    shell: Shell, workspace: Emulator, tmp_path: Path, file_format: str, members: str
) -> None:
    twin = next(iter(workspace.groups.values()))
    workspace.groups["twin"] = twin | {"id": "twin", "icon": "i", "users": []}
    result = await shell.run("export", "--format", file_format, "--members", members)
    assert ("ana@example.com" in result.out) is (members == "emails")
    path = tmp_path / f"export.{file_format}"
    path.write_text(result.out, "utf-8")
    planned = await shell.run("plan", str(path), "--prune", "--detailed-exitcode")
    assert (planned.code, planned.out) == (0, "nothing to do; 3 unchanged\n")


@pytest.mark.requirement("BS-4")
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--only", "A*", "--only", "Z*"], ["Analysts"]),
        (["--ignore", "A*"], ["Others"]),
        (["--only", "*s", "--ignore", "O*"], ["Analysts"]),
    ],
    ids=["only", "ignore", "both"],
)
async def test_export_is_limited_to_a_scope(
    shell: Shell, workspace: Emulator, tmp_path: Path, options: list[str], names: list[str]
) -> None:
    assert len(workspace.groups) == 2
    result = await shell.run("export", "--format", "json", *options)
    assert ([group["name"] for group in result.json["groups"]], result.err) == (names, "")
    path = tmp_path / "groups.json"
    path.write_text(result.out, "utf-8")
    planned = await shell.run("plan", str(path), "--prune", *options)
    assert planned.out.endswith("nothing to do; 1 unchanged, 1 ignored\n")


async def test_export_warns_if_no_group_is_in_the_scope(shell: Shell, workspace: Emulator) -> None:
    assert workspace.groups
    result = await shell.run("export", "--only", "Z*")
    assert (result.code, "no group fits" in result.err) == (Exit.DONE, True)
    wrong = await shell.run("export", "--ignore", "")
    assert (wrong.code, "--ignore" in wrong.err) == (Exit.USAGE, True)


def test_export_uses_the_id_of_a_user_with_a_shared_address() -> None:
    users = [User(id="1", email="a@x.io"), User(id="2", email="A@x.io"), User(id="3", email="b@x.io")]
    text = dump_groups([Group(id="g", name="G", users=("1", "3"))], users, "json", "emails")
    assert json.loads(text)["groups"][0]["members"] == ["1", "b@x.io"]


@pytest.mark.requirement("BS-4")
@pytest.mark.parametrize("file_format", ["yaml", "json", "csv"])
async def test_export_round_trips_special_characters(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str
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


class TestByteOrderMark:
    """Excel needs the mark, programs that read a pipe may keep it."""

    async def test_csv_file_starts_with_it(self, shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
        assert workspace.groups
        for file_format in ("csv", "yaml", "json"):
            result = await shell.run("export", "--format", file_format, "--output", str(tmp_path / file_format))
            assert (result.code, result.out) == (0, "")
        assert (tmp_path / "csv").read_bytes().startswith(codecs.BOM_UTF8 + b"group,")
        assert (tmp_path / "yaml").read_bytes().startswith(b"groups:")
        assert (tmp_path / "json").read_bytes().startswith(b"{")

    @pytest.mark.usefixtures("workspace")
    @pytest.mark.parametrize(("output", "has_mark"), [("> groups.csv", True), ("| cat > groups.csv", False)])
    async def test_csv_on_stdout_starts_with_it_in_a_file_only(
        self, tmp_path: Path, output: str, *, has_mark: bool
    ) -> None:
        command = f"{sys.executable} -m secoda_async export --format csv {output}"
        process = await asyncio.create_subprocess_shell(command, cwd=tmp_path)
        assert await process.wait() == 0
        content = (tmp_path / "groups.csv").read_bytes()
        assert content.removeprefix(codecs.BOM_UTF8).startswith(b"group,icon,")
        assert content.startswith(codecs.BOM_UTF8) is has_mark


async def test_schema_is_printed(shell: Shell) -> None:
    assert (await shell.run("schema")).json["title"]


async def test_export_json_is_one_document(shell: Shell, workspace: Emulator) -> None:
    assert len((await shell.run("export", "--json")).json["groups"]) == 2
    assert workspace.requests


async def test_schema_is_written_to_a_file(shell: Shell, tmp_path: Path) -> None:
    printed = await shell.run("schema")
    result = await shell.run("schema", "-o", str(tmp_path / "schema.json"))
    assert (result.code, result.out) == (Exit.DONE, "")
    assert (tmp_path / "schema.json").read_text("utf-8") == printed.out
