"""Undo: the plan that restores what a run changed and nobody has changed since."""

import json
from collections.abc import Sequence

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import Change, DesiredGroup, Group, Plan, StalePlanError, User
from secoda_async.models import GroupFields, normalize
from secoda_async.reconcile.markdown import render_markdown
from secoda_async.reconcile.render import render_text
from secoda_async.reconcile.safety import Rules
from secoda_async.reconcile.undo import plan_undo
from tests.support.plans import USERS, group, only, plan_of, wanted
from tests.support.undos import ORIGIN, apply_in_memory, content_of, only_run, undo_of

PENDING = [*USERS[:2], User(id="u-eve", email="eve@example.com", pending=True)]


def without_outcomes(journal: bytes, status: str | None = None) -> bytes:
    """Return a journal as a crash leaves it: no outcome, or with one of another status."""
    lines = [json.loads(line) for line in journal.splitlines()]
    kept = [line for line in lines if line["event"] == "intent" or status is not None]
    for line in kept:
        if line["event"] == "outcome":
            line |= {"status": status, "id": None if line["kind"] == "create" else line["id"]}
    return "".join(json.dumps(line) + "\n" for line in kept).encode()


def changed(
    desired: Sequence[DesiredGroup], groups: Sequence[Group], *, prune: bool = False
) -> tuple[list[Group], bytes]:
    return apply_in_memory(plan_of(desired, groups, prune=prune), groups)


def messages(plan: Plan) -> str:
    return "\n".join(conflict.message for conflict in plan.conflicts)


# --- updates ------------------------------------------------------------------------------------------------------


def test_update_is_reversed_field_by_field() -> None:
    groups = [group("a", description="old", icon="i", users=("u-ana",))]
    after, journal = changed([wanted("a", description="new", icon=None, members=("u-ben",))], groups)
    plan = undo_of(journal, after)
    assert only(plan).after.to_dict() == {"icon": "i", "description": "old", "users": ["u-ana"]}
    assert only(plan).place.startswith("apply.jsonl:")
    assert plan.people == {"u-ana": "ana@example.com", "u-ben": "ben@example.com"}
    assert content_of(apply_in_memory(plan, after)[0]) == content_of(groups)


def test_field_that_was_changed_since_is_a_conflict_and_the_others_are_restored() -> None:
    groups = [group("a", description="old", icon="i")]
    after, journal = changed([wanted("a", description="new", icon="j")], groups)
    plan = undo_of(journal, [evolve(after[0], description="by a person")])
    assert only(plan).after.to_dict() == {"icon": "i"}
    assert "apply.jsonl:1: 'a' (g-a) has another description since: not restored" in messages(plan)
    assert plan.conflicts[0].ids == ("g-a",)


def test_undo_removes_and_adds_only_the_members_that_the_run_did() -> None:
    groups = [group("a", users=("u-ana", "u-1"))]
    users = [*USERS, User(id="u-1"), User(id="u-2")]
    plan = plan_of([wanted("a", members=("u-ben", "u-eve"))], groups, users)
    after, journal = apply_in_memory(plan, groups)
    since = [evolve(after[0], users=("u-ben", "u-2", "u-1"))]  # eve left, 2 joined, 1 is back
    undone = undo_of(journal, since, users)
    assert only(undone).after.users == ("u-1", "u-2", "u-ana")
    assert undone.conflicts == ()


def test_rename_is_reversed_unless_another_group_has_the_name_now() -> None:
    groups = [group("old", icon="i")]
    after, journal = changed([wanted("new", previously=("old",), icon="j")], groups)
    assert only(undo_of(journal, after)).after.to_dict() == {"name": "old", "icon": "i"}
    plan = undo_of(journal, [*after, group("old", "other")])
    assert only(plan).after.to_dict() == {"icon": "i"}
    assert only(plan).name == "new"
    assert "'old' can't be restored: another group has the name (other)" in messages(plan)
    renamed, journal = changed([wanted("new", previously=("old",))], groups)
    assert undo_of(journal, [*renamed, group("old", "other")]).is_empty


def test_group_that_was_deleted_since_is_a_conflict() -> None:
    _, journal = changed([wanted("a", icon="j")], [group("a")])
    assert "(g-a) does not exist any more" in messages(undo_of(journal, []))


def test_member_who_is_no_user_any_more_is_held() -> None:
    groups = [group("a", users=("u-ana", "u-gone"))]
    after, journal = changed([wanted("a", members=())], groups)
    plan = undo_of(journal, after)
    assert only(plan).after.users == ("u-ana",)
    (held,) = plan.held
    assert (held.group, held.member, held.reason) == ("a", "u-gone", "is not a user of this workspace any more")
    after, journal = changed([wanted("a", members=("u-ana",))], groups)
    plan = undo_of(journal, after)
    assert (plan.is_empty, len(plan.held)) == (True, 1)


