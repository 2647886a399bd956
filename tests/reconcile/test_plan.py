"""The plan between a desired state and groups, without a server or a clock."""

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
    DesiredGroup,
    DesiredState,
    DesiredStateError,
    Group,
    Held,
    Plan,
    User,
)
from secoda_async.models import GroupFields
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules
from secoda_async.user_index import UserIndex
from tests.support.plans import USERS, group, only, plan_of, wanted
from tests.support.strategies import GROUPS, NAMES, PEOPLE, TEXTS


class TestFields:
    def test_plan_of_equal_groups_is_empty(self) -> None:
        there = group("a", icon="i", description=None, users=("u-ben", "u-ana"))
        same = wanted("a", icon=" i ", description="", members=("ana@example.com", "u-ben"))
        plan = plan_of([same], [there])
        assert plan.is_empty
        assert (plan.writes, plan.unchanged, plan.summary()) == (0, 1, "nothing to do; 1 unchanged")

    @pytest.mark.requirement("MD-3", "BS-4")
    def test_fields_left_out_are_not_changed(self) -> None:
        there = group("a", icon="i", description="d", users=("u-ana",))
        assert plan_of([wanted("a")], [there]).is_empty
        change = only(plan_of([wanted("a", description="new")], [there]))
        assert (change.kind, change.id) == ("update", "g-a")
        assert (change.before, change.after) == (GroupFields(description="d"), GroupFields(description="new"))

    @pytest.mark.requirement("MD-3")
    def test_null_clears_a_field_and_an_empty_list_removes_all_members(self) -> None:
        there = group("a", icon="i", description="d", users=("u-ana",))
        change = only(plan_of([wanted("a", icon=None, description="", members=())], [there]))
        assert change.after == GroupFields(icon=None, description="", users=())
        assert (change.added, change.removed) == ((), ("u-ana",))

    def test_create_omits_empty_fields(self) -> None:
        change = only(
            plan_of([wanted("a", icon=None, description="d", members=("ben@example.com", "ana@example.com"))], [])
        )
        assert change.after == GroupFields(name="a", description="d", users=("u-ana", "u-ben"))
        assert (change.kind, change.id, change.before) == ("create", None, GroupFields())
        assert change.place == "groups.yaml:a"

    @pytest.mark.requirement("BS-4")
    def test_order_of_members_is_ignored(self) -> None:
        there = group("a", users=("u-ben", "u-ana"))
        change = only(plan_of([wanted("a", members=("eve@example.com", "u-ana"))], [there]))
        assert (change.before.users, change.after.users) == (("u-ana", "u-ben"), ("u-ana", "u-eve"))
        assert (change.added, change.removed) == (("u-eve",), ("u-ben",))

    def test_plan_has_the_addresses_of_added_and_removed_members(self) -> None:
        plan = plan_of([wanted("a", members=("eve@example.com",))], [group("a", users=("u-ana", "gone"))])
        assert plan.people == {"u-ana": "ana@example.com", "u-eve": "eve@example.com"}


