"""Groups, desired groups and plans with short ids."""

from collections.abc import Sequence
from typing import Any

from secoda_async import Change, DesiredGroup, DesiredState, Group, Plan, User
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules

USERS = [User(id=f"u-{name}", email=f"{name}@example.com") for name in ("ana", "ben", "eve")]


def group(name: str, group_id: str = "", **fields: Any) -> Group:
    return Group(id=group_id or f"g-{name}", name=name, **fields)


def wanted(name: str, **fields: Any) -> DesiredGroup:
    return DesiredGroup(name=name, place=f"groups.yaml:{name}", **fields)


def plan_of(
    desired: Sequence[DesiredGroup],
    groups: Sequence[Group],
    users: Sequence[User] = USERS,
    **rules: Any,
) -> Plan:
    return diff(DesiredState(tuple(desired)), groups, users, Rules(**rules))


def only(plan: Plan) -> Change:
    (change,) = plan.changes
    return change
