"""Files of groups: every problem at once, each with its place."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secoda_async import UNSET, DesiredStateError, Group, InvalidArgumentError
from secoda_async.reconcile import DesiredGroup, DesiredState


def written(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def problems_of(path: Path, text: str) -> list[str]:
    with pytest.raises(DesiredStateError) as caught:
        DesiredState.load(written(path, text))
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.removeprefix(str(path)) for problem in caught.value.problems]


def test_absent_null_and_empty_are_three_things(tmp_path: Path) -> None:
    text = """
groups:
- name: "  Data Stewards "
  icon: 🧪
  description: null
  members: []
- name: Cafe\u0301
  members: [ana@example.com, ' ana@example.com ', ben@example.com]
"""
    first, second = DesiredState.load(written(tmp_path / "groups.yaml", text)).groups
    assert first == DesiredGroup(name="Data Stewards", icon="🧪", description=None, members=())
    assert second == DesiredGroup(name="Caf\u00e9", members=("ana@example.com", "ben@example.com"))
    assert second.icon is UNSET
    assert second.place.endswith("groups.yaml:7:3")


def test_json_says_the_same_as_yaml(tmp_path: Path) -> None:
    json_file = written(tmp_path / "g.json", '{"groups": [{"name": "a", "icon": null, "members": ["x"]}]}')
    yaml_file = written(tmp_path / "g.yaml", "groups: [{name: a, icon: null, members: [x]}]")
    assert DesiredState.load(json_file).groups == DesiredState.load(yaml_file).groups


def test_standard_input_is_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("groups:\n- name: a\n"))
    assert [group.name for group in DesiredState.load("-").groups] == ["a"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("groups:\n- nam: a\n"))
    with pytest.raises(DesiredStateError, match=r"standard input:2:3: a group has an unknown key 'nam'"):
        DesiredState.load("-")


def test_every_problem_of_a_yaml_file_comes_with_its_line(tmp_path: Path) -> None:
    text = """groups:
- name: a
  descripton: x
- name: no
- name: a
  members: x
- description: 1
- nam
- name: b
  name: c
  members: [a, 3, '']
- name: ''
- name: 2020-01-01
- [1]: x
  name: d
