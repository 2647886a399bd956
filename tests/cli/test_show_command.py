"""`secoda-async show`: a saved plan in every format, without a key."""

import json
from pathlib import Path

import pytest

from secoda_async.cli.exit_codes import Exit
from tests.support.shell import Shell, emulated_teams


@pytest.fixture
async def saved(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A saved plan, with the key and the host forgotten since."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "groups.yaml").write_text("groups:\n- name: Analysts\n  members: [ben@example.com]\n", "utf-8")
    async with emulated_teams(monkeypatch):
        await shell.run("plan", "groups.yaml", "--out", "plan.json")
    monkeypatch.delenv("SECODA_API_KEY")
    monkeypatch.delenv("SECODA_BASE_URL")
    return "plan.json"


@pytest.mark.parametrize(
    ("output_format", "sample"),
    [
        ("text", "~ update Analysts"),
        ("markdown", "| update | `Analysts` |"),
        ("html", "<!doctype html>"),
        ("json", '"kind": "update"'),
    ],
)
async def test_saved_plan_is_shown_in_every_format(
    shell: Shell, saved: str, tmp_path: Path, output_format: str, sample: str
) -> None:
    shown = await shell.run("show", saved, "--format", output_format)
    assert shown.code == Exit.DONE
    assert sample in shown.out
    written = await shell.run("show", saved, "--format", output_format, "--output", "shown")
    assert (written.code, written.out) == (Exit.DONE, "")
    assert (tmp_path / "shown").read_text("utf-8") == shown.out


async def test_json_is_the_saved_plan(shell: Shell, saved: str, tmp_path: Path) -> None:
    assert (await shell.run("show", saved, "--json")).json == json.loads((tmp_path / saved).read_text("utf-8"))


@pytest.mark.requirement("BS-10")
async def test_edited_plan_is_refused(shell: Shell, saved: str, tmp_path: Path) -> None:
    text = (tmp_path / saved).read_text("utf-8")
    (tmp_path / saved).write_text(text.replace("ben@example.com", "eve@example.com"), "utf-8")
    refused = await shell.run("show", saved)
    assert refused.code == Exit.BAD_INPUT
    assert "was edited after it was made" in refused.err
    assert refused.out == ""


@pytest.mark.usefixtures("shell", "saved")
async def test_file_of_groups_is_not_a_plan(shell: Shell) -> None:
    refused = await shell.run("show", "groups.yaml")
    assert refused.code == Exit.BAD_INPUT
    assert "groups.yaml: is not a plan" in refused.err
    assert "plan FILE --out" in refused.err
    assert (await shell.run("show", "absent.json")).code == Exit.BAD_INPUT


@pytest.mark.requirement("BS-10")
async def test_output_does_not_replace_the_plan(shell: Shell, saved: str) -> None:
    refused = await shell.run("show", saved, "--output", saved)
    assert refused.code == Exit.USAGE
    assert "--output is the same file as an input" in refused.err
