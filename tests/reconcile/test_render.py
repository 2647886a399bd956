"""Plans as text; no name forges a line."""

import pytest
from attrs import evolve

from secoda_async import (
    Breach,
    Change,
    Conflict,
    Plan,
)
from secoda_async.models import GroupFields
from secoda_async.reconcile.plan import Held
from secoda_async.reconcile.render import facts, held_messages, render_text

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
        ("", ""),
        ("warning", "! in conflict: two of them"),
        ("warning", "! needs an approval: too many"),
        ("", ""),
        ("summary", "1 to update; 1 in conflict"),
    ]


def test_text_shows_the_first_of_many_changes() -> None:
    plan = evolve(PLAN, changes=PLAN.changes * 5)
    shown = [line.text for line in render_text(plan, most=2)]
    assert sum(text[:2] in ("+ ", "~ ", "- ") for text in shown) == 2
    assert f"... and {len(plan.changes) - 2} more changes" in shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;pwn\x07\x1b[2K", r"\x1b]0;pwn\x07\x1b[2K"),
        ("a\n- delete everything", r"a\n- delete everything"),
        ("a\r\u2028b\u202ec", r"a\r\u2028b\u202ec"),
        ("équipe\u00a0👩\u200d💻 🗂️", "équipe\\xa0👩\u200d💻 🗂️"),
    ],
)
def test_text_escapes_control_characters_in_names(name: str, shown: str) -> None:
    plan = Plan(changes=(Change(kind="create", name=name, after=GroupFields(name=name, description=name)),))
    first, second, *_ = render_text(plan)
    assert (first.text, second.text) == (f"+ create {shown}", f'description: "{shown}"')


NO_USER = "is not a user of this workspace"
KEPT = ("u-mia", "u-zoe")
HELD = Plan(
    changes=(),
    held=(
        Held(group="Finance", member="nobody@example.com", reason=NO_USER, place="groups.yaml:6", kept=KEPT),
        Held(group="Finance", member="left@example.com", reason=NO_USER, place="groups.yaml:7", kept=KEPT),
        Held(group="New\u00a0Team", member="a\nb", reason=NO_USER),
    ),
    pending=("u-mia",),
    disabled=("u-zoe",),
    people={"u-mia": "mia@example.com"},
)


@pytest.mark.requirement("BS-12")
def test_held_members_are_named_with_place_group_and_the_users_who_stay() -> None:
    assert list(held_messages(HELD)) == [
        (
            "nobody@example.com (groups.yaml:6) is not a user of this workspace; "
            "Finance keeps mia@example.com (invited), u-zoe (disabled)"
        ),
        "left@example.com (groups.yaml:7) is not a user of this workspace; not added to Finance",
        r"a\nb is not a user of this workspace; not added to New\xa0Team",
    ]
    kinds = [line.kind for line in render_text(HELD)]
    assert kinds == ["note", "note", *["attention"] * 3, "", "summary"]


@pytest.mark.requirement("BS-12")
def test_users_who_stay_are_counted_and_named_with_verbose() -> None:
    kept = tuple(f"u{number}" for number in range(10))
    plan = Plan(changes=(), held=(Held(group="G", member="x", reason="is not a user", kept=kept),))
    assert list(held_messages(plan)) == ["x is not a user; G keeps u0, u1, u2, u3, u4, u5, u6, u7 and 2 more"]
    assert list(held_messages(plan, verbose=True)) == [f"x is not a user; G keeps {', '.join(kept)}"]


@pytest.mark.requirement("BS-14")
def test_invited_and_disabled_members_are_marked_and_noted() -> None:
    plan = evolve(
        PLAN,
        changes=(Change(kind="create", name="n", after=GroupFields(name="n", users=("u-ben", "u-mia", "u-zoe"))),),
        pending=("u-mia", "u-ben"),
        disabled=("u-zoe",),
        people={"u-mia": "mia@example.com"},
    )
    assert "members +3: mia@example.com (invited), u-ben (invited), u-zoe (disabled)" in [
        line.text for line in render_text(plan)
    ]
    assert list(facts(plan)) == [
        "1 member has a disabled account: u-zoe",
        (
            "2 members are invited and not users yet: mia@example.com, u-ben. "
            "The service may not show them in the group until they accept"
        ),
    ]


def test_problems_stand_between_the_notes_and_the_summary() -> None:
    plan = evolve(
        PLAN, held=HELD.held[2:], notes=("a\n", "b"), unmanaged=1, unmanaged_names=("Legal",), ignored_names=("S",) * 11
    )
    lines = [line.text for line in render_text(plan)]
    assert lines[-10:-1] == [
        "",
        "ignored: 11 groups: S, S, S, S, S, S, S, S, S, S and 1 more",
        "not managed: 1 group: Legal",
        r"! important: a\n",
        "! important: b",
        r"! held: a\nb is not a user of this workspace; not added to New\xa0Team",
        "! in conflict: two of them",
        "! needs an approval: too many",
        "",
    ]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("💶", "💶\ufe0f", r'icon: "💶" -> "💶\ufe0f"'),
        ("👩\u200d💻", "👩💻", r'icon: "👩\u200d💻" -> "👩💻"'),
        ("🗂\ufe0f", "❤\ufe0f", 'icon: "🗂\ufe0f" -> "❤\ufe0f"'),
        ("a b", "a\u00a0b", r'icon: "a b" -> "a\xa0b"'),
        (None, "", "icon: (none) -> (none)"),
    ],
    ids=["style", "joiner", "other", "blank", "none"],
)
def test_change_of_an_invisible_character_is_visible(before: str | None, after: str, shown: str) -> None:
    change = Change(kind="update", name="n", id="1", before=GroupFields(icon=before), after=GroupFields(icon=after))
    assert [line.text for line in render_text(Plan(changes=(change,)))][1] == shown