"""
    known = "use 'name', 'icon', 'description', 'members', 'membership', 'previously', 'id'"
    assert problems_of(tmp_path / "g.yaml", text) == [
        f":3:3: a group has an unknown key 'descripton': {known}",
        ":4:9: the name must be text, not a boolean: put it in quotes",
        ":6:12: members must be a list, not text: each item is an e-mail address or id; [] means none",
        ":7:3: a group has no name: add `name: ...`",
        ":7:16: description must be text or null, not a number: put it in quotes",
        ":8:3: a group must be a mapping (key: value), not text",
        ":10:3: duplicate key 'name': keep one",
        ":11:16: a member must be an e-mail address or id, not a number",
        ":11:19: a member must be an e-mail address or id, not empty text",
        ":12:9: the name is empty: write one",
        ":13:9: the name must be text, not a date: put it in quotes",
        f":14:3: a group has an unknown key 'a list': {known}",
        f":5:3: duplicate name 'a', first at {tmp_path}/g.yaml:2:3",
    ]


def test_problems_of_a_json_file_come_with_their_line_and_column(tmp_path: Path) -> None:
    text = """{"groups": [
  {"name": "a", "icon": 3},
  {"name": true, "x": 1}, 4,
  {"name": "b", "name": "b"}
]}"""
    known = "use 'name', 'icon', 'description', 'members', 'membership', 'previously', 'id'"
    assert problems_of(tmp_path / "g.json", text) == [
        ":2:25: icon must be text or null, not a number: put it in quotes",
        f":3:18: a group has an unknown key 'x': {known}",
        ":3:12: the name must be text, not a boolean: put it in quotes",
        ":3:27: a group must be a mapping (key: value), not a number",
        ":4:17: duplicate key 'name': keep one",
    ]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("g.yaml", "", ":1:1: is empty: write `groups:` and the groups below it"),
        ("g.yaml", "- a\n", ":1:1: is a list, without the key 'groups': write `groups:` above it"),
        ("g.yaml", "{}", ":1:1: has no 'groups:' list: write `groups:` and the groups below it"),
        ("g.yaml", "groups: x", ":1:9: 'groups' must be a list, not text: start each entry with a dash"),
        (
            "g.yaml",
            "teams: []\ngroups: []",
            ":1:1: the file has an unknown key 'teams': use 'groups', 'defaults', ",
        ),
        (
            "g.yaml",
            "groups:\n  - name: a: b\n",
            ":2:12: is not YAML: mapping values are not allowed in this context: put a text with ': ' in quotes",
        ),
        ("g.yaml", "groups: [\n", ":1:10: is not YAML: did not find expected node content"),
        ("g.yaml", "groups: \x00", ":1:9: contains a NUL character"),
        ("g.yaml", "groups: &a [*a]", ":1:9: is not YAML: an alias that contains itself"),
        ("g.json", '{"groups": [}', ":1:13: is not JSON: expected a value"),
        ("g.json", "[" * 100_000, ":1:21: is not JSON: nested too deeply"),
        ("g.json", '{"groups": [' + "1" * 5000 + "]}", ":1:13: a group must be a mapping (key: value), not a number"),
        ("g.yaml", "groups: " + "[" * 30, ":1:26: is not YAML: nested too deeply"),
        ("g.yaml", "groups: " + "[" * 50_000, ":1:"),  # PyYAML's own words, from 6.0.4 on
        ("g.yaml", "groups:\n- !!python/object:os.system {}", ":2:3: a group has no name"),
        (
            "g.yaml",
            "groups:\n- name: !!binary eA==",
            ":2:9: the name must be text, not of the type tag:yaml.org,2002:binary",
        ),
        ("g.yaml", "groups:\n- name: !mine eA", ":2:9: the name must be text, not of the type !mine"),
        (
            "g.json",
            '{"groups": [{"name": "a\\u0000"}]}',
            r":1:22: 'a\x00' contains a character that can't be sent",
        ),
        (
            "g.json",
            '{"groups": [{"name": "a", "members": ["\\ud83c@x"]}]}',
            r":1:39: '\ud83c@x' contains a character that can't be sent",
        ),
        ("G.JSON", "null", ":1:1: the file must be a mapping (key: value), not null"),
        ("g.json", "null", ":1:1: the file must be a mapping (key: value), not null"),
    ],
)
def test_first_problem_of_an_unusable_file_has_its_location(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (found,) = problems_of(tmp_path / name, text)[:1]
    assert found.startswith(problem)


def test_a_file_that_cannot_be_read_is_a_problem_too(tmp_path: Path) -> None:
    with pytest.raises(DesiredStateError, match=r"absent\.yaml: can't be read: No such file"):
        DesiredState.load(tmp_path / "absent.yaml")
    with pytest.raises(DesiredStateError, match=r"the directory has no files of groups"):
        DesiredState.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"groups:\n- name: caf\xe9\n")
    with pytest.raises(DesiredStateError, match=r"latin\.yaml:2:12: is not UTF-8 text \(byte 0xE9"):
        DesiredState.load(tmp_path / "latin.yaml")


def test_a_path_can_be_wrong_in_ways_of_its_own() -> None:
    with pytest.raises(DesiredStateError, match=r"is not a valid file name"):
        DesiredState.load("a\0b.yaml")


def test_standard_input_is_read_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("groups: [{name: café}]".encode()), "ascii"))
    assert DesiredState.load("-").groups[0].name == "café"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"groups: [{name: caf\xe9}]"), "latin-1"))
    with pytest.raises(DesiredStateError, match=r"standard input:1:20: is not UTF-8 text \(byte 0xE9"):
        DesiredState.load("-")


def test_aliases_are_read_once(tmp_path: Path) -> None:
    lines = ["groups:", "- &a0 {name: a, members: [x]}"]
    lines += [f"- &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 30)]  # 9 ** 29 when expanded
    problems = problems_of(tmp_path / "g.yaml", "\n".join(lines))
    assert len(problems) == 29
    shared = "groups:\n- {name: a, members: &m [x, y]}\n- {name: b, members: *m}\n"
    a, b = DesiredState.load(written(tmp_path / "g.yaml", shared)).groups
    assert a.members == b.members == ("x", "y")


WRONG_STATES: list[tuple[Callable[[Any], Any], str]] = [
    (
        lambda state: state("groups.yaml"),
        "groups must be a list of DesiredGroup, not str: DesiredState.load reads files",
    ),
    (lambda state: state(None), "groups must be a list of DesiredGroup, not NoneType"),
    (
        lambda state: state([{"name": "A"}]),
        "groups[0] must be a DesiredGroup, not dict: DesiredGroup(name=...) makes one",
    ),
    (lambda state: state.from_groups(DesiredGroup(name="A")), "a list of DesiredGroup, not DesiredGroup"),
    (lambda state: state.from_groups([DesiredGroup(name="A"), "B"]), "groups[1] must be a DesiredGroup, not str"),
    (lambda state: state.load(["a.yaml"]), "load needs paths, not list: write load(*paths) for a list of paths"),
]


@pytest.mark.parametrize(
    ("make", "words"),
    WRONG_STATES,
    ids=["path", "none", "dict", "one group", "name", "list of paths"],
)
def test_a_state_of_the_wrong_things_is_refused(make: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make(DesiredState)
    assert words in str(caught.value)


def test_a_state_is_made_of_any_iterable_of_groups() -> None:
    groups = (DesiredGroup(name="A"), DesiredGroup(name="B"))
    assert DesiredState(iter(groups)) == DesiredState(list(groups)) == DesiredState(groups)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"name": 5}, "name must be a string, not int"),
        ({"name": "a\0"}, r"name contains a character that can't be sent: 'a\x00'"),
        ({"name": "a", "members": "ana@example.com"}, "members must be a list of strings, not str: put it in a list"),
        ({"name": "a", "members": 5}, "members must be a list of strings, not int"),
        ({"name": "a", "members": ["x", None]}, "members must be a string, not NoneType"),
        ({"name": "a", "previously": "b"}, "previously must be a list of strings, not str"),
        ({"name": "a", "icon": 5}, "icon must be a string, not int"),
        ({"name": "a", "description": "\ud800"}, r"description contains a character that can't be sent: '\ud800'"),
        ({"name": " "}, "a group must have a name that is not empty, or an id"),
        ({"id": "a/b"}, "'a/b' is not a group id"),
    ],
)
def test_an_entry_from_code_is_checked_when_it_is_made(entry: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        DesiredGroup(**entry)
    assert str(caught.value).startswith(problem)


def test_without_pyyaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (problem,) = problems_of(tmp_path / "g.yaml", "groups: []")
    assert problem == ": reading YAML needs PyYAML: pip install 'secoda-async[cli]' (or use a .json file)"


class TestTables:
    """CSV: a row for each membership."""

    def test_missing_column_is_not_managed(self, tmp_path: Path) -> None:
        (a,) = DesiredState.load(written(tmp_path / "g.csv", "group\na\n")).groups
        assert (a.icon, a.description, a.members, a.id) == (UNSET, UNSET, UNSET, None)

    def test_every_problem_has_its_line(self, tmp_path: Path) -> None:
        text = "group,icon,member\na,i,x\nb,i\na,j,y\na,i,\n,i,x\nc,i,x,z\n"
        assert problems_of(tmp_path / "g.csv", text) == [
            ":4: icon is 'j', but 'i' at line 2: use one text",
            ":7: has 4 cells, not 3: put cells that contain the separator in quotes",
            ":6: the group is empty on line 6: write its name in every row, also of merged cells",
            ":5: a member must be an e-mail address or id, not empty text",
        ]


class TestIdentity:
    def test_ids_and_former_names(self, tmp_path: Path) -> None:
        text = "groups:\n- {name: a, id: g-1, previously: [b, ' c ']}\n"
        (group,) = DesiredState.load(written(tmp_path / "g.yaml", text)).groups
        assert (group.id, group.previously) == ("g-1", ("b", "c"))

    def test_invalid_ids_and_former_names_are_problems(self, tmp_path: Path) -> None:
        text = """groups:
