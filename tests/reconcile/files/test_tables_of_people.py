"""Tables as people have them, from reading the file to the plan."""

from pathlib import Path
from typing import Final

import pytest

from secoda_async import DesiredStateError, Plan
from secoda_async.reconcile import DesiredState
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules
from tests.support.people_files import GROUPS, SHARED, USERS

OKTA: Final = b""""Okta user ID","First name","Last name","Email","Okta username","Okta user status","Group name","Group ID","Group source","Membership type","Added at"
"00u1","Ana","Alves","ana@example.com","ana@example.com","ACTIVE","Data Stewards","00g1","Okta","Direct","2024-01-05T10:00:00.000Z"
"00u2","Ben","Bo","ben@example.com","ben@example.com","SUSPENDED","Data Stewards","00g1","Okta","By Rule","2024-01-05T10:00:00.000Z"
"""  # noqa: E501 - a file as it is

GAM: Final = b"""group,type,role,id,status,email
stewards@example.com,USER,MEMBER,1001,ACTIVE,ana@example.com
stewards@example.com,USER,OWNER,1002,SUSPENDED,ben@example.com
stewards@example.com,GROUP,MEMBER,0abc,,finance@example.com
"""

FILES: Final = {
    "semicolons-right-columns.csv": (
        b'"Group";"Member"\r\n"Data Stewards";"ana@example.com"\r\n"Data Stewards";"ben@example.com"\r\n'
    ),
    "tabs.tsv": b"group\tmember\nData Stewards\tana@example.com\n",
    "powershell-utf16.csv": b"\xff\xfe"
    + '"Group","Member"\r\n"Data Stewards","ana@example.com"\r\n'.encode("utf-16-le"),
    "excel-sep-line.csv": b"sep=;\r\ngroup;member\r\nData Stewards;ana@example.com\r\n",
    "powershell5-type-line-right-columns.csv": (
        b"#TYPE Selected.System.Management.Automation.PSCustomObject\r\n"
        b'"Group","Member"\r\n"Data Stewards","ana@example.com"\r\n'
    ),
    "excel-blank-trailing-rows.csv": (
        b"group,member\r\nData Stewards,ana@example.com\r\nData Stewards,ben@example.com\r\n"
        b"Data Stewards,eve@example.com\r\n,\r\n,\r\n"
    ),
    "excel-trailing-empty-column.csv": b"group,member,\nData Stewards,ana@example.com,\n",
    "csv-members-semicolon-cell.csv": (
        b'group,member\nData Stewards,"ana@example.com;ben@example.com;eve@example.com"\n'
    ),
    "csv-members-newline-cell.csv": (
        b'group,member\nData Stewards,"ana@example.com\nben@example.com\neve@example.com"\n'
    ),
    "csv-merged-cells.csv": b"group,member\nData Stewards,ana@example.com\n,ben@example.com\n,eve@example.com\n",
    "csv-description-once.csv": (
        b"group,description,member\nData Stewards,They keep the docs up to date.,ana@example.com\n"
        b"Data Stewards,,ben@example.com\nData Stewards,,eve@example.com\n"
    ),
    "sheet.xlsx": b"PK\x03\x04\x14\x00\x00\x00",
    "okta-group-membership-report.csv": OKTA,
    "gam-print-group-members.csv": GAM,
    "snowflake-show-grants.csv": (
        b'"created_on","role","granted_to","grantee_name","granted_by"\n'
        b'"2024-01-05 10:00:00.000 -0800","ANALYST","USER","ANA@EXAMPLE.COM","USERADMIN"\n'
    ),
    "user-centric.csv": b'email,groups\nana@example.com,"Finance,Legal"\n',
    "case-groups.csv": b"group,member\nFinance,joe@example.com\nfinance,mia@example.com\n",
    "hold.csv": b"group,member\nNew Team,joe@example.com\nNew Team,nobody@example.com\nFinance,nobody@example.com\n",
    "place.csv": b"group,member\nFinance,joe@example.com\nLegal,ana@example.com\nFinance,typo@example.com\n",
}
"""Copies of the files, so that they are read without the directory too."""


