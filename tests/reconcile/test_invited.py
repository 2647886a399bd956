"""Members with a pending invitation, whom the service may not show, and disabled members."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import AutojumpClock, DesiredGroup, DesiredState, Group, Plan, SecodaClient, User
from secoda_async.emulator import Emulator
from secoda_async.emulator.store import Store
from secoda_async.models import GroupFields
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.drift import ChangeStatus, WorkspaceSnapshot, status_of
from secoda_async.reconcile.invited import with_invited_members
from secoda_async.reconcile.safety import Rules
from tests.support.applies import desired_state
from tests.support.plans import group, only, wanted

ANA, EVE = (User(f"u-{name}", f"{name}@example.com", pending=False) for name in ("ana", "eve"))
PAT = User("u-pat", "pat@example.com", pending=True)


def plan_with(
    desired: DesiredGroup, there: Group, pat: User = PAT, sent: Mapping[str, frozenset[str]] | None = None
) -> Plan:
    users = [ANA, EVE, pat]
    return diff(DesiredState((desired,)), with_invited_members([there], users, sent or {}), users, Rules())


class TestPlan:
    @pytest.mark.requirement("BS-14")
    def test_invited_member_is_sent_and_listed(self) -> None:
        plan = plan_with(wanted("a", members=("u-ana", "pat@example.com")), group("a", users=("u-ana",)))
        assert (only(plan).added, plan.pending) == (("u-pat",), ("u-pat",))
        assert plan.people == {"u-pat": "pat@example.com"}

    @pytest.mark.requirement("BS-14")
    def test_invited_member_whose_own_list_has_the_group_is_present(self) -> None:
        there, pat = group("a", users=("u-ana",)), evolve(PAT, user_groups=("g-a",))
        plan = plan_with(wanted("a", members=("u-ana", "u-pat")), there, pat)
        assert (plan.is_empty, plan.pending) == (True, ("u-pat",))
        change = only(plan_with(wanted("a", members=("u-eve", "u-pat")), there, pat))
        assert (change.before.users, change.after.users) == (("u-ana", "u-pat"), ("u-eve", "u-pat"))

    @pytest.mark.requirement("BS-14")
    def test_hidden_member_who_is_not_desired_is_removed(self) -> None:
        there, pat = group("a", users=("u-ana",)), evolve(PAT, user_groups=("g-a",))
        plan = plan_with(wanted("a", members=("u-ana",)), there, pat)
        assert (only(plan).removed, plan.pending) == (("u-pat",), ("u-pat",))

    @pytest.mark.requirement("BS-14")
    def test_member_that_this_client_has_sent_is_present_if_users_show_no_groups(self) -> None:
        desired, there, sent = (
            wanted("a", members=("u-ana", "u-pat")),
            group("a", users=("u-ana",)),
            frozenset(["u-pat"]),
        )
        assert plan_with(desired, there, sent={"g-a": sent}).is_empty
        elsewhere = evolve(PAT, user_groups=("g-b",))
        assert only(plan_with(desired, there, elsewhere, {"g-a": sent})).added == ("u-pat",)
        accepted = evolve(PAT, pending=False)
        assert only(plan_with(desired, there, accepted, {"g-a": sent})).added == ("u-pat",)
        change = only(plan_with(wanted("a", icon="i", members=("u-eve", "u-pat")), there, sent={"g-a": sent}))
        assert change.after == GroupFields(icon="i", users=("u-eve", "u-pat"))

    @pytest.mark.requirement("BS-14")
    def test_disabled_members_are_listed(self) -> None:
        users = [ANA, evolve(EVE, disabled=True), evolve(PAT, disabled=True)]
        desired = DesiredState((wanted("a", members=("u-ana", "u-eve")), wanted("b", members=("u-ana",))))
        plan = diff(desired, [group("b", users=("u-ana", "u-pat"))], users, Rules())
        assert (plan.disabled, plan.people["u-eve"]) == (("u-eve",), "eve@example.com")

    @pytest.mark.requirement("BS-12", "BS-14")
    @pytest.mark.parametrize("number", [1, 11])
    def test_additive_group_that_may_have_hidden_members_is_noted(self, number: int) -> None:
        there = [group(f"{index:02}", users=("u-ana",)) for index in range(number)]
        rules = Rules(additive=True)

        def notes(pat: User, groups: list[Group], members: tuple[str, ...] = ("u-eve",)) -> tuple[str, ...]:
            desired = DesiredState(tuple(wanted(each.name, members=members) for each in groups))
            users = [ANA, EVE, pat]
            return diff(desired, with_invited_members(groups, users, {}), users, rules).notes

        (note,) = notes(PAT, there)
        assert note.startswith("The plan only adds members to '00'")
        assert ("'09' and 1 more, and no group shows any of the invited users" in note) is (number > 10)
        assert notes(PAT, there, ("u-ana",)) == ()
        assert notes(evolve(PAT, user_groups=("g-00",)), there) == ()
        assert notes(evolve(PAT, pending=False), there) == ()


class TestStatus:
    @pytest.mark.requirement("BS-14")
    @pytest.mark.parametrize(
        ("before", "after", "shown", "status"),
        [
            ("a", "ap", "a", ChangeStatus.PENDING),  # it may be as before: the member was perhaps never sent
            ("a", "ap", "ap", ChangeStatus.DONE),
            ("ap", "a", "a", ChangeStatus.PENDING),
            ("ap", "e", "a", ChangeStatus.PENDING),
            ("ap", "e", "e", ChangeStatus.DONE),
            ("a", "ep", "e", ChangeStatus.PENDING),
            ("ae", "aep", "a", ChangeStatus.DRIFTED),  # nobody else is excused
            ("a", "ap", "ae", ChangeStatus.DRIFTED),
            ("a", "ap", "", ChangeStatus.DRIFTED),
        ],
    )
    def test_update_of_a_group_with_an_invited_member(
        self, before: str, after: str, shown: str, status: ChangeStatus
    ) -> None:
        users = [User("a"), User("e"), User("p", pending=True)]
        desired = DesiredState((wanted("x", members=tuple(after)),))
        change = only(diff(desired, [group("x", users=tuple(before))], users, Rules()))
        assert status_of(change, group("x", users=tuple(shown)), ["p"]).status is status

    @pytest.mark.requirement("BS-14")
    def test_create_whose_group_lacks_only_an_invited_member_is_done(self) -> None:
        plan = diff(DesiredState((wanted("a", members=("u-ana", "u-pat")),)), [], [ANA, PAT], Rules())
        for members, status in ((("u-ana",), ChangeStatus.DONE), ((), ChangeStatus.DRIFTED)):
            there = group("a", users=members)
            snapshot = WorkspaceSnapshot.of([there], plan, 0.0)
            assert snapshot.status_of(only(plan)).status is status
            assert (snapshot.mismatch(only(plan), there) is None) is (status is ChangeStatus.DONE)


@pytest.fixture
async def workspace(clock: AutojumpClock) -> AsyncIterator[Emulator]:
    """A workspace that hides invited members in groups."""
    people = ("ana", "eve", "pat", "quinn")
    users = [{"id": f"u-{name}", "email": f"{name}@example.com", "pending": name in "pat quinn"} for name in people]
    groups = [
        {"id": "g-a", "name": "a", "users": ["u-ana", "u-pat"]},
        {"id": "g-b", "name": "b", "users": ["u-ana"]},
        {"id": "g-c", "name": "c", "users": ["u-quinn"]},
    ]
    async with Emulator(users=users, groups=groups, clock=clock, hide_pending=True) as emulator:
        yield emulator


@pytest.fixture
async def client(workspace: Emulator, clock: AutojumpClock) -> AsyncIterator[SecodaClient]:
    async with SecodaClient(workspace.api_key, base_url=workspace.url, clock=clock) as secoda:
        yield secoda


DESIRED = desired_state(
    DesiredGroup(name="a", members=("u-eve", "u-pat")),
    DesiredGroup(name="b", members=("u-ana", "u-pat", "quinn@example.com")),
    DesiredGroup(name="d", members=("u-quinn",)),
)


class TestApply:
    @pytest.mark.requirement("BS-14")
    async def test_plan_apply_plan_is_empty_and_deletes_are_made(
        self, workspace: Emulator, client: SecodaClient
    ) -> None:
        plan = await client.plan(DESIRED, prune=True)
        assert plan.pending == ("u-pat", "u-quinn")
        report = await client.apply(plan)
        assert (report.ok, report.verified, report.counts) == (True, True, {"applied": 4})
        members = {group["name"]: set(group["users"]) for group in workspace.groups.values()}
        assert members == {"a": {"u-eve", "u-pat"}, "b": {"u-ana", "u-pat", "u-quinn"}, "d": {"u-quinn"}}
        assert (await client.plan(DESIRED, prune=True)).is_empty
        assert not [request for request in workspace.requests if request.target.endswith("/user/u-pat")]

    @pytest.mark.requirement("BS-14")
    async def test_plan_applied_again_writes_no_group_twice(self, workspace: Emulator, client: SecodaClient) -> None:
        plan = await client.plan(DESIRED, prune=True)
        await client.apply(plan)
        report = await client.apply(plan)
        assert report.ok
        assert (workspace.count("POST"), len(workspace.groups)) == (1, 3)

    @pytest.mark.requirement("BS-14")
    async def test_lost_responses_lose_no_invited_member(self, workspace: Emulator, client: SecodaClient) -> None:
        workspace.faults.add(drop="after", method="PATCH", times=2)
        workspace.faults.add(drop="after", method="POST")
        report = await client.apply(await client.plan(DESIRED, prune=True))
        assert report.ok
        members = {group["name"]: set(group["users"]) for group in workspace.groups.values()}
        assert (members["b"], members["d"]) == ({"u-ana", "u-pat", "u-quinn"}, {"u-quinn"})

    @pytest.mark.requirement("BS-14")
    async def test_another_missing_member_is_no_success(self, workspace: Emulator, client: SecodaClient) -> None:
        plan = await client.plan(DESIRED, prune=True)
        workspace.users["u-eve"]["pending"] = (
            True  # the service hides a member whose invitation is not known as pending
        )
        report = await client.apply(plan)
        assert not report.ok
        assert report.differences == ("'a' is not as it was written",)

    @pytest.mark.requirement("BS-14")
    async def test_many_invited_members_are_no_failure(self, workspace: Emulator, client: SecodaClient) -> None:
        for index in range(30):
            workspace.users[f"u{index}"] = workspace.users["u-pat"] | {
                "id": f"u{index}",
                "email": f"{index}@example.com",
            }
        desired = desired_state(DesiredGroup(name="new", members=tuple(f"u{index}" for index in range(30))))
        report = await client.apply(await client.plan(desired))
        assert report.ok
        assert (await client.plan(desired)).is_empty

    @pytest.mark.requirement("BS-14")
    async def test_members_whom_nothing_shows_are_sent_once_by_a_client(
        self, workspace: Emulator, client: SecodaClient, clock: AutojumpClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hide_groups_of_users(monkeypatch)
        plan = await client.plan(DESIRED)
        assert only_added(plan) == {"a": {"u-eve", "u-pat"}, "b": {"u-pat", "u-quinn"}, "d": {"u-quinn"}}
        assert (await client.apply(plan)).ok
        assert (await client.plan(DESIRED)).is_empty
        async with SecodaClient(workspace.api_key, base_url=workspace.url, clock=clock) as other:
            assert only_added(await other.plan(DESIRED)) == {
                "a": {"u-pat"},
                "b": {"u-pat", "u-quinn"},
                "d": {"u-quinn"},
            }

    async def test_journal_of_a_hidden_removal_names_the_member(self, client: SecodaClient) -> None:
        log = io.StringIO()
        plan = await client.plan(desired_state(DesiredGroup(name="a", members=("u-ana",))))
        assert (await client.apply(plan, log=log)).ok
        intent = json.loads(log.getvalue().splitlines()[0])
        assert (intent["before"], intent["after"]) == ({"users": ["u-ana", "u-pat"]}, {"users": ["u-ana"]})


def only_added(plan: Plan) -> dict[str, set[str]]:
    return {change.name: set(change.added) for change in plan.changes}


def hide_groups_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Store.user_objects

    def without_groups(store: Store, *, literals: bool) -> list[dict[str, Any]]:
        return [user | {"user_groups": []} for user in shown(store, literals=literals)]

    monkeypatch.setattr(Store, "user_objects", without_groups)


PEOPLE = st.lists(st.sampled_from("aep"), unique=True).map(tuple)


@pytest.mark.requirement("BS-14", "BS-4")
@given(present=PEOPLE, desired=PEOPLE, is_hidden=st.booleans())
def test_plan_of_an_applied_plan_is_empty_with_an_invited_member(
    present: tuple[str, ...], desired: tuple[str, ...], *, is_hidden: bool
) -> None:
    def workspace_of(members: tuple[str, ...]) -> tuple[Group, list[User]]:
        shown = tuple(member for member in members if member != "p" or not is_hidden)
        pat = User("p", pending=True, user_groups=("g-x",) if "p" in members else ())
        return group("x", users=shown), [User("a"), User("e"), pat]

    def plan_of(members: tuple[str, ...]) -> Plan:
        there, users = workspace_of(members)
        desired_state = DesiredState((wanted("x", members=desired),))
        return diff(desired_state, with_invited_members([there], users, {}), users, Rules())

    plan = plan_of(present)
    assert plan.is_empty == (set(present) == set(desired))
    assert plan_of(desired).is_empty
    if not plan.is_empty:
        assert set(only(plan).after.users or ()) == set(desired)
        assert status_of(only(plan), workspace_of(present)[0], plan.pending).status is ChangeStatus.PENDING
