"""Keys of a file of groups: what they mean, and each problem at its value."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import UNSET, DesiredStateError, Group
from secoda_async.reconcile import DesiredGroup, DesiredState
from secoda_async.reconcile.files import validation
from secoda_async.reconcile.files.writing import Format, dump_groups
from secoda_async.reconcile.files.yaml_nodes import dump as dump_yaml


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, name: str = "g.yaml") -> DesiredState:
    Path(name).write_text(text, "utf-8")
    return DesiredState.load(name)


def problems_of(text: str, name: str = "g.yaml") -> list[str]:
    with pytest.raises(DesiredStateError) as caught:
        load(text, name)
    return [problem.removeprefix(name) for problem in caught.value.problems]


class TestMembers:
    def test_member_has_its_own_place(self) -> None:
        text = "groups:\n- name: a\n  members:\n  - ana@example.com\n  - 'Ben <ben@example.com>; eve@example.com'\n"
        (group,) = load(text).groups
        assert group.members == ("ana@example.com", "ben@example.com", "eve@example.com")
        assert group.member_places == {
            "ana@example.com": "g.yaml:4:5",
            "ben@example.com": "g.yaml:5:5",
            "eve@example.com": "g.yaml:5:5",
        }

    def test_member_of_a_json_file_has_its_own_place(self) -> None:
        (group,) = load('{"groups": [\n{"name": "a", "members": ["x",\n  "y"]}]}', "g.json").groups
        assert dict(group.member_places) == {"x": "g.json:2:27", "y": "g.json:3:3"}
        assert (len(group.member_places), group.member_places.get("z")) == (2, None)

    def test_lists_in_the_list_are_flattened(self) -> None:
        text = "x-shared: [&a [ana, ben], &b [[eve]]]\ngroups: [{name: a, members: [*a, joe, *b, *a, [ana]]}]"
        (group,) = load(text).groups
        assert group.members == ("ana", "ben", "joe", "eve")
        assert group.member_places["eve"] == "g.yaml:1:32"

    def test_nested_aliases_do_not_multiply(self) -> None:
        lines = ["x-0: &a0 [ana]"]
        lines += [f"x-{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 15)]
        assert load("\n".join([*lines, "groups: [{name: a, members: *a14}]"])).groups[0].members == ("ana",)

    def test_shared_lists_are_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(validation, "_MAX_MEMBERSHIPS", 3)
        text = "groups:\n- {name: a, members: &m [x, y]}\n"
        text += "".join(f"- {{name: {name}, members: *m}}\n" for name in "bcd")
        assert problems_of(text) == [": has more than 3 memberships, perhaps of shared lists"]

    def test_problems_are_at_the_member(self) -> None:
        text = "groups:\n- name: a\n  members: [ana, 5, '#N/A',\n    mia@exa, {}, \"x\\0\"]\n"
        places = [problem.partition(": ")[0] for problem in problems_of(text)]
        assert places == [":3:18", ":3:21", ":4:5", ":4:14", ":4:18"]

    def test_problem_of_a_shared_part_is_reported_once(self) -> None:
        text = "groups:\n- {name: a, members: &m [5]}\n- {name: b, members: *m}\n"
        assert problems_of(text) == [":2:26: a member must be an e-mail address or id, not a number"]


class TestSharedParts:
    @pytest.mark.parametrize("name", ["g.yaml", "g.json"])
    def test_x_keys_of_the_file_are_ignored(self, name: str) -> None:
        assert len(load('{"x-people": [5], "x-": {}, "groups": [{"name": "a"}]}', name).groups) == 1

    def test_x_keys_of_a_group_are_unknown(self) -> None:
        assert problems_of("groups: [{name: a, x-b: c}]")[0].startswith(":1:20: a group has an unknown key 'x-b'")

    def test_defaults_stand_for_fields_left_out(self) -> None:
        text = "groups:\n- name: a\n- {name: b, icon: y, description: null, membership: exact}\n"
        text += "defaults: {icon: x, description: d, membership: additive}\n"
        a, b = load(text).groups
        assert a == DesiredGroup(name="a", icon="x", description="d", membership="additive")
        assert b == DesiredGroup(name="b", icon="y", description=None)
        assert a.members is UNSET

    @pytest.mark.parametrize(
        ("defaults", "problem"),
        [
            ("{members: []}", ":1:12: defaults has an unknown key 'members': use 'icon', 'description', 'membership'"),
            ("[]", ":1:11: defaults must be a mapping (key: value), not a list"),
            ("{icon: 5}", ":1:18: icon must be text or null, not a number: put it in quotes"),
        ],
    )
    def test_defaults_are_checked(self, defaults: str, problem: str) -> None:
        assert problems_of(f"defaults: {defaults}\ngroups: [{{name: a}}]") == [problem]

    def test_defaults_are_those_of_one_file(self) -> None:
        Path("a.yaml").write_text("defaults: {icon: x}\ngroups: [{name: a}]", "utf-8")
        Path("b.yaml").write_text("groups: [{name: b}]", "utf-8")
        a, b = DesiredState.load("a.yaml", "b.yaml").groups
        assert (a.icon, b.icon) == ("x", UNSET)


@pytest.mark.parametrize(
    ("value", "advice"),
    [("[a]", "a list: write one text"), ("null", "null: write one text"), ("5", "a number: put it in quotes")],
)
def test_name_that_is_not_text_has_advice(value: str, advice: str) -> None:
    assert problems_of(f"groups: [{{name: {value}}}]") == [f":1:17: the name must be text, not {advice}"]


class TestMembership:
    def test_membership_is_exact_unless_it_says_additive(self) -> None:
        a, b = load("groups: [{name: a, membership: additive}, {name: b}]").groups
        assert (a.membership, b.membership) == ("additive", "exact")

    @pytest.mark.parametrize(("value", "found"), [("add", "'add'"), ("5", "a number"), ("[]", "a list")])
    def test_other_values_are_problems(self, value: str, found: str) -> None:
        problem = f":1:32: membership must be 'exact' or 'additive', not {found}"
        assert problems_of(f"groups: [{{name: a, membership: {value}}}]") == [problem]


class TestIgnore:
    def test_patterns_are_read(self) -> None:
        assert load("ignore: ['SAML *', Okta]\ngroups: []").ignore == ("SAML *", "Okta")

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ("x", ":1:9: ignore must be a list, not text: each item is a text; [] means none"),
            ("[' ', 5]", ":1:10: a pattern must be a text, not empty text"),
        ],
    )
    def test_other_values_are_problems(self, value: str, problem: str) -> None:
        assert problems_of(f"ignore: {value}\ngroups: []")[0] == problem


class TestTemplates:
    @pytest.mark.parametrize("name", ["${TEAM}", "Team {{ name }}", "{% raw %}"])
    def test_variable_in_a_name_is_a_problem(self, name: str) -> None:
        (problem,) = problems_of(f"groups: [{{name: '{name}'}}]")
        assert problem.startswith(f":1:17: the name {name!r} contains a variable of a template: fill it in")

    def test_group_with_an_id_may_have_such_a_name(self) -> None:
        assert load("groups: [{name: '${TEAM}', id: g-1}]").groups[0].name == "${TEAM}"

    @pytest.mark.parametrize("file_format", ["yaml", "json", "csv"])
    def test_export_gives_such_a_group_its_id(self, file_format: Format) -> None:
        text = dump_groups([Group("g-1", "${TEAM}"), Group("g-2", "b")], [], file_format, "ids")
        first, second = load(text, f"g.{file_format}").groups
        assert ((first.name, first.id), (second.name, second.id)) == (("${TEAM}", "g-1"), ("b", None))

    @pytest.mark.parametrize("name", ["Team $5", "a {b}", "$TEAM", "100 %}"])
    def test_other_names_are_names(self, name: str) -> None:
        assert load(f"groups: [{{name: '{name}'}}]").groups[0].name == name


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0$\x7f\x85"), max_size=6).filter(
    lambda text: "{" not in text
)
MEMBERS = st.sampled_from(["ana@example.com", "ben@example.com", "u-1", "Eve <eve@example.com>", " joe "])
CONTENTS: st.SearchStrategy[list[Any]] = st.lists(
    st.fixed_dictionaries(
        {"name": TEXTS.map(str.strip).filter(bool)},
        optional={
            "icon": TEXTS | st.none(),
            "description": TEXTS | st.none(),
            "membership": st.sampled_from(["exact", "additive"]),
            "members": st.lists(MEMBERS | st.lists(MEMBERS, max_size=2), max_size=3),
        },
    ),
    unique_by=lambda group: DesiredGroup(name=str(group["name"])).name,
    max_size=5,
)


@given(CONTENTS)
def test_yaml_and_json_of_one_content_make_one_state(
    tmp_path_factory: pytest.TempPathFactory, groups: list[Any]
) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / "g.json").write_text(json.dumps({"groups": groups}), "utf-8")
    (directory / "g.yaml").write_text(dump_yaml({"groups": groups}), "utf-8")
    assert DesiredState.load(directory / "g.yaml") == DesiredState.load(directory / "g.json")


@given(CONTENTS, st.data())
def test_content_split_into_files_makes_one_state(
    tmp_path_factory: pytest.TempPathFactory, groups: list[Any], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("split")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(groups)), max_size=3)))
    parts = [groups[start:end] for start, end in zip([0, *cuts], [*cuts, len(groups)], strict=True)]
    for index, part in enumerate(parts):
        suffix = data.draw(st.sampled_from(["json", "yaml"]))
        document = {"groups": part}
        text = json.dumps(document) if suffix == "json" else dump_yaml(document)
        (directory / f"{index}.{suffix}").write_text(text, "utf-8")
    (directory.parent / "whole.json").write_text(json.dumps({"groups": groups}), "utf-8")
    assert DesiredState.load(directory) == DesiredState.load(directory.parent / "whole.json")
