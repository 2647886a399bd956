"""The safety limits of a plan: prune, `max_delete`, `max_remove`, breaches, and the approval."""

from typing import Any

import pytest
from attrs import evolve

from secoda_async import InvalidArgumentError, Plan, UnsafePlanError
from secoda_async.models import GroupFields
from secoda_async.reconcile.safety import Rules, check_approval, resolve_limit
from tests.support.plans import group, only, plan_of, wanted


class TestRules:
    def test_rules_default_to_no_prune_and_low_limits(self) -> None:
        rules = Rules()
        assert (rules.prune, rules.unknown_members, rules.max_delete, rules.max_remove) == (
            False,
            "error",
            "10%",
            "25%",
        )

    @pytest.mark.parametrize("limit", ["10", 10, "10%", "0.5%", "100%", 0])
    def test_limit_is_a_number_or_a_percentage(self, limit: int | str) -> None:
        Rules(max_delete=limit, max_remove=limit)

    @pytest.mark.parametrize("limit", ["", "ten", "-1", -1, True, "101%", "1e1%", 0.5, None])
    @pytest.mark.parametrize("name", ["max_delete", "max_remove"])
    def test_other_limit_is_refused(self, name: str, limit: Any) -> None:
        with pytest.raises(
            InvalidArgumentError, match=f"^{name} must be an integer, 0 or more, or a percentage such as '10%', not"
        ):
            Rules(**{name: limit})

    @pytest.mark.parametrize("unknown_members", ["error", "hold"])
    def test_unknown_members_is_error_or_hold(self, unknown_members: Any) -> None:
        assert Rules(unknown_members=unknown_members).unknown_members == unknown_members

    def test_other_value_of_unknown_members_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match="unknown_members must be 'error' or 'hold', not 'drop'"):
            Rules(unknown_members="drop")  # type: ignore[arg-type]


class TestResolveLimit:
    @pytest.mark.parametrize(
        ("limit", "total", "minimum", "allowed"),
        [
            (0, 100, 5, 0),  # a number is taken as it is, whatever the total and the minimum
            (7, 3, 1, 7),
            ("7", 3, 1, 7),
            ("0", 100, 5, 0),
            ("10%", 100, 1, 10),
            ("10%", 109, 1, 10),  # rounded down
            ("29%", 100, 1, 29),  # 0.29 * 100 is 28.999999999999996
            ("0.5%", 1000, 1, 5),
            ("100%", 7, 1, 7),
            ("10%", 3, 1, 1),
            ("10%", 3, 10, 10),
            ("10%", 0, 0, 0),
            ("0%", 100, 5, 0),
            ("0.0%", 100, 5, 0),
        ],
    )
    def test_limit_of_a_total(self, limit: int | str, total: int, minimum: int, allowed: int) -> None:
        assert resolve_limit(limit, total, minimum, "max_delete") == allowed


class TestPrune:
    @pytest.mark.requirement("BS-3")
    def test_groups_are_deleted_only_with_prune(self) -> None:
        plan = plan_of([wanted("a")], [group("a"), group("b")])
        assert (plan.is_empty, plan.unmanaged, plan.unmanaged_names) == (True, 1, ("b",))
        assert plan_of([wanted("b")], [group("c"), group("b"), group("a")]).unmanaged_names == ("a", "c")
        assert plan_of([wanted("a")], [group("a"), group("b")], prune=True).unmanaged_names == ()
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
            ("1%", 2, False),
            ("0%", 1, False),
        ],
    )
    def test_prune_is_limited_by_max_delete(self, limit: int | str, number: int, *, is_safe: bool) -> None:
        there = [group(f"g{index:02}") for index in range(20)]
        plan = plan_of([wanted(there_.name) for there_ in there[number:]], there, prune=True, max_delete=limit)
        assert [breach.kind for breach in plan.breaches] == ([] if is_safe else ["deletes"])
        if not is_safe:
            (breach,) = plan.breaches
            assert breach.message.startswith(f"{number} of 20 groups would be deleted; the limit is ")
            assert breach.message.endswith(f" ({limit}: --max-delete)")
            assert breach.names == tuple(f"g{index:02}" for index in range(number))

    @pytest.mark.requirement("BS-2")
    def test_prune_with_an_empty_desired_state_does_not_delete_all(self) -> None:
        plan = plan_of([], [group("a")], prune=True)
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("empty", ("a",))
        assert breach.message == "the desired state has no groups: every group would be deleted"
        assert plan_of([], [], prune=True).breaches == ()

    @pytest.mark.requirement("BS-3")
    def test_prune_does_not_simply_delete_a_group_named_by_its_previous_name(self) -> None:
        plan = plan_of([wanted("new", previously=("old",))], [group("old"), group("new")], prune=True)
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("rename", ("old", "new"))
        assert "'old' would be deleted, although it is a former name of 'new'" in breach.message


