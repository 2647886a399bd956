"""Breaches for groups that may be meant under another name."""

import itertools
from typing import Any

import pytest

from secoda_async._engine.name_keys import confusable_key
from secoda_async.models import normalize
from secoda_async.reconcile import similar_names
from secoda_async.reconcile.escape import quote_name, spell_name
from tests.support.plans import group, only, plan_of, wanted


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

    def test_many_creates_with_the_members_of_a_delete_are_not_all_listed(self) -> None:
        users = ("u-ana", "u-ben")
        desired = [wanted(f"new-{number}", members=users) for number in range(11, 23)]
        plan = plan_of(desired, [group("old", users=users)], prune=True, max_delete=9, max_remove=9)
        *listed, last = [breach for breach in plan.breaches if breach.kind == "rename"]
        assert [breach.names for breach in listed] == [("old", f"new-{number}") for number in range(11, 21)]
        assert last.names == ("old",)
        assert "more than 10 new groups" in last.message

    def test_deletes_and_creates_that_are_too_many_to_compare_need_an_approval(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(similar_names, "_MOST_COMPARED", 5)
        users = ("u-ana", "u-ben")
        there = [group(f"old-{number}", users=users) for number in range(3)]
        plan = plan_of([wanted("new", members=users)], there, prune=True, max_delete=9, max_remove=9)
        *listed, last = [breach for breach in plan.breaches if breach.kind == "rename"]
        assert [breach.names for breach in listed] == [("old-0", "new"), ("old-1", "new")]
        assert last.message.startswith("1 of the groups that would be deleted are not compared with the 1")

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

    @pytest.mark.requirement("BS-13")
    @pytest.mark.parametrize(
        "name",
        [
            "Fin\u0430nce",
            "Finance\ufe0f",
            "Fi\u00adnance",
            "\u2800Finance",
            "Fin\u034fance",
            "\u3164Finance",
            "FINANCE",
        ],
    )
    def test_characters_that_do_not_show_make_no_other_name(self, name: str) -> None:
        plan = plan_of([wanted(name)], [group("Finance")])
        assert [breach.kind for breach in plan.breaches] == ["similar"]

    @pytest.mark.parametrize(
        ("name", "other"),
        [
            ("C", "C++"),
            ("Team A", "Team B"),
            ("Team a", "Team \u03b1"),
            ("cop", "\u0441\u043e\u0440"),
            ("Data Team", "DataTeam"),
            ("\u00b5Service", "uService"),
        ],
    )
    def test_ordinary_names_do_not_look_alike(self, name: str, other: str) -> None:
        assert confusable_key(name) != confusable_key(other)
        assert plan_of([wanted(name)], [group(other)]).breaches == ()

    @pytest.mark.requirement("BS-13")
    def test_hint_proposes_the_former_name_or_the_id(self) -> None:
        (breach,) = plan_of([wanted("finance")], [group("Finance")]).breaches
        assert breach.message == (
            "'finance' would be created, and 'Finance' (g-Finance) looks alike: if the same group is meant, "
            "write 'Finance', or rename that group with `previously: [\"Finance\"]` or `id: g-Finance`"
        )
        for fields in ({"previously": ("Finance",)}, {"id": "g-Finance"}):
            renamed = plan_of([wanted("finance", **fields)], [group("Finance")])
            assert (only(renamed).kind, renamed.breaches) == ("update", ())
        assert plan_of([wanted("Finance")], [group("Finance")]).is_empty

    @pytest.mark.requirement("BS-13")
    def test_rename_to_a_name_like_that_of_a_group_is_a_breach(self) -> None:
        there = [group("Sales"), group("Finance")]
        plan = plan_of([wanted("finance", previously=("Sales",))], there, prune=True, max_delete=9)
        breach, of_the_delete = plan.breaches
        assert (of_the_delete.kind, of_the_delete.names) == ("similar", ("Finance", "finance"))
        assert (breach.kind, breach.names) == ("similar", ("finance", "Finance"))
        assert breach.message == (
            "'Sales' would be renamed to 'finance', and 'Finance' (g-Finance) looks alike: if that group is meant, "
            "use `id: g-Finance`; otherwise choose another name"
        )

    @pytest.mark.requirement("BS-13")
    def test_rename_to_a_name_like_that_of_a_desired_group_is_a_breach(self) -> None:
        there = [group("Sales"), group("Finance")]
        (breach,) = plan_of([wanted("finance", previously=("Sales",)), wanted("Finance")], there).breaches
        assert breach.names == ("finance", "Finance")
        assert breach.message == (
            "the groups 'finance' and 'Finance' look alike: remove or rename one, or approve the plan "
            "(--approve DIGEST)"
        )

    def test_name_that_the_plan_frees_is_no_breach(self) -> None:
        desired = [wanted("ops"), wanted("Operations", previously=("Ops",))]
        assert plan_of(desired, [group("Ops")]).breaches == ()
        assert plan_of([wanted("ops", previously=("Ops",))], [group("Ops")]).breaches == ()

    @pytest.mark.requirement("BS-13")
    def test_former_name_that_looks_like_that_of_a_group_is_a_breach(self) -> None:
        there = [group("Old Team", users=("u-ana",))]
        plan = plan_of([wanted("New", previously=("old  team", "new"))], there, prune=True)
        (breach,) = plan.breaches
        assert ([change.kind for change in plan.changes], breach.names) == (["create"], ("New", "Old Team"))
        assert breach.message.endswith(
            "'Old Team' (g-Old Team) looks like its former name 'old  team': to rename that group, write "
            '`previously: ["Old Team"]`'
        )

    @pytest.mark.requirement("BS-13")
    def test_former_name_that_looks_like_that_of_a_group_outside_the_scope_is_a_breach(self) -> None:
        plan = plan_of([wanted("Team A", previously=("Old",))], [group("old")], only=["Team *"])
        (breach,) = plan.breaches
        assert breach.names == ("Team A", "old")
        assert breach.message.endswith("that group is outside the scope, so check the patterns (only, ignore)")

    @pytest.mark.requirement("BS-13")
    @pytest.mark.parametrize("name", ["R\u2013D", "R\u2212D", "R\u2010D"])
    def test_dash_of_an_office_program_makes_no_other_name(self, name: str) -> None:
        assert [breach.kind for breach in plan_of([wanted("R-D")], [group(name)]).breaches] == ["similar"]
        assert confusable_key("Ana\u2019s \u201cTeam\u201d") == confusable_key('Ana\'s "Team"')

    @pytest.mark.requirement("BS-13")
    def test_many_names_that_look_alike_are_counted(self) -> None:
        names = ["".join(letters) for letters in itertools.product("aA", repeat=4)]
        plan = plan_of([wanted(name) for name in names], [])
        first = [breach for breach in plan.breaches if breach.names[0] == "AAAA"]
        assert [breach.names for breach in first[:2]] == [("AAAA", "AAAa"), ("AAAA", "AAaA")]
        assert (len(first), first[-1].names) == (11, ("AAAA",))
        assert first[-1].message == "more than 10 names look like 'AAAA': only the first are listed"
        plan = plan_of([wanted("aaaa")], [group(name) for name in names[1:]])
        assert (len(plan.breaches), plan.breaches[-1].names) == (11, ("aaaa",))

    def test_former_name_like_a_group_that_another_conflict_concerns_is_no_breach(self) -> None:
        there = [group("Old", "1"), group("Old", "2")]
        plan = plan_of([wanted("New", previously=("old",)), wanted("Old")], there)
        assert (plan.breaches, [conflict.name for conflict in plan.conflicts]) == ((), ["Old"])


class TestPrune:
    @pytest.mark.requirement("BS-13")
    @pytest.mark.parametrize(
        "fields", [{}, {"members": ()}, {"members": ("u-ben",)}], ids=["left out", "empty", "other"]
    )
    def test_group_that_may_be_meant_is_never_deleted(self, fields: dict[str, Any]) -> None:
        there = [group("Finance", users=("u-ana", "u-ben")), group("kept")]
        plan = plan_of([wanted("finance", **fields), wanted("kept")], there, prune=True, max_delete=9)
        assert [change.kind for change in plan.changes] == ["create"]
        assert (plan.unmanaged, plan.unmanaged_names) == (1, ("Finance",))

    @pytest.mark.requirement("BS-13")
    def test_group_that_a_desired_group_in_conflict_may_mean_is_never_deleted(self) -> None:
        plan = plan_of([wanted("finance", id="9"), wanted("kept")], [group("Finance"), group("kept")], prune=True)
        assert (plan.is_empty, plan.unmanaged_names) == (True, ("Finance",))

    @pytest.mark.requirement("BS-13")
    def test_second_group_of_a_similar_name_is_deleted_with_an_approval_when_the_first_is_matched(self) -> None:
        there = [group("Finance"), group("finance")]
        plan = plan_of([wanted("Finance")], there, prune=True)
        assert [(change.kind, change.name) for change in plan.changes] == [("delete", "finance")]
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("similar", ("finance", "Finance"))
        assert "'finance' (g-finance) would be deleted, and looks like the group 'Finance'" in breach.message

    @pytest.mark.requirement("BS-13")
    def test_delete_of_a_group_that_looks_like_a_former_name_is_a_breach(self) -> None:
        there = [group("New"), group("Old  Team"), group("kept")]
        desired = [wanted("New", previously=("old team",)), wanted("kept")]
        (breach,) = plan_of(desired, there, prune=True).breaches
        assert (breach.kind, breach.names) == ("rename", ("Old  Team", "New"))
        (breach,) = plan_of(desired, there, prune=True, only=["Old*", "kept"]).breaches  # New is left out
        assert (breach.kind, breach.names) == ("rename", ("Old  Team", "New"))

    @pytest.mark.requirement("BS-13")
    @pytest.mark.parametrize("name", ["SAML\u00a0Ops", "saml Ops", "\u200bSAML Ops", "\uff33AML Ops", "SAML\u2003Ops"])
    def test_delete_of_a_group_that_looks_ignored_is_a_breach(self, name: str) -> None:
        there = [group(name), group("other"), group("kept")]
        plan = plan_of([wanted("kept")], there, prune=True, max_delete=2, ignore=["SAML ?*", "SAML\u00a0x", "SAML Q"])
        (breach,) = plan.breaches
        assert (breach.kind, breach.names) == ("similar", (name,))
        assert "the pattern 'SAML ?*' ignores" in breach.message

    @pytest.mark.requirement("BS-5", "BS-13")
    def test_group_whose_rename_is_rejected_keeps_its_name_in_a_chain(self) -> None:
        there = [group(str(number), str(number)) for number in range(2000)]
        plan = plan_of([wanted(str(number + 1), id=str(number)) for number in range(1999)], there)
        assert (plan.is_empty, len(plan.conflicts)) == (True, 1999)
        assert "'1' (1): rename or delete it first" in plan.conflicts[0].message

    @pytest.mark.requirement("BS-5")
    def test_empty_name_never_replaces_a_name(self) -> None:
        plan = plan_of([wanted("", id="1", members=())], [group("a", "1")], prune=True)
        assert (plan.is_empty, plan.unmanaged) == (True, 0)
        assert "the group 1 has the name 'a': write this name, or a new one" in plan.conflicts[0].message

    @pytest.mark.requirement("BS-5", "BS-13")
    def test_create_waits_for_a_rename_that_is_rejected(self) -> None:
        there = [group("b", "2"), group("c", "3")]
        plan = plan_of([wanted("b"), wanted("c", id="2")], there)
        assert (plan.is_empty, [conflict.name for conflict in plan.conflicts]) == (True, ["b", "c"])


@pytest.mark.parametrize(
    ("name", "spelled", "quoted"),
    [
        ("caf\u00e9", "'caf\u00e9'", '"caf\u00e9"'),
        ("a\u00a0b", "'a\\xa0b'", '"a\\xa0b"'),
        ("\U0001f4b6\ufe0f", "'\U0001f4b6\\ufe0f'", '"\U0001f4b6\\ufe0f"'),
        ("a\U000e0100", "'a\\U000e0100'", '"a\\U000e0100"'),
        ('"', "'\"'", '"\\""'),
    ],
    ids=["visible", "NBSP", "emoji selector", "variation selector", "quotation mark"],
)
def test_names_are_spelled_so_that_their_difference_shows(name: str, spelled: str, quoted: str) -> None:
    assert (spell_name(name), quote_name(name)) == (spelled, quoted)