def test_added_member_with_a_pending_invitation_whom_responses_hide_is_a_conflict() -> None:
    after, journal = changed([wanted("a", members=("u-eve",))], [group("a")])
    plan = undo_of(journal, [evolve(after[0], users=())], PENDING)
    assert plan.is_empty
    assert "that responses do not show: eve@example.com. Remove them by hand" in messages(plan)
    assert undo_of(journal, [evolve(after[0], users=())]).conflicts == ()
    shown = group("shows pending members", users=("u-eve",))
    assert undo_of(journal, [evolve(after[0], users=()), shown], PENDING).conflicts == ()


def test_restored_members_who_are_pending_or_disabled_are_named() -> None:
    users = [User(id="u-ana", disabled=True), User(id="u-eve", pending=True)]
    after, journal = changed([wanted("a", members=())], [group("a", users=("u-ana", "u-eve"))])
    plan = undo_of(journal, after, users)
    assert (plan.pending, plan.disabled) == (("u-eve",), ("u-ana",))


def test_hidden_member_whom_the_users_list_shows_is_removed() -> None:
    after, journal = changed([wanted("a", members=("u-ana", "u-eve"))], [group("a", users=("u-ana",))])
    eve = User(id="u-eve", pending=True, user_groups=("g-a",))
    plan = undo_of(journal, [evolve(after[0], users=("u-ana",))], [*USERS[:2], eve])
    assert (only(plan).before.users, only(plan).after.users) == (("u-ana", "u-eve"), ("u-ana",))
    assert plan.pending == ("u-eve",)


def test_group_without_a_name_or_with_an_unusual_id_does_not_disturb_the_undo() -> None:
    after, journal = changed([wanted("a", icon="j")], [group("a")])
    assert only(undo_of(journal, [*after, group("  ", "g-1"), group("odd", "an id/with all")])).id == "g-a"


# --- creates and deletes ------------------------------------------------------------------------------------------


def test_text_that_cannot_be_sent_is_a_conflict_and_disturbs_nothing_else() -> None:
    groups = [group("a"), group("b", icon="\0"), group("c\0", "g-c"), group("d\0")]
    desired = [wanted("a", icon="i"), wanted("b", icon="j"), wanted("c", id="g-c")]
    after, journal = changed(desired, groups)
    plan = undo_of(journal, after)
    assert (only(plan).name, only(plan).after.to_dict()) == ("a", {"icon": None})
    assert [conflict.name for conflict in plan.conflicts] == ["b", "c\0"]
    assert "'b' had a character that can't be sent: restore it by hand" in messages(plan)


def test_created_group_is_deleted_by_id_if_it_is_as_created() -> None:
    after, journal = changed([wanted("a", icon="i", members=("u-ana",))], [])
    plan = undo_of(journal, after)
    assert (only(plan).kind, only(plan).id, only(plan).before.users) == ("delete", after[0].id, ("u-ana",))
    assert "Groups are deleted with all resources, shares and team memberships" in plan.notes[0]
    hidden = undo_of(journal, [evolve(after[0], users=())], [User(id="u-ana", pending=True)])
    assert only(hidden).kind == "delete"
    assert undo_of(journal, []).is_empty


@pytest.mark.parametrize("kind", ["create", "delete"])
def test_notes_name_ten_groups_and_count_the_others(kind: str) -> None:
    many = [f"g{number}" for number in range(12)]
    after, journal = (
        changed([wanted(name) for name in many], [])
        if kind == "create"
        else changed([], [group(name) for name in many], prune=True)
    )
    (note,) = undo_of(journal, after).notes
    assert note.count("'g") == 10
    assert note.endswith(" and 2 more")


def test_created_group_that_was_changed_since_is_kept() -> None:
    after, journal = changed([wanted("a")], [])
    plan = undo_of(journal, [evolve(after[0], description="more", users=("u-ana",))])
    assert plan.is_empty
    assert "was changed since the run created it (description, members): not deleted" in messages(plan)


def test_created_group_whose_id_is_unknown_is_never_guessed() -> None:
    after, journal = changed([wanted("a")], [])
    for crashed in (without_outcomes(journal), without_outcomes(journal, "unknown")):
        plan = undo_of(crashed, after)
        assert plan.is_empty
        assert plan.conflicts[0].ids == (after[0].id,)
        assert "the journal does not have the id" in messages(plan)
        assert undo_of(crashed, []).conflicts == ()


