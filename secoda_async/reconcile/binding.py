"""Bind a plan to its origin and workspace, and refuse to apply it elsewhere."""

from collections.abc import Iterable
from contextlib import aclosing

from secoda_async.errors import StalePlanError
from secoda_async.models import Group, User
from secoda_async.reconcile.plan import Plan
from secoda_async.users import Users

__all__ = ["check_origin", "check_workspace", "learn_workspace", "workspace_of"]


async def learn_workspace(known: Iterable[Group | User], users: Users) -> str | None:
    """Return the workspace id of groups and users; if none has it, read a page of users, as every workspace has one.

    The result is None if the users lack the id too.
    """
    found = workspace_of(known)
    if found is not None:
        return found
    async with aclosing(users.pages()) as pages:
        first = await anext(pages, None)
    return None if first is None else workspace_of(first.items)


def workspace_of(items: Iterable[Group | User]) -> str | None:
    """Return the workspace id of groups and users, or None if they lack it."""
    return next((item.workspace_id for item in items if item.workspace_id), None)


def check_origin(plan: Plan, origin: str) -> None:
    """Refuse a plan that was made at another origin.

    Raises:
        StalePlanError: When the plan is bound to another origin; nothing was sent.
    """
    if plan.origin and plan.origin != origin:
        raise StalePlanError(
            f"the plan was made at {plan.origin} and this is {origin}: nothing was written. Plan again here"
        )


def check_workspace(plan: Plan, workspace: str | None) -> None:
    """Refuse a plan that was made for another workspace, or when the present one is not known.

    Raises:
        StalePlanError: When the plan is bound to another workspace, or this one is not known; nothing was written.
    """
    if plan.workspace is None or plan.workspace == workspace:
        return
    if workspace is None:
        reason = f"was made for the workspace {plan.workspace}, and the id of this workspace is not known"
    else:
        reason = f"was made for another workspace ({plan.workspace}, and this is {workspace})"
    raise StalePlanError(f"the plan {reason}: nothing was written. Plan again here")
