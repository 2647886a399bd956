"""The reads of a plan: users are read only where they are needed."""

import pytest

from secoda_async import DesiredGroup, SecodaClient
from secoda_async.emulator import Emulator
from tests.support.applies import desired_state


def count_user_reads(emulator: Emulator) -> int:
    return sum(request.target.startswith("/api/v1/user") for request in emulator.requests)


@pytest.mark.requirement("BS-13")
async def test_members_of_deleted_groups_are_shown_by_address(emulator: Emulator, secoda: SecodaClient) -> None:
    desired = desired_state(DesiredGroup(name="a"), DesiredGroup(name="c"))
    plan = await secoda.plan(desired, prune=True)
    assert [(change.kind, change.removed) for change in plan.changes] == [("delete", ("u-ana", "u-ben"))]
    assert plan.people == {"u-ana": "ana@example.com", "u-ben": "ben@example.com"}
    assert count_user_reads(emulator) > 0


@pytest.mark.parametrize("prune", [False, True])
async def test_users_are_not_read_for_a_plan_without_members_and_deletes(
    emulator: Emulator, secoda: SecodaClient, *, prune: bool
) -> None:
    desired = desired_state(*(DesiredGroup(name=name, icon="i") for name in "abc"))
    assert (await secoda.plan(desired, prune=prune)).writes == 3
    assert count_user_reads(emulator) == 0


@pytest.mark.requirement("BS-14")
async def test_group_without_desired_members_loses_hidden_members_too(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.users["u-eve"]["pending"] = True
    emulator.groups["c"]["users"] = ["u-eve"]
    emulator.hide_pending = True
    (change,) = (await secoda.plan(desired_state(DesiredGroup(name="c", members=())))).changes
    assert change.removed == ("u-eve",)