def test_deleted_group_is_created_again_and_the_plan_says_what_is_lost() -> None:
    groups = [group("a", icon="i", description="d", users=("u-ana", "u-gone")), group("b")]
    after, journal = changed([wanted("b")], groups, prune=True)
    plan = undo_of(journal, after)
    assert only(plan).after.to_dict() == {"name": "a", "icon": "i", "description": "d", "users": ["u-ana"]}
    assert (
        "the resources, shares and team memberships of the deleted groups, are lost for good: 'a' (was g-a)"
        in (plan.notes[0])
    )
    assert [held.member for held in plan.held] == ["u-gone"]
    for text in (render_markdown(plan), "\n".join(line.text for line in render_text(plan)), plan.to_json()):
        assert "lost for good" in text
    restored, _ = apply_in_memory(plan, after)
    assert undo_of(journal, restored).is_empty
    assert undo_of(journal, restored).unchanged == 1


def test_deleted_group_whose_name_is_taken_is_a_conflict() -> None:
    after, journal = changed([wanted("b")], [group("a", icon="i"), group("b")], prune=True)
    plan = undo_of(journal, [*after, group("a", "other")])
    assert plan.is_empty
    assert "'a' can't be restored: another group has the name (other)" in messages(plan)


def test_deleted_group_is_not_restored_by_another_that_lacks_nothing_but_has_more() -> None:
    after, journal = changed([wanted("b")], [group("a"), group("b")], prune=True)
    for other in (group("a", "x", icon="i"), group("a", "x", users=("u-ana",)), group("a", "x", description="d")):
        plan = undo_of(journal, [*after, other])
        assert (plan.is_empty, plan.unchanged, plan.conflicts[0].ids) == (True, 0, ("x",))
    assert undo_of(journal, [*after, group("a", "x")]).unchanged == 1


def test_plan_made_by_hand_is_undone_only_as_far_as_the_journal_has_the_former_values() -> None:
    groups = [group("a", icon="i", users=("u-ana",)), group("b", users=("u-ben",))]
    update = Change(kind="update", name="a", id="g-a", after=GroupFields(icon="j", users=("u-ana", "u-ben")))
    delete = Change(kind="delete", name="b", id="g-b")
    after, journal = apply_in_memory(Plan(changes=(update, delete)), groups)
    plan = undo_of(journal, after)
    assert plan.is_empty
    for reason in ("had other icon", "had other members", "'b' had fields and members that the journal does not have"):
        assert reason in messages(plan)


def test_many_names_that_are_taken_are_conflicts_in_linear_time() -> None:
    groups = [group(f"old {number}", str(number)) for number in range(1500)]
    desired = [wanted(f"old {number + 1}", id=str(number)) for number in range(1500)]
    after, journal = changed(desired, groups)
    plan = undo_of(journal, [*after[:-1], evolve(after[-1], icon="i"), group("old 0", "x")])
    assert (plan.is_empty, len(plan.conflicts)) == (True, 1500)


def test_one_of_two_deleted_groups_with_the_same_name_is_restored() -> None:
    groups = [group("a", "1", icon="i"), group("a", "2"), group("b")]
    after, journal = changed([wanted("b")], groups, prune=True)
    plan = undo_of(journal, after)
    assert only(plan).kind == "create"
    assert "the run deleted another group of this name" in messages(plan)


def test_deleted_group_without_a_name_is_a_conflict() -> None:
    after, journal = changed([wanted("b")], [group(" ", "1"), group("b")], prune=True)
    assert "had no name: create it by hand" in messages(undo_of(journal, after))


def test_names_that_the_run_gave_to_other_groups_return_to_the_first() -> None:
    groups = [group("a", icon="1"), group("b", icon="2")]
    swapped, journal = changed([wanted("b", id="g-a"), wanted("a", id="g-b")], groups)
    assert content_of(apply_in_memory(undo_of(journal, swapped), swapped)[0]) == content_of(groups)
    rename = Change(kind="update", name="b", id="g-a", before=GroupFields(name="a"), after=GroupFields(name="b"))
    delete = Change(kind="delete", name="b", id="g-b", before=GroupFields(name="b", icon="2", users=()))
    after, journal = apply_in_memory(Plan(changes=(rename, delete)), groups)
    plan = undo_of(journal, after)
    assert [(change.kind, change.name) for change in plan.changes] == [("create", "b"), ("update", "a")]
    assert content_of(apply_in_memory(plan, after)[0]) == content_of(groups)


# --- crashes and bindings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [None, "unknown"], ids=["missing", "unknown"])
def test_update_without_a_known_outcome_is_undone_only_if_the_group_is_as_written(status: str | None) -> None:
    groups = [group("a", icon="i", description="old")]
    after, journal = changed([wanted("a", icon="j", description="new")], groups)
    crashed = without_outcomes(journal, status)
    assert only(undo_of(crashed, after)).after.to_dict() == {"icon": "i", "description": "old"}
    assert undo_of(crashed, groups) == evolve(Plan(changes=()), unchanged=1, origin=ORIGIN)
    plan = undo_of(crashed, [evolve(after[0], icon="other")])
    assert plan.is_empty
    assert "is neither as it was before the run nor as the run may have written it" in messages(plan)


