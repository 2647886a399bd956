"""Exports: a plan of an export is empty, also after a spreadsheet has saved it."""

import csv
import io
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async import Group, User
from secoda_async.reconcile import DesiredState
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.files.writing import dump_groups
from secoda_async.reconcile.safety import Rules
from tests.support.spreadsheets import save_as_excel

USERS = [User(f"u-{name}", f"{name}@example.com") for name in ("ana", "ben", "eve")]

NAMES = ["Data Stewards", "Café 🧪", "=1+1", "-x", "@all", "007", "1e5", "3-4", "MARCH1", "TRUE", "a;b", 'a "b"', "a,b"]

GROUPS = [
    Group(f"g-{index}", name, icon="🧪" if index % 2 else "", description=name, users=("u-ana", "u-ben")[: index % 3])
    for index, name in enumerate(NAMES)
]


def bytes_of(groups: list[Group], users: list[User]) -> bytes:
    """Return a CSV export as a file has it."""
    return dump_groups(groups, users, "csv", "emails").encode("utf-8-sig")


def differences(path: Path, groups: list[Group], users: list[User]) -> list[object]:
    plan = diff(DesiredState.load(path), groups, users, Rules(prune=True))
    return [*plan.changes, *plan.conflicts, *plan.breaches]


@pytest.mark.requirement("BS-4")
@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_csv_export_survives_excel(tmp_path: Path, separator: str, encoding: str, times: int) -> None:
    path = tmp_path / "groups.csv"
    content = bytes_of(GROUPS, USERS)
    for index in range(times):  # only a comma and UTF-8 open without an import dialog
        is_last = index == times - 1
        content = save_as_excel(
            content, separator=separator if is_last else ",", encoding=encoding if is_last else "utf-8-sig"
        )
    path.write_bytes(content)
    assert differences(path, GROUPS, USERS) == []


@pytest.mark.requirement("BS-4")
def test_damaged_texts_are_read_back_with_an_id(tmp_path: Path) -> None:
    groups = [
        Group("g-1", "CafÃ©"),
        Group("g-2", "a", icon="?"),
        Group("g-3", "b", description="Ã\x80\n"),
        Group("g-4", "A\u0303\x80"),
    ]
    path = tmp_path / "groups.csv"
    path.write_bytes(bytes_of(groups, []))
    assert differences(path, groups, []) == []
    assert "g-" not in dump_groups(groups, [], "json", "emails")


@pytest.mark.parametrize(
    "email", ["ana@localhost", "a b@example.com", "<a@example.com>", "a@example.com;b@example.com"]
)
@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_odd_address_is_written_as_an_id(email: str, file_format: Literal["csv", "json"]) -> None:
    text = dump_groups([Group("g-1", "a", users=("u-1",))], [User("u-1", email)], file_format, "emails")
    assert "u-1" in text
    assert email not in text


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@pytest.mark.requirement("BS-4")
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=5))
@settings(deadline=None)
def test_any_csv_export_survives_excel_without_conversions(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str, str]]
) -> None:
    groups = [
        Group(f"g-{index}", name, icon=icon, description=description)
        for index, (name, icon, description) in enumerate(texts)
    ]
    path = tmp_path_factory.mktemp("export") / "groups.csv"
    path.write_bytes(bytes_of(groups, []))
    assert differences(path, groups, []) == []
    saved = io.StringIO(newline="")
    csv.writer(saved, delimiter=";", quoting=csv.QUOTE_ALL).writerows(
        csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
    )
    path.write_text(saved.getvalue(), "utf-16", newline="")
    assert differences(path, groups, []) == []
