"""One person's groups: the present ones, those of the desired state, and the effect of the plan with its reason."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import AmbiguousNameError, DesiredGroup, DesiredState, DesiredStateError, Group, Plan, User
from secoda_async.models import UNSET
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.explanation import Explanation, Membership, explain
from secoda_async.reconcile.safety import Rules
from tests.support.plans import USERS, group, wanted
from tests.support.strategies import GROUPS, NAMES, PEOPLE

ANA = "ana@example.com"


def explained(desired: list[DesiredGroup], groups: list[Group], person: str = ANA, **rules: object) -> Explanation:
    return explain(person, DesiredState(tuple(desired)), groups, USERS, Rules(**rules))  # type: ignore[arg-type]


def only(explanation: Explanation) -> Membership:
    (membership,) = explanation.memberships
    return membership


def summary(membership: Membership) -> tuple[str, str, str]:
    return membership.effect, membership.reason, membership.detail


def test_present_groups_need_no_files() -> None:
    groups = [group("B", users=("u-ana",)), group("A", users=("u-ana", "u-ben")), group("C", users=("u-ben",))]
    found = explain("ANA@example.com", None, groups, USERS, Rules())
    assert [membership.group for membership in found.memberships] == ["A", "B"]
    assert {membership.reason for membership in found.memberships} == {"present"}
    assert (found.user, found.plan) == (USERS[0], None)


@pytest.mark.parametrize("person", [ANA, "ANA@example.com", "u-ana"], ids=["address", "case", "id"])
def test_person_is_listed_by_address_or_id(person: str) -> None:
    listed = wanted("A", members=("Ana@Example.com", "u-ana"), member_places={"u-ana": "groups.yaml:7:3"})
    membership = only(explained([listed], [], person))
    assert membership.places == ("groups.yaml:A", "groups.yaml:7:3")
    assert summary(membership) == ("added", "listed", "listed at groups.yaml:A, groups.yaml:7:3")


MEMBER = [group("A", users=("u-ana",))]


@pytest.mark.parametrize(
    ("desired", "rules", "expected"),
    [
        pytest.param([wanted("A", members=(ANA,))], {}, ("stays", "listed", "listed at groups.yaml:A"), id="listed"),
        pytest.param(
            [wanted("A", members=())],
            {},
            ("removed", "not_listed", "not in the members at groups.yaml:A"),
            id="not listed",
        ),
        pytest.param(
            [wanted("A")], {}, ("stays", "not_managed", "groups.yaml:A does not manage the members"), id="not managed"
        ),
        pytest.param(
            [wanted("A", members=(), membership="additive")],
            {},
            ("stays", "additive", "groups.yaml:A only adds members"),
            id="additive group",
        ),
        pytest.param(
            [wanted("A", members=())],
            {"additive": True},
            ("stays", "additive", "groups.yaml:A only adds members"),
            id="additive run",
        ),
        pytest.param(
            [wanted("A", members=("x@y",))],
            {"unknown_members": "hold"},
            ("stays", "held", "kept: x@y (groups.yaml:A) is not a user of this workspace"),
            id="held",
        ),
        pytest.param([], {}, ("stays", "unmanaged", "not in the files"), id="unmanaged"),
        pytest.param(
            [], {"prune": True}, ("removed", "deleted", "not in the files: the group is deleted"), id="deleted"
        ),
        pytest.param(
            [], {"ignore": ["A"]}, ("stays", "ignored", "outside the scope of the plan"), id="ignored and not listed"
        ),
        pytest.param(
            [wanted("A", members=(ANA,))],
            {"only": ["B"]},
            ("stays", "ignored", "listed at groups.yaml:A, but outside the scope of the plan"),
            id="outside the scope and listed",
        ),
    ],
)
def test_reason_for_a_present_member(
    desired: list[DesiredGroup], rules: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert summary(only(explained(desired, MEMBER, **rules))) == expected


def test_conflict_is_the_reason_for_all_its_groups() -> None:
    twins = [group("A", "g-1", users=("u-ana",)), group("A", "g-2"), group("A", "g-3", users=("u-ana",))]
    found = explained([wanted("A", members=(ANA,))], twins)
    assert [(one.id, one.effect, one.reason) for one in found.memberships] == [
        ("g-1", "stays", "conflict"),
        ("g-3", "stays", "conflict"),
    ]
    assert "3 groups have the name 'A'" in found.memberships[0].detail
    listed = only(explained([wanted("A", members=(ANA,))], [group("A", "g-1"), group("A", "g-2")]))
    assert (listed.id, listed.effect, listed.reason) == (None, "none", "conflict")
    pinned = only(explained([wanted("A", id="g-9", members=(ANA,))], MEMBER))
    assert (pinned.id, pinned.is_member, pinned.reason) == ("g-A", True, "conflict")


def test_listed_group_outside_the_scope_is_not_created() -> None:
    membership = only(explained([wanted("A", members=(ANA,))], [], only=["B"]))
    assert summary(membership) == ("none", "ignored", "listed at groups.yaml:A, but outside the scope of the plan")


def test_group_has_its_present_name_and_id() -> None:
    membership = only(explained([wanted("New", previously=("A",), members=())], MEMBER))
    assert (membership.group, membership.id, membership.effect) == ("A", "g-A", "removed")


@pytest.mark.requirement("BS-14")
def test_invited_person_may_not_be_shown_as_a_member() -> None:
    invited = User(id="u-lee", email="lee@example.com", pending=True)
    desired = DesiredState((wanted("A", members=("lee@example.com",)),))
    membership = only(explain("lee@example.com", desired, MEMBER, [invited], Rules()))
    assert (membership.effect, membership.reason) == ("added", "invited")
    assert "may not show the membership before the first sign-in" in membership.detail


@pytest.mark.requirement("BS-14")
def test_hidden_membership_of_an_invited_person_counts_as_present() -> None:
    invited = User(id="u-lee", email="lee@example.com", pending=True, user_groups=("g-A",))
    desired = DesiredState((wanted("A", members=(ANA, "lee@example.com")),))
    for state in (desired, None):
        membership = only(explain("lee@example.com", state, MEMBER, [*USERS, invited], Rules()))
        assert (membership.effect, membership.is_member) == ("stays", True)


def test_person_who_is_not_a_user_is_explained_by_the_files() -> None:
    for rules in (dict[str, Any](), {"unknown_members": "hold"}):
        found = explained([wanted("A", members=("x@y",)), wanted("B", members=(ANA,))], MEMBER, "X@y", **rules)
        assert found.user is None
        assert summary(only(found)) == (
            "none",
            "unknown",
            "listed at groups.yaml:A, but is not a user of this workspace",
        )
        assert bool(found.refusals) is not bool(rules)


def test_member_who_left_the_workspace_is_explained_by_id() -> None:
    found = explained([wanted("A", members=())], [group("A", users=("u-gone",))], "u-gone")
    assert (found.user, only(found).effect) == (None, "removed")


def test_ambiguous_address_is_an_error_for_the_person_and_no_match_for_others() -> None:
    users = [*USERS, User(id="u-twin", email="Ana@example.com", disabled=True), User(id="u-3", email="ANA@example.com")]
    desired = DesiredState((wanted("A", members=("aNA@example.com",)),))
    with pytest.raises(AmbiguousNameError) as caught:
        explain("aNA@example.com", desired, [], users, Rules())
    assert caught.value.candidates == ("u-3", "u-ana", "u-twin")
    assert explain("u-ana", desired, [], users, Rules()).memberships == ()


@pytest.mark.requirement("BS-12")
def test_unknown_members_of_others_are_reported() -> None:
    found = explained([wanted("A", members=(ANA, "x@y"))], MEMBER)
    assert found.refusals == ("groups.yaml:A: 'x@y', a member of 'A', is not a user of this workspace",)
    assert only(found).reason == "listed"
    with pytest.raises(DesiredStateError, match="is ignored by the pattern"):
        explained([wanted("A")], MEMBER, ignore=["A"])


def members_after(plan: Plan, groups: list[Group]) -> dict[str, set[str]]:
    """Return the members of each group after a plan, by id; by name for a created group."""
    after = {one.id: set(one.users) for one in groups}
    for change in plan.changes:
        key = change.id or change.name
        if change.kind == "delete":
            after[key] = set()
        elif change.after.users is not UNSET:
            after[key] = set(change.after.users)
    return after


DESIRED = st.lists(
    st.builds(
        DesiredGroup,
        name=NAMES,
        members=st.one_of(st.just(UNSET), PEOPLE, st.just((ANA, "x@y"))),
        membership=st.sampled_from(["exact", "additive"]),
    ),
    unique_by=lambda one: one.name,
    max_size=4,
)


@given(
    desired=DESIRED,
    groups=GROUPS,
    prune=st.booleans(),
    additive=st.booleans(),
    only=st.sampled_from([(), ("[abc]",), ("a", "b")]),
    person=st.sampled_from(USERS),
)
def test_explanation_says_what_the_plan_does(
    desired: list[DesiredGroup],
    groups: list[Group],
    *,
    prune: bool,
    additive: bool,
    only: tuple[str, ...],
    person: User,
) -> None:
    state = DesiredState(tuple(desired))
    rules = Rules(prune=prune, additive=additive, only=only, unknown_members="hold")
    after = members_after(diff(state, groups, USERS, rules), groups)
    found = explain(person.email or "", state, groups, USERS, rules)
    assert {one.id or one.group for one in found.memberships if one.will_be_member} == {
        key for key, users in after.items() if person.id in users
    }
    assert {one.id for one in found.memberships if one.is_member} == {
        one.id for one in groups if person.id in one.users
    }
