"""One content in CSV, YAML and JSON is one desired state."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async.reconcile import DesiredState
from secoda_async.reconcile.files.cells import damage_of, quote_cell
from secoda_async.reconcile.files.tables import looks_like_table
from secoda_async.reconcile.files.validation import has_variable

COLUMNS: Final[tuple[str, ...]] = ("group", "icon", "description", "member")

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp")), max_size=10).map(str.strip)
SOUND = TEXTS.filter(lambda text: not damage_of("icon", text))
NAMES = SOUND.filter(lambda text: text and not has_variable(text))
WORDS = st.text("abcxyz019-+_'", min_size=1, max_size=6)
MEMBERS = WORDS | st.builds("{}@{}.example".format, WORDS, WORDS)


@frozen
class Style:
    """The ways in which programs write a table."""

    separator: str
    encoding: str
    line_break: str
    quoting: Any
    cell_separator: str | None
    """Between the members of one cell; None for a row for each member."""
    blank_rows: int
    blank_columns: int
    column_order: tuple[str, ...]
    is_trimmed: bool
    """Whether empty cells at the end of a row are left out."""
    is_repeated: bool
    """Whether each row has the icon and the description."""


STYLES = st.builds(
    Style,
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    line_break=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    cell_separator=st.sampled_from([None, ";", ", ", "\n"]),
    blank_rows=st.integers(0, 2),
    blank_columns=st.integers(0, 2),
    column_order=st.permutations(COLUMNS).map(tuple),
    is_trimmed=st.booleans(),
    is_repeated=st.booleans(),
)

GROUPS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES, "icon": SOUND, "description": SOUND, "members": st.lists(MEMBERS, unique=True)}
    ),
    unique_by=lambda group: str(group["name"]),
    max_size=5,
)


def table_of(groups: list[dict[str, Any]], style: Style) -> bytes:
    """Return the groups as a table in a style."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=style.separator, lineterminator=style.line_break, quoting=style.quoting)
    blank = [""] * style.blank_columns
    writer.writerow([*blank, *(name.title() for name in style.column_order), *blank])
    for group in groups:
        for index, member in enumerate(cells_of(group["members"], style.cell_separator)):
            writer.writerows([[""] * 3] * style.blank_rows)
            texts = (group["icon"], group["description"]) if style.is_repeated or not index else ("", "")
            values: dict[str, str] = dict(zip(COLUMNS, map(quote_cell, (group["name"], *texts, member)), strict=True))
            row = [*blank, *(values[name] for name in style.column_order), *blank]
            while style.is_trimmed and not row[-1]:
                row.pop()
            writer.writerow(row)
    return text.getvalue().encode(style.encoding)


def cells_of(members: list[str], separator: str | None) -> list[str]:
    return (members if separator is None else [separator.join(members)]) or [""]


@given(GROUPS, STYLES)
@settings(deadline=None)
def test_one_content_is_one_desired_state(
    tmp_path_factory: pytest.TempPathFactory, groups: list[dict[str, Any]], style: Style
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    contents = {
        "g.csv": table_of(groups, style),
        "g.txt": table_of(groups, style),
        "g.json": json.dumps({"groups": groups}).encode(),
        "g.yaml": to_yaml({"groups": groups}).encode(),
    }
    states = [load(folder / name, content) for name, content in contents.items()]
    assert states == [states[0]] * len(states)


def to_yaml(document: object, *, flow_style: bool | None = None) -> str:
    return yaml.safe_dump(  # pyright: ignore[reportUnknownMemberType] - one of its types is unknown
        document, default_flow_style=flow_style, allow_unicode=True, sort_keys=False
    )


def load(file: Path, content: bytes) -> DesiredState:
    file.write_bytes(content)
    return DesiredState.load(file)


@pytest.mark.slow
@given(GROUPS, st.sampled_from([None, True, False]))
@settings(deadline=None)
def test_yaml_and_json_are_never_taken_for_a_table(groups: list[dict[str, Any]], flow_style: bool | None) -> None:  # noqa: FBT001 - Hypothesis passes it
    document = {"groups": groups}
    assert not looks_like_table(to_yaml(document, flow_style=flow_style), "")
    assert not looks_like_table(json.dumps(document, indent=2 if flow_style else None), "")
