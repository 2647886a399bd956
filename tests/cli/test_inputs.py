"""The options `--columns` and `--input`."""

import io
import sys
from pathlib import Path

import pytest

from secoda_async.cli.exit_codes import Exit
from tests.support.shell import Shell

OKTA = "Group name,Email,Status\nAnalysts,ana@example.com,ACTIVE\nAnalysts,ben@example.com,SUSPENDED\n"


@pytest.fixture
def okta(tmp_path: Path) -> str:
    (tmp_path / "okta.csv").write_text(OKTA, "utf-8")
    return str(tmp_path / "okta.csv")


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


async def test_columns_with_other_names_are_read(shell: Shell, okta: str) -> None:
    result = await shell.run("validate", okta, "--columns", "group=Group name,member=Email,where:Status=active")
    assert result.code == Exit.DONE
    assert ", 1 membership" in result.out


async def test_suggested_columns_are_accepted(shell: Shell, okta: str) -> None:
    refused = await shell.run("validate", okta)
    assert refused.code == Exit.BAD_INPUT
    assert "--columns group='Group name',member=Email" in refused.err
    assert (await shell.run("validate", okta, "--columns", "group='Group name',member=Email")).code == Exit.DONE


@pytest.mark.parametrize(
    ("columns", "code", "problem"),
    [
        ("group=Group name,email=Email", Exit.USAGE, "columns: unknown key 'email'"),
        ("group=Group", Exit.BAD_INPUT, "okta.csv:1: there is no column 'Group': is it 'Group name'?"),
        (
            "group=Group name,where:Status=x",
            Exit.BAD_INPUT,
            "no row has Status = 'x': 'Status' has 'ACTIVE', 'SUSPENDED'",
        ),
    ],
    ids=["unknown-key", "missing-column", "no-row"],
)
async def test_wrong_columns_are_refused(shell: Shell, okta: str, columns: str, code: Exit, problem: str) -> None:
    result = await shell.run("validate", okta, "--columns", columns)
    assert result.code == code
    assert problem in result.err


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"group;member\nAnalysts;ana@example.com\n", []),
        ("group\tmember\nAnalysts\tana@example.com\n".encode("utf-16"), []),
        (b"group\nAnalysts\n", ["--input", "csv"]),
        (b"groups:\n- name: Analysts\n", []),
        (b'{"groups": [{"name": "Analysts"}]}', ["--input", "json"]),
    ],
    ids=["semicolons", "utf-16-tabs", "one-column", "yaml", "json"],
)
async def test_standard_input_is_read_by_content_or_option(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, content: bytes, options: list[str]
) -> None:
    pipe(monkeypatch, content)
    assert (await shell.run("validate", "-", *options)).code == Exit.DONE
