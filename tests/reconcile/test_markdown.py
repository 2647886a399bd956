"""Plans as Markdown: no name makes markup, and every plan fits into a comment."""

import re

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async import Breach, Change, Conflict, Plan
from secoda_async.models import GroupFields
from secoda_async.reconcile.markdown import render_markdown
from secoda_async.reconcile.plan import Held
from tests.reconcile.test_render import HELD, PLAN

LIMIT = 65_536
"""Characters of a comment on GitHub."""


def test_markdown_is_escaped() -> None:
    text = render_markdown(PLAN)
    assert '| update | `a\\|b` | `name: "old" -> "a\\|b"`<br>' in text
    assert "**Needs an approval**\n\n- too many\n" in text
    assert "**In conflict**\n\n- two of them\n" in text
    assert render_markdown(Plan(changes=())) == "### Secoda groups: nothing to do\n"


@pytest.mark.parametrize("name", ["a\r\r# Approved", "`x` @org/team #1", "``", "https://x.example ~~y~~", "<b>"])
def test_markdown_shows_names_as_code(name: str) -> None:
    change = Change(kind="create", name=name, after=GroupFields(name=name))
    plan = Plan(changes=(change,), conflicts=(Conflict(name=name, message=f"no {name}"),))
    text = render_markdown(plan)
    assert "\r" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| create")]
    cell = row.split(" | ")[1]
    fence = cell[: len(cell) - len(cell.lstrip("`"))]
    assert cell.endswith(fence)
    assert fence not in cell.strip("`")  # one span of code, whatever is in it
    (message,) = [line for line in text.splitlines() if line.startswith("- no ")]
    assert not re.search(r"@\w|#\d|://|(?<!\\)[`~]|<", message)


@pytest.mark.requirement("BS-12")
def test_markdown_names_held_members_and_notes_before_the_changes() -> None:
    plan = evolve(
        PLAN, held=HELD.held, notes=("*x*",), pending=HELD.pending, people=HELD.people, unmanaged_names=("Legal",)
    )
    text = render_markdown(plan)
    assert (
        "**Held**\n\n- `nobody@example.com` (`groups.yaml:6`) is not a user of this workspace; "
        "`Finance` keeps `mia@example.com (invited)`, `u-zoe`\n"
    ) in text
    assert r"- `a\nb` is not a user of this workspace; not added to `New\xa0Team`" in text
    assert "**Important**\n\n- \\*x\\*\n" in text
    assert "**Notes**\n\n- not managed: 1 group: `Legal`\n- 1 member is invited" in text
    titles = ["Needs an approval", "In conflict", "Held", "Important", "Notes", "| | group |", "Digest: "]
    assert sorted(titles, key=text.index) == titles


def test_markdown_has_deletes_first() -> None:
    create, update = Change(kind="create", name="a"), Change(kind="update", name="b", id="1")
    text = render_markdown(Plan(changes=(create, update, Change(kind="delete", name="c", id="2"))))
    assert re.findall(r"^\| (\w+) \|", text, re.MULTILINE) == ["delete", "update", "create"]


def test_two_blanks_differ_from_one_in_markdown() -> None:
    text = render_markdown(Plan(changes=(Change(kind="create", name="a  b   c"),)))
    assert r"`a \x20b \x20 c`" in text


def first_load(groups: int, members: int) -> Plan:
    """The plan of a first load, as in docs/first-load.md."""
    people = {f"u{number}": f"firstname.lastname{number}@example.com" for number in range(members)}
    names = [f"Department {number:04}" for number in range(groups)]
    changes = tuple(
        Change(kind="create", name=name, after=GroupFields(name=name, description="The team", users=tuple(people)))
        for name in names
    )
    return Plan(changes=changes, people=people)


def test_first_load_fits_into_a_comment_and_is_cut_after_a_row() -> None:
    plan = first_load(700, 5)
    text = render_markdown(plan)
    assert 55_000 < len(text) <= 60_000
    rows = [line for line in text.splitlines() if line.startswith("| create |")]
    assert all(row.endswith("@example.com` |") for row in rows)
    more = f"\n\n... and {700 - len(rows)} more changes: see the job's log"
    assert more in text
    assert text.endswith(f"\n\n700 writes. Digest: `{plan.digest}`\n")


def test_plan_that_fits_is_not_cut() -> None:
    text = render_markdown(first_load(100, 5))
    assert text.count("| create |") == 100
    assert "more" not in text


def repeated(text: str, times: int) -> str:
    return text * times


TEXTS = st.builds(
    repeated,
    st.text("ab|`*_[]~@#&<>:/ \n\u00a0\u202e🧪\U000e0001", min_size=1, max_size=12),
    st.sampled_from([1, 1, 1, 30, 300]),
)
NUMBERS = st.sampled_from([0, 1, 3, 100])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    name, text = draw(TEXTS), draw(TEXTS)
    people = tuple(draw(st.lists(TEXTS, max_size=12, unique=True)))
    fields = GroupFields(name=name, icon=text, description=text, users=people)
    some_changes = (
        Change(kind="create", name=name, after=fields),
        Change(kind="update", name=name, id="1", before=GroupFields(description=name), after=fields),
        Change(kind="delete", name=name, id="1", before=fields),
    )
    return Plan(
        changes=some_changes[: draw(st.integers(0, 3))] * draw(NUMBERS),
        breaches=(Breach(kind="deletes", message=draw(TEXTS)),) * draw(NUMBERS),
        conflicts=(Conflict(name=name, message=draw(TEXTS)),) * draw(NUMBERS),
        held=(Held(group=name, member=text, reason="is not a user", place=text, kept=people),) * draw(NUMBERS),
        unmanaged_names=(name,) * draw(NUMBERS),
        ignored_names=(name,) * draw(NUMBERS),
        pending=people,
        notes=(text,) * draw(NUMBERS),
    )


@settings(max_examples=40, deadline=None)
@given(plans())
def test_every_plan_fits_into_a_comment(plan: Plan) -> None:
    text = render_markdown(plan)
    assert len(text) < LIMIT - 5000
    assert text.startswith("### Secoda groups: ")
    assert not plan.changes or text.endswith(f"Digest: `{plan.digest}`\n")
    for title, items in (("Needs", plan.breaches), ("In conflict", plan.conflicts), ("Held", plan.held)):
        assert (f"**{title}" in text) == bool(items)
    rows = len(re.findall(r"^\| (?:create|update|delete) \|.*\|$", text, re.MULTILINE))
    cut = re.search(r"^\.\.\. and (\d+) more changes?:", text, re.MULTILINE)
    assert rows + (int(cut[1]) if cut else 0) == len(plan.changes)