class TestNames:
    @pytest.mark.requirement("BS-5")
    def test_names_match_after_trimming_and_unicode_normalization_only(self) -> None:
        there = [group("Caf\u0065\u0301 ", "1"), group("cafe", "2")]
        assert plan_of([wanted(" Caf\u00e9")], there).is_empty
        assert [change.kind for change in plan_of([wanted("CAFE")], there).changes] == ["create"]

    @pytest.mark.requirement("BS-4")
    def test_previously_renames_a_group(self) -> None:
        there = group("old", users=("u-ana",))
        change = only(plan_of([wanted("new", previously=("older", "old"), members=("u-ana",))], [there]))
        assert (change.kind, change.name, change.id) == ("update", "new", "g-old")
        assert (change.before, change.after) == (GroupFields(name="old"), GroupFields(name="new"))

    def test_previously_is_ignored_once_the_new_name_exists(self) -> None:
        there = [group("new"), group("old")]
        plan = plan_of([wanted("new", previously=("old",))], there)
        assert (plan.is_empty, plan.unmanaged, plan.unmanaged_names) == (True, 1, ("old",))

    def test_rename_to_a_name_that_the_plan_frees(self) -> None:
        there = [group("a", "1"), group("b", "2")]
        plan = plan_of([wanted("b", id="1"), wanted("c", previously=("b",))], there)
        assert [(change.id, change.after.name) for change in plan.changes] == [("1", "b"), ("2", "c")]

    @pytest.mark.requirement("BS-4")
    def test_id_matches_a_group_of_any_name(self) -> None:
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

    def test_ids_distinguish_groups_of_the_same_name(self) -> None:
        there = [group("a", "1"), group("a", "2", icon="i")]
        assert plan_of([wanted("a", id="1"), wanted("a", id="2", icon="i")], there).is_empty

    def test_unknown_id_is_a_conflict(self) -> None:
        desired = [wanted("b", id="9", previously=("c",)), wanted("a", id="8")]
        plan = plan_of(desired, [group("b"), group("c"), group("d")], prune=True, max_delete=1)
        assert [conflict.name for conflict in plan.conflicts] == ["a", "b"]
        assert "there is no group with the id 8" in plan.conflicts[0].message
        assert (only(plan).kind, only(plan).name) == ("delete", "d")  # the file mentions "b" and "c"