- {name: a, id: x/y}
- {name: b, id: 5}
- {name: c, previously: b}
- {name: d, previously: [b, '']}
- {name: e, id: g, previously: [x]}
- {name: f, id: g, previously: [x]}
"""
        name = f"{tmp_path}/g.yaml"
        problems = problems_of(tmp_path / "g.yaml", text)
        assert problems[0].startswith(":2:17: ")
        assert problems[1:] == [
            ":3:17: an id must be text, not a number",
            ":4:25: previously must be a list, not text: each item is a name; [] means none",
            ":5:29: a former name must be a name, not empty text",
            f":7:3: duplicate id g, first at {name}:6:3",
            f":5:3: the former name 'b' is the name of the group at {name}:3:3",
            f":7:3: duplicate former name 'x', first at {name}:6:3",
        ]

    def test_twice_on_one_line_is_twice_too(self, tmp_path: Path) -> None:
        name = f"{tmp_path}/g.yaml"
        text = "groups: [{name: a, id: g, previously: [x]}, {name: b, id: g, previously: [x]}]"
        assert problems_of(tmp_path / "g.yaml", text) == [
            f":1:45: duplicate id g, first at {name}:1:10",
            f":1:45: duplicate former name 'x', first at {name}:1:10",
        ]

    def test_groups_as_they_are_manage_all_their_fields(self) -> None:
        there = [Group(id="1", name="a", icon="i", users=("u",)), Group(id="2", name="b"), Group(id="3", name="b ")]
        a, b, c = DesiredState.from_groups(there).groups
        assert (a.name, a.id, a.icon, a.description, a.members) == ("a", None, "i", None, ("u",))
        assert ((b.name, b.id), (c.name, c.id)) == (("b", "2"), ("b", "3"))

    def test_groups_from_code_are_checked_too(self) -> None:
        with pytest.raises(DesiredStateError) as caught:
            DesiredState.from_groups(
                [DesiredGroup(name="a"), DesiredGroup(name=" a "), DesiredGroup(name="b", place="x")]
            )
        assert caught.value.problems == ("groups[1]: duplicate name 'a', first at groups[0]",)
