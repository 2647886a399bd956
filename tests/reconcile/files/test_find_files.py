"""Directories stand for their files of groups."""

import os
from pathlib import Path

import pytest

from secoda_async import DesiredStateError, InvalidArgumentError
from secoda_async.reconcile import DesiredState
from secoda_async.reconcile.files.find_files import find_files


def write(directory: Path, *names: str) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"groups: [{{name: '{name}'}}]", "utf-8")


def found(*paths: Path) -> list[str]:
    """Return the files of paths, relative to the first."""
    files, problems = find_files(map(str, paths))
    assert problems == []
    return [os.path.relpath(file, paths[0]) for file in files]


def test_files_of_a_directory_are_sorted_and_subdirectories_included(tmp_path: Path) -> None:
    write(tmp_path, "b.yaml", "a.yml", "c.json", "d.csv", "E.YAML", "f.tsv", "sub/a.yaml", "sub/deep/a.yaml")
    expected = ["E.YAML", "a.yml", "b.yaml", "c.json", "d.csv", "f.tsv", "sub/a.yaml", "sub/deep/a.yaml"]
    assert found(tmp_path) == expected


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.yaml",
        ".#lock.yaml",
        "groups.yaml~",
        "#groups.yaml#",
        "groups.yaml.bak",
        ".groups.yaml.swp",
        "~$groups.csv",
        "groups.schema.json",
        "README.md",
        "groups.jsonl",
        ".git/a.yaml",
    ],
)
def test_other_files_of_a_directory_are_left_out(tmp_path: Path, name: str) -> None:
    write(tmp_path, "a.yaml", name)
    assert found(tmp_path) == ["a.yaml"]


def test_files_are_read_once(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "sub/b.yaml")
    assert found(tmp_path, tmp_path / "a.yaml", tmp_path / "sub", tmp_path / "sub" / ".." / "a.yaml") == [
        "a.yaml",
        "sub/b.yaml",
    ]
    assert find_files(["-", "-"]) == (["-"], [])


def test_links_are_followed_and_cycles_end(tmp_path: Path) -> None:
    write(tmp_path, "groups/a.yaml", "elsewhere/b.yaml")
    (tmp_path / "groups" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "groups")
    assert found(tmp_path / "groups") == ["a.yaml", "linked/b.yaml"]


def test_directory_without_files_of_groups_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "README.md")
    files, problems = find_files([str(tmp_path)])
    assert (files, len(problems)) == ([], 1)
    assert problems[0].startswith(f"{tmp_path}: the directory has no files of groups")


def test_unreadable_directory_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.yaml", "sub/b.yaml")
    scan = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    files, problems = find_files([str(tmp_path)])
    assert (files, problems) == ([f"{tmp_path}/a.yaml"], [f"{tmp_path}/sub: can't be read: Permission denied"])


class TestSeveralFiles:
    """`DesiredState.load` with several paths."""

    def test_groups_of_all_files_are_one_state(self, tmp_path: Path) -> None:
        write(tmp_path, "groups/a.yaml", "groups/b.yaml", "c.yaml")
        state = DesiredState.load(tmp_path / "groups", str(tmp_path / "c.yaml"))
        assert [group.name for group in state.groups] == ["groups/a.yaml", "groups/b.yaml", "c.yaml"]

    def test_every_problem_of_all_files_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("groups:\n- name: x\n- nam: y\n", "utf-8")
        (tmp_path / "b.json").write_text('{"groups": [\n  {"name": "x"}]}', "utf-8")
        with pytest.raises(DesiredStateError) as caught:
            DesiredState.load(tmp_path / "none", tmp_path / "a.yaml", tmp_path / "b.json")
        assert [problem.removeprefix(f"{tmp_path}/").partition(": ")[0] for problem in caught.value.problems] == [
            "none",
            "a.yaml:3:3",
            "a.yaml:3:3",
            "b.json:2:3",
        ]
        assert caught.value.problems[-1] == (
            f"{tmp_path}/b.json:2:3: duplicate name 'x', first at {tmp_path}/a.yaml:2:3"
        )

    def test_patterns_to_ignore_of_all_files_apply(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("ignore: [SAML *]\ngroups: []", "utf-8")
        (tmp_path / "b.yaml").write_text("ignore: [' Okta * ', [SCIM *]]\ngroups: []", "utf-8")
        assert DesiredState.load(tmp_path).ignore == ("SAML *", "Okta *", "SCIM *")

    def test_a_path_is_needed(self) -> None:
        with pytest.raises(InvalidArgumentError, match="at least one file"):
            DesiredState.load()

    def test_columns_without_a_table_are_a_problem(self, tmp_path: Path) -> None:
        write(tmp_path, "a.yaml")
        with pytest.raises(DesiredStateError, match="columns are given, but no file is a table"):
            DesiredState.load(tmp_path, columns={"group": "Group"})

    def test_columns_apply_to_tables_beside_other_files(self, tmp_path: Path) -> None:
        write(tmp_path, "a.yaml")
        (tmp_path / "b.csv").write_text("Team,Mail\nb,ana@example.com\n", "utf-8")
        a, b = DesiredState.load(tmp_path, columns="group=Team,member=Mail").groups
        assert (a.name, b.name, b.members) == ("a.yaml", "b", ("ana@example.com",))