class TestMembers:
    @pytest.mark.parametrize("member", ["ana@example.com", "ANA@example.COM", "u-ana"])
    def test_member_is_found_by_address_or_id(self, member: str) -> None:
        assert only(plan_of([wanted("a", members=(member,))], [])).after.users == ("u-ana",)

    def test_member_of_a_present_group_is_known(self) -> None:
        there = group("a", users=("service", "u-ana"))
        assert only(plan_of([wanted("a", members=("service",))], [there])).removed == ("u-ana",)

    def test_address_that_matches_exactly_wins_over_other_letter_case(self) -> None:
        users = [User("1", "Ana@x"), User("2", "ana@x")]
        plan = diff(DesiredState((wanted("a", members=("ana@x",)),)), [], users, Rules())
        assert only(plan).after.users == ("2",)
        with pytest.raises(DesiredStateError, match=r"'ANA@x', a member of 'a', is the address of 2 users \(1, 2\)"):
            diff(DesiredState((wanted("a", members=("ANA@x",)),)), [], users, Rules())

    def test_address_of_many_groups_is_looked_up_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        find = UserIndex.find

        def note(index: UserIndex, address: str) -> User | None:
            asked.append(address)
            return find(index, address)

        monkeypatch.setattr(UserIndex, "find", note)
        desired = [wanted(f"Team {number}", members=("ana@example.com", "u-ben")) for number in range(9)]
        plan = plan_of(desired, [group("Team 0", users=("u-ben",))])
        assert {change.added for change in plan.changes} == {("u-ana",), ("u-ana", "u-ben")}
        assert asked == ["ana@example.com"]

    def test_ambiguous_address_is_an_error(self) -> None:
        twins = [User(id="1", email="x@example.com"), User(id="2", email="X@example.com"), User(id="3")]
        assert only(plan_of([wanted("a", members=("X@example.com", "3"))], [], twins)).after.users == ("2", "3")
        with pytest.raises(DesiredStateError):
            plan_of([wanted("a", members=("x@EXAMPLE.com",))], [], twins)

    @pytest.mark.requirement("BS-2")
    def test_unknown_members_are_reported_together(self) -> None:
        with pytest.raises(DesiredStateError) as caught:
            plan_of([wanted("a", members=("x@example.com", "u-ana")), wanted("b", members=("9",))], [])
        assert caught.value.problems == (
            "groups.yaml:a: 'x@example.com', a member of 'a', is not a user of this workspace",
            "groups.yaml:b: '9', a member of 'b', is not a user of this workspace",
        )
        assert "unknown_members='hold'" in str(caught.value)

    @pytest.mark.requirement("BS-2")
    def test_unknown_members_hold_adds_members_and_removes_none(self) -> None:
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

    @pytest.mark.requirement("BS-12")
    def test_held_members_are_named_with_their_place_and_those_who_stay_for_them(self) -> None:
        there = [group("a", users=("u-ana", "u-eve")), group("b", users=("u-ana",))]
        desired = [
            wanted("b", members=("x@example.com", "u-ana")),
            wanted("a", members=("u-ana", "y"), member_places={"y": "groups.yaml:9"}),
            wanted("c", members=("y",)),
        ]
        plan = plan_of(desired, there, unknown_members="hold")
        reason = "is not a user of this workspace"
        assert plan.held == (
            Held(group="a", member="y", reason=reason, place="groups.yaml:9", kept=("u-eve",)),
            Held(group="b", member="x@example.com", reason=reason, place="groups.yaml:b"),
            Held(group="c", member="y", reason=reason, place="groups.yaml:c"),
        )
        assert plan.people == {"u-eve": "eve@example.com"}
        assert plan.summary() == "1 to create; 2 unchanged; 2 unknown members held"

    @pytest.mark.requirement("BS-12")
    def test_plan_without_changes_names_the_held_members(self) -> None:
        plan = plan_of([wanted("a", members=("x",))], [group("a", users=("u-ana",))], unknown_members="hold")
        assert (plan.is_empty, plan.summary()) == (True, "nothing to do; 1 unchanged; 1 unknown member held")
        assert plan_of([wanted("a", members=("u-ana",))], [], unknown_members="hold").held == ()

    @pytest.mark.requirement("BS-12")
    def test_held_member_with_an_ambiguous_address_has_that_reason(self) -> None:
        twins = [User(id="1", email="x@example.com"), User(id="2", email="X@example.com")]
        plan = plan_of([wanted("a", members=("x@EXAMPLE.com",))], [], twins, unknown_members="hold")
        assert [held.reason for held in plan.held] == ["is the address of 2 users (1, 2): use one of these ids"]

    def test_unknown_member_of_several_groups_is_one_problem(self) -> None:
        desired = [
            wanted(name, members=("x", "y"), member_places={"x": f"g.yaml:{index}"})
            for index, name in enumerate("abcde")
        ]
        with pytest.raises(DesiredStateError) as caught:
            plan_of([*desired[:1], wanted("z", members=("u-ana", "x"))], [])
        assert caught.value.problems == (
            "g.yaml:0: 'x', a member of 'a', 'z' (groups.yaml:z), is not a user of this workspace",
            "groups.yaml:a: 'y', a member of 'a', is not a user of this workspace",
        )
        for number, more in ((4, "1 more"), (5, "2 more")):
            with pytest.raises(DesiredStateError) as caught:
                plan_of(desired[:number], [])
            assert caught.value.problems[0] == (
                f"g.yaml:0: 'x', a member of 'a', 'b' (g.yaml:1), 'c' (g.yaml:2) and {more}, "
                "is not a user of this workspace"
            )

    @pytest.mark.parametrize(
        ("members", "is_said"),
        [
            (("x@other.example", "y@Other.Example"), True),
            (("x@other.example", "y"), False),
            (("x", "y"), False),
            (("x@example.com", "y@example.com"), False),
            (("x@other.example",), False),
        ],
        ids=["one domain", "an id too", "ids", "a domain of users", "one member"],
    )
    def test_error_says_that_no_user_has_the_domain_of_all_unknown_members(
        self, members: tuple[str, ...], *, is_said: bool
    ) -> None:
        with pytest.raises(DesiredStateError) as caught:
            plan_of([wanted("a", members=members)], [])
        sentence = "no user of this workspace has an address at 'other.example', but these 2 members do"
        assert (sentence in str(caught.value)) is is_said


