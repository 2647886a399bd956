"""Tables as spreadsheets and directories write them."""

from collections.abc import Mapping
from typing import Any

import pytest

from secoda_async import InvalidArgumentError
from secoda_async.reconcile.files.input_file import InputError
from secoda_async.reconcile.files.nodes import Node
from secoda_async.reconcile.files.tables import looks_like_table, parse_table

STEWARDS = {"Data Stewards": {"members": ["ana@example.com", "ben@example.com"]}}


def groups_of(text: str, columns: str | Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the fields of each group by its name."""
    problems: list[str] = []
    document = parse_table(text, lambda location, problem: problems.append(location + problem), columns)
    assert problems == []
    assert document is not None
    ((_, entries),) = document.pairs
    fields = [{key.text: value_of(value) for key, value in entry.pairs} for entry in entries.items]
    return {str(group.pop("name")): group for group in fields}


def value_of(node: Node) -> object:
    return [item.text for item in node.items] if node.kind == "a list" else node.text


def problems_of(text: str, columns: str | None = None) -> list[str]:
    problems: list[str] = []
    try:
        parse_table(text, lambda location, problem: problems.append(f"{location}: {problem}"), columns)
    except InputError as error:
        problems.append(str(error))
    return problems


def members_of(text: str) -> list[tuple[str, str | None]]:
    """Return the location and the text of each member."""
    document = parse_table(text, lambda *problem: pytest.fail(str(problem)))
    assert document is not None
    entries = document.pairs[0][1].items
    return [(item.location, item.text) for entry in entries for item in dict_of(entry)["members"].items]


def dict_of(entry: Node) -> dict[str, Node]:
    return {key.text or "": value for key, value in entry.pairs}


class TestShape:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("group,member\nData Stewards,ana@example.com\nData Stewards,ben@example.com\n", id="commas"),
            pytest.param(
                '"Group";"Member"\r\n"Data Stewards";"ana@example.com"\r\n"Data Stewards";"ben@example.com"\r\n',
                id="semicolons",
            ),
            pytest.param("group\tmember\nData Stewards\tana@example.com\nData Stewards\tben@example.com\n", id="tabs"),
            pytest.param("group|member\rData Stewards|ana@example.com\rData Stewards|ben@example.com\r", id="bars"),
            pytest.param(
                "sep=;\r\ngroup;member\r\nData Stewards;ana@example.com\r\nData Stewards;ben@example.com\r\n", id="sep"
            ),
            pytest.param(
                '"sep=,",\ngroup,member\nData Stewards,ana@example.com\nData Stewards,ben@example.com\n',
                id="sep-quoted",
            ),
            pytest.param(
                '#TYPE Selected.PSCustomObject\r\n"Group","Member"\r\n"Data Stewards","ana@example.com"\r\n'
                '"Data Stewards","ben@example.com"\r\n',
                id="type-line",
            ),
            pytest.param(
                "\n \n,,\n GROUP , MEMBER \n\nData Stewards,ana@example.com\n,\n \nData Stewards,ben@example.com\n,\n",
                id="blank-rows",
            ),
            pytest.param(
                ",group,,member,\n,Data Stewards,,ana@example.com,\n,Data Stewards,,ben@example.com\n",
                id="blank-columns",
            ),
            pytest.param(
                "group,member\nData Stewards,ana@example.com,,\nData Stewards,ben@example.com,\n",
                id="extra-empty-cells",
            ),
            pytest.param(
                'group, member\n"Data Stewards", "ana@example.com"\n"Data Stewards", "ben@example.com"\n',
                id="blanks-before-quotes",
            ),
            pytest.param(
                'group,member\n="Data Stewards",ana@example.com\n="Data Stewards",ben@example.com\n', id="text-formulas"
            ),
        ],
    )
    def test_table_is_read_as_it_is(self, text: str) -> None:
        assert groups_of(text) == STEWARDS

    def test_separator_in_a_header_cell_does_not_count(self) -> None:
        assert groups_of('group;"member"\nA, B;u-1\n') == {"A, B": {"members": ["u-1"]}}

    def test_missing_cells_at_the_end_are_empty(self) -> None:
        text = "group,icon,description,member,id\nFinance,💶\nLegal\n"
        legal: dict[str, Any] = {"icon": "", "description": "", "members": []}
        assert groups_of(text) == {"Finance": legal | {"icon": "💶"}, "Legal": legal}

    def test_member_is_at_the_first_line_of_its_row(self) -> None:
        text = 'sep=,\n\ngroup,description,member\nA,"1\n2",u-1\nB,"\n",u-2\nA,,u-3\n'
        assert members_of(text) == [(":4", "u-1"), (":8", "u-3"), (":6", "u-2")]

    def test_cell_with_several_members_stays_whole(self) -> None:
        assert members_of('group,member\nA,"u-1\nu-2"\n') == [(":2", "u-1\nu-2")]


class TestRowsOfAGroup:
    def test_rows_of_one_name_are_one_group(self) -> None:
        text = "group,icon,description,member\n a ,i,d,x@example.com\nb,,,\na,i,d,y\n\na,i,d,x@example.com\n"
        assert groups_of(text) == {
            "a": {"icon": "i", "description": "d", "members": ["x@example.com", "y", "x@example.com"]},
            "b": {"icon": "", "description": "", "members": []},
        }

    def test_missing_column_is_not_managed(self) -> None:
        assert groups_of("group\na\n") == {"a": {}}

    def test_description_of_one_row_is_that_of_the_group(self) -> None:
        text = "group,description,member\na,,u-1\na,Text,u-2\na,,u-3\n"
        assert groups_of(text) == {"a": {"description": "Text", "members": ["u-1", "u-2", "u-3"]}}

    def test_contradiction_is_reported_once_for_a_group(self) -> None:
        text = "group,icon,member\na,i,u-1\na,j,u-2\na,j,u-3\nb,k,u-1\nb,l,u-2\n"
        assert problems_of(text) == [
            ":3: icon is 'j', but 'i' at line 2: use one text",
            ":6: icon is 'l', but 'k' at line 5: use one text",
        ]

    def test_id_of_one_row_is_that_of_the_group(self) -> None:
        text = "group,icon,member,id\na,i,u-1,\na,,u-2,g-1\na,,u-3,\n"
        assert groups_of(text) == {"a": {"icon": "i", "id": "g-1", "members": ["u-2", "u-1", "u-3"]}}

    def test_rows_without_an_id_contradict_rows_with_it(self) -> None:
        text = "group,icon,id\na,i,\na,j,g-1\n"
        assert problems_of(text) == [":2: icon is 'i', but 'j' at line 3: use one text"]

    def test_ids_tell_groups_of_one_name_apart(self) -> None:
        text = "group,id,member\na,1,x\na,2,\na,1,y\na,,z\n"
        document = parse_table(text, lambda *_: None)
        assert document is not None
        groups = [{key.text: value_of(value) for key, value in entry.pairs} for entry in document.pairs[0][1].items]
        assert groups == [
            {"name": "a", "id": "1", "members": ["x", "y"]},
            {"name": "a", "id": "2", "members": []},
            {"name": "a", "members": ["z"]},
        ]

    def test_group_without_a_name_has_an_id(self) -> None:
        assert groups_of("group,id\n,g-1\n") == {"": {"id": "g-1"}}

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("group,member\na,u-1\n,u-2\n", ":3: the group is empty on line 3: write its name in every row, also of"),
            (
                "group,member\na,u-1\n,u-2\n\n,u-3\n",
                ":3: the group is empty on lines 3, 5: write its name in every row",
            ),
        ],
        ids=["one", "several"],
    )
    def test_row_without_a_group_is_refused(self, text: str, problem: str) -> None:
        (found,) = problems_of(text)
        assert found.startswith(problem)


class TestProblems:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", ":1: has no column 'group': the first line names the columns"),
            ("\n\nmember\nx\n", ":3: has no column 'group': the first line names the columns"),
            (
                "group,member\na,u-1\nA, B,u-1\n",
                ":3: has 3 cells, not 2: put cells that contain the separator in quotes",
            ),
            ("group,,member\na,x,u-1\nb,y,u-1\n", ":2: 'x' is in column 2, which has no name: name it"),
            ('group\na\n"b\n\n', ":3: is not CSV: a quote in this row is never closed"),
            ('"group\na', ":1: is not CSV: a quote in this row is never closed"),
            ('group\n"a"b\n', ":2: is not CSV: ',' expected after '\"'"),
            (
                "group,member\nFinance,joe@example.com\nLegal",
                ":3: the last row has 1 of 2 cells, and no line break follows: the file may be cut off",
            ),
            ("group\nCaf\ufffd\n", ":2: 'Caf\ufffd' contains U+FFFD in place of a lost character"),
            ("group,icon\na,\na,?\n", ":3: the icon is '?', as if an emoji was lost"),
            ("Groups\n\ngroup;member\na;b\n", ":1: is not the header, which is on line 3: delete the lines above it"),
            ('Title, all\n"a', ":1: the columns 'Title', 'all' are not read, and 'group' is missing"),
            ("groups:\n- name: a\n", ":1: looks like YAML or JSON"),
            ("group;a;b\n1;2;3\n", ":1: the columns 'a', 'b' are not read: rename or delete columns"),
        ],
        ids=str,
    )
    def test_problem_has_its_line(self, text: str, problem: str) -> None:
        (found,) = problems_of(text)
        assert found.startswith(problem)

    def test_id_allows_text_that_looks_damaged(self) -> None:
        assert groups_of("group,icon,id\nCafÃ©,?,g-1\n") == {"CafÃ©": {"icon": "?", "id": "g-1"}}

    @pytest.mark.parametrize("text", ["group\na", "group,member\na,u-1", "group,member,\na,u-1"])
    def test_complete_last_row_needs_no_line_break(self, text: str) -> None:
        assert problems_of(text) == []


class TestColumns:
    TEXT = (
        "Group name;Email;Status;Type\nA;ana@example.com;ACTIVE;USER\nA;ben@example.com;suspended;USER\n"
        "B;b;Active;GROUP\n"
    )

    def test_columns_with_other_names_are_read(self) -> None:
        columns = "group='Group name',member=Email,where:Status=active,where:type=User"
        assert groups_of(self.TEXT, columns) == {"A": {"members": ["ana@example.com"]}}

    def test_mapping_is_read_too(self) -> None:
        columns = {"group": "Group name", "description": "Type", "where:Status": "suspended"}
        assert groups_of(self.TEXT, columns) == {"A": {"description": "USER"}}

    @pytest.mark.parametrize(
        ("columns", "problem"),
        [
            (
                "group=Group",
                ":1: there is no column 'Group': is it 'Group name'? The columns are 'Group name', 'Email', 'S",
            ),
            (
                "group=Group name,where:Status=x",
                ":1: no row has Status = 'x': 'Status' has 'ACTIVE', 'suspended', 'Act",
            ),
            (
                "group=Group name,where:Status=suspended,where:Type=GROUP",
                (
                    ":1: no row has Status = 'suspended' and Type = 'GROUP': 'Status' has 'ACTIVE', 'suspended', "
                    "'Active'; 'Type' has 'USER', 'GROUP'"
                ),
            ),
        ],
        ids=["missing", "no-row", "no-row-with-both"],
    )
    def test_wrong_columns_are_a_problem(self, columns: str, problem: str) -> None:
        (found,) = problems_of(self.TEXT, columns)
        assert found.startswith(problem)

    def test_condition_on_an_empty_table_is_a_problem(self) -> None:
        columns = "group=Group name,where:Status=x"
        assert problems_of("Group name,Status\n", columns) == [":1: no row has Status = 'x': the table is empty"]

    def test_few_values_of_a_column_are_listed(self) -> None:
        text = "g,s\n" + "".join(f"a,{number}\n" for number in range(9))
        assert problems_of(text, "group=g,where:s=x") == [":1: no row has s = 'x': 's' has '0', '1', '2', '3', '4'"]

    def test_wrong_text_of_columns_raises(self) -> None:
        with pytest.raises(InvalidArgumentError, match="columns: unknown key 'email'"):
            parse_table("group\na\n", lambda *_: None, "group=a,email=b")


class TestRecognition:
    @pytest.mark.parametrize("suffix", ["", ".txt", ".export"])
    @pytest.mark.parametrize(
        "text",
        [
            "group,member\na,b\n",
            '"Group";"Member"\n',
            "Group name\tEmail\n",
            "group\na\n",
            '"group"\na\n',
            "sep=;\ngroup;member\n",
            "#TYPE Selected\ngroup,member\n",
            "\n\ngroup,member\n",
            "group|member\n",
        ],
    )
    def test_table_is_recognized_by_content(self, text: str, suffix: str) -> None:
        assert looks_like_table(text, suffix)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "groups:\n- name: a, b\n",
            "# a, comment\ngroups: []\n",
            "---\ngroups: [a, group]\n",
            "x-a: [b, group, c]\ngroups: []\n",
            '{"groups": [{"name": "a"}, {"name": "b"}]}',
            '[{"name": "a"}, {"name": "b"}]',
            "- name: a, b\n",
            '"groups" : [a, b]\n',
            "groups:\n",
            "$schema: a,b\n",
            "%YAML 1.1\n---\n",
            "dn: cn=a,dc=b\n",
            "some text\n",
        ],
    )
    def test_yaml_and_json_are_no_table(self, text: str) -> None:
        assert not looks_like_table(text, "")
        assert not looks_like_table(text, ".txt")

    @pytest.mark.parametrize(
        ("suffix", "is_table"),
        [
            (".csv", True),
            (".CSV", True),
            (".tsv", True),
            (".tab", True),
            (".yaml", False),
            (".yml", False),
            (".json", False),
        ],
    )
    def test_known_suffix_decides(self, suffix: str, *, is_table: bool) -> None:
        assert looks_like_table("group,member\n", suffix) is is_table
        assert looks_like_table("groups: []\n", suffix) is is_table