@pytest.fixture(params=["copy", "shared"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The directory of the files, and one with their copies."""
    if request.param == "copy":
        for name, content in FILES.items():
            (tmp_path / name).write_bytes(content)
        return tmp_path
    if not SHARED.is_dir():
        pytest.skip("the directory of the files is absent")
    return SHARED


STEWARDS: Final = {"Data Stewards": ("ana@example.com", "ben@example.com", "eve@example.com")}


def groups_of(file: Path, columns: str | None = None) -> dict[str, object]:
    return {group.name: group.members for group in DesiredState.load(file, columns=columns).groups}


def problems_of(file: Path, columns: str | None = None) -> list[str]:
    with pytest.raises(DesiredStateError) as caught:
        DesiredState.load(file, columns=columns)
    return [problem.removeprefix(str(file)) for problem in caught.value.problems]


def plan_of(file: Path, rules: Rules) -> Plan:
    return diff(DesiredState.load(file), GROUPS, USERS, rules)


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("semicolons-right-columns.csv", 2),
        ("tabs.tsv", 1),
        ("powershell-utf16.csv", 1),
        ("excel-sep-line.csv", 1),
        ("powershell5-type-line-right-columns.csv", 1),
        ("excel-blank-trailing-rows.csv", 3),
        ("excel-trailing-empty-column.csv", 1),
        ("csv-members-semicolon-cell.csv", 3),
        ("csv-members-newline-cell.csv", 3),
        ("csv-description-once.csv", 3),
    ],
)
def test_table_is_read(folder: Path, name: str, members: int) -> None:
    assert groups_of(folder / name) == {"Data Stewards": STEWARDS["Data Stewards"][:members]}


@pytest.mark.parametrize(
    ("name", "columns", "groups"),
    [
        (
            "okta-group-membership-report.csv",
            "group='Group name',member=Email,where:'Okta user status'=ACTIVE",
            {"Data Stewards": ("ana@example.com",)},
        ),
        (
            "gam-print-group-members.csv",
            "group=group,member=email,where:type=USER",
            {"stewards@example.com": ("ana@example.com", "ben@example.com")},
        ),
        ("snowflake-show-grants.csv", "group=role,member=grantee_name", {"ANALYST": ("ANA@EXAMPLE.COM",)}),
    ],
)
def test_columns_of_a_directory_are_read(folder: Path, name: str, columns: str, groups: dict[str, object]) -> None:
    assert groups_of(folder / name, columns) == groups


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        (
            "csv-merged-cells.csv",
            ":3: the group is empty on lines 3, 4: ",
            "write its name in every row, also of merged cells",
        ),
        ("sheet.xlsx", ": is an Excel workbook (or another zip file): ", "save it as 'CSV UTF-8'"),
        (
            "okta-group-membership-report.csv",
            ":1: the columns 'Okta user ID', 'First name', 'Last name', 'Email', ",
            (
                "'group' is missing: is it 'Group name'? Rename or delete columns, or read it with --columns "
                "group='Group name',member=Email"
            ),
        ),
        (
            "gam-print-group-members.csv",
            ":1: the columns 'type', 'role', 'status', 'email' are not read: rename or delete columns, ",
            "or read it with --columns group=group,member=email",
        ),
        (
            "snowflake-show-grants.csv",
            ":1: the columns 'created_on', 'role', ",
            "or read it with --columns group=role,member=grantee_name",
        ),
        (
            "user-centric.csv",
            ":1: has a row for each person, with groups in the column 'groups': ",
            "write a row for each membership, with the columns 'group' and 'member'",
        ),
    ],
    ids=lambda text: text if text.endswith((".csv", ".xlsx")) else "",
)
def test_other_table_is_refused_in_one_line(folder: Path, name: str, start: str, end: str) -> None:
    (problem,) = problems_of(folder / name)
    assert problem.startswith(start)
    assert problem.endswith(end)


@pytest.mark.requirement("BS-12")
def test_held_members_are_named(folder: Path) -> None:
    plan = plan_of(folder / "hold.csv", Rules(unknown_members="hold"))
    assert [(held.group, held.member, held.place, held.kept) for held in plan.held] == [
        ("Finance", "nobody@example.com", f"{folder / 'hold.csv'}:4", ("joe", "mia")),
        ("New Team", "nobody@example.com", f"{folder / 'hold.csv'}:3", ()),
    ]


@pytest.mark.requirement("BS-13")
def test_names_in_another_case_are_refused(folder: Path) -> None:
    (breach,) = plan_of(folder / "case-groups.csv", Rules()).breaches
    assert (breach.kind, breach.names) == ("similar", ("finance", "Finance"))


def test_unknown_member_is_at_its_own_line(folder: Path) -> None:
    with pytest.raises(DesiredStateError) as caught:
        plan_of(folder / "place.csv", Rules())
    (problem, *_) = caught.value.problems
    assert problem.startswith(f"{folder / 'place.csv'}:4: 'typo@example.com', a member of 'Finance', is not a user")


@pytest.mark.parametrize("name", ["groups.yaml", "groups.json"])
def test_table_with_the_suffix_of_another_format_is_recognized(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES["hold.csv"])
    assert problems_of(tmp_path / name) == [":1: looks like a table: name the file .csv, or pass --input csv"]
