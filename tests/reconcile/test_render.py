"""Plans as text and Markdown; no name forges a line or markup."""

import re

import pytest
from attrs import evolve

from secoda_async import (
    Breach,
    Change,
    Conflict,
    Plan,
)
from secoda_async.models import GroupFields
from secoda_async.reconcile.render import markdown, render_text

PLAN = Plan(
    changes=(
        Change(
            kind="update",
            name="a|b",
            id="1",
            before=GroupFields(name="old", description="x", users=tuple(f"u{index}" for index in range(10))),
            after=GroupFields(name="a|b", description=None, users=()),
        ),
    ),
    conflicts=(Conflict(name="c", message="two of them"),),
    breaches=(Breach(kind="deletes", message="too many"),),
)


def test_text_names_every_field_and_the_first_members() -> None:
    assert [(line.kind, line.text) for line in render_text(PLAN)] == [
        ("update", "~ update a|b"),
        ("", 'name: "old" -> "a|b"'),
        ("", 'description: "x" -> (none)'),
        ("removed", "members -10: u0, u1, u2, u3, u4, u5, u6, u7 and 2 more"),
        ("warning", "! skipped: two of them"),
        ("warning", "! exceeds the safety limits: too many"),
        ("summary", "1 to update; 1 in conflict"),
    ]


def test_text_shows_the_first_of_many_changes() -> None:
    plan = evolve(PLAN, changes=PLAN.changes * 5)
    shown = [line.text for line in render_text(plan, most=2)]
    assert sum(text[:2] in ("+ ", "~ ", "- ") for text in shown) == 2
    assert f"... and {len(plan.changes) - 2} more changes" in shown


def test_markdown_is_escaped() -> None:
    text = markdown(PLAN)
    assert '| update | `a\\|b` | `name: "old" -> "a\\|b"`<br>' in text
    assert "**Exceeds the safety limits**\n\n- too many\n" in text
    assert "**Skipped**\n\n- two of them\n" in text
    assert markdown(Plan(changes=())) == "### Secoda groups: nothing to do\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;pwn\x07\x1b[2K", r"\x1b]0;pwn\x07\x1b[2K"),
        ("a\n- delete everything", r"a\n- delete everything"),
        ("a\r\u2028b\u202ec", r"a\r\u2028b\u202ec"),
        ("équipe\u00a0👩\u200d💻 🗂️", "équipe\u00a0👩\u200d💻 🗂️"),
    ],
)
def test_text_escapes_control_characters_in_names(name: str, shown: str) -> None:
    plan = Plan(changes=(Change(kind="create", name=name, after=GroupFields(name=name, description=name)),))
    first, second, *_ = render_text(plan)
    assert (first.text, second.text) == (f"+ create {shown}", f'description: "{shown}"')


@pytest.mark.parametrize("name", ["a\r\r# Approved", "`x` @org/team #1", "``", "https://x.example ~~y~~", "<b>"])
def test_markdown_shows_names_as_code(name: str) -> None:
    change = Change(kind="create", name=name, after=GroupFields(name=name))
    plan = Plan(changes=(change,), conflicts=(Conflict(name=name, message=f"no {name}"),))
    text = markdown(plan)
    assert "\r" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| create")]
    cell = row.split(" | ")[1]
    fence = cell[: len(cell) - len(cell.lstrip("`"))]
    assert cell.endswith(fence)
    assert fence not in cell.strip("`")  # one span of code, whatever is in it
    (message,) = [line for line in text.splitlines() if line.startswith("- no ")]
    assert not re.search(r"@\w|#\d|://|(?<!\\)[`~]|<", message)