def test_delete_without_an_outcome_is_restored_if_the_group_is_gone() -> None:
    groups = [group("a"), group("b")]
    after, journal = changed([wanted("b")], groups, prune=True)
    crashed = without_outcomes(journal)
    assert undo_of(crashed, groups).is_empty
    assert only(undo_of(crashed, after)).kind == "create"


@pytest.mark.parametrize("status", ["failed", "unchanged", "not_attempted"])
def test_change_that_was_not_written_is_not_undone(status: str) -> None:
    after, journal = changed([wanted("a", icon="j")], [group("a")])
    assert undo_of(without_outcomes(journal, status), after) == Plan(changes=(), origin=ORIGIN)


def test_run_of_another_origin_or_workspace_is_refused() -> None:
    after, journal = changed([wanted("a", icon="j")], [group("a")])
    run = only_run(journal)
    with pytest.raises(StalePlanError, match=r"wrote to https://api\.secoda\.co, and this is https://eapi\.secoda\.co"):
        plan_undo(run, after, USERS, origin="https://eapi.secoda.co")
    bound = evolve(run, workspace="w")
    with pytest.raises(StalePlanError, match="wrote to the workspace w, and this is v"):
        plan_undo(bound, after, [User(id="u", workspace_id="v")], origin=ORIGIN)
    with pytest.raises(StalePlanError, match="and the id of this workspace is not known"):
        plan_undo(bound, after, USERS, origin=ORIGIN)
    plan = plan_undo(bound, [evolve(after[0], workspace_id="w")], USERS, Rules(), float, origin=ORIGIN)
    assert (plan.origin, plan.workspace, plan.seconds) == (ORIGIN, "w", 1.0)


def test_undo_that_exceeds_the_safety_limits_needs_an_approval() -> None:
    after, journal = changed([wanted(name) for name in "abcd"], [group("z")])
    plan = undo_of(journal, after, max_delete="10%")
    assert [breach.kind for breach in plan.breaches] == ["deletes"]
    assert undo_of(journal, after, max_delete=4).breaches == ()
    after, journal = changed([wanted("a")], [])
    assert undo_of(journal, after, max_delete="10%").breaches == ()


# --- properties ---------------------------------------------------------------------------------------------------

NAMES = ["alpha", "beta", "gamma", "delta", "epsilon"]
TEXTS = st.sampled_from([None, "", "one", "two"])
MEMBERS = st.lists(st.sampled_from([user.id for user in USERS]), unique=True).map(lambda ids: tuple(sorted(ids)))
GROUPS = st.lists(
    st.builds(Group, st.just(""), st.sampled_from(NAMES), icon=TEXTS, description=TEXTS, users=MEMBERS),
    unique_by=lambda each: each.name,
).map(lambda groups: [evolve(each, id=f"g-{each.name}") for each in groups])
DESIRED = st.lists(
    st.builds(
        wanted,
        st.sampled_from(NAMES),
        icon=TEXTS,
        description=TEXTS,
        members=MEMBERS,
        previously=st.sampled_from([(), (), ("alpha",), ("beta",)]),
    ),
    unique_by=lambda each: each.name,
)


@given(groups=GROUPS, desired=DESIRED, prune=st.booleans())
def test_undo_after_apply_restores_everything_but_the_ids_of_deleted_groups(
    groups: list[Group], desired: list[DesiredGroup], *, prune: bool
) -> None:
    after, journal = changed(desired, groups, prune=prune)
    if not journal:
        return
    plan = undo_of(journal, after)
    assert plan.conflicts == ()
    restored, _ = apply_in_memory(plan, after)
    assert content_of(restored) == content_of(groups)
    assert {each.id for each in after} & {each.id for each in groups} <= {each.id for each in restored}


@given(GROUPS, DESIRED, st.data())
def test_undo_never_touches_what_somebody_changed_since(
    groups: list[Group], desired: list[DesiredGroup], data: st.DataObject
) -> None:
    after, journal = changed(desired, groups, prune=True)
    if not journal or not after:
        return
    index = data.draw(st.integers(0, len(after) - 1))
    edited = evolve(after[index], description="by a person", users=(*after[index].users, "u-new"))
    since = [*after[:index], edited, *after[index + 1 :]]
    plan = undo_of(journal, since)
    restored = {each.id: each for each in apply_in_memory(plan, since)[0]}
    assert restored[edited.id].description == "by a person"
    assert "u-new" in restored[edited.id].users
    names = [normalize(each.name) for each in restored.values()]
    assert len(set(names)) == len(names)
