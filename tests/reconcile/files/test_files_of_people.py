"""YAML, JSON and Excel files as people have them, from reading the file to the plan."""

import io
import zipfile
from pathlib import Path
from typing import Final

import pytest

from secoda_async import DesiredStateError
from secoda_async.reconcile import DesiredState
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules
from tests.support.people_files import GROUPS, SHARED, USERS


def workbook() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return content.getvalue()


FILES: Final = {
    "mailto.yaml": b'groups:\n- name: Finance\n  members: ["mailto:joe@example.com", mia@example.com]\n',
    "scim-list-response.json": (
        b'{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":2,"startIndex":1,'
        b'"itemsPerPage":1,"Resources":[{"id":"g1","displayName":"Data Stewards","members":[{"value":"u1"}]}]}\n'
    ),
    "plain-list.json": b'[{"name":"Data Stewards","members":["ana@example.com","ben@example.com"]}]\n',
    "peribolos.yaml": b"orgs:\n  example:\n    name: Example\n    teams:\n      stewards:\n        members: [ben]\n",
    "merge-in-groups.yaml": (b"groups:\n- &b\n  name: Legal\n  description: Contracts.\n- <<: *b\n  name: Tax\n"),
    "x-anchors.yaml": (
        b"x-people: &p [ana@example.com, ben@example.com]\ngroups:\n- name: Data Stewards\n  members: *p\n"
    ),
    "multi-doc.yaml": b"groups:\n- name: Data Stewards\n---\ngroups:\n- name: Finance\n",
    "nbsp-name.yaml": "groups:\n- name: Data\xa0Stewards\n  members: [ana@example.com]\n".encode(),
    "case-rename-prune.yaml": (
        "groups:\n- name: finance\n  description: Month-end close.\n- name: Legal\n"
        "- name: Data Stewards\n- name: Café\n"
    ).encode(),
    "hold-offboard.yaml": b"groups:\n- name: Finance\n  members: [joe@example.com, left@example.com]\n",
    "place.yaml": (
        b"groups:\n- name: Finance\n  description: x\n  members:\n  - joe@example.com\n  - mia@example.com\n"
        b"  - typo@example.com\n"
    ),
    "sheet.xlsx": workbook(),
}
"""The files, in case that the originals are not at hand."""


@pytest.fixture(params=["original", "copy"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a directory with the files."""
    if request.param == "original":
        if not SHARED.is_dir():
            pytest.skip("the original files are not at hand")
        return SHARED
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("mailto.yaml", {"Finance": ("joe@example.com", "mia@example.com")}),
        ("merge-in-groups.yaml", {"Legal": None, "Tax": None}),
        ("x-anchors.yaml", {"Data Stewards": ("ana@example.com", "ben@example.com")}),
        ("hold-offboard.yaml", {"Finance": ("joe@example.com", "left@example.com")}),
    ],
)
def test_file_is_read(directory: Path, name: str, members: object) -> None:
    state = DesiredState.load(directory / name)
    assert {group.name: group.members or None for group in state.groups} == members


def test_merged_keys_are_those_of_the_group(directory: Path) -> None:
    legal, tax = DesiredState.load(directory / "merge-in-groups.yaml").groups
    assert legal.description == tax.description == "Contracts."


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("scim-list-response.json", ":1:1: is a page of a longer list (1 of 2), which is never a desired state"),
        ("plain-list.json", ":1:1: is a list, without the key 'groups': write `groups:` above it"),
        ("peribolos.yaml", ":1:1: the file has an unknown key 'orgs': use 'groups', "),
        ("multi-doc.yaml", ":3:1: has several documents (---): write one document in a file"),
        ("sheet.xlsx", ": is an Excel workbook (or another zip file): save it as 'CSV UTF-8'"),
    ],
)
def test_file_is_refused_with_what_to_do(directory: Path, name: str, problem: str) -> None:
    with pytest.raises(DesiredStateError) as caught:
        DesiredState.load(directory / name)
    assert caught.value.problems[0].startswith(f"{directory / name}{problem}")


def test_missing_list_of_groups_is_named(directory: Path) -> None:
    with pytest.raises(DesiredStateError, match=r"peribolos\.yaml:1:1: has no 'groups:' list: write `groups:`"):
        DesiredState.load(directory / "peribolos.yaml")


@pytest.mark.requirement("BS-13")
@pytest.mark.parametrize("name", ["nbsp-name.yaml", "case-rename-prune.yaml"])
def test_name_that_looks_like_a_present_one_is_a_breach(directory: Path, name: str) -> None:
    plan = diff(DesiredState.load(directory / name), GROUPS, USERS, Rules(prune=True))
    assert plan.breaches


@pytest.mark.requirement("BS-12")
def test_unknown_member_is_named_at_its_own_location(directory: Path) -> None:
    file = directory / "place.yaml"
    with pytest.raises(DesiredStateError) as caught:
        diff(DesiredState.load(file), GROUPS, USERS, Rules())
    assert caught.value.problems[0].startswith(f"{file}:7:5: ")


@pytest.mark.requirement("BS-12")
def test_held_member_is_named_at_its_own_location(directory: Path) -> None:
    file = directory / "hold-offboard.yaml"
    plan = diff(DesiredState.load(file), GROUPS, USERS, Rules(unknown_members="hold"))
    assert [(held.member, held.place) for held in plan.held] == [("left@example.com", f"{file}:3:30")]
