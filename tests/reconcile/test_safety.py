"""The safety limits of a plan: prune, `max_delete`, `max_remove`, breaches, and the approval."""

from typing import Any

import pytest
from attrs import evolve

from secoda_async import InvalidArgumentError, Plan, UnsafePlanError
from secoda_async.models import GroupFields, normalize
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
    def test_other_limit_is_refused(self, name: str, limit: Any) -> None:  # noqa: ANN401
        with pytest.raises(
            InvalidArgumentError, match=f"^{name} must be an integer or a percentage such as '10%', not"
        ):
            Rules(**{name: limit})

    @pytest.mark.parametrize("unknown_members", ["error", "hold"])
    def test_unknown_members_is_error_or_hold(self, unknown_members: Any) -> None:  # noqa: ANN401
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
            assert breach.message.endswith(f" ({limit}: max_delete, --max-delete)")
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
        assert breach.message.endswith(f" ({limit}: max_remove, --max-remove)")
        assert breach.names == ("a",)


class TestProbableRename:
    def test_delete_and_create_with_the_same_members_look_like_a_rename(self) -> None:
        there = [group("old", users=("u-ana", "u-ben")), group("other", users=("u-ana",))]
        plan = plan_of([wanted("new", members=("u-ana", "u-ben", "u-eve"))], there, prune=True, max_delete=9)
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("rename", ("old", "new"))
        assert "add `previously: [\"old\"]` to 'new'" in breach.message
        assert "2 of 3 members" in breach.message

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (("u-ana",), ("u-ana",)),  # one member in common may be chance
            (("u-ana", "u-ben"), ("u-ana", "u-ben", "u-eve", "u-joe")),  # half of the larger group
            (("u-ana", "u-ben", "u-eve", "u-joe"), ("u-ana", "u-ben")),
        ],
    )
    def test_few_members_in_common_are_no_rename(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        there = [group("old", users=old), group("kept", users=("u-joe",))]
        desired = [wanted("new", members=new), wanted("kept")]
        assert plan_of(desired, there, prune=True).breaches == ()

    def test_each_delete_is_compared_with_each_create(self) -> None:
        pair, other = ("u-ana", "u-ben"), ("u-eve", "u-joe")
        there = [group("old-1", users=other), group("old-2", users=pair), group("old-3", users=pair)]
        desired = [wanted("new-1", members=pair), wanted("new-2", members=other), wanted("new-3", members=pair)]
        users = [*there[0].users, *there[1].users]
        plan = plan_of(desired, [*there, group("kept", users=tuple(users))], prune=True, max_delete=9)
        assert [breach.names for breach in plan.breaches if breach.kind == "rename"] == [
            ("old-1", "new-2"),
            ("old-2", "new-1"),
            ("old-2", "new-3"),
            ("old-3", "new-1"),
            ("old-3", "new-3"),
        ]

    def test_former_name_is_advised_in_its_own_letters(self) -> None:
        pair = ("u-ana", "u-ben")
        plan = plan_of([wanted("new", members=pair)], [group("é", users=pair)], prune=True)
        assert 'add `previously: ["é"]`' in plan.breaches[0].message


class TestSimilarNames:
    @pytest.mark.requirement("BS-13")
    @pytest.mark.parametrize(
        "name", ["data stewards", "Data  Stewards", "Data\u00a0Stewards", "Data\u200b Stewards", "\uff24ata Stewards"]
    )
    @pytest.mark.parametrize("prune", [False, True])
    def test_create_that_looks_like_a_present_group_is_a_breach(self, name: str, *, prune: bool) -> None:
        plan = plan_of([wanted(name)], [group("Data Stewards", users=("u-ana", "u-ben"))], prune=prune)
        (breach,) = (breach for breach in plan.breaches if breach.kind == "similar")
        assert breach.names == (normalize(name), "Data Stewards")
        assert 'previously: ["Data Stewards"]' in breach.message
        assert "(g-Data Stewards) looks alike" in breach.message

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

    def test_the_advice_shows_visible_characters_as_they_are(self) -> None:
        assert 'previously: ["CAFÉ"]' in plan_of([wanted("café")], [group("CAFÉ")]).breaches[0].message


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
            f"the plan exceeds the safety limits, and nothing was written. To approve it: {unsafe.digest!r}",
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

    def test_empty_plan_ignores_an_old_approval(self, unsafe: Plan) -> None:
        check_approval(evolve(unsafe, changes=()), "0123456789abcdef")
