"""The format of a file: by its suffix, else by its content."""

import io
import sys
from pathlib import Path

import pytest

from secoda_async import DesiredStateError
from secoda_async.reconcile import DesiredState
from secoda_async.reconcile.files.reading import FileFormat

CONTENTS = {
    "yaml": "groups:\n- name: a\n  members: [ana@example.com]\n",
    "flow": "{groups: [{name: a, members: [ana@example.com]}]}",
    "json": '{"groups": [{"name": "a", "members": ["ana@example.com"]}]}',
    "csv": "group,member\na,ana@example.com\n",
    "semicolons": "Group;Member\na;ana@example.com\n",
    "tabs": "group\tmember\na\tana@example.com\n",
}


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names_of(state: DesiredState) -> list[tuple[str, object]]:
    return [(group.name, group.members) for group in state.groups]


def problems_of(name: str, file_format: FileFormat | None = None) -> list[str]:
    with pytest.raises(DesiredStateError) as caught:
        DesiredState.load(name, input=file_format)
    return list(caught.value.problems)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", ["groups", "groups.txt", "groups.tsv", "groups.export"])
def test_content_decides_without_a_known_suffix(name: str, content: str) -> None:
    if name.endswith(".tsv") and content in {"yaml", "flow", "json"}:
        return  # always a table
    Path(name).write_text(CONTENTS[content], "utf-8")
    assert names_of(DesiredState.load(name)) == [("a", ("ana@example.com",))]


@pytest.mark.parametrize("content", CONTENTS)
def test_content_decides_on_standard_input(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CONTENTS[content].encode())))
    state = DesiredState.load("-")
    assert names_of(state) == [("a", ("ana@example.com",))]
    assert state.groups[0].place.startswith("standard input:")


@pytest.mark.parametrize(("name", "file_format"), [("g.txt", "json"), ("g.yaml", "csv"), ("g.csv", "yaml")])
def test_given_format_precedes_the_suffix(name: str, file_format: FileFormat) -> None:
    Path(name).write_text(CONTENTS[file_format], "utf-8")
    assert names_of(DesiredState.load(name, input=file_format)) == [("a", ("ana@example.com",))]


@pytest.mark.parametrize(
    ("name", "content", "given", "problem"),
    [
        ("g.csv", "csv", "yaml", "a table: leave out --input, or pass --input csv"),
        ("g", "csv", "json", "a table: leave out --input, or pass --input csv"),
        ("g.yaml", "yaml", "csv", "YAML or JSON: leave out --input, or pass --input yaml or --input json"),
        ("g.json", "csv", None, "a table: name the file .csv, or pass --input csv"),
        ("g.csv", "yaml", None, "YAML or JSON: name the file .yaml or .json, or pass --input yaml or --input json"),
    ],
)
def test_advice_for_another_format_changes_what_decided_the_format(
    name: str, content: str, given: FileFormat | None, problem: str
) -> None:
    Path(name).write_text(CONTENTS[content], "utf-8")
    assert problems_of(name, given) == [f"{name}:1: looks like {problem}"]


def test_json_needs_no_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    Path("g.json").write_text(CONTENTS["json"], "utf-8")
    Path("g").write_text(CONTENTS["json"], "utf-8")
    assert names_of(DesiredState.load("g.json")) == names_of(DesiredState.load("g"))


@pytest.mark.parametrize("name", ["groups.jsonl", "GROUPS.NDJSON"])
def test_json_lines_are_refused_as_such(name: str) -> None:
    Path(name).write_text('{"name": "a"}\n{"name": "b"}\n', "utf-8")
    assert problems_of(name) == [
        f'{name}: is JSON Lines, such as a journal: write one JSON document, {{"groups": [...]}}'
    ]


def test_columns_do_not_change_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.StringIO("Team;Mail;Status\na;ana@example.com;active\nb;ben@example.com;left\n")
    )
    state = DesiredState.load("-", columns={"group": "Team", "member": "Mail", "where:Status": "ACTIVE"})
    assert names_of(state) == [("a", ("ana@example.com",))]
