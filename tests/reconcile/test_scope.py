"""The scope of a plan: groups outside `only`, or inside `ignore`, are never touched."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import DesiredGroup, DesiredState, DesiredStateError, Group, InvalidArgumentError
from secoda_async.models import GroupFields
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules
from secoda_async.reconcile.scope import Scope
from tests.support.plans import USERS, group, only, plan_of, wanted
from tests.support.strategies import GROUPS, PEOPLE


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "name", "is_match"),
        [
            ("Team *", "Team A", True),
            ("Team *", " Team A ", True),
            ("Team *", "team A", False),
            ("Team ?", "Team AB", False),
            ("[SAML] *", "[SAML] Sales", True),
            ("[SAML] *", "S Sales", False),
            ("Cafe\u0301*", "Caf\u00e9 1", True),
            ("*", "two\nlines", True),
        ],
    )
    def test_pattern_matches_the_normalized_name(self, pattern: str, name: str, *, is_match: bool) -> None:
        assert Scope(only=(pattern,)).contains(name) is is_match
        assert Scope(ignore=(pattern,)).contains(name) is not is_match

    def test_scope_without_patterns_contains_every_name(self) -> None:
        assert (Scope().contains("a"), Scope().is_limited, Scope(ignore=("a",)).is_limited) == (True, False, True)

    def test_ignore_wins_over_only(self) -> None:
        scope = Scope(only=("a*",), ignore=("ab*",))
        assert [scope.contains(name) for name in ("aa", "ab", "b")] == [True, False, False]

    @pytest.mark.requirement("BS-12")
    def test_pattern_that_fits_no_group_is_noted(self) -> None:
        there = [group("a"), group("b"), group("c")]
        rules: dict[str, Any] = {"only": ["[abc]", "?", "?"], "ignore": ["Saml *", "c"]}
        (note,) = plan_of([wanted("a")], there, **rules).notes
        assert note == "The pattern '[abc]' (only) fits no group, neither present nor desired: check it"
        assert len(plan_of([wanted("a")], there, prune=True, **rules).notes) == 2
        assert plan_of([wanted("d")], there, only=["d"]).notes == ()

    @pytest.mark.requirement("SEC-3")
    @pytest.mark.parametrize("field", ["only", "ignore"])
    @pytest.mark.parametrize(
        ("patterns", "says"),
        [
            ("Team *", "must be a list of patterns, not str"),
            (5, "must be a list of patterns, not int"),
            ([""], r"must contain patterns such as 'Team \*', not ''"),
            ([" "], "not ' '"),
            (["a", None], "not None"),
        ],
        ids=["a string", "a number", "an empty pattern", "a blank pattern", "null"],
    )
    def test_other_patterns_are_refused(self, field: str, patterns: Any, says: str) -> None:
        with pytest.raises(InvalidArgumentError, match=f"^{field} .*{says}"):
            Rules(**{field: patterns})

    def test_patterns_of_a_desired_state_are_checked_too(self) -> None:
        assert DesiredState((), ignore=["a*"]).ignore == ("a*",)
        with pytest.raises(InvalidArgumentError, match="ignore must be a list of patterns"):
            DesiredState((), ignore="a*")


class TestGroupsOutside:
    def test_ignored_groups_are_not_pruned_and_are_listed(self) -> None:
        there = [group("SAML b"), group("SAML a"), group("x"), group("y")]
        plan = plan_of([wanted("x")], there, prune=True, ignore=["SAML *"])
        assert [(change.kind, change.name) for change in plan.changes] == [("delete", "y")]
        assert (plan.ignored_names, plan.unmanaged_names, plan.unmanaged) == (("SAML a", "SAML b"), (), 0)
        assert plan.summary() == "1 to delete; 1 unchanged, 2 ignored"

    def test_desired_state_has_patterns_of_its_own(self) -> None:
        desired = DesiredState((wanted("x"),), ignore=("SAML *",))
        plan = diff(desired, [group("SAML a"), group("b"), group("x")], USERS, Rules(prune=True, ignore=["b"]))
        assert (plan.is_empty, plan.ignored_names) == (True, ("SAML a", "b"))

    def test_only_leaves_other_desired_groups_out(self) -> None:
        there = [group("Team A"), group("Other"), group("Team old")]
        desired = [wanted("Team A", icon="i"), wanted("Other", icon="i"), wanted("New", members=("unknown",))]
        plan = plan_of(desired, there, prune=True, only=["Team *"])
        assert [(change.kind, change.name) for change in plan.changes] == [("update", "Team A"), ("delete", "Team old")]
        assert plan.ignored_names == ("Other",)

    @pytest.mark.requirement("BS-5")
    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"name": "SAML a"}, "'SAML a' is ignored by the pattern 'SAML *'"),
            ({"name": "x", "id": "1"}, "'SAML a' is ignored"),
            ({"name": "x", "previously": ("old", "SAML z")}, "'SAML z' is ignored"),
        ],
        ids=["name", "id", "former name"],
    )
    def test_desired_group_that_is_ignored_is_an_error(self, fields: dict[str, Any], says: str) -> None:
        with pytest.raises(DesiredStateError) as caught:
            plan_of([wanted(**fields), wanted("SAML q")], [group("SAML a", "1")], ignore=["SAML *"], only=["x"])
        first, second = caught.value.problems
        assert first.startswith(f"groups.yaml:{fields['name']}: the group {says}")
        assert second.startswith("groups.yaml:SAML q: the group 'SAML q' is ignored")

    @pytest.mark.requirement("BS-5")
    @pytest.mark.parametrize(
        ("desired", "there", "side"),
        [
            (wanted("Team A", previously=("old",)), "old", "outside"),
            (wanted("new", previously=("Team A",)), "Team A", "inside"),
            (wanted("new", id="1"), "Team A", "inside"),
        ],
        ids=["into", "out of", "out of, by id"],
    )
    def test_rename_into_or_out_of_the_scope_is_a_conflict(self, desired: DesiredGroup, there: str, side: str) -> None:
        plan = plan_of([desired], [group(there, "1")], only=["Team *"], prune=True)
        (conflict,) = plan.conflicts
        assert (plan.is_empty, conflict.name, conflict.ids) == (True, desired.name, ("1",))
        assert f"a rename of {there!r}, which is {side} the scope (only)" in conflict.message

    @pytest.mark.requirement("BS-5")
    def test_rename_to_the_name_of_a_group_that_the_scope_keeps_is_a_conflict(self) -> None:
        desired = [wanted("Team b", id="1"), wanted("c", id="2")]
        plan = plan_of(desired, [group("Team a", "1"), group("Team b", "2")], only=["Team *"])
        assert (plan.is_empty, [conflict.name for conflict in plan.conflicts]) == (True, ["Team b", "c"])

    def test_conflicts_outside_the_scope_are_left_out(self) -> None:
        desired = [wanted("a", id="9"), wanted("b")]
        there = [group("b", "1"), group("b", "2"), group("Team")]
        assert plan_of(desired, there, only=["Team"]).conflicts == ()

    @pytest.mark.requirement("BS-13")
    def test_create_is_compared_with_groups_outside(self) -> None:
        plan = plan_of([wanted("Finance")], [group("finance")], ignore=["f*"], prune=True)
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("similar", ("Finance", "finance"))
        assert "(g-finance) looks alike: the plan can't rename that group, so choose another name" in breach.message

    @pytest.mark.requirement("BS-13")
    def test_create_is_compared_with_desired_groups_outside(self) -> None:
        desired = [wanted("finance"), wanted("Finance"), wanted("FINANCE")]
        plan = plan_of(desired, [group("FINANCE")], only=["f*"])
        assert [change.name for change in plan.changes] == ["finance"]
        assert {breach.names for breach in plan.breaches} == {("finance", "Finance"), ("finance", "FINANCE")}

    @pytest.mark.requirement("BS-3")
    def test_limits_are_parts_of_the_groups_inside(self) -> None:
        there = [*(group(f"x{index}") for index in range(90)), *(group(f"t{index}") for index in range(10))]
        plan = plan_of([wanted("t0")], there, prune=True, only=["t*"])
        assert [breach.kind for breach in plan.breaches] == ["deletes"]
        assert plan.breaches[0].message.startswith("9 of 10 groups in the scope would be deleted; the limit is 1 ")
        (empty, _) = plan_of([wanted("x0")], there, prune=True, only=["t*"]).breaches
        assert (
            empty.message == "the desired state has no groups in the scope: every group in the scope would be deleted"
        )


NAMES = st.sampled_from(["a", "A", "b", "t1", "t2", "T1", "s1", "s2"])
SOME_GROUPS = st.lists(
    st.builds(Group, id=st.uuids().map(str), name=NAMES, users=PEOPLE), unique_by=lambda group: group.id, max_size=6
)


@st.composite
def desired_states(draw: st.DrawFn, groups: list[Group]) -> list[DesiredGroup]:
    names = draw(st.lists(NAMES, unique=True, max_size=5))
    ids = draw(st.permutations([group.id for group in groups]))
    return [
        wanted(
            name,
            id=draw(st.sampled_from([None, group_id])),
            previously=draw(st.sampled_from([(), ("s1",), ("t2", "b")])),
            members=draw(PEOPLE),
            membership=draw(st.sampled_from(["exact", "additive"])),
        )
        for name, group_id in zip(names, [*ids, *"12345"], strict=False)
    ]


@pytest.mark.requirement("BS-5")
@given(data=st.data(), groups=SOME_GROUPS, prune=st.booleans())
def test_groups_outside_the_scope_are_never_touched(data: st.DataObject, groups: list[Group], *, prune: bool) -> None:
    desired = data.draw(desired_states(groups))
    patterns = st.lists(st.sampled_from(["t*", "s?", "A", "*"]), max_size=2)
    scope = Scope(only=data.draw(patterns), ignore=data.draw(patterns))
    try:
        plan = plan_of(desired, groups, prune=prune, only=scope.only, ignore=scope.ignore)
    except DesiredStateError:
        return
    present = {group.id: group.name for group in groups}
    for change in plan.changes:
        assert scope.contains(change.name)
        assert change.id is None or scope.contains(present[change.id])
    outside = sorted(name for name in present.values() if not scope.contains(name))
    assert plan.ignored_names == tuple(outside)
    names = [change.name for change in plan.changes if change.kind == "create"]
    assert not set(names) & (set(present.values()) - {name for change in plan.changes if (name := change.before.name)})


@given(data=st.data(), groups=GROUPS, is_for_all=st.booleans())
def test_additive_never_removes_a_member(data: st.DataObject, groups: list[Group], *, is_for_all: bool) -> None:
    desired = data.draw(desired_states(groups))
    if not is_for_all:
        desired = [evolve(wanted_group, membership="additive") for wanted_group in desired]
    plan = plan_of(desired, groups, additive=is_for_all)
    assert all(not change.removed for change in plan.changes)
    added = {user for change in plan.changes for user in change.added}
    assert added <= {user for wanted_group in desired for user in wanted_group.members or ()}


class TestAdditive:
    @pytest.mark.parametrize(
        ("fields", "rules"),
        [({"membership": "additive"}, {}), ({}, {"additive": True})],
        ids=["of the group", "of the run"],
    )
    def test_members_are_added_and_nobody_is_removed(self, fields: dict[str, Any], rules: dict[str, Any]) -> None:
        there = group("a", users=("u-ana", "u-ben"))
        change = only(plan_of([wanted("a", members=("u-ana", "u-eve"), **fields)], [there], **rules))
        assert change.after == GroupFields(users=("u-ana", "u-ben", "u-eve"))
        assert plan_of([wanted("a", members=(), **fields)], [there], **rules).is_empty

    @pytest.mark.requirement("BS-12")
    def test_held_member_of_an_additive_group_keeps_nobody(self) -> None:
        there = group("a", users=("u-ana",))
        plan = plan_of([wanted("a", members=("x",))], [there], additive=True, unknown_members="hold")
        assert [(held.member, held.kept) for held in plan.held] == [("x", ())]


def test_patterns_of_several_files_are_joined(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('ignore: ["SAML *", "b"]\ngroups: [{name: x}]')
    (tmp_path / "b.yaml").write_text('ignore: ["b", "c"]\ngroups: []')
    assert DesiredState.load(tmp_path).ignore == ("SAML *", "b", "c")
