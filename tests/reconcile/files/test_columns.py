"""Columns with names of their own: the text of `--columns`, and the layout of a header."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import InvalidArgumentError
from secoda_async.reconcile.files.columns import Columns, find_layout, list_names, unread_columns

OKTA = ["Okta user ID", "First name", "Email", "Okta user status", "Group name", "Group ID", "Group source"]
GAM = ["group", "type", "role", "id", "status", "email"]
GOOGLE = ["Group Email [Required]", "Member Email", "Member Type", "Member Role"]
ENTRA = ["id", "userPrincipalName", "displayName", "userType"]
SNOWFLAKE = ["created_on", "role", "granted_to", "grantee_name", "granted_by"]
AIRTABLE = ["Team", "Members", "Notes"]


class TestColumnsText:
    @pytest.mark.parametrize(
        ("given", "names", "where"),
        [
            ("group='Group name',member=Email", {"group": "Group name", "member": "Email"}, {}),
            ("group=Group name, member = Email", {"group": "Group name", "member": "Email"}, {}),
            ('GROUP="a, b",where:Status=ACTIVE', {"group": "a, b"}, {"Status": "ACTIVE"}),
            ("group=g,where:'User status'='not, active'", {"group": "g"}, {"User status": "not, active"}),
            ("group=g,where:Suspended=", {"group": "g"}, {"Suspended": ""}),
            (r"group=g,where:Domain=CORP\ana", {"group": "g"}, {"Domain": r"CORP\ana"}),
            ("group=g,member=a=b,", {"group": "g", "member": "a=b"}, {}),
            ({"group": "Group name", "where:Status": "ACTIVE"}, {"group": "Group name"}, {"Status": "ACTIVE"}),
            (Columns({"group": "g"}, {}), {"group": "g"}, {}),
        ],
        ids=str,
    )
    def test_text_and_mapping_are_parsed(
        self, given: str | dict[str, str] | Columns, names: dict[str, str], where: dict[str, str]
    ) -> None:
        assert Columns.parse(given) == Columns(names, where)

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ("", "columns: name the column of the group, such as group='Group name',member=Email"),
            ("member=Email", "columns: name the column of the group"),
            ("group", "columns: 'group' has no '=': write it as in group='Group name'"),
            ("group=a,group=b", "columns: 'group' is given twice: keep one"),
            ("group=a,where:S=1,where:S=2", "columns: 'where:S' is given twice: keep one"),
            ("group=", "columns: 'group' names no column"),
            ("group=g,where:=1", "columns: 'where:' names no column"),
            (
                "group=g,email=Email",
                "columns: unknown key 'email': use 'group', 'icon', 'description', 'member', 'id' or",
            ),
            ("group=Ana's", 'columns: a quote in "group=Ana\'s" is not closed'),
            ({"group": 5}, "columns: 'group' must be a string, not int"),
        ],
        ids=str,
    )
    def test_wrong_text_is_refused(self, given: str | dict[str, str], problem: str) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            Columns.parse(given)
        assert str(caught.value).startswith(problem)


class TestLayout:
    def test_columns_are_found_in_any_letter_case(self) -> None:
        layout, problems = find_layout([" GROUP ", "Member", ""], None)
        assert (layout.fields, list(layout.unnamed), problems) == ({"group": 0, "member": 1}, [2], [])

    def test_column_with_the_same_letter_case_is_preferred(self) -> None:
        layout, problems = find_layout(["NAME", "Name"], Columns.parse("group=Name"))
        assert (layout.fields, problems) == ({"group": 1}, [])

    def test_other_columns_are_ignored_when_columns_are_given(self) -> None:
        layout, problems = find_layout(GAM, Columns.parse("group=Group,member=Email,where:TYPE=user"))
        assert (layout.fields, problems) == ({"group": 0, "member": 5}, [])
        (condition,) = layout.conditions
        assert (condition.accepts(" USER "), condition.accepts("group")) == (True, False)

    @pytest.mark.parametrize(
        ("cell", "is_accepted"),
        [("ACTIVE", True), ("locked_out", True), ("Suspended", False), ("Active|Locked_Out", True)],
    )
    def test_condition_may_have_several_values(self, cell: str, *, is_accepted: bool) -> None:
        layout, _ = find_layout(["g", "s"], Columns.parse("group=g,where:s=Active|Locked_Out"))
        assert layout.conditions[0].accepts(cell) is is_accepted

    def test_missing_columns_are_named_with_the_likely_ones(self) -> None:
        _, problems = find_layout(["Group name", "Email"], Columns.parse("group=Group,member=Mail,where:x=1"))
        assert problems == [
            "there is no column 'Group': is it 'Group name'? The columns are 'Group name', 'Email'",
            "there is no column 'Mail': is it 'Email'? The columns are 'Group name', 'Email'",
            "there is no column 'x': the columns are 'Group name', 'Email'",
        ]

    def test_ambiguous_column_is_a_problem(self) -> None:
        _, problems = find_layout(["NAME", "name"], Columns.parse("group=Name"))
        assert problems == ["there are two columns 'Name': rename one"]

    def test_doubled_column_is_a_problem(self) -> None:
        assert find_layout(["group", "icon", "Icon"], None)[1] == ["there are two columns 'icon': keep one"]


class TestHints:
    @pytest.mark.parametrize(
        ("header", "hint"),
        [
            (
                OKTA,
                (
                    "'group' is missing: is it 'Group name'? Rename or delete columns, or read it with --columns "
                    "group='Group name',member=Email"
                ),
            ),
            (
                GAM,
                "'email' are not read: rename or delete columns, or read it with --columns group=group,member=email",
            ),
            (GOOGLE, "--columns group='Group Email [Required]',member='Member Email'"),
            (
                SNOWFLAKE,
                "is it 'role'? Rename or delete columns, or read it with --columns group=role,member=grantee_name",
            ),
            (AIRTABLE, "--columns group=Team,member=Members"),
            (
                ["group", "Notes"],
                "rename or delete columns, or read it with --columns group=group,member=...",
            ),
            (ENTRA, "or say which columns these are: --columns group=...,member=..."),
            (["member"], "has no column 'group': the first line names the columns"),
            (
                ["email", "groups"],
                (
                    "has a row for each person, with groups in the column 'groups': write a row for each "
                    "membership, with the columns 'group' and 'member'"
                ),
            ),
        ],
        ids=str,
    )
    def test_hint_names_the_likely_columns(self, header: list[str], hint: str) -> None:
        assert unread_columns(header).endswith(hint)

    def test_unread_columns_are_all_named(self) -> None:
        assert unread_columns(GAM).startswith("the columns 'type', 'role', 'status', 'email' are not read: ")

    def test_long_lists_of_names_are_cut(self) -> None:
        assert list_names(range(12)).endswith("10, 11")
        assert list_names(range(14)).endswith("10, 11 and 2 more")

    @given(st.text("aZ ,='\"é:[]$`\\", min_size=1, max_size=12).filter(lambda name: name.strip() == name))
    def test_suggested_option_reads_the_column(self, suffix: str) -> None:
        header = [f"Group name{suffix}", "Email"]
        hint = unread_columns(header)
        if "--columns" in hint and not {"'", '"'} <= set(suffix):
            option = shlex.split(hint.rpartition("--columns ")[2])
            assert Columns.parse(option[0]).names == {"group": header[0], "member": "Email"}
