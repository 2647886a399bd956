"""Plans, by plain calls: no server, no clock."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import (
    UNSET,
    Change,
    DesiredGroup,
    DesiredState,
    DesiredStateError,
    Group,
    InvalidArgumentError,
    Plan,
    User,
)
from secoda_async.models import GroupFields, normalize
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules

ANA, BEN, EVE = (User(id=f"u-{name}", email=f"{name}@example.com") for name in ("ana", "ben", "eve"))
USERS = [ANA, BEN, EVE]


def group(name: str, group_id: str = "", **fields: Any) -> Group:  # noqa: ANN401
    return Group(id=group_id or f"g-{name}", name=name, **fields)


def wanted(name: str, **fields: Any) -> DesiredGroup:  # noqa: ANN401
    return DesiredGroup(name=name, place=f"groups.yaml:{name}", **fields)


def plan_of(
    desired: Sequence[DesiredGroup],
    groups: Sequence[Group],
    users: Sequence[User] = USERS,
    **rules: Any,  # noqa: ANN401
) -> Plan:
    return diff(DesiredState(tuple(desired)), groups, users, Rules(**rules))


def only(plan: Plan) -> Change:
    (change,) = plan.changes
    return change


class TestFields:
    def test_nothing_differs_nothing_is_written(self) -> None:
        there = group("a", icon="i", description=None, users=("u-ben", "u-ana"))
        same = wanted("a", icon=" i ", description="", members=("ana@example.com", "u-ben"))
        plan = plan_of([same], [there])
        assert plan.is_empty
        assert (plan.writes, plan.unchanged, plan.summary()) == (0, 1, "nothing to do; 1 unchanged")

    @pytest.mark.requirement("MD-3", "BS-4")
    def test_what_is_left_out_is_not_touched(self) -> None:
        there = group("a", icon="i", description="d", users=("u-ana",))
        assert plan_of([wanted("a")], [there]).is_empty
        change = only(plan_of([wanted("a", description="new")], [there]))
        assert (change.kind, change.id) == ("update", "g-a")
        assert (change.before, change.after) == (GroupFields(description="d"), GroupFields(description="new"))

    @pytest.mark.requirement("MD-3")
    def test_null_clears_and_an_empty_list_empties(self) -> None:
        there = group("a", icon="i", description="d", users=("u-ana",))
        change = only(plan_of([wanted("a", icon=None, description="", members=())], [there]))
        assert change.after == GroupFields(icon=None, description="", users=())
        assert (change.added, change.removed) == ((), ("u-ana",))

    def test_a_create_sends_what_is_there(self) -> None:
        change = only(
            plan_of([wanted("a", icon=None, description="d", members=("ben@example.com", "ana@example.com"))], [])
        )
        assert change.after == GroupFields(name="a", description="d", users=("u-ana", "u-ben"))
        assert (change.kind, change.id, change.before) == ("create", None, GroupFields())
        assert change.place == "groups.yaml:a"

    @pytest.mark.requirement("BS-4")
    def test_members_are_a_set(self) -> None:
        there = group("a", users=("u-ben", "u-ana"))
        change = only(plan_of([wanted("a", members=("eve@example.com", "u-ana"))], [there]))
        assert (change.before.users, change.after.users) == (("u-ana", "u-ben"), ("u-ana", "u-eve"))
        assert (change.added, change.removed) == (("u-eve",), ("u-ben",))

    def test_people_are_named_by_their_addresses(self) -> None:
        plan = plan_of([wanted("a", members=("eve@example.com",))], [group("a", users=("u-ana", "gone"))])
        assert plan.people == {"u-ana": "ana@example.com", "u-eve": "eve@example.com"}


class TestNames:
    @pytest.mark.requirement("BS-5")
    def test_they_match_after_trimming_and_composing_and_not_otherwise(self) -> None:
        there = [group("Caf\u0065\u0301 ", "1"), group("cafe", "2")]
        assert plan_of([wanted(" Caf\u00e9")], there).is_empty
        assert [change.kind for change in plan_of([wanted("CAFE")], there).changes] == ["create"]

    @pytest.mark.requirement("BS-4")
    def test_a_former_name_renames(self) -> None:
        there = group("old", users=("u-ana",))
        change = only(plan_of([wanted("new", previously=("older", "old"), members=("u-ana",))], [there]))
        assert (change.kind, change.name, change.id) == ("update", "new", "g-old")
        assert (change.before, change.after) == (GroupFields(name="old"), GroupFields(name="new"))

    def test_once_renamed_the_former_name_means_nothing(self) -> None:
        there = [group("new"), group("old")]
        plan = plan_of([wanted("new", previously=("old",))], there)
        assert (plan.is_empty, plan.unmanaged) == (True, 1)

    def test_a_name_may_go_to_another_group(self) -> None:
        there = [group("a", "1"), group("b", "2")]
        plan = plan_of([wanted("b", id="1"), wanted("c", previously=("b",))], there)
        assert [(change.id, change.after.name) for change in plan.changes] == [("1", "b"), ("2", "c")]

    @pytest.mark.requirement("BS-4")
    def test_an_id_pins_a_group_whatever_it_is_called(self) -> None:
        change = only(plan_of([wanted("new", id="1")], [group("old", "1"), group("other", "2")]))
        assert (change.kind, change.id, change.after) == ("update", "1", GroupFields(name="new"))

    @pytest.mark.requirement("BS-5")
    def test_name_of_a_kept_group_is_not_reused(self) -> None:
        there = [group("old", "1"), group("new", "2"), group("x", "3")]
        plan = plan_of([wanted("new", id="1"), wanted("old", id="3")], there, prune=True, max_delete=9)
        assert plan.is_empty  # the third can't become "old" either, as the first stays so; nothing is deleted
        assert [(conflict.name, conflict.ids) for conflict in plan.conflicts] == [("new", ("2",)), ("old", ("1",))]
        assert "another group has the name 'new' (2): rename or delete it first" in plan.conflicts[0].message

    @pytest.mark.requirement("BS-5")
    def test_duplicate_name_in_the_workspace_is_a_conflict_for_that_name_only(self) -> None:
        there = [group("a", "2"), group("a ", "1"), group("b", "3")]
        plan = plan_of([wanted("a", icon="x"), wanted("b", icon="x")], there, prune=True)
        assert [change.name for change in plan.changes] == ["b"]
        (conflict,) = plan.conflicts
        assert (conflict.name, conflict.ids) == ("a", ("1", "2"))
        assert conflict.message == (
            "groups.yaml:a: 2 groups have the name 'a' (1, 2): choose with `id:`, or rename one"
        )
        assert plan.summary() == "1 to update; 1 in conflict"

    def test_ids_tell_groups_of_one_name_apart(self) -> None:
        there = [group("a", "1"), group("a", "2", icon="i")]
        assert plan_of([wanted("a", id="1"), wanted("a", id="2", icon="i")], there).is_empty

    def test_unknown_id_is_a_conflict(self) -> None:
        desired = [wanted("b", id="9", previously=("c",)), wanted("a", id="8")]
        plan = plan_of(desired, [group("b"), group("c"), group("d")], prune=True, max_delete=1)
        assert [conflict.name for conflict in plan.conflicts] == ["a", "b"]
        assert "there is no group with the id 8" in plan.conflicts[0].message
        assert (only(plan).kind, only(plan).name) == ("delete", "d")  # of "b" and "c" the file speaks


class TestMembers:
    @pytest.mark.parametrize("member", ["ana@example.com", "ANA@example.COM", "u-ana"])
    def test_they_are_found_by_address_or_id(self, member: str) -> None:
        assert only(plan_of([wanted("a", members=(member,))], [])).after.users == ("u-ana",)

    def test_who_is_in_a_group_is_known(self) -> None:
        there = group("a", users=("service", "u-ana"))
        assert only(plan_of([wanted("a", members=("service",))], [there])).removed == ("u-ana",)

    def test_of_two_that_differ_in_case_the_exact_one_is_meant(self) -> None:
        users = [User("1", "Ana@x"), User("2", "ana@x")]
        plan = diff(DesiredState((wanted("a", members=("ana@x",)),)), [], users, Rules())
        assert only(plan).after.users == ("2",)
        with pytest.raises(DesiredStateError, match=r"'ANA@x', a member of 'a', is the address of 2 users \(1, 2\)"):
            diff(DesiredState((wanted("a", members=("ANA@x",)),)), [], users, Rules())

    def test_of_two_with_one_address_neither_is_meant(self) -> None:
        twins = [User(id="1", email="x@example.com"), User(id="2", email="X@example.com"), User(id="3")]
        assert only(plan_of([wanted("a", members=("X@example.com", "3"))], [], twins)).after.users == ("2", "3")
        with pytest.raises(DesiredStateError):
            plan_of([wanted("a", members=("x@EXAMPLE.com",))], [], twins)

    @pytest.mark.requirement("BS-2")
    def test_all_who_are_unknown_are_told_at_once(self) -> None:
        with pytest.raises(DesiredStateError) as caught:
            plan_of([wanted("a", members=("x@example.com", "u-ana")), wanted("b", members=("9",))], [])
        assert caught.value.problems == (
            "groups.yaml:a: 'x@example.com', a member of 'a', is not a user of this workspace",
            "groups.yaml:b: '9', a member of 'b', is not a user of this workspace",
        )
        assert "unknown_members='hold'" in str(caught.value)

    @pytest.mark.requirement("BS-2")
    def test_held_a_group_gains_and_never_loses(self) -> None:
        there = [group("a", users=("u-ana",)), group("b", users=("u-ana",))]
        desired = [
            wanted("a", members=("x@example.com", "u-ben")),
            wanted("b", members=("u-ben",)),
            wanted("c", members=("x",)),
        ]
        plan = plan_of(desired, there, unknown_members="hold")
        assert [(change.name, change.added, change.removed) for change in plan.changes] == [
            ("c", (), ()),
            ("a", ("u-ben",), ()),
            ("b", ("u-ben",), ("u-ana",)),
        ]


class TestSafety:
    @pytest.mark.requirement("BS-3")
    def test_groups_are_deleted_only_with_prune(self) -> None:
        plan = plan_of([wanted("a")], [group("a"), group("b")])
        assert (plan.is_empty, plan.unmanaged) == (True, 1)
        change = only(plan_of([wanted("a")], [group("a"), group("b", icon="i", users=("u-ana",))], prune=True))
        assert (change.kind, change.name, change.id) == ("delete", "b", "g-b")
        assert change.before == GroupFields(name="b", icon="i", description=None, users=("u-ana",))
        assert change.removed == ("u-ana",)

    @pytest.mark.requirement("BS-3")
    @pytest.mark.parametrize(
        ("limit", "number", "is_safe"),
        [
            ("10%", 2, True),
            ("10%", 3, False),
            (0, 1, False),
            (3, 3, True),
            ("3", 3, True),
            ("1%", 1, True),
            ("0%", 1, False),
        ],
    )
    def test_prune_is_limited_by_max_delete(self, limit: int | str, number: int, is_safe: bool) -> None:  # noqa: FBT001
        there = [group(f"g{index:02}") for index in range(20)]
        plan = plan_of([wanted(there_.name) for there_ in there[number:]], there, prune=True, max_delete=limit)
        assert [breach.kind for breach in plan.breaches] == ([] if is_safe else ["deletes"])
        if not is_safe:
            (breach,) = plan.breaches
            assert breach.message.startswith(f"{number} of 20 groups would be deleted; the limit is ")
            assert breach.names == tuple(f"g{index:02}" for index in range(number))

    @pytest.mark.requirement("BS-3")
    @pytest.mark.parametrize(
        ("limit", "number", "is_safe"),
        [("25%", 15, True), ("25%", 16, False), ("1%", 10, True), ("1%", 11, False), (5, 6, False)],
    )
    def test_member_removals_are_limited_by_max_remove(self, limit: int | str, number: int, is_safe: bool) -> None:  # noqa: FBT001
        there = group("a", users=tuple(f"u{index}" for index in range(60)))
        plan = plan_of([wanted("a", members=there.users[number:])], [there], max_remove=limit)
        assert [breach.kind for breach in plan.breaches] == ([] if is_safe else ["removals"])
        if not is_safe:
            assert f"{number} of 60 memberships would be removed" in plan.breaches[0].message

    @pytest.mark.requirement("BS-2")
    def test_prune_with_an_empty_desired_state_does_not_delete_all(self) -> None:
        plan = plan_of([], [group("a")], prune=True)
        assert [breach.kind for breach in plan.breaches] == ["empty"]
        assert plan_of([], [], prune=True).breaches == ()

    def test_delete_and_create_with_the_same_members_look_like_a_rename(self) -> None:
        there = [group("old", users=("u-ana", "u-ben")), group("other", users=("u-ana",))]
        plan = plan_of([wanted("new", members=("u-ana", "u-ben", "u-eve"))], there, prune=True, max_delete=9)
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("rename", ("old", "new"))
        assert "add `previously: [\"old\"]` to 'new'" in breach.message
        assert "2 of 3 members" in breach.message

    @pytest.mark.parametrize("limit", ["10", 10, "10%", "0.5%", "100%", 0])
    def test_limits_are_numbers_or_parts(self, limit: int | str) -> None:
        Rules(max_delete=limit, max_remove=limit)

    @pytest.mark.parametrize("limit", ["", "ten", "-1", -1, True, "101%", "1e1%", 0.5, None])
    @pytest.mark.parametrize("name", ["max_delete", "max_remove"])
    def test_anything_else_is_refused(self, name: str, limit: Any) -> None:  # noqa: ANN401
        with pytest.raises(InvalidArgumentError, match=f"{name} must be"):
            Rules(**{name: limit})

    @pytest.mark.requirement("BS-3")
    def test_prune_does_not_simply_delete_a_group_named_by_its_previous_name(self) -> None:
        plan = plan_of([wanted("new", previously=("old",))], [group("old"), group("new")], prune=True)
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("rename", ("old", "new"))
        assert "'old' would be deleted, although it is a former name of 'new'" in breach.message

    def test_so_are_other_ways_with_unknown_members(self) -> None:
        with pytest.raises(InvalidArgumentError, match="unknown_members must be"):
            Rules(unknown_members="drop")  # type: ignore[arg-type]


class TestSaving:
    @pytest.fixture
    def plan(self) -> Plan:
        there = [group("a", users=("u-ana",)), group("c"), group("d", "1"), group("d", "2")]
        desired = [wanted("a", icon=None, members=()), wanted("b", description="é"), wanted("d")]
        return diff(DesiredState(tuple(desired)), there, USERS, Rules(prune=True, max_delete=0), lambda n: n * 2.0)

    def test_it_comes_back_as_it_was(self, plan: Plan, tmp_path: Path) -> None:
        (tmp_path / "plan.json").write_text(plan.to_json(), "utf-8")
        loaded = Plan.load(tmp_path / "plan.json")
        assert loaded == plan
        assert (loaded.people, loaded.digest) == (plan.people, plan.digest)
        assert [change.place for change in loaded.changes] == [change.place for change in plan.changes]
        assert loaded.seconds == 4.0

    def test_its_digest_is_of_the_changes_alone(self, plan: Plan) -> None:
        assert evolve(plan, seconds=99.0, people={}, unchanged=7, breaches=()).digest == plan.digest
        assert evolve(plan, changes=plan.changes[1:]).digest != plan.digest
        moved = tuple(evolve(change, place="elsewhere:1") for change in plan.changes)
        assert evolve(plan, changes=moved).digest == plan.digest

    @pytest.mark.parametrize(
        ("path", "value", "says"),
        [
            ("changes.0.kind", "delete", "was edited after it was made"),
            ("changes.0.after.name", "x", "was edited after it was made"),
            ("version", 1, "is of version 1, not 2: plan again"),
            ("digest", "0", "was edited after it was made"),
            ("breaches", [], "was edited after it was made"),
            ("checksum", None, "was edited after it was made"),
            ("changes.0.name", 5, r"is not a plan: changes\[0\]\.name: expected a string, got a number"),
            ("changes.1.after.users", "u", r"is not a plan: changes\[1\]\.after\.users: expected a list of strings"),
        ],
    )
    def test_one_that_was_changed_is_refused(
        self, plan: Plan, tmp_path: Path, path: str, value: object, says: str
    ) -> None:
        document = place = json.loads(plan.to_json())
        *steps, last = path.split(".")
        for step in steps:
            place = place[int(step) if step.isdecimal() else step]
        place[last] = value
        (tmp_path / "plan.json").write_text(json.dumps(document))
        with pytest.raises(DesiredStateError, match=says) as caught:
            Plan.load(tmp_path / "plan.json")
        assert caught.value.problems == (str(caught.value),)

    @pytest.mark.parametrize(
        ("text", "says"), [("{", "is not JSON"), ("[]", "is not a plan"), (None, "can't be read: No such")]
    )
    def test_so_is_what_is_none(self, tmp_path: Path, text: str | None, says: str) -> None:
        if text is not None:
            (tmp_path / "plan.json").write_text(text)
        with pytest.raises(DesiredStateError, match=says):
            Plan.load(tmp_path / "plan.json")


# --- properties ------------------------------------------------------------------------------------------------

NAMES = st.sampled_from("abcdef")
PEOPLE = st.lists(st.sampled_from([user.id for user in USERS]), unique=True).map(tuple)
TEXTS = st.sampled_from([None, "", "x", "y"])
GROUPS = st.lists(
    st.builds(Group, id=st.uuids().map(str), name=NAMES, icon=TEXTS, description=TEXTS, users=PEOPLE),
    unique_by=lambda group: group.id,
    max_size=6,
)
DESIRED = st.lists(
    st.builds(
        DesiredGroup,
        name=NAMES,
        icon=st.just(UNSET) | TEXTS,
        description=st.just(UNSET) | TEXTS,
        members=st.just(UNSET) | PEOPLE,
        previously=st.sampled_from([(), ("old",)]),
    ),
    unique_by=lambda group: group.name,
    max_size=6,
)


def carried_out(plan: Plan, groups: Sequence[Group]) -> list[Group]:
    """What the workspace is after the plan, as a server would have it."""
    present = {group.id: group for group in groups}
    for index, change in enumerate(plan.changes):
        fields = {
            name: getattr(change.after, name)
            for name in ("name", "icon", "description", "users")
            if getattr(change.after, name) is not UNSET
        }
        match change.kind:
            case "create":
                present[f"new-{index}"] = Group(id=f"new-{index}", **fields)
            case "update":
                present[str(change.id)] = evolve(present[str(change.id)], **fields)
            case "delete":
                del present[str(change.id)]
    return list(present.values())


@pytest.mark.requirement("BS-4", "BS-5")
@given(desired=DESIRED, groups=GROUPS, prune=st.booleans())
def test_after_a_plan_the_next_is_empty(desired: list[DesiredGroup], groups: list[Group], prune: bool) -> None:  # noqa: FBT001
    plan = plan_of(desired, groups, prune=prune)
    assert len({change.id or change.name for change in plan.changes}) == len(plan.changes)
    after = carried_out(plan, groups)
    again = plan_of(desired, after, prune=prune)
    assert again.is_empty
    assert again.conflicts == plan.conflicts
    names = {wanted.name for wanted in desired}
    untouched = {group.id for group in groups if group.name not in names}
    if not prune:
        assert {group for group in groups if group.id in untouched} <= set(after)
    for wanted in desired:
        for group_ in after:
            if group_.name == wanted.name and wanted.name not in {conflict.name for conflict in plan.conflicts}:
                assert GroupFields(icon=wanted.icon, description=wanted.description, users=wanted.members).matches(
                    group_
                )


@given(desired=DESIRED, groups=GROUPS, seed=st.randoms(use_true_random=False))
def test_plan_does_not_depend_on_input_order(desired: list[DesiredGroup], groups: list[Group], seed: Any) -> None:  # noqa: ANN401
    plan = plan_of(desired, groups, prune=True)
    for things in (desired, groups):
        seed.shuffle(things)
    other = plan_of(desired, groups, prune=True)
    assert other == plan
    assert other.digest == plan.digest


@pytest.mark.requirement("BS-4")
@given(groups=GROUPS)
def test_plan_of_present_groups_is_empty(groups: list[Group]) -> None:
    plan = diff(DesiredState.from_groups(groups), groups, USERS, Rules(prune=True))
    assert plan == Plan(changes=(), unchanged=len(groups))


@given(desired=DESIRED, groups=GROUPS)
def test_plan_round_trips_through_json(desired: list[DesiredGroup], groups: list[Group]) -> None:
    plan = plan_of(desired, groups, prune=True)
    assert Plan.from_document(json.loads(plan.to_json()), "plan.json") == plan


class TestSimilarNames:
    @pytest.mark.requirement("BS-13")
    @pytest.mark.parametrize(
        "name", ["data stewards", "Data  Stewards", "Data\u00a0Stewards", "Data\u200b Stewards", "\uff24ata Stewards"]
    )
    @pytest.mark.parametrize("prune", [False, True])
    def test_create_that_looks_like_a_present_group_is_a_breach(self, name: str, prune: bool) -> None:  # noqa: FBT001
        plan = plan_of([wanted(name)], [group("Data Stewards", users=("u-ana", "u-ben"))], prune=prune)
        (breach,) = (breach for breach in plan.breaches if breach.kind == "similar")
        assert breach.names == (normalize(name), "Data Stewards")
        assert 'previously: ["Data Stewards"]' in breach.message

    @pytest.mark.requirement("BS-13")
    def test_desired_groups_that_look_alike_are_a_breach(self) -> None:
        plan = plan_of([wanted("analysts"), wanted("Analysts"), wanted("Ops")], [])
        assert [(breach.kind, breach.names) for breach in plan.breaches] == [("similar", ("Analysts", "analysts"))]

    @pytest.mark.requirement("BS-13")
    def test_groups_that_look_alike_and_exist_are_no_breach(self) -> None:
        present = [group("analysts"), group("Analysts")]
        assert plan_of([wanted("analysts"), wanted("Analysts", icon="x")], present).breaches == ()

    @pytest.mark.requirement("BS-13")
    def test_the_advice_shows_invisible_characters_as_codes(self) -> None:
        plan = plan_of([wanted("Ops")], [group("Ops\u200b")])
        assert 'previously: ["Ops\\u200b"]' in plan.breaches[0].message
        renamed = plan_of([wanted("Ops", previously=("Ops\u200b",))], [group("Ops\u200b")])
        assert (only(renamed).kind, renamed.breaches) == ("update", ())