class TestSaving:
    @pytest.fixture
    def plan(self) -> Plan:
        there = [group("a", users=("u-ana",)), group("c"), group("d", "1"), group("d", "2")]
        desired = [wanted("a", icon=None, members=()), wanted("b", description="é"), wanted("d")]
        return diff(DesiredState(tuple(desired)), there, USERS, Rules(prune=True, max_delete=0), lambda n: n * 2.0)

    def test_plan_survives_saving_and_loading(self, plan: Plan, tmp_path: Path) -> None:
        (tmp_path / "plan.json").write_text(plan.to_json(), "utf-8")
        loaded = Plan.load(tmp_path / "plan.json")
        assert loaded == plan
        assert (loaded.people, loaded.digest) == (plan.people, plan.digest)
        assert [change.place for change in loaded.changes] == [change.place for change in plan.changes]
        assert loaded.seconds == 4.0

    def test_digest_depends_on_the_changes_only(self, plan: Plan) -> None:
        assert evolve(plan, seconds=99.0, people={}, unchanged=7, breaches=()).digest == plan.digest
        assert evolve(plan, changes=plan.changes[1:]).digest != plan.digest
        moved = tuple(evolve(change, place="elsewhere:1") for change in plan.changes)
        assert evolve(plan, changes=moved).digest == plan.digest

    @pytest.mark.parametrize(
        ("path", "value", "says"),
        [
            ("changes.0.kind", "delete", "was edited after it was made"),
            ("changes.0.after.name", "x", "was edited after it was made"),
            ("version", 1, "is of version 1, not 3: plan again"),
            ("digest", "0", "was edited after it was made"),
            ("breaches", [], "was edited after it was made"),
            ("checksum", None, "was edited after it was made"),
            ("changes.0.name", 5, r"is not a plan: changes\[0\]\.name: expected a string, got a number"),
            ("changes.1.after.users", "u", r"is not a plan: changes\[1\]\.after\.users: expected a list of strings"),
        ],
    )
    def test_edited_plan_file_is_refused(self, plan: Plan, tmp_path: Path, path: str, value: object, says: str) -> None:
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
    def test_file_that_is_not_a_plan_is_refused(self, tmp_path: Path, text: str | None, says: str) -> None:
        if text is not None:
            (tmp_path / "plan.json").write_text(text)
        with pytest.raises(DesiredStateError, match=says):
            Plan.load(tmp_path / "plan.json")


# --- properties ------------------------------------------------------------------------------------------------

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


def groups_after(plan: Plan, groups: Sequence[Group]) -> list[Group]:
    """Return the groups of the workspace after the plan."""
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
def test_plan_is_empty_after_the_changes_are_made(
    desired: list[DesiredGroup], groups: list[Group], *, prune: bool
) -> None:
    plan = plan_of(desired, groups, prune=prune)
    assert len({change.id or change.name for change in plan.changes}) == len(plan.changes)
    after = groups_after(plan, groups)
    again = plan_of(desired, after, prune=prune)
    assert again.is_empty
    assert again.conflicts == plan.conflicts
    names = {desired_group.name for desired_group in desired}
    untouched = {group.id for group in groups if group.name not in names}
    if not prune:
        assert {group for group in groups if group.id in untouched} <= set(after)
    names_in_conflict = {conflict.name for conflict in plan.conflicts}
    for desired_group in desired:
        fields = GroupFields(
            icon=desired_group.icon, description=desired_group.description, users=desired_group.members
        )
        for present in after:
            if present.name == desired_group.name and present.name not in names_in_conflict:
                assert fields.matches(present)


@given(desired=DESIRED, groups=GROUPS, seed=st.randoms(use_true_random=False))
def test_plan_does_not_depend_on_input_order(desired: list[DesiredGroup], groups: list[Group], seed: Any) -> None:
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