@pytest.mark.requirement("BS-3")
@pytest.mark.parametrize(
    ("limit", "number", "is_safe"),
    [("25%", 15, True), ("25%", 16, False), ("1%", 10, True), ("1%", 11, False), (5, 6, False)],
)
def test_member_removals_are_limited_by_max_remove(limit: int | str, number: int, *, is_safe: bool) -> None:
    there = group("a", users=tuple(f"u{index}" for index in range(60)))
    plan = plan_of([wanted("a", members=there.users[number:]), wanted("b")], [there, group("b")], max_remove=limit)
    assert [breach.kind for breach in plan.breaches] == ([] if is_safe else ["removals"])
    if not is_safe:
        (breach,) = plan.breaches
        assert f"{number} of 60 memberships would be removed" in breach.message
        assert breach.message.endswith(f" ({limit}: --max-remove)")
        assert breach.names == ("a",)


class TestMembersOfDeletedGroups:
    @pytest.mark.requirement("BS-3", "BS-13")
    def test_members_of_deleted_groups_count_as_removals(self) -> None:
        there = [group("a", users=tuple(f"u{index}" for index in range(40))), group("b", users=("u1", "u2"))]
        plan = plan_of([wanted("a", members=there[0].users[10:])], there, prune=True, max_remove=11)
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("removals", ("a", "b"))
        assert breach.message == (
            "12 of 42 memberships would be removed (10 from groups that stay, 2 with deleted groups); "
            "the limit is 11 (11: --max-remove)"
        )
        assert plan_of([wanted("a", members=there[0].users[10:])], there, prune=True, max_remove=12).breaches == ()


class TestRemovalsOfOneGroup:
    @pytest.mark.requirement("BS-3")
    @pytest.mark.parametrize(
        ("size", "removed", "added", "is_safe"),
        [
            (5, 2, 0, True),
            (5, 3, 0, False),
            (5, 3, 1, True),  # a rotation
            (5, 4, 3, False),
            (6, 3, 0, True),
            (6, 4, 2, False),
            (8, 8, 0, False),
            (4, 4, 0, True),
        ],
    )
    def test_most_members_of_a_group_of_five_need_an_approval(
        self, size: int, removed: int, added: int, *, is_safe: bool
    ) -> None:
        there = group("a", users=tuple(f"u{index}" for index in range(size)))
        members = (*there.users[removed:], *("u-ana", "u-ben", "u-eve")[:added])
        plan = plan_of([wanted("a", members=members)], [there], max_remove="100%")
        assert [breach.kind for breach in plan.breaches] == ([] if is_safe else ["group"])
        if not is_safe:
            assert plan.breaches[0].message == (
                f"groups would lose more than half of their members: 'a' {removed} of {size}; "
                "approve the plan (--approve DIGEST)"
            )

    @pytest.mark.requirement("BS-3")
    def test_message_names_ten_groups_and_counts_the_others(self) -> None:
        users = tuple(f"u{index}" for index in range(5))
        there = [group(f"g{index:02}", users=users) for index in range(12)]
        (breach,) = plan_of([wanted(one.name, members=()) for one in there], there, max_remove="100%").breaches
        assert "'g09' 5 of 5 and 2 more; approve" in breach.message
        assert breach.names == tuple(one.name for one in there)


class TestApproval:
    @pytest.fixture
    def safe(self) -> Plan:
        return plan_of([wanted("a")], [])

    @pytest.fixture
    def unsafe(self) -> Plan:
        plan = plan_of([wanted("a")], [group("a"), group("b"), group("B")], prune=True, max_delete=0)
        assert len(plan.breaches) == 1
        return plan

    def test_safe_plan_needs_no_approval(self, safe: Plan) -> None:
        check_approval(safe, None)

    @pytest.mark.requirement("BS-3")
    def test_plan_with_a_breach_is_refused_without_approval(self, unsafe: Plan) -> None:
        with pytest.raises(UnsafePlanError) as caught:
            check_approval(unsafe, None)
        (message,) = (breach.message for breach in unsafe.breaches)
        assert str(caught.value).splitlines() == [
            f"the plan needs an approval, and nothing was written. To approve it: {unsafe.digest!r}",
            message,
        ]
        assert (caught.value.breaches, caught.value.digest) == ((message,), unsafe.digest)

    @pytest.mark.requirement("BS-3")
    def test_approval_by_digest_permits_the_plan(self, safe: Plan, unsafe: Plan) -> None:
        check_approval(unsafe, unsafe.digest)
        check_approval(safe, safe.digest)

    @pytest.mark.requirement("BS-3")
    def test_approval_of_another_plan_is_refused(self, safe: Plan, unsafe: Plan) -> None:
        for plan, other in ((unsafe, safe), (safe, unsafe)):
            with pytest.raises(
                UnsafePlanError, match=f"^the approval '{other.digest}' is not the digest of this plan"
            ) as caught:
                check_approval(plan, other.digest)
            assert (caught.value.breaches, caught.value.digest) == (
                tuple(breach.message for breach in plan.breaches),
                plan.digest,
            )

    @pytest.mark.requirement("BS-3", "BS-13")
    def test_approval_does_not_cover_a_similar_name_that_appeared_since(self) -> None:
        approved = plan_of([wanted("a b")], [group("A B")])
        since = plan_of([wanted("a b")], [group("A B"), group("A  B", "2")])
        assert approved.changes == since.changes
        check_approval(approved, approved.digest)
        with pytest.raises(UnsafePlanError, match="is not the digest of this plan"):
            check_approval(since, approved.digest)

    def test_empty_plan_ignores_an_old_approval(self, unsafe: Plan) -> None:
        check_approval(evolve(unsafe, changes=()), "0123456789abcdef")
